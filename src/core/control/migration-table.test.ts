import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { hostId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { type Migration, phases } from '../migration/migration.ts'
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
})
