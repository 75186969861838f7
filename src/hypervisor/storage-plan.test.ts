import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { bytes, mebibytes } from '../core/units.ts'
import { type ImageFacts, type Place, planStorage, type VolumeFacts, type Words } from './storage-plan.ts'

const words: Words = {
  host: 'osaka-1',
  pool: name => `pool ${name}`,
  remove: (pool, volume) => `rm ${pool}/${volume}`,
  share: 'say so',
}
const image = (path: string, change: Partial<ImageFacts> = {}): ImageFacts => ({
  path,
  format: 'raw',
  capacity: mebibytes(100),
  allocation: mebibytes(60),
  length: bytes(0),
  ...change,
})
const volume = (change: Partial<VolumeFacts> = {}): VolumeFacts => ({
  format: 'raw',
  capacity: mebibytes(100),
  allocation: mebibytes(60),
  length: bytes(0),
  ...change,
})
const place = (change: Partial<Place> = {}): Place => ({
  disk: { target: 'vda', chain: [image('/p/a.img')] },
  pool: { name: 'p', type: 'dir', free: mebibytes(1000) },
  volume: 'a.img',
  there: undefined,
  usedBy: undefined,
  ownOldCopy: false,
  writtenBelow: false,
  below: [],
  ...change,
})
/** A qcow2 over a base. */
const overBase = (below: readonly (VolumeFacts | undefined)[], change: Partial<Place> = {}): Place => {
  const format = 'qcow2'
  const base = image('/p/base.qcow2', { format, allocation: mebibytes(90), length: mebibytes(91) })
  const top = image('/p/a.qcow2', { format, allocation: mebibytes(5) })
  return place({ disk: { target: 'vdb', chain: [top, base] }, volume: 'a.qcow2', below, ...change })
}
const sameBase = volume({ format: 'qcow2', length: mebibytes(91) })
const why = (...places: readonly Place[]): string => {
  const plan = planStorage(words, places)
  assert.equal(plan.kind, 'refused')
  return plan.kind === 'refused' ? plan.why : ''
}

describe('a volume for each disk', () => {
  test('of the same format and size, of which only what holds data counts', () => {
    assert.deepEqual(planStorage(words, [place()]), {
      kind: 'accepted',
      incremental: false,
      make: [
        { pool: 'p', volume: 'a.img', format: 'raw', capacity: mebibytes(100), need: mebibytes(60), over: undefined },
      ],
    })
  })

  test('a block device takes its whole size', () => {
    const plan = planStorage(words, [place({ pool: { name: 'vg', type: 'logical', free: mebibytes(100) } })])
    assert.ok(plan.kind === 'accepted' && plan.make[0]?.need === mebibytes(100))
    assert.match(
      why(place({ pool: { name: 'vg', type: 'logical', free: mebibytes(99) } })),
      /pool vg of osaka-1 is too full/,
    )
  })

  test('a pool that is too full says what is needed, free and missing; disks of one pool add up', () => {
    const pool = { name: 'p', type: 'dir', free: mebibytes(100) }
    const two = [place({ pool }), place({ pool, disk: { target: 'vdb', chain: [image('/p/b.img')] }, volume: 'b.img' })]
    assert.equal(planStorage(words, two.slice(0, 1)).kind, 'accepted')
    assert.match(why(...two), /need 120 MiB, 100 MiB are free \(short by 20\.0 MiB\)/)
  })
})

describe('only the top of a chain is copied', () => {
  test('where the target has the base: by format, size and length', () => {
    const plan = planStorage(words, [overBase([sameBase])])
    assert.ok(plan.kind === 'accepted' && plan.incremental)
    assert.deepEqual(plan.make[0]?.over, { path: '/p/base.qcow2', format: 'qcow2' })
    assert.ok((plan.make[0]?.need ?? 0) < mebibytes(6))
  })

  test('all of it where the base is missing, or another', () => {
    const others = [
      undefined,
      { ...sameBase, format: 'raw' },
      { ...sameBase, capacity: mebibytes(99) },
      { ...sameBase, length: mebibytes(92) },
      { ...sameBase, length: bytes(0) },
    ]
    for (const base of others) {
      const plan = planStorage(words, [overBase([base])])
      assert.ok(plan.kind === 'accepted' && !plan.incremental)
      assert.equal(plan.make[0]?.over, undefined)
      assert.ok((plan.make[0]?.need ?? 0) > mebibytes(94))
    }
  })

  test('all of it where a base is raw, at both: of those any two of a size look the same', () => {
    const raw = { ...sameBase, format: 'raw', length: sameBase.capacity }
    const chain = [image('/p/web.qcow2', { format: 'qcow2' }), image('/p/base.img', { ...raw, path: '/p/base.img' })]
    const plan = planStorage(words, [overBase([raw], { disk: { target: 'vda', chain } })])
    assert.ok(plan.kind === 'accepted' && !plan.incremental)
  })

  test('all of every disk where one of the VM’s bases is missing: a hypervisor copies all in one way', () => {
    const plan = planStorage(words, [overBase([sameBase]), overBase([undefined], { volume: 'b.qcow2' })])
    assert.ok(plan.kind === 'accepted' && !plan.incremental)
  })

  test('never over what a VM has written to: the disk it left there, which has become the base of a snapshot since', () => {
    const plan = planStorage(words, [overBase([sameBase], { writtenBelow: true })])
    assert.ok(plan.kind === 'accepted' && !plan.incremental)
    assert.equal(plan.make[0]?.over, undefined)
  })

  test('never over what is there already, which would shine through', () => {
    const there = volume({ format: 'qcow2', allocation: bytes(0) })
    const plan = planStorage(words, [overBase([sameBase], { there })])
    assert.ok(plan.kind === 'accepted' && !plan.incremental)
    assert.deepEqual(plan.make, [])
  })
})

describe('what lies in the place of a disk', () => {
  test('is written over where it is empty, or the VM’s own old copy', () => {
    for (const change of [{ there: volume({ allocation: bytes(4_096) }) }, { there: volume(), ownOldCopy: true }])
      assert.deepEqual(planStorage(words, [place(change)]), { kind: 'accepted', incremental: false, make: [] })
    const fresh = place({
      disk: { target: 'vda', chain: [image('/p/a.img', { format: 'qcow2' })] },
      there: volume({ format: 'qcow2', allocation: bytes(200_704) }),
    })
    assert.equal(planStorage(words, [fresh]).kind, 'accepted')
  })

  test('a small disk is not an empty one', () => {
    const seed = bytes(374_784)
    const small = { capacity: seed, allocation: seed }
    const disk = { target: 'vdb', chain: [image('/p/seed.img', small)] }
    assert.match(why(place({ disk, there: volume(small) })), /366 KiB that may be somebody's/)
  })

  test('is left alone where it may be somebody’s, and the sentence says what to do', () => {
    assert.match(
      why(place({ there: volume() })),
      /^osaka-1 has a\.img in pool p already.*holds 60\.0 MiB that may be somebody's\. If it may go: rm p\/a\.img\. If both hosts share that storage, say so$/,
    )
    assert.match(why(place({ there: volume(), usedBy: 'web', ownOldCopy: true })), /it is a disk of web/)
    assert.match(
      why(place({ there: volume({ capacity: mebibytes(50) }), ownOldCopy: true })),
      /is raw of 50\.0 MiB, the disk is raw of 100 MiB/,
    )
    assert.match(why(place({ there: volume({ format: 'qcow2' }), ownOldCopy: true })), /it is qcow2 of/)
  })

  test('nothing is ever made where something lies', () => {
    const arbThere = fc.option(
      fc.record({
        allocation: fc.nat(100_000_000),
        capacity: fc.constantFrom(1, 100),
        format: fc.constantFrom('raw', 'qcow2'),
      }),
      { nil: undefined },
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(arbThere, fc.boolean()), { minLength: 1, maxLength: 5 }), all => {
        const places = all.map(([there, ownOldCopy], n) =>
          place({
            volume: `v${n}`,
            there:
              there && volume({ ...there, allocation: bytes(there.allocation), capacity: mebibytes(there.capacity) }),
            ownOldCopy,
          }),
        )
        const plan = planStorage(words, places)
        if (plan.kind === 'refused') return
        for (const { volume: name } of plan.make)
          assert.equal(places.find(one => one.volume === name)?.there, undefined)
        assert.equal(plan.make.length, places.filter(({ there }) => there === undefined).length)
      }),
      runs(300),
    )
  })
})
