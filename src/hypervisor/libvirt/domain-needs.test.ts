import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mebibytes } from '../../core/units.ts'
import { needsOf } from './domain-needs.ts'
import { printXml } from './print-xml.ts'
import { parseXml } from './xml.ts'

/** What libvirtd 9.0 prints of a domain that runs, with a bit of everything. */
const xml = `<domain type='kvm' id='4'>
  <name>db-1</name>
  <uuid>584C0801-b4d8-4b03-8c78-6e5289dac391</uuid>
  <memory unit='KiB'>4194304</memory>
  <memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages><access mode='shared'/></memoryBacking>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/db-1_VARS.fd</nvram>
  </os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Haswell</model>
    <feature policy='require' name='aes'/>
    <feature policy='disable' name='rtm'/>
    <feature policy='force' name='pcid'/>
  </cpu>
  <clock offset='utc'><timer name='tsc' frequency='2400000000'/></clock>
  <launchSecurity type='sev'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/><source file='/srv/images/db-1.qcow2' index='1'/>
      <backingStore type='file' index='3'><format type='qcow2'/><source file='/srv/images/mid.qcow2'/>
        <backingStore type='file'><format type='raw'/><source file='/srv/images/base.img'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/><auth username='libvirt'><secret type='ceph' uuid='aaaa'/></auth>
      <source protocol='rbd' name='pool/db-1'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='volume' device='disk'><source pool='fast' volume='db-1'/><target dev='vdc'/><transient/></disk>
    <disk type='block' device='lun'><source dev='/dev/mapper/san-1'/><target dev='sda'/><shareable/></disk>
    <disk type='file' device='cdrom'><source file='/srv/iso/debian.iso'/><target dev='sdb'/><readonly/></disk>
    <disk type='file' device='cdrom'><source file='/srv/iso/maybe.iso' startupPolicy='optional'/><target dev='sdc'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sdd'/><readonly/></disk>
    <filesystem type='mount'><driver type='virtiofs'/><source dir='/srv/data'/><target dir='data'/></filesystem>
    <filesystem type='mount'><source dir='/srv/old'/><target dir='old'/></filesystem>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan' portgroup='dmz' portid='x' bridge='br0'/><filterref filter='clean-traffic'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br1'/></interface>
    <interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='eth1' mode='bridge'/></interface>
    <interface type='vhostuser'><mac address='52:54:00:00:00:04'/><source type='unix' path='/run/vhost.sock' mode='client'/></interface>
    <interface type='hostdev' managed='yes'><mac address='52:54:00:00:00:05'/><source><address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/></source><teaming type='transient' persistent='ua-x'/></interface>
    <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source></hostdev>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0x0825'/></source></hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>
    <shmem name='s0'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
    <graphics type='spice' port='5900'/><graphics type='spice'/>
    <video><model type='qxl' ram='65536'/></video>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <memory model='nvdimm'><source><path>/srv/nvdimm</path></source></memory>
  </devices>
</domain>`

describe('what a domain needs', () => {
  const needs = needsOf(xml)

  test('itself', () => {
    assert.equal(needs.name, 'db-1')
    assert.equal(needs.uuid, '584c0801-b4d8-4b03-8c78-6e5289dac391')
    assert.equal(needs.memory, mebibytes(4096))
    assert.equal(needs.hugepages, mebibytes(2))
  })
  test('a machine and a CPU', () => {
    assert.deepEqual(needs.machine, {
      emulator: '/usr/bin/qemu-system-x86_64',
      arch: 'x86_64',
      type: 'pc-q35-7.2',
      acceleration: 'kvm',
    })
    const { cpu } = needs
    assert.ok(cpu !== undefined)
    assert.deepEqual(
      [cpu.mode, cpu.model, cpu.check, cpu.features, cpu.tscFrequency],
      ['custom', 'Haswell', 'full', ['aes', 'pcid'], true],
    )
    // What is sent to the target says the same as what was read.
    assert.deepEqual(needsOf(`<domain>${cpu.xml}</domain>`).cpu?.features, ['aes', 'pcid'])
  })
  test('disks', () => {
    assert.deepEqual(
      needs.disks.map(({ name, device, type, source, pool, shared, readonly, transient, optional }) => [
        name,
        device,
        type,
        source,
        pool,
        [shared && 'shared', readonly && 'readonly', transient && 'transient', optional && 'optional']
          .filter(Boolean)
          .join(' '),
      ]),
      [
        ['vda', 'disk', 'file', '/srv/images/db-1.qcow2', undefined, ''],
        ['vdb', 'disk', 'network', 'pool/db-1', undefined, 'shared'],
        ['vdc', 'disk', 'volume', 'db-1', 'fast', 'transient'],
        ['sda', 'lun', 'block', '/dev/mapper/san-1', undefined, 'shared'],
        ['sdb', 'cdrom', 'file', '/srv/iso/debian.iso', undefined, 'readonly'],
        ['sdc', 'cdrom', 'file', '/srv/iso/maybe.iso', undefined, 'readonly optional'],
        ['sdd', 'cdrom', 'file', undefined, undefined, 'readonly'],
      ],
    )
    assert.deepEqual(needs.disks[0]?.backing, ['/srv/images/mid.qcow2', '/srv/images/base.img'])
    assert.deepEqual([needs.disks[0]?.format, needs.disks[0]?.cache], ['qcow2', 'none'])
    assert.deepEqual(needs.secrets, ['aaaa'])
  })
  test('files beside them', () => {
    assert.deepEqual(
      needs.files.map(({ what, path }) => `${what} ${path}`),
      [
        'firmware /usr/share/OVMF/OVMF_CODE.fd',
        'shared disk /dev/mapper/san-1',
        'medium /srv/iso/debian.iso',
        'persistent memory /srv/nvdimm',
      ],
    )
  })
  test('network cards', () => {
    assert.deepEqual(
      needs.nics.map(({ type, source, portgroup, filter, teamed }) => [type, source, portgroup, filter, teamed]),
      [
        ['network', 'lan', 'dmz', 'clean-traffic', false],
        ['bridge', 'br1', undefined, undefined, false],
        ['direct', 'eth1', undefined, undefined, false],
        ['vhostuser', undefined, undefined, undefined, false],
        ['hostdev', undefined, undefined, undefined, true],
      ],
    )
  })
  test('devices', () => {
    assert.deepEqual(
      needs.devices.map(device => JSON.stringify(Object.values(device))),
      [
        '["hostdev","pci","0000:3b:00.0",false]',
        '["hostdev","usb","046d:0825",false]',
        '["hostdev","mdev","c2177883-f1bb-47f0-914d-32a22e3a8804",false]',
        '["filesystem","virtiofs","data"]',
        '["filesystem","9p","old"]',
        '["shmem","s0","ivshmem-plain","none"]',
        '["vhost-user","network card 52:54:00:00:00:04",true]',
        '["tpm","emulator"]',
        '["nvram","/var/lib/libvirt/qemu/nvram/db-1_VARS.fd"]',
        '["launch-security","sev"]',
        '["pmem","/srv/nvdimm"]',
      ],
    )
    assert.deepEqual(
      needs.models.map(({ device, model }) => `${device} ${model}`),
      ['video qxl', 'graphics spice', 'tpm emulator'],
    )
  })
  test('of next to nothing', () => {
    const few = needsOf('<domain><name>x</name><cpu><topology sockets="1"/></cpu></domain>')
    assert.equal(few.cpu, undefined)
    assert.deepEqual([few.disks, few.nics, few.devices, few.files], [[], [], [], []])
  })
  test('a CPU without a mode is a named one', () => {
    assert.equal(needsOf("<domain><cpu match='exact'><model>qemu64</model></cpu></domain>").cpu?.mode, 'custom')
    assert.equal(needsOf("<domain><cpu mode='host-passthrough' check='none'/></domain>").cpu?.mode, 'host-passthrough')
  })
})

test('an element is printed as it was read', () => {
  const text = "<cpu mode='custom'><model a='&lt;&apos;&amp;'>x &amp; y</model><feature/></cpu>"
  assert.equal(printXml(parseXml(text)), text)
})
