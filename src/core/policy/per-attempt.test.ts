import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aSnapshot, arbStory, driven, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Observed } from '../control/observed.ts'
import { type VmId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { PreCopy } from '../migration/migration.ts'
import { mebibytes } from '../units.ts'
import { type Attempted, remember, sameAttempt } from './per-attempt.ts'
import type { PolicyView } from './policy.ts'

interface Seen extends Attempted {
  readonly times: number
}
const count = (m: PreCopy, before: Seen | undefined): Seen => ({
  attempt: m.attempt,
  times: sameAttempt(before, m) ? before.times + 1 : 1,
})
const viewOf = ({ started, migrations }: Evacuation): PolicyView => ({
  now: instant(0),
  snapshot: started.snapshot,
  targets: started.targets,
  limits: started.limits,
  admitting: true,
  plannedTo: () => undefined,
  network: new Map(),
  hostLoads: new Map(),
  mayGo: () => true,
  freeAt: () => mebibytes(1_048_576),
  migrations,
  vmOf: () => assert.fail('nobody asks'),
})
const nobody: ReadonlyMap<VmId, Seen> = new Map()

test('each attempt is looked at with what was known of it', () => {
  const facts: readonly (readonly [number, Observed])[] = [
    [0, startedFrom(aSnapshot({ vms: someVms(1) }), {})],
    [1, { kind: 'target-ready', vm: vmId('vm-1'), attempt: 1 }],
  ]
  const view = viewOf(driven(facts))
  const once = remember(nobody, view, count)
  assert.deepEqual([...once], [['vm-1', { attempt: 1, times: 1 }]])
  assert.deepEqual([...remember(once, view, count)], [['vm-1', { attempt: 1, times: 2 }]])
  assert.deepEqual([...once], [['vm-1', { attempt: 1, times: 1 }]], 'what was known stays as it was')
})

test('what is known is of exactly those in pre-copy, and of their present attempt', () => {
  let again = 0
  fc.assert(
    fc.property(arbStory, ({ states }) => {
      let known = nobody
      for (const state of states) {
        const before = known
        known = remember(known, viewOf(state), count)
        assert.deepEqual(
          [...known].map(([vm, { attempt }]) => [vm, attempt]),
          [...state.migrations.in('pre-copy')].map(({ vm, attempt }) => [vm, attempt]),
        )
        for (const [vm, { attempt, times }] of known) {
          const old = before.get(vm)
          assert.equal(times, old?.attempt === attempt ? old.times + 1 : 1)
          if (times > 1) again += 1
        }
      }
    }),
    runs(200),
  )
  assert.ok(again > 100, 'the stories have attempts that last')
})

test('where nothing is known and nothing flows, the memory is the same one', () => {
  const view = viewOf(driven([[0, startedFrom(aSnapshot({ vms: someVms(2) }), {})]]))
  assert.equal(remember(nobody, view, count), nobody)
})

test('an attempt is the same as that of the same number only', () => {
  const facts: readonly (readonly [number, Observed])[] = [
    [0, startedFrom(aSnapshot({ vms: someVms(1) }), {})],
    [1, { kind: 'target-ready', vm: vmId('vm-1'), attempt: 1 }],
  ]
  const [m] = [...driven(facts).migrations.in('pre-copy')]
  assert.ok(m !== undefined)
  assert.equal(sameAttempt(undefined, m), false)
  assert.equal(sameAttempt({ attempt: 1 }, m), true)
  assert.equal(sameAttempt({ attempt: 2 }, m), false)
})
