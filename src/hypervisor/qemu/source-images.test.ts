import assert from 'node:assert/strict'
import { test } from 'node:test'
import { vmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { bytes, mebibytes } from '../../core/units.ts'
import type { BlockDrive, BlockImage } from '../../qmp/public.ts'
import { parseArrival, parseLanding, printArrival, printLanding } from './arrival.ts'
import { parseDefinition } from './definition.ts'
import { disksToCopy, driveNamed, mediaOf } from './source-images.ts'

const vm = vmId('web')
const image = (path: string, change: Partial<BlockImage> = {}): BlockImage => ({
  path,
  format: 'qcow2',
  size: mebibytes(64),
  taken: mebibytes(10),
  backing: undefined,
  backingName: undefined,
  ...change,
})
const drive = (device: string, top: BlockImage, readOnly = false): BlockDrive => ({
  device,
  inserted: { node: device === '' ? 'data' : '#block1', readOnly, image: top },
})
interface Declared {
  readonly name: string
  readonly shared?: boolean
}
const definitionWith = (...disks: readonly Declared[]) =>
  parseDefinition(
    JSON.stringify({
      version: 1,
      name: vm,
      uuid: '0c0ffee0-0000-4000-8000-000000000001',
      memory: '64MiB',
      argv: ['qemu'],
      disks: disks.map(disk => ({ size: '64MiB', ...disk })),
    }),
  )
const copied = (drives: readonly BlockDrive[], ...disks: readonly Declared[]) =>
  disksToCopy(vm, 'sendai-1', definitionWith(...disks), drives, '/srv/vms/web')

test('a chain is told from the top, with places below the VM’s folder kept apart from others', () => {
  const base = image('/srv/base.qcow2', { taken: undefined })
  const top = image('/srv/vms/web/a.qcow2', { backing: base, backingName: '../../base.qcow2' })
  const [disk] = copied([drive('vda', top)], { name: 'vda' })
  assert.deepEqual(disk?.chain, [
    { path: '{dir}/a.qcow2', format: 'qcow2', capacity: mebibytes(64), allocation: mebibytes(10), length: 0 },
    {
      path: '/srv/base.qcow2',
      format: 'qcow2',
      capacity: mebibytes(64),
      allocation: mebibytes(64),
      length: 0,
      name: '../../base.qcow2',
    },
  ])
})

test('only what is the VM’s own, declared, and written to is copied', () => {
  const drives = [
    drive('vda', image('/a')),
    drive('vdb', image('/b')),
    drive('cd', image('/c'), true),
    { device: 'empty', inserted: undefined },
    drive('undeclared', image('/d')),
    drive('', image('/e')),
  ]
  const disks = copied(
    drives,
    { name: 'vda' },
    { name: 'vdb', shared: true },
    { name: 'cd' },
    { name: 'empty' },
    { name: 'data' },
  )
  assert.deepEqual(
    disks.map(({ target }) => target),
    ['vda', 'data'],
  )
  assert.equal(driveNamed(drives, 'data')?.device, '')
})

test('what is only read has to be at the target', () => {
  const drives = [
    drive('vda', image('/a')),
    drive('cd', image('/srv/vms/web/x.iso'), true),
    { device: 'x', inserted: undefined },
  ]
  assert.deepEqual(mediaOf(drives, '/srv/vms/web'), [{ target: 'cd', path: '{dir}/x.iso' }])
})

test('a declared disk that QEMU does not have is refused, with those it has', () => {
  assert.throws(
    () => copied([drive('vda', image('/a')), drive('', image('/b'))], { name: 'disk0' }),
    (error: unknown) => {
      assert.ok(error instanceof MigrationError)
      assert.match(
        error.message,
        /^web: source-refused: .*sendai-1 has a disk disk0 .* only vda, data; name the disk as/,
      )
      return true
    },
  )
})

test('what is no file of this host is not copied: the target would make it anew', () => {
  for (const path of [
    'gluster://storage/vms/a.img',
    'rbd:pool/a',
    'json:{"driver":"ssh"}',
    'a.img',
    '/a\n/etc/passwd',
  ]) {
    assert.throws(() => copied([drive('vda', image(path))], { name: 'vda' }), /source-refused: .*no absolute path/)
    assert.deepEqual(copied([drive('vda', image(path))], { name: 'vda', shared: true }), [])
  }
})

test('what a source says, a target reads; what a target says, a source', () => {
  const definition = definitionWith({ name: 'vda' })
  const disks = [...copied([drive('vda', image('/srv/vms/web/a.img'))], { name: 'vda' })]
  const media = [{ target: 'cd', path: '/a.iso' }]
  assert.deepEqual(parseArrival(printArrival({ definition, disks, media })), { definition, disks, media })
  for (const landing of [
    { migrate: 'tcp:10.0.0.1:49152', disks: null },
    {
      migrate: 'tcp:10.0.0.1:49152',
      disks: { name: 'b-1', host: '10.0.0.1', port: 49_153, targets: ['vda'], incremental: true },
    },
  ])
    assert.deepEqual(parseLanding(printLanding(landing)), landing)
  assert.equal(disks[0]?.chain[0]?.length, bytes(0))
})
