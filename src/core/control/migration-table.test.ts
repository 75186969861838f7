import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { hostId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { runs } from '../../../test/arbitraries.ts'
import { type Migration, type Phase, phases } from '../migration/migration.ts'
import { MigrationTable } from './migration-table.ts'

const queued = (n: number): Migration => ({
  phase: 'queued',
  vm: vmId(`vm-${n}`),
  source: hostId('a-1'),
  attempts: 0,
  notBefore: undefined,
  excluded: [],
  lastFailure: undefined,
  wasted: 0,
})
const givenUp = (n: number): Migration => ({
  phase: 'given-up',
  vm: vmId(`vm-${n}`),
  source: hostId('a-1'),
  attempts: 1,
  failure: { code: 'cancelled', detail: 'so' },
  wasted: 0,
})
const preparing = (n: number): Migration => ({
  phase: 'preparing',
  vm: vmId(`vm-${n}`),
  source: hostId('a-1'),
  target: hostId('b-1'),
  attempt: 1,
  since: instant(n),
  ready: false,
  options: { channels: 1, compression: 'none', autoConverge: false, postCopy: false },
  excluded: [],
  wasted: 0,
})

const landed = (n: number, sourceEnded = false): Migration => ({
  phase: 'landed',
  vm: vmId(`vm-${n}`),
  source: hostId('a-1'),
  target: hostId('b-1'),
  attempt: 1,
  mode: 'pre-copy',
  compression: 'none',
  startedAt: instant(0),
  switchedAt: instant(n),
  downtime: undefined,
  bytesSent: 0,
  bytesNeeded: 0,
  sourceEnded,
  retire: { tries: 1, nextAt: undefined, why: undefined, gaveUp: false },
})
const retired = (n: number): Migration => landed(n, true)

const arbChange = fc.record({ n: fc.nat(), to: fc.constantFrom(queued, givenUp, preparing, landed, retired) })
const arbSize = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.constantFrom(127, 128, 129, 256),
  fc.integer({ max: 400, min: 0 }),
)

/** Changed as told, beside an array that was changed alike. */
function changed(size: number, changes: readonly { readonly n: number; readonly to: (n: number) => Migration }[]) {
  const naive = Array.from({ length: size }, (_, n) => queued(n))
  let table = MigrationTable.of(naive)
  for (const { n, to } of size === 0 ? [] : changes) {
    naive[n % size] = to(n % size)
    table = table.with(to(n % size))
  }
  return { table, naive }
}

describe('the table of migrations', () => {
  test('is a map that keeps its order, whatever changes: held against a plain one', () => {
    const change = fc.record({
      n: fc.nat(),
      to: fc.constantFrom(queued, givenUp, preparing),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), fc.array(change, { maxLength: 60 }), (size, changes) => {
        const first = Array.from({ length: size }, (_, n) => queued(n))
        let table = MigrationTable.of(first)
        const plain = new Map(first.map(m => [m.vm, m]))
        for (const { n, to } of changes) {
          const next = to(n % size)
          table = table.with(next)
          plain.set(next.vm, next)
        }
        assert.equal(table.size, size)
        assert.deepEqual([...table.values()], [...plain.values()])
        assert.deepEqual([...table], [...plain])
        for (const phase of phases) {
          const expected = [...plain.values()].filter(m => m.phase === phase)
          assert.equal(table.count(phase), expected.length)
          assert.deepEqual([...table.in(phase)], expected)
        }
        assert.deepEqual(
          [...table.in('queued', 'preparing')],
          [...plain.values()].filter(m => m.phase === 'queued' || m.phase === 'preparing'),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('a change leaves the table it was made from as it was', () => {
    const before = MigrationTable.of([queued(1), queued(2)])
    const after = before.with(givenUp(1))
    assert.equal(before.get(vmId('vm-1'))?.phase, 'queued')
    assert.equal(after.get(vmId('vm-1'))?.phase, 'given-up')
    assert.equal(after.get(vmId('vm-3')), undefined)
  })

  test('refuses a VM twice, and one it does not have', () => {
    assert.throws(() => MigrationTable.of([queued(1), queued(1)]), /twice/)
    assert.throws(() => MigrationTable.of([queued(1)]).with(queued(2)), /not part of this evacuation/)
  })

  test('those that are still to be retired are those landed whose source is not ended, in order', () => {
    let found = 0
    fc.assert(
      fc.property(arbSize, fc.array(arbChange, { maxLength: 80, size: 'max' }), (size, changes) => {
        const { table, naive } = changed(size, changes)
        const expected = naive.filter(m => m.phase === 'landed' && !m.sourceEnded)
        found += expected.length
        assert.deepEqual([...table.retiring()], expected)
        // Made at once, it has the same.
        assert.deepEqual([...MigrationTable.of(naive).retiring()], expected)
      }),
      runs(200),
    )
    assert.ok(found > 200, 'some are left to be retired')
  })

  test('who is asked for by phase is found, whichever phases are asked for together', () => {
    fc.assert(
      fc.property(
        arbSize,
        fc.array(arbChange, { maxLength: 80, size: 'max' }),
        fc.subarray([...phases]),
        (size, changes, of) => {
          const { table, naive } = changed(size, changes)
          const expected = naive.filter(({ phase }) => of.includes(phase))
          assert.deepEqual([...table.in(...of)], expected)
          assert.equal(table.count(...of), expected.length)
        },
      ),
      runs(200),
    )
  })

  test('no more is looked at than up to the last that is asked for, in each chunk by itself', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.array(arbChange, { maxLength: 40, size: 'max' }),
        (size, changes) => {
          const { naive } = changed(size, changes)
          const looked = new Set<number>()
          const watched = naive.map((m, n): Migration => {
            const { phase } = m
            return Object.defineProperty({ ...m }, 'phase', {
              enumerable: true,
              get: (): Phase => {
                looked.add(n)
                return phase
              },
            })
          })
          const table = MigrationTable.of(watched)
          looked.clear()
          const wanted = [...table.in('preparing')].length
          assert.equal(wanted, naive.filter(({ phase }) => phase === 'preparing').length)
          const needed = new Set<number>()
          for (let from = 0; from < size; from += 128) {
            const last = naive.slice(from, from + 128).findLastIndex(({ phase }) => phase === 'preparing')
            for (let n = from; n <= from + last; n += 1) needed.add(n)
          }
          assert.deepEqual(
            [...looked].sort((a, b) => a - b),
            [...needed],
          )
        },
      ),
      runs(60),
    )
  })

  test('who leaves in the middle of the list leaves it well', () => {
    const { table } = changed(300, [
      { n: 5, to: landed },
      { n: 200, to: landed },
    ])
    const [first] = table.retiring()
    assert.equal(first?.vm, 'vm-5')
    const again = table.in('landed')
    again.next()
    assert.equal(again.next().value?.vm, 'vm-200')
    assert.equal(again.next().done, true)
  })

  test('what stays as it is counts as it did', () => {
    const { table } = changed(3, [{ n: 1, to: landed }])
    assert.deepEqual([...table.with(landed(1)).retiring()], [landed(1)])
    assert.deepEqual([...table.with(retired(1)).retiring()], [])
    assert.deepEqual([...table.with(retired(1)).with(landed(1)).retiring()], [landed(1)])
  })

  test('an empty table has nothing of anything', () => {
    const table = MigrationTable.of([])
    assert.equal(table.size, 0)
    assert.deepEqual([[...table.retiring()], [...table.in(...phases)], [...table.keys()]], [[], [], []])
    assert.equal(table.count(...phases), 0)
  })
})
