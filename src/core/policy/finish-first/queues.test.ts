import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, driven, someVms } from '../../../../test/arbitraries.ts'
import { guests, pathOf, roomy, startOf, type Timed, twoWays, viewOf } from '../../../../test/finish-first-facts.ts'
import type { Evacuation } from '../../control/evacuation.ts'
import { hostId, vmId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import { mebibytes } from '../../units.ts'
import { Lanes } from './lanes.ts'
import { boundFor, counted, type Queues } from './queues.ts'

const look = (state: Evacuation, at: number, before?: Queues): Queues =>
  counted(before, viewOf(state, instant(at)), new Lanes(state.started.snapshot, new Map(), undefined))
/** How many wait in each queue, and how much they have to bring. */
const lengths = ({ byLane }: Queues): readonly (readonly [string, number, number])[] =>
  [...byLane].map(([key, { vms, bytes }]) => [key, vms.length, bytes] as const)
const refused = (n: number): Timed => [
  1_000,
  { kind: 'attempt-failed', vm: vmId(`vm-${n}`), attempt: 1, failure: { code: 'target-refused', detail: 'no' } },
]
const started = (snapshot: Snapshot, ...facts: readonly Timed[]): Evacuation =>
  driven([[0, startOf(snapshot)], ...facts])

describe('who waits', () => {
  test('is counted by the way out that the plan has for them, in its order, with all they have to bring', () => {
    // Two of each way are being made ready already.
    const queues = look(started(twoWays(100, 100, someVms(10))), 0)
    assert.deepEqual(lengths(queues), [
      ['path a b', 3, mebibytes(300)],
      ['path a c', 3, mebibytes(300)],
    ])
    for (const { vms } of queues.byLane.values()) {
      const numbers = vms.map(vm => Number(vm.slice(3)))
      assert.deepEqual(
        [...numbers].sort((x, y) => x - y),
        numbers,
      )
    }
  })

  test('waits for its own card where that is narrower than the path', () => {
    const hosts = [roomy('a-1', 'a', 1_000), roomy('a-2', 'a', 1_000), roomy('b-1', 'b')]
    const queues = look(started(aSnapshot({ hosts, paths: [pathOf(10_000)], vms: guests(10, 2) })), 0)
    assert.equal(queues.byLane.size, 2)
  })

  test('of one that was refused where it was to go nobody knows where it goes: it waits for no way', () => {
    const state = started(
      aSnapshot({ vms: someVms(4) }),
      [0, { kind: 'operator', by: 'test', order: 'pause' }],
      refused(1),
    )
    const m = state.migrations.get(vmId('vm-1'))
    assert.ok(m?.phase === 'queued')
    assert.equal(boundFor(viewOf(state, instant(1_000)), m), undefined)
    const { byLane } = look(state, 1_000)
    assert.deepEqual(byLane.get('from a-1'), {
      lane: undefined,
      vms: [vmId('vm-1')],
      sources: new Set([hostId('a-1')]),
      bytes: mebibytes(100),
      value: 1,
    })
    const next = state.migrations.get(vmId('vm-3'))
    assert.ok(next?.phase === 'queued')
    assert.ok([hostId('b-1'), hostId('b-2')].some(host => host === boundFor(viewOf(state, instant(0)), next)))
  })
})

describe('queues are counted anew', () => {
  const state = started(aSnapshot({ vms: someVms(6) }))

  test('every five seconds, and not before: ten thousand may wait', () => {
    const first = look(state, 0)
    assert.equal(look(state, 4_999, first), first)
    assert.notEqual(look(state, 5_000, first), first)
  })

  test('when somebody comes back, at once; who left is passed over meanwhile', () => {
    const first = look(state, 0)
    const fewer = look(started(aSnapshot({ vms: someVms(5) })), 1_000, first)
    assert.equal(fewer.byLane, first.byLane)
    assert.equal(fewer.count, first.count - 1)
    // One that came back though it was counted when it had left already.
    assert.notEqual(look(state, 2_000, fewer).byLane, first.byLane)
  })
})
