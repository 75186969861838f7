import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { needsOfArgv } from './argv-needs.ts'

const qemu = (text: string) => needsOfArgv(['/usr/bin/qemu-system-x86_64', ...text.split(' ')])

describe('what a command line needs', () => {
  for (const [text, type, acceleration] of [
    ['-machine pc-q35-7.2,accel=kvm', 'pc-q35-7.2', 'kvm'],
    ['-M type=pc-i440fx-6.2 -enable-kvm', 'pc-i440fx-6.2', 'kvm'],
    ['-machine q35 -accel tcg', 'q35', 'qemu'],
    // Either will do: the target may have the other one.
    ['-machine accel=kvm:tcg', undefined, undefined],
    ['-accel kvm -m 2G', undefined, 'kvm'],
    ['-m 2G', undefined, 'qemu'],
  ] as const)
    test(text, () => {
      const { machine } = qemu(text)
      assert.deepEqual([machine.type, machine.acceleration, machine.arch], [type, acceleration, 'x86_64'])
    })

  test('a CPU', () => {
    const cpu = (text: string) => qemu(`-cpu ${text}`).cpu
    assert.deepEqual(
      [cpu('host')?.mode, cpu('max')?.mode, cpu('qemu64')?.mode],
      ['host-passthrough', 'maximum', 'custom'],
    )
    assert.deepEqual(cpu('Haswell,+aes,avx2=on,enforce,-rtm')?.features, ['aes', 'avx2'])
    assert.deepEqual([cpu('Haswell,enforce')?.check, cpu('Haswell')?.check], ['full', 'none'])
    assert.equal(cpu('host,tsc-frequency=1')?.tscFrequency, true)
    assert.equal(qemu('-m 1G').cpu, undefined)
  })

  test('devices of the host', () => {
    const { devices } = qemu(
      '-device vfio-pci,host=3b:00.0 -device virtio-net,netdev=n -device usb-host,hostbus=1 -virtfs local,path=/x,mount_tag=t -device ivshmem-plain,memdev=m',
    )
    assert.deepEqual(
      devices.map(device => `${device.kind} ${'type' in device ? device.type : ''}`.trim()),
      ['hostdev pci', 'hostdev usb', 'shmem', 'filesystem'],
    )
  })

  test('files and bridges', () => {
    const { files, bridges } = qemu(
      '-kernel /boot/k -initrd /boot/i -bios bios.bin -nic bridge,br=br7 -netdev bridge,id=n -netdev user,id=u',
    )
    assert.deepEqual(
      files.map(({ what, path }) => `${what} ${path}`),
      ['kernel /boot/k', 'initrd /boot/i'],
    )
    assert.deepEqual(bridges, ['br7', 'br0'])
  })
})
