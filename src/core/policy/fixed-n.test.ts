import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  aProgress,
  arbHappyStory,
  arbStory,
  aSnapshot,
  driven,
  migrationOf,
  runs,
  someVms,
  startedFrom,
} from '../../../test/arbitraries.ts'
import { admitting } from '../control/admit.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Limits, Observed } from '../control/observed.ts'
import { type VmId, vmId } from '../ids.ts'
import { type Instant, instant } from '../instant.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { isMoving } from '../migration/migration.ts'
import { mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { fixedN } from './fixed-n.ts'
import type { Intent, PolicyView } from './policy.ts'

type Timed = readonly [at: number, event: Observed]
const unlimited: Limits = { maxParallel: undefined, bandwidth: undefined }
const postCopyToo: Partial<Vm> = { policy: { ...defaultVmPolicy, allow: ['post-copy'] } }

/** What the policy is shown of an evacuation. */
const viewOf = (state: Evacuation, now: Instant, limits = state.started.limits): PolicyView => ({
  now,
  snapshot: state.started.snapshot,
  targets: state.started.targets,
  limits,
  admitting: admitting(state),
  plannedTo: () => undefined,
  network: new Map(),
  hostLoads: new Map(),
  mayGo: () => true,
  freeAt: () => mebibytes(1_048_576),
  migrations: state.migrations,
  vmOf: id => {
    const vm = state.vms.get(id)
    assert.ok(vm !== undefined)
    return vm
  },
})
const slotsOf = (state: Evacuation): number =>
  Math.min(state.policy.slots, state.started.limits.maxParallel ?? Number.POSITIVE_INFINITY)
const flowing = (state: Evacuation): number =>
  [...state.migrations.values()].filter(({ phase }) => phase === 'pre-copy' || phase === 'post-copy').length
const kinds = (intents: readonly Intent[]): readonly string[] => intents.map(({ kind }) => kind)
const decide = (state: Evacuation, at = 1_000_000): readonly Intent[] =>
  state.policy.decide(viewOf(state, instant(at))).intents

const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', vm: vmId(`vm-${n}`), attempt })
const start = (n: number, policy: string, limits = unlimited, change: Partial<Vm> = {}): Timed => [
  0,
  startedFrom(aSnapshot({ vms: someVms(n, change) }), { policy, limits }),
]

test('no more migrations flow than there are slots, as long as nothing goes wrong', () => {
  let most = 0
  fc.assert(
    fc.property(arbHappyStory, ({ states }) => {
      for (const state of states) {
        most = Math.max(most, flowing(state))
        assert.ok(flowing(state) <= slotsOf(state), `${flowing(state)} flow, slots ${slotsOf(state)}`)
      }
    }),
    runs(300),
  )
  assert.ok(most >= 3, 'the stories fill several slots')
})

test('whatever happened, nothing is started that would flow beyond the slots', () => {
  fc.assert(
    fc.property(arbStory, ({ last, now }) => {
      const starts = kinds(decide(last, now)).filter(kind => kind === 'start').length
      assert.ok(starts === 0 || flowing(last) + starts <= slotsOf(last), `${flowing(last)} flow, ${starts} are started`)
    }),
    runs(500),
  )
})

test('no more targets are made ready than slots, and one ahead', () => {
  fc.assert(
    fc.property(arbStory, ({ states, now }) => {
      for (const state of states) {
        const warm = [...state.migrations.values()].filter(({ phase }) => phase === 'preparing').length
        for (const intent of decide(state, now)) {
          if (intent.kind !== 'prepare') continue
          assert.ok(intent.atMost > 0)
          assert.ok(intent.atMost + warm + flowing(state) <= slotsOf(state) + 1)
        }
      }
    }),
    runs(300),
  )
})

test('only what waits is made ready, and what waits for its pause is not', () => {
  fc.assert(
    fc.property(arbStory, ({ last, now }) => {
      for (const intent of decide(last, now)) {
        if (intent.kind !== 'prepare') continue
        for (const { vm } of intent.candidates) {
          const m = last.migrations.get(vm)
          assert.ok(m?.phase === 'queued' && (m.notBefore ?? 0) <= now, `${vm} is ${m?.phase}`)
        }
      }
    }),
    runs(300),
  )
})

test('the next one starts when a guest stops for its switchover: the path does not wait', () => {
  const facts: readonly Timed[] = [start(3, 'sequential'), [1, ready(1)], [2, ready(2)]]
  const before = driven(facts)
  assert.equal(migrationOf(before, 'vm-2').phase, 'preparing')
  const after = driven([...facts, [3, { kind: 'guest-stopped', vm: vmId('vm-1'), attempt: 1 }]])
  assert.equal(migrationOf(after, 'vm-1').phase, 'switchover')
  assert.equal(migrationOf(after, 'vm-2').phase, 'pre-copy')
})

test('the operator’s bound on parallel migrations holds where it is lower than the policy’s own', () => {
  const facts: readonly Timed[] = [
    start(4, 'all-at-once', { maxParallel: 2, bandwidth: undefined }),
    [1, ready(1)],
    [2, ready(2)],
    [3, ready(3)],
  ]
  assert.equal(flowing(driven(facts)), 2)
  const wide = driven([
    start(4, 'fixed:2', { maxParallel: 10, bandwidth: undefined }),
    [1, ready(1)],
    [2, ready(2)],
    [3, ready(3)],
  ])
  assert.equal(flowing(wide), 2)
})

test('all at once makes everybody ready at the start', () => {
  const state = driven([start(6, 'all-at-once')])
  assert.equal([...state.migrations.values()].filter(({ phase }) => phase === 'preparing').length, 6)
})

test('without a bound on bandwidth no rate is set and none is changed', () => {
  const state = driven([start(3, 'all-at-once'), [1, ready(1)], [2, ready(2)], [3, ready(3)]])
  for (const m of state.migrations.values()) assert.ok(isMoving(m) && m.tuning.rate === undefined)
  assert.ok(!kinds(decide(state)).includes('adjust'))
})

/** What every migration that flows may send, once these intents are carried out. */
function ratesAfter(state: Evacuation, intents: readonly Intent[]): ReadonlyMap<VmId, number> {
  const rates = new Map<VmId, number>()
  for (const m of state.migrations.values())
    if (m.phase === 'pre-copy' || m.phase === 'post-copy') rates.set(m.vm, m.tuning.rate ?? Infinity)
  for (const intent of intents)
    if (intent.kind === 'start' || intent.kind === 'adjust') rates.set(intent.vm, intent.tuning.rate ?? Infinity)
  return rates
}
const total = (rates: ReadonlyMap<VmId, number>): number => [...rates.values()].reduce((a, b) => a + b, 0)

test('the bandwidth allowed is shared equally, and again when one joins or leaves', () => {
  const hundred = megabitsPerSecond(100)
  const facts: Timed[] = [start(3, 'fixed:3', { maxParallel: undefined, bandwidth: hundred })]
  const rates = (): readonly (number | undefined)[] =>
    [...driven(facts).migrations.values()].map(m => (m.phase === 'pre-copy' ? m.tuning.rate : undefined))
  facts.push([1, ready(1)])
  assert.deepEqual(rates(), [hundred, undefined, undefined])
  facts.push([2, ready(2)])
  assert.deepEqual(rates(), [hundred / 2, hundred / 2, undefined])
  facts.push([3, ready(3)])
  assert.deepEqual(rates(), [hundred / 3, hundred / 3, hundred / 3])
  facts.push([4, { kind: 'sent-whole', vm: vmId('vm-2'), attempt: 1 }])
  assert.deepEqual(rates(), [hundred / 2, undefined, hundred / 2])
})

test('pre-copies together never get more than the bandwidth allowed, and two of them never differ by much', () => {
  let seen = 0
  fc.assert(
    fc.property(arbStory, ({ states, now }) => {
      for (const state of states) {
        const { bandwidth } = state.started.limits
        const all = [...state.migrations.values()]
        if (bandwidth === undefined || all.some(m => m.phase === 'post-copy')) continue
        // One that is being called back keeps what it has: its end is a matter of moments.
        if (all.some(m => m.phase === 'pre-copy' && m.cancelling !== undefined)) continue
        const rates = ratesAfter(state, decide(state, now))
        if (rates.size > 1) seen += 1
        assert.ok(total(rates) <= bandwidth * 1.011, `${total(rates)} of ${bandwidth}`)
        const each = [...rates.values()]
        if (each.length > 0) assert.ok(Math.max(...each) <= Math.min(...each) * 1.021, each.join(', '))
      }
    }),
    runs(300),
  )
  assert.ok(seen > 50, 'the stories share')
})

test('what a guest in post-copy may send counts against the bandwidth allowed', () => {
  const hundred = megabitsPerSecond(100)
  const facts: readonly Timed[] = [
    start(2, 'fixed:2', { maxParallel: undefined, bandwidth: hundred }, postCopyToo),
    [1, ready(1)],
    [2, { kind: 'post-copy-began', vm: vmId('vm-1'), attempt: 1 }],
    [3, ready(2)],
  ]
  const state = driven(facts)
  assert.equal(flowing(state), 2)
  const rates = ratesAfter(state, decide(state))
  assert.ok(total(rates) <= hundred * 1.01, `${total(rates)} of ${hundred} bytes a second`)
})

test('a guest that does not converge goes into post-copy where its owner allows it, and is called back where not', () => {
  const stuck = aProgress({ round: 40, sent: mebibytes(500) })
  for (const [change, kind] of [
    [postCopyToo, 'post-copy'],
    [{}, 'cancel'],
  ] as const) {
    const state = driven([
      start(1, 'sequential', unlimited, change),
      [1, ready(1)],
      [2, { kind: 'progress', vm: vmId('vm-1'), attempt: 1, progress: stuck }],
    ])
    const [intent] = decide(state)
    assert.ok(intent?.kind === kind)
    assert.match(intent.why, /^does not converge: 500 MiB sent for 100 MiB in 40 rounds/)
  }
})

test('a guest that is being called back is neither adjusted nor called back again', () => {
  const stuck = aProgress({ round: 40, sent: mebibytes(500) })
  const state = driven([
    start(1, 'sequential'),
    [1, ready(1)],
    [2, { kind: 'progress', vm: vmId('vm-1'), attempt: 1, progress: stuck }],
    [3, { kind: 'tick' }],
  ])
  const m = migrationOf(state, 'vm-1')
  assert.ok(m.phase === 'pre-copy' && m.cancelling !== undefined)
  assert.deepEqual(decide(state), [])
})

test('post-copy is prepared for exactly where it is allowed, for it cannot be asked for later', () => {
  for (const [change, postCopy] of [
    [postCopyToo, true],
    [{}, false],
  ] as const) {
    const m = migrationOf(driven([start(1, 'sequential', unlimited, change)]), 'vm-1')
    assert.ok(m.phase === 'preparing')
    assert.equal(m.options.postCopy, postCopy)
  }
})

test('a guest starts with the downtime its owner allows', () => {
  const patient: Partial<Vm> = { policy: { ...defaultVmPolicy, maxDowntime: ms(2_000) } }
  const m = migrationOf(driven([start(1, 'sequential', unlimited, patient), [1, ready(1)]]), 'vm-1')
  assert.ok(m.phase === 'pre-copy')
  assert.equal(m.tuning.downtimeLimit, 2_000)
})

test('the policy has no memory: the same view has the same answer, and its successor is itself', () => {
  fc.assert(
    fc.property(arbStory, ({ last, now }) => {
      const policy = fixedN('fixed:2', 2)
      const view = viewOf(last, now)
      const first = policy.decide(view)
      assert.deepEqual(policy.decide(view), first)
      assert.equal(first.next, policy)
    }),
    runs(100),
  )
})
