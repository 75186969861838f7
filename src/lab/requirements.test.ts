import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LabRequirement } from './lab-error.ts'
import { insistOnRequirements } from './requirements.ts'

const complete = { isRoot: true, has: () => true, hasKernel: true }
const complaint = (machine: Parameters<typeof insistOnRequirements>[0]): string => {
  try {
    insistOnRequirements(machine)
  } catch (error) {
    assert.ok(error instanceof LabRequirement)
    return error.message
  }
  return ''
}

describe('what the lab needs', () => {
  test('a machine that has everything is not complained of', () => {
    assert.equal(complaint(complete), '')
  })
  test('without root the next step is named', () => {
    assert.match(complaint({ ...complete, isRoot: false }), /needs root: try again with sudo/)
  })
  test('everything that is missing is named at once, with one command that installs it', () => {
    const missing = new Set(['qemu-system-x86_64', 'tc', 'ip', 'busybox'])
    const message = complaint({ isRoot: true, has: program => !missing.has(program), hasKernel: false })
    assert.match(message, /qemu-system-x86_64, busybox, ip, tc, a kernel/)
    const packages = /apt-get install --no-install-recommends (.*)$/m.exec(message)?.[1]?.split(' ')
    assert.deepEqual(packages, ['qemu-system-x86', 'busybox-static', 'iproute2', 'linux-image-cloud-amd64'])
  })
  test('what only some labs need is asked of those only', () => {
    const without = { ...complete, has: (program: string) => !['libvirtd', 'sshd', 'openssl'].includes(program) }
    insistOnRequirements(without, { driver: 'qemu' })
    const wants = (spec: Parameters<typeof insistOnRequirements>[1], packages: RegExp): void =>
      assert.throws(() => insistOnRequirements(without, spec), packages)
    wants({ driver: 'libvirt' }, /recommends libvirt-daemon-system libvirt-daemon-driver-qemu$/)
    wants({ driver: 'libvirt', ssh: true, tls: true }, /libvirt-daemon-driver-qemu openssh-server openssl$/)
  })
})
