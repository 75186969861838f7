/** What holds for finish-first in whatever order facts come. By hand: finish-first/*.test.ts. Whole worlds: test/finish-first.test.ts. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  aHost,
  aPath,
  arbHappening,
  arbHappy,
  arbRate,
  aSnapshot,
  aVm,
  type Happening,
  play,
  runs,
  type Story,
} from '../../../test/arbitraries.ts'
import { asked, assertPolicyIsValue, assertPolicyReplays } from '../../../test/policy-laws.ts'
import { gib, kinds, startOf, viewOf } from '../../../test/finish-first-facts.ts'
import { admitting } from '../control/admit.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Started } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { instant } from '../instant.ts'
import type { Path } from '../inventory/snapshot.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { megabitsPerSecond, ms } from '../units.ts'

const arbStart: fc.Arbitrary<Started> = fc
  .record({
    vms: fc.array(
      fc.record({
        home: fc.integer({ min: 1, max: 3 }),
        memory: fc.integer({ min: 1, max: 8 }),
        value: fc.integer({ min: 0, max: 5 }),
        postCopy: fc.boolean(),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    bandwidth: fc.option(arbRate, { nil: undefined }),
    maxParallel: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    capacity: fc.option(arbRate, { nil: undefined, freq: 3 }),
    background: fc.option(arbRate, { nil: undefined, freq: 2 }),
    perFlow: fc.option(arbRate, { nil: undefined, freq: 2 }),
    room: fc.constantFrom(12, 64),
    nic: fc.constantFrom(undefined, megabitsPerSecond(1_000)),
  })
  .map(({ vms, bandwidth, maxParallel, capacity, background, perFlow, room, nic }) => {
    const snapshot = aSnapshot({
      hosts: [
        ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: gib(128), nic })),
        ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: gib(room) })),
      ],
      paths: [aPath('a', 'b', { capacity, background, perFlow, rtt: ms(10) })],
      vms: vms.map(({ home, memory, value, postCopy }, n) =>
        aVm(`vm-${n + 1}`, `a-${home}`, {
          memory: gib(memory),
          used: gib(memory),
          value,
          policy: { ...defaultVmPolicy, allow: postCopy ? ['post-copy'] : [] },
        }),
      ),
    })
    return startOf(snapshot, { maxParallel, bandwidth })
  })
const storiesOf = (happening: fc.Arbitrary<Happening>): fc.Arbitrary<Story> =>
  fc
    .tuple(arbStart, fc.array(happening, { maxLength: 60, size: 'max' }))
    .map(([started, happenings]) => play(started, happenings))
const arbStory = storiesOf(arbHappening)
/** Nobody is silent for long enough to be passed over. */
const briskly = ({ after, ...happening }: Happening): Happening => ({ ...happening, after: Math.min(after, 100) })

/** `step` asks nobody once the operator aborted. */
const isAsked = ({ intent }: Evacuation): boolean => intent !== 'aborting'
const pathOf = ({ started }: Evacuation): Path => {
  const [path] = started.snapshot.paths
  assert.ok(path !== undefined)
  return path
}

describe('in whatever order things happen', () => {
  test('of those on one path no two are without a cap', () => {
    let uncapped = 0
    fc.assert(
      fc.property(storiesOf(arbHappening.map(briskly)), ({ states }) => {
        for (const state of states) {
          if (!isAsked(state)) continue
          const { capacity, background } = pathOf(state)
          // Of a path with neighbours and without a known capacity nobody knows what to leave them.
          if (capacity === undefined && background !== undefined) continue
          const greedy = [...state.migrations.in('pre-copy', 'post-copy')].filter(
            m => m.tuning.rate === undefined && !(m.phase === 'pre-copy' && m.cancelling !== undefined),
          )
          uncapped += greedy.length
          assert.ok(greedy.length <= 1, greedy.map(({ vm }) => vm).join(', '))
        }
      }),
      runs(300),
    )
    assert.ok(uncapped > 100, `${uncapped} flow without a cap`)
  })

  test('where the operator bounds the bandwidth, or neighbours are to be spared, nobody flows without a cap', () => {
    let seen = 0
    fc.assert(
      fc.property(storiesOf(arbHappening.map(briskly)), ({ states }) => {
        for (const state of states) {
          const { background, capacity } = pathOf(state)
          const spared = (background ?? 0) > 0 && capacity !== undefined
          if (!isAsked(state) || (state.started.limits.bandwidth === undefined && !spared)) continue
          for (const m of state.migrations.in('pre-copy', 'post-copy')) {
            seen += 1
            assert.ok(m.tuning.rate !== undefined, `${m.vm} has no cap`)
          }
        }
      }),
      runs(300),
    )
    assert.ok(seen > 100, `${seen} flow with a cap`)
  })

  test('nothing is made ready and nothing started while nothing is admitted', () => {
    let seen = 0
    fc.assert(
      fc.property(arbStory, ({ states, facts, now }) => {
        for (const state of states) {
          assert.deepEqual(
            kinds(asked(state.policy, viewOf(state, now, { admitting: false }))).filter(
              kind => kind === 'prepare' || kind === 'start',
            ),
            [],
          )
        }
        let state: Evacuation | undefined
        for (const [at, event] of facts) {
          const { state: next, commands } = step(state, event, instant(at))
          state = next
          if (admitting(next)) continue
          seen += 1
          for (const { kind } of commands) assert.ok(kind !== 'prepare' && kind !== 'migrate', kind)
        }
      }),
      runs(300),
    )
    assert.ok(seen > 100, 'the stories pause')
  })

  test('as long as nothing goes wrong no more are on their way than the operator allows', () => {
    let reached = 0
    fc.assert(
      fc.property(storiesOf(arbHappy.map(briskly)), ({ states }) => {
        for (const state of states) {
          const { maxParallel } = state.started.limits
          if (maxParallel === undefined) continue
          const standing = [...state.migrations.in('switchover')].filter(({ finishing }) => !finishing)
          const flows = state.migrations.count('pre-copy', 'post-copy') + standing.length
          if (flows === maxParallel) reached += 1
          assert.ok(flows <= maxParallel, `${flows} are on their way, ${maxParallel} may be`)
        }
      }),
      runs(300),
    )
    assert.ok(reached > 100, `the bound is reached ${reached} times`)
  })

  test('only what can be done is wanted: what waits is made ready, what is ready started, what flows tended', () => {
    fc.assert(
      fc.property(arbStory, ({ states, now }) => {
        for (const state of states) {
          for (const intent of asked(state.policy, viewOf(state, now))) {
            if (intent.kind === 'prepare') {
              assert.ok(intent.atMost > 0)
              for (const { vm } of intent.candidates) {
                const m = state.migrations.get(vm)
                assert.ok(m?.phase === 'queued' && (m.notBefore ?? 0) <= now, `${vm} is ${m?.phase}`)
              }
              continue
            }
            const m = state.migrations.get(intent.vm)
            if (intent.kind === 'start') assert.ok(m?.phase === 'preparing' && m.ready)
            else if (intent.kind === 'adjust') assert.ok(m?.phase === 'pre-copy' || m?.phase === 'post-copy')
            else assert.ok(m?.phase === 'pre-copy' && m.cancelling === undefined)
            if (intent.kind === 'post-copy')
              assert.ok(state.vms.get(intent.vm)?.policy.allow.includes('post-copy'), `${intent.vm} may not`)
            if (intent.kind === 'start' || intent.kind === 'adjust') {
              const { rate, downtimeLimit } = intent.tuning
              assert.ok(rate === undefined || (Number.isFinite(rate) && rate > 0), `a rate of ${rate}`)
              assert.ok(downtimeLimit <= (state.vms.get(intent.vm)?.policy.maxDowntime ?? 0))
            }
          }
        }
      }),
      runs(200),
    )
  })

  test('a policy is a value: the same view has the same answer, and its successor too, whoever was asked in between', () => {
    assertPolicyIsValue(arbStory)
  })

  test('the same facts make the same evacuation again, with what the policy saw', () => {
    assertPolicyReplays(arbStory)
  })
})
