import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  arbStory,
  failures,
  runs,
  startedFrom,
  aSnapshot,
  someVms,
  driven,
  migrationOf,
} from '../../../test/arbitraries.ts'
import type { Observed } from '../control/observed.ts'
import { vmId } from '../ids.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { bytes } from '../units.ts'
import { showFailure } from './failure.ts'
import type { Migration, Phase } from './migration.ts'
import { failureOf, outcomeOf, outcomes, reasonOf } from './outcome.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
const failure = { code: 'path-lost', detail: 'cut' } as const

const start: Timed = [0, startedFrom(aSnapshot({ vms: someVms(1) }))]
const ready: Timed = [1, { kind: 'target-ready', ...of }]
const landed: Timed = [9, { kind: 'landed', ...of, downtime: undefined, sent: bytes(1), needed: bytes(1) }]
/** The phase that these facts lead to, and what is to be said of it. */
const stories: { readonly [P in Phase]: readonly [facts: readonly Timed[], outcome: string, reason: string] } = {
  queued: [[start, [1, { kind: 'attempt-failed', ...of, failure }]], 'left', 'path-lost: cut'],
  preparing: [[start], 'left', 'still in phase preparing'],
  'pre-copy': [[start, ready], 'left', 'still in phase pre-copy'],
  switchover: [[start, ready, [2, { kind: 'guest-stopped', ...of }]], 'uncertain', 'still in phase switchover'],
  'post-copy': [[start, ready, [2, { kind: 'post-copy-began', ...of }]], 'uncertain', 'still in phase post-copy'],
  uncertain: [[start, ready, [2, { kind: 'attempt-unclear', ...of, why: 'no answer' }]], 'uncertain', 'no answer'],
  landed: [[start, ready, landed], 'safe', 'safe, but its stopped copy at a-1 has not been ended'],
  'given-up': [
    [start, [1, { kind: 'attempt-failed', ...of, failure: { code: 'cancelled', detail: 'the operator aborted' } }]],
    'left',
    'cancelled: the operator aborted',
  ],
}
for (const [phase, [facts, outcome, reason]] of Object.entries(stories)) {
  test(`a VM whose story ends in ${phase} is ${outcome}: ${reason}`, () => {
    const m = migrationOf(driven(facts), 'vm-1')
    assert.equal(m.phase, phase)
    assert.equal(outcomeOf(m), outcome)
    assert.equal(reasonOf(m), reason)
  })
}

test('a VM that was never tried says so', () => {
  const vms = someVms(3)
  const last = migrationOf(driven([[0, startedFrom(aSnapshot({ vms }))]]), 'vm-3')
  assert.equal(last.phase, 'queued')
  assert.equal(outcomeOf(last), 'left')
  assert.equal(reasonOf(last), 'has not been started')
})

test('a VM that is safe with its copy at home ended needs no reason; one whose copy lingers says why', () => {
  const ended = migrationOf(driven([start, ready, landed, [10, { kind: 'source-ended', ...of }]]), 'vm-1')
  assert.equal(reasonOf(ended), undefined)
  const lingers = migrationOf(
    driven([start, ready, landed, [10, { kind: 'source-lingers', ...of, why: 'no route to host' }]]),
    'vm-1',
  )
  assert.equal(outcomeOf(lingers), 'safe')
  assert.equal(reasonOf(lingers), 'safe, but its stopped copy at a-1 has not been ended: no route to host')
})

test('a VM is lost when it died, or nobody asked can find it; any other failure left it at home', () => {
  for (const each of failures) {
    const m: Migration = {
      phase: 'given-up',
      vm: of.vm,
      source: startedFrom(aSnapshot()).snapshot.hosts[0]?.id ?? assert.fail(),
      attempts: 1,
      failure: each,
      wasted: 0,
    }
    assert.equal(outcomeOf(m), ['vm-died', 'not-there'].includes(each.code) ? 'lost' : 'left', each.code)
    assert.equal(reasonOf(m), showFailure(each))
    assert.equal(failureOf(m), each)
  }
})

test('the failure of a VM that waits for its next attempt is known, that of one under way is not', () => {
  const waiting = migrationOf(driven(stories.queued[0]), 'vm-1')
  assert.deepEqual(failureOf(waiting), failure)
  assert.equal(failureOf(migrationOf(driven(stories['pre-copy'][0]), 'vm-1')), undefined)
})

test('a VM that may not move was never tried, and its reason is the policy', () => {
  const stays = someVms(1, { policy: { ...defaultVmPolicy, action: 'stay' } })
  const m = migrationOf(driven([[0, startedFrom(aSnapshot({ vms: stays }))]]), 'vm-1')
  assert.equal(outcomeOf(m), 'left')
  assert.equal(reasonOf(m), 'may-not-move: its policy says stay')
})

test('whatever happens, every outcome but safe has a reason, and safe is only what landed', () => {
  fc.assert(
    fc.property(arbStory, ({ states }) => {
      for (const state of states) {
        for (const m of state.migrations.values()) {
          const outcome = outcomeOf(m)
          assert.ok(outcomes.includes(outcome))
          assert.equal(outcome === 'safe', m.phase === 'landed')
          const reason = reasonOf(m)
          if (outcome !== 'safe') assert.ok(reason !== undefined && reason.trim() !== '', `${m.vm} ${m.phase}`)
          if (reason !== undefined) assert.doesNotMatch(reason, /undefined|NaN|\[object/)
        }
      }
    }),
    runs(300),
  )
})
