import assert from 'node:assert/strict'
import { test } from 'node:test'
import { disksOfDomain } from './domain-disks.ts'
import { volumeXml } from './volume-xml.ts'
import { childAt, parseXml } from './xml.ts'
import { bytes } from '../../core/units.ts'

const domain = (disks: string): string => `<domain type='kvm'><name>web</name><devices>${disks}</devices></domain>`
const source = (file: string): string => `<source file='${file}'/>`

test('a chain is read from the top to the base', () => {
  const xml = domain(`<disk type='file' device='disk'>
    <driver name='qemu' type='qcow2' cache='none'/><source file='/srv/top.qcow2' index='2'/>
    <backingStore type='file' index='3'><format type='qcow2'/><source file='/srv/mid.qcow2'/>
      <backingStore type='file' index='4'><format type='raw'/><source file='/srv/base.img'/><backingStore/></backingStore>
    </backingStore>
    <target dev='vda' bus='virtio'/></disk>`)
  assert.deepEqual(disksOfDomain(xml), [
    {
      target: 'vda',
      kind: 'copied',
      storage: 'file',
      mayBeMissing: false,
      chain: [
        { path: '/srv/top.qcow2', format: 'qcow2' },
        { path: '/srv/mid.qcow2', format: 'qcow2' },
        { path: '/srv/base.img', format: 'raw' },
      ],
    },
  ])
})

test('what is to be done about a disk follows from what it is', () => {
  const kinds = (disk: string) => disksOfDomain(domain(disk)).map(({ kind }) => kind)
  const target = "<target dev='vda'/>"
  assert.deepEqual(kinds(`<disk type='file'>${source('/a')}${target}</disk>`), ['copied'])
  assert.deepEqual(kinds(`<disk type='block' device='lun'><source dev='/dev/vg/a'/>${target}</disk>`), ['copied'])
  assert.deepEqual(kinds(`<disk type='volume'><source pool='p' volume='v'/>${target}</disk>`), ['copied'])
  assert.deepEqual(kinds(`<disk type='file'>${source('/a')}${target}<readonly/></disk>`), ['read'])
  assert.deepEqual(kinds(`<disk type='file' device='cdrom'>${source('/a.iso')}${target}</disk>`), ['read'])
  assert.deepEqual(kinds(`<disk type='file' device='cdrom'>${target}</disk>`), ['empty'])
  assert.deepEqual(kinds(`<disk type='file'>${source('/a')}${target}<shareable/></disk>`), ['shared'])
  assert.deepEqual(kinds(`<disk type='network'><source protocol='rbd' name='p/v'/>${target}</disk>`), ['shared'])
  assert.deepEqual(kinds(`<disk type='nvme'><source type='pci' namespace='1'/>${target}</disk>`), ['unknown'])
})

test('a medium that may be missing is told apart', () => {
  const missing = (policy: string) =>
    disksOfDomain(
      domain(`<disk type='file' device='cdrom'><source file='/a.iso' startupPolicy='${policy}'/></disk>`),
    ).map(({ mayBeMissing }) => mayBeMissing)
  assert.deepEqual([missing('optional'), missing('requisite'), missing('mandatory')], [[true], [true], [false]])
})

test('a volume’s XML has its format and base where the pool has files, and only its size where it has devices', () => {
  const wanted = {
    pool: 'p',
    volume: 'a&b.qcow2',
    format: 'qcow2',
    capacity: bytes(1_048_576),
    need: bytes(1),
    over: { path: '/p/base.qcow2', format: 'qcow2' },
  }
  const inFolder = parseXml(volumeXml(wanted, 'dir'))
  assert.equal(childAt(inFolder, 'name')?.text, 'a&b.qcow2')
  assert.equal(childAt(inFolder, 'capacity')?.text, '1048576')
  assert.equal(childAt(inFolder, 'allocation')?.text, '0')
  assert.equal(childAt(inFolder, 'target', 'format')?.attributes.get('type'), 'qcow2')
  assert.equal(childAt(inFolder, 'backingStore', 'path')?.text, '/p/base.qcow2')
  const device = parseXml(volumeXml(wanted, 'logical'))
  assert.deepEqual(
    device.children.map(({ name }) => name),
    ['name', 'capacity'],
  )
})
