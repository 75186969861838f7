/** What holds for every peer alike, in whatever order things happen: how many move, what the operator bounds, and that a policy is a value. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  aHost,
  aPath,
  arbHappening,
  arbHappy,
  arbRate,
  aSnapshot,
  aVm,
  driven,
  type Happening,
  play,
  runs,
  startedFrom,
  type Story,
} from '../../../test/arbitraries.ts'
import { asked, assertPolicyIsValue, assertPolicyReplays } from '../../../test/policy-laws.ts'
import { admitting } from '../control/admit.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Started } from '../control/observed.ts'
import { type Instant, instant } from '../instant.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import type { Migration } from '../migration/migration.ts'
import { mebibytes, megabitsPerSecond, ms } from '../units.ts'
import type { PolicyView } from './policy.ts'

/** What each promises: from the first deed for a VM to the last it has its slot. */
const countsThroughout = {
  kubevirt: { total: 5, perSource: 2 },
  nova: { total: Infinity, perSource: 1 },
  ovirt: { total: Infinity, perSource: 2 },
  proxmox: { total: 4, perSource: Infinity },
  'proxmox:2': { total: 2, perSource: Infinity },
} as const
type Counting = keyof typeof countsThroughout
const counting = Object.keys(countsThroughout) as Counting[]
const peers = [...counting, 'aimd'] as const

const gib = (n: number) => mebibytes(n * 1024)

/** 1 to 12 VMs on three hosts, room for most of them at two others. */
const arbStart = (policies: readonly string[]): fc.Arbitrary<Started> =>
  fc
    .record({
      vms: fc.array(
        fc.record({
          home: fc.integer({ min: 1, max: 3 }),
          memory: fc.integer({ min: 1, max: 8 }),
          postCopy: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      policy: fc.constantFrom(...policies),
      bandwidth: fc.option(arbRate, { nil: undefined }),
      maxParallel: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
      room: fc.constantFrom(12, 64),
      nic: fc.constantFrom(undefined, megabitsPerSecond(1000)),
    })
    .map(({ vms, policy, bandwidth, maxParallel, room, nic }) => {
      const snapshot = aSnapshot({
        hosts: [
          ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: gib(128), nic })),
          ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: gib(room) })),
        ],
        paths: [aPath('a', 'b', { capacity: megabitsPerSecond(1000), rtt: ms(10) })],
        vms: vms.map(({ home, memory, postCopy }, n) =>
          aVm(`vm-${n + 1}`, `a-${home}`, {
            memory: gib(memory),
            used: gib(memory),
            policy: { ...defaultVmPolicy, allow: postCopy ? ['post-copy'] : [] },
          }),
        ),
      })
      return startedFrom(snapshot, { policy, limits: { maxParallel, bandwidth } })
    })

const storiesOf = (policies: readonly string[], happening: fc.Arbitrary<Happening>): fc.Arbitrary<Story> =>
  fc
    .tuple(arbStart(policies), fc.array(happening, { maxLength: 60, size: 'max' }))
    .map(([started, happenings]) => play(started, happenings))

/** Those that have a slot: all on their way but those in doubt. */
const held = (state: Evacuation): readonly Migration[] => [
  ...state.migrations.in('preparing', 'pre-copy', 'switchover', 'post-copy'),
]
const bySource = (migrations: readonly Migration[]): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { source } of migrations) counts.set(source, (counts.get(source) ?? 0) + 1)
  return counts
}

const viewOf = (state: Evacuation, now: Instant): PolicyView => viewWith(state, now, admitting(state))
const viewWith = ({ started, migrations, vms }: Evacuation, now: Instant, admits: boolean): PolicyView => ({
  now,
  snapshot: started.snapshot,
  targets: started.targets,
  limits: started.limits,
  admitting: admits,
  plannedTo: () => undefined,
  network: new Map(),
  hostLoads: new Map(),
  mayGo: () => true,
  freeAt: () => mebibytes(1_048_576),
  migrations,
  vmOf: id => {
    const vm = vms.get(id)
    assert.ok(vm !== undefined)
    return vm
  },
})
/** `step` asks nobody once the operator aborted. */
const isAsked = ({ intent }: Evacuation): boolean => intent !== 'aborting'

test('in whatever order things happen, nobody sets out beyond what the policy and the operator allow', () => {
  const reached = new Map<string, number>()
  fc.assert(
    fc.property(storiesOf(counting, arbHappening), ({ states }) => {
      states.forEach((state, n) => {
        const { started, policy } = state
        const { perSource, total } = countsThroughout[policy.name as Counting]
        const most = Math.min(total, started.limits.maxParallel ?? Infinity)
        const on = held(state)
        const leaving = bySource(on)
        // One that was in doubt comes back to its way without asking.
        const setOut = on.filter(m => m.phase === 'preparing' && states[n - 1]?.migrations.get(m.vm)?.phase !== m.phase)
        for (const { source } of setOut) {
          assert.ok(on.length <= most, `${policy.name}: ${on.length} are on their way, ${most} may be`)
          const there = leaving.get(source) ?? 0
          assert.ok(there <= perSource, `${policy.name}: ${there} leave ${source}, ${perSource} may`)
        }
        reached.set(policy.name, Math.max(reached.get(policy.name) ?? 0, on.length))
      })
    }),
    runs(300),
  )
  for (const [name, least] of [
    ['kubevirt', 5],
    ['nova', 3],
    ['ovirt', 6],
    ['proxmox', 4],
    ['proxmox:2', 2],
  ] as const)
    assert.ok((reached.get(name) ?? 0) >= least, `the stories fill the slots of ${name}`)
})

test('as long as nothing goes wrong, no more VMs are on their way than allowed, at any moment', () => {
  fc.assert(
    fc.property(storiesOf(counting, arbHappy), ({ states }) => {
      for (const state of states) {
        const { started, policy } = state
        const { perSource, total } = countsThroughout[policy.name as Counting]
        const on = held(state)
        assert.ok(on.length <= Math.min(total, started.limits.maxParallel ?? Infinity), policy.name)
        for (const there of bySource(on).values()) assert.ok(there <= perSource, policy.name)
      }
    }),
    runs(200),
  )
})

test('every slot there is gets used: at the start all that may be are made ready', () => {
  fc.assert(
    fc.property(arbStart(counting), started => {
      // Where memory is short, going to one host first may leave too little for the next.
      fc.pre(started.snapshot.hosts.every(({ memory }) => memory > gib(12)))
      const state = driven([[0, started]])
      const bound = countsThroughout[state.policy.name as Counting]
      const total = Math.min(bound.total, started.limits.maxParallel ?? Infinity)
      const all = [...state.migrations.values()].filter(({ phase }) => phase !== 'given-up')
      const could = [...bySource(all).values()].reduce((sum, count) => sum + Math.min(count, bound.perSource), 0)
      assert.equal(held(state).length, Math.min(total, could))
    }),
    runs(200),
  )
})

test('aimd lets no more memory flow than its number and the operator allow, as long as nothing goes wrong', () => {
  let most = 0
  fc.assert(
    fc.property(storiesOf(['aimd'], arbHappy), ({ states }) => {
      let number = 1
      for (const state of states) {
        // A cut of the number calls nobody back: what flows then flows on.
        number = Math.max(state.policy.slots, Math.min(number, state.migrations.count('pre-copy', 'post-copy')))
        const flows = state.migrations.count('pre-copy', 'post-copy')
        most = Math.max(most, flows)
        assert.ok(flows <= Math.min(number, state.started.limits.maxParallel ?? Infinity), `${flows} flow`)
      }
    }),
    runs(300),
  )
  assert.ok(most >= 3, 'the stories raise the number')
})

test('pre-copies together never get more than the bandwidth the operator allows', () => {
  let seen = 0
  fc.assert(
    fc.property(storiesOf(peers, arbHappening), ({ states, now }) => {
      for (const state of states) {
        const { bandwidth } = state.started.limits
        if (bandwidth === undefined || !isAsked(state)) continue
        const all = [...state.migrations.in('pre-copy', 'post-copy')]
        // One that is being called back keeps what it has: its end is a matter of moments.
        if (all.some(m => m.phase === 'pre-copy' && m.cancelling !== undefined)) continue
        const rates = new Map(all.map(m => [m.vm, m.tuning.rate ?? Infinity]))
        const intents = asked(state.policy, viewOf(state, now))
        if (intents.some(({ kind }) => kind === 'cancel')) continue
        for (const intent of intents)
          if (intent.kind === 'start' || intent.kind === 'adjust') rates.set(intent.vm, intent.tuning.rate ?? Infinity)
        const total = [...rates.values()].reduce((a, b) => a + b, 0)
        if (rates.size > 1) seen += 1
        assert.ok(total <= bandwidth * 1.011, `${state.policy.name}: ${total} of ${bandwidth}`)
      }
    }),
    runs(300),
  )
  assert.ok(seen > 50, 'the stories share')
})

test('a VM that is being called back is left in peace', () => {
  let seen = 0
  // Long enough for everybody's patience to end.
  const slow = arbHappy.map((happening): Happening => ({ ...happening, after: happening.after * 40 }))
  fc.assert(
    fc.property(storiesOf(peers, slow), ({ states, now }) => {
      for (const state of states) {
        if (!isAsked(state)) continue
        const back = new Set<string>()
        for (const m of state.migrations.in('pre-copy')) if (m.cancelling !== undefined) back.add(m.vm)
        if (back.size === 0) continue
        seen += 1
        for (const at of [now, instant(now + 10_000_000)])
          for (const intent of asked(state.policy, viewOf(state, at)))
            assert.ok(intent.kind === 'prepare' || !back.has(intent.vm), `${state.policy.name}: ${intent.kind}`)
      }
    }),
    runs(300),
  )
  assert.ok(seen > 20, 'the stories call back')
})

test('only what can be done is wanted: what waits is made ready, what is ready started, what flows tended', () => {
  fc.assert(
    fc.property(storiesOf(peers, arbHappening), ({ states, now }) => {
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
          else assert.equal(m?.phase, 'pre-copy')
        }
      }
    }),
    runs(200),
  )
})

test('nobody is started twice, made ready twice or told two things in one decision', () => {
  fc.assert(
    fc.property(storiesOf(peers, arbHappening), ({ states, now }) => {
      for (const state of states) {
        if (state.started.limits.bandwidth !== undefined) continue
        const intents = asked(state.policy, viewOf(state, now))
        const told = intents.flatMap(intent =>
          intent.kind === 'prepare' ? [...intent.candidates].map(({ vm }) => vm) : [intent.vm],
        )
        assert.equal(new Set(told).size, told.length)
      }
    }),
    runs(200),
  )
})

test('a policy is a value: the same view has the same answer, and its successor too, whoever was asked in between', () => {
  assertPolicyIsValue(storiesOf(peers, arbHappening))
})

test('the same facts make the same evacuation again, with the policy’s memory', () => {
  assertPolicyReplays(storiesOf(peers, arbHappening))
})

test('a policy keeps the name it was asked by, whatever it has seen', () => {
  fc.assert(
    fc.property(storiesOf(peers, arbHappening), ({ last }) => {
      assert.equal(last.policy.name, last.started.policy)
    }),
    runs(50),
  )
})
