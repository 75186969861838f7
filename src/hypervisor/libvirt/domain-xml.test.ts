import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { mebibytes } from '../../core/units.ts'
import { factsOf, overrulesSafety, tombstoneXml } from './domain-xml.ts'
import { childAt, escapeXml, parseXml, XmlError } from './xml.ts'

const domain = `<?xml version='1.0'?>
<!-- <name>not this</name> -->
<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>db &amp; co</name>
  <uuid>0C0FFEE0-0000-4000-8000-000000000001</uuid>
  <memory unit='KiB'>524288</memory>
  <currentMemory unit='KiB'>262144</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver cache='none'/><source file='/a>b'/><target dev='vda'/></disk>
    <disk type='file' device='disk'><driver cache='none'/><target dev='vdb'/><shareable/></disk>
    <disk type='file' device='disk'><target dev='vdc'/><shareable/></disk>
    <disk type='network' device='disk'><target dev='vdd'/></disk>
    <disk type='file' device='disk'><target dev='vde'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/></disk>
  </devices>
</domain>`

describe("a domain's definition", () => {
  test('memory, processors, and the disks whose content it cannot do without', () => {
    const facts = factsOf(domain)
    assert.equal(facts.name, 'db & co')
    assert.equal(facts.uuid, '0c0ffee0-0000-4000-8000-000000000001')
    assert.equal(facts.memory, mebibytes(512))
    assert.equal(facts.vcpus, 4)
    assert.deepEqual(
      facts.disks.map(({ target, shared, sharedByWord }) => [target, shared, sharedByWord]),
      [
        ['vda', false, false],
        ['vdb', true, true],
        ['vdc', true, false],
        ['vdd', true, false],
      ],
    )
  })

  test('libvirt’s check of disks is overruled only where nothing of any disk is in a cache', () => {
    const disk = (cache: string, more = '<shareable/>', type = 'file') =>
      `<disk type='${type}' device='disk'><driver cache='${cache}'/>${more}<target dev='vda'/></disk>`
    const overrules = (...disks: readonly string[]): boolean =>
      overrulesSafety(factsOf(`<domain><name>x</name><devices>${disks.join('')}</devices></domain>`).disks)
    const ceph = disk('writeback', "<source protocol='rbd' name='p/v'/>", 'network')
    assert.equal(overrules(), false)
    assert.equal(overrules(disk('none')), true)
    assert.equal(overrules(disk('directsync'), disk('none')), true)
    assert.equal(overrules(disk('none'), disk('writeback')), false)
    assert.equal(overrules(disk('none'), ceph), true)
    assert.equal(overrules(disk('none'), disk('writeback', "<source protocol='nfs'/>", 'network')), false)
    assert.equal(overrules(ceph), false)
  })

  test('its tombstone keeps it whole, says where it went, and is neither it by name nor by UUID', () => {
    const text = tombstoneXml(domain, 'b-1')
    const facts = factsOf(text)
    const tombstone = parseXml(text)
    assert.equal(facts.name, 'db & co.evacuated')
    assert.notEqual(facts.uuid, factsOf(domain).uuid)
    assert.equal(childAt(tombstone, 'metadata', 'lifeboat:evacuated')?.text, domain)
    assert.equal(childAt(tombstone, 'os', 'kernel')?.text, '/db-co-was-evacuated-to-b-1')
    assert.deepEqual(facts.disks, [])
  })

  test('what is no XML is refused', () => {
    for (const text of ['', 'domain', '<domain>', '<domain></name>', '<a/><b/>', '<a', '<a b=">', '</a>'])
      assert.throws(() => parseXml(text), XmlError, text)
    assert.throws(() => parseXml('<a>'.repeat(1_000)), XmlError)
  })

  test('whatever the text, it comes back as it was written', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (text, value) => {
        const element = parseXml(`<a b="${escapeXml(value)}">${escapeXml(text)}</a>`)
        assert.equal(element.text, text)
        assert.equal(element.attributes.get('b'), value)
      }),
      runs(300),
    )
  })
})
