import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aProgress, aSnapshot, driven, migrationOf, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Limits, Observed } from '../control/observed.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { aimd } from './aimd.ts'
import type { Policy, PolicyView } from './policy.ts'

type Timed = readonly [at: number, event: Observed]
const start = (
  vms: number,
  limits: Limits = { maxParallel: undefined, bandwidth: undefined },
  change: Partial<Vm> = {},
): Timed => [0, startedFrom(aSnapshot({ vms: someVms(vms, change) }), { policy: 'aimd', limits })]
const of = (n: number) => ({ vm: vmId(`vm-${n}`), attempt: 1 })
const ready = (n: number): Observed => ({ kind: 'target-ready', ...of(n) })
const tick: Observed = { kind: 'tick' }

/** Whatever serves it best; the rules are the same. */
const asTold = { every: 5_000, gain: 0.05, cut: 0.5, fall: 0.25, rest: 6 }

/** One VM whose memory flows; the number is the policy's own, whatever there is to move. */
const flowing: readonly Timed[] = [start(1), [0, ready(1)]]
/** What the policy sees when this much goes through. */
function viewAt(at: number, mbits: number): PolicyView {
  const facts: readonly Timed[] = [
    ...flowing,
    [0, { kind: 'progress', ...of(1), progress: aProgress({ rate: megabitsPerSecond(mbits) }) }],
  ]
  const { started, migrations, vms } = driven(facts)
  const vmOf: PolicyView['vmOf'] = id => {
    const vm = vms.get(id)
    assert.ok(vm !== undefined)
    return vm
  }
  return {
    now: instant(at),
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
    vmOf,
  }
}
/** A look every five seconds at these throughputs (Mbit/s). @returns the number after each */
function numbers(throughputs: readonly number[], constants = asTold): readonly number[] {
  let policy: Policy = aimd(constants)
  return throughputs.map((mbits, n) => {
    policy = policy.decide(viewAt(n * constants.every, mbits)).next
    return policy.slots
  })
}

test('it begins with one, and one more is made ready ahead', () => {
  const state = driven([start(4)])
  assert.equal(state.policy.slots, 1)
  assert.equal(state.migrations.count('preparing'), 2)
})

test('one more each look, as long as each brings at least a twentieth more', () => {
  assert.deepEqual(numbers([0, 100, 200, 210, 221]), [1, 2, 3, 4, 5])
})

test('one more that does not pay halves the number, and then it rests for six looks', () => {
  // 210 Mbit/s are not a twentieth more than 200.1.
  assert.deepEqual(
    numbers([0, 100, 150, 200.1, 210, 210, 210, 210, 210, 210, 210, 210]),
    [1, 2, 3, 4, 2, 2, 2, 2, 2, 2, 2, 3],
  )
})

test('after its rest it tries one more whatever goes through', () => {
  const found = numbers([0, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100])
  assert.deepEqual(found, [1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1])
})

test('a throughput that falls by more than a quarter halves the number, rest or not', () => {
  assert.deepEqual(numbers([0, 100, 200, 300, 400, 500, 374]), [1, 2, 3, 4, 5, 6, 3])
  assert.deepEqual(numbers([0, 100, 200, 300, 400, 500, 374, 280, 70]), [1, 2, 3, 4, 5, 6, 3, 1, 1])
  // A quarter exactly is none, but no gain either.
  assert.deepEqual(numbers([0, 100, 200, 300, 300, 225, 225]), [1, 2, 3, 4, 2, 2, 2])
})

test('the number is never less than one', () => {
  assert.ok(numbers([0, 800, 400, 200, 100, 50, 20, 10, 5, 2, 1]).every(number => number >= 1))
})

test('while nothing goes through nothing is learned', () => {
  assert.deepEqual(numbers([0, 0, 0, 100, 0, 0, 100]), [1, 1, 1, 2, 2, 2, 3])
})

test('it looks every five seconds, to the millisecond', () => {
  const first = aimd().decide(viewAt(0, 100)).next
  assert.equal(first.decide(viewAt(4_999, 300)).next.slots, first.slots)
  assert.equal(first.decide(viewAt(5_000, 300)).next.slots, first.slots + 1)
  // What was seen in between does not put the next look off.
  const between = first.decide(viewAt(4_999, 300)).next
  assert.equal(between.decide(viewAt(5_000, 300)).next.slots, first.slots + 1)
})

test('other constants are kept to', () => {
  const constants = { every: 1_000, gain: 0.5, cut: 0.9, fall: 0.5, rest: 1 }
  assert.deepEqual(numbers([0, 100, 200, 300, 400, 400, 400], constants), [1, 2, 3, 4, 3, 3, 4])
})

test('whatever it sees, the number goes up by one, stays, or falls to half of itself or to one', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 40 }), throughputs => {
      let before = 1
      for (const number of numbers(throughputs)) {
        const allowed = [before, before + 1, Math.max(1, Math.floor(before / 2))]
        assert.ok(allowed.includes(number), `${before} became ${number}`)
        before = number
      }
    }),
    runs(100),
  )
})

test('throughput is that of all that flows together', () => {
  const rate = (n: number, mbits: number): Observed => ({
    kind: 'progress',
    ...of(n),
    progress: aProgress({ rate: megabitsPerSecond(mbits) }),
  })
  const facts: readonly Timed[] = [
    start(4),
    [0, ready(1)],
    [1_000, rate(1, 100)],
    [5_000, tick],
    [5_500, ready(2)],
    [6_000, rate(1, 60)],
    [6_000, rate(2, 60)],
    [10_000, tick],
  ]
  assert.equal(migrationOf(driven(facts), 'vm-2').phase, 'pre-copy')
  assert.equal(driven(facts).policy.slots, 3)
})

test('the operator’s bound holds however large the number is', () => {
  const facts: Timed[] = [start(6, { maxParallel: 2, bandwidth: undefined })]
  for (let n = 1; n <= 6; n += 1) facts.push([n, ready(n)])
  for (let look = 1; look <= 5; look += 1)
    facts.push(
      [look * 5_000 - 1, { kind: 'progress', ...of(1), progress: aProgress({ rate: megabitsPerSecond(look * 100) }) }],
      [look * 5_000, tick],
    )
  const state = driven(facts)
  assert.ok(state.policy.slots >= 4, `${state.policy.slots}`)
  assert.equal(state.migrations.count('pre-copy'), 2)
})

test('a guest starts with the downtime its owner allows, and with post-copy where that is allowed', () => {
  for (const allow of [[], ['post-copy']] as const) {
    const change: Partial<Vm> = { policy: { ...defaultVmPolicy, maxDowntime: ms(700), allow } }
    const prepared = migrationOf(driven([start(1, undefined, change)]), 'vm-1')
    assert.ok(prepared.phase === 'preparing')
    assert.deepEqual(prepared.options, {
      channels: 1,
      compression: 'none',
      autoConverge: false,
      postCopy: allow.length > 0,
    })
    const m = migrationOf(driven([start(1, undefined, change), [1, ready(1)]]), 'vm-1')
    assert.ok(m.phase === 'pre-copy')
    assert.deepEqual(m.tuning, { rate: undefined, downtimeLimit: 700 })
  }
})
