/** finish-first in simulated worlds, watched at every event: what flows at one time, what it may take, and what its guests feel. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import { unlearned } from '../src/core/forecast/dirty-model.ts'
import { MigrationTable } from '../src/core/control/migration-table.ts'
import type { Limits } from '../src/core/control/observed.ts'
import { type Instant, instant } from '../src/core/instant.ts'
import type { Path, Snapshot } from '../src/core/inventory/snapshot.ts'
import type { Migration, PostCopy, PreCopy, Switchover } from '../src/core/migration/migration.ts'
import { plainStart } from '../src/core/migration/start-options.ts'
import { generateWorld, type PathKind, type WorldSpec } from '../src/core/sim/generate.ts'
import { beginRehearsal, type Rehearsal } from '../src/core/sim/rehearse.ts'
import type { SimRow, Simulated } from '../src/core/sim/simulate.ts'
import type { SimWorld } from '../src/core/sim/sim-world.ts'
import type { Timeline } from '../src/core/sim/timeline.ts'
import { type BytesPerSecond, bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { aHost, aPath, aSnapshot, aVm, runs } from './arbitraries.ts'

const unlimited: Limits = { maxParallel: undefined, bandwidth: undefined }
const ours = { policy: 'finish-first', limits: unlimited, seed: 1 } as const

/** Looks at the state after every event of the simulation. */
function lived(rehearsal: Rehearsal, look: (state: Evacuation, world: SimWorld, now: Instant) => void): Simulated {
  const run = beginRehearsal(rehearsal)
  let before: Evacuation | undefined
  for (;;) {
    const goesOn = run.advance(1)
    const { state, world } = run.soFar()
    if (state !== before) look(state, world, run.now)
    before = state
    if (!goesOn) return run.soFar()
  }
}

const flowing = (state: Evacuation): readonly (PreCopy | PostCopy)[] => [
  ...state.migrations.in('pre-copy', 'post-copy'),
]
const standing = (state: Evacuation): readonly Switchover[] =>
  [...state.migrations.in('switchover')].filter(({ finishing }) => !finishing)

const calm = [
  { warm: 0, hot: 0 },
  { warm: 0.3, hot: 0 },
] as const
/** One path between two sites, however it fares; a few hosts, all with room. */
const arbOnePath = (
  kinds: readonly PathKind[],
  activities: readonly WorldSpec['activity'][] = [...calm, { warm: 0.3, hot: 0.2 }],
): fc.Arbitrary<WorldSpec> =>
  fc.record({
    endangered: fc.constant(1),
    safe: fc.constant(1),
    hosts: fc.integer({ min: 1, max: 3 }),
    vms: fc.integer({ min: 1, max: 10 }),
    memory: fc.constant({ kind: 'lognormal', median: mebibytes(512), spread: 2 } as const),
    activity: fc.constantFrom(...activities),
    path: fc.record({
      kind: fc.constantFrom(...kinds),
      capacity: fc.integer({ min: 100, max: 2_000 }).map(megabitsPerSecond),
      rtt: fc.integer({ min: 1, max: 100 }).map(ms),
    }),
    room: fc.constant(2),
    deadline: fc.constant(undefined),
    seed: fc.nat(1_000_000),
  })
const steady = ['steady'] as const
const changing = ['steady', 'step', 'ramp', 'saw'] as const

const onlyPath = ({ paths }: Snapshot): Path => {
  const [path] = paths
  assert.ok(path !== undefined && paths.length === 1)
  return path
}
const withPath = (snapshot: Snapshot, change: Partial<Path>): Snapshot => ({
  ...snapshot,
  paths: [{ ...onlyPath(snapshot), ...change }],
})

describe('on one path', () => {
  test('at any moment one leads without a cap and at most one waits, however the path fares', () => {
    let warm = 0
    fc.assert(
      fc.property(arbOnePath(changing), spec => {
        lived({ ...generateWorld(spec), ...ours }, state => {
          const flows = flowing(state)
          const leads = flows.filter(({ tuning }) => tuning.rate === undefined)
          assert.ok(leads.length <= 1, `${leads.length} have no cap`)
          assert.ok(flows.length <= 2, `${flows.length} flow: ${flows.map(({ vm }) => vm).join(', ')}`)
          if (flows.length === 2 || (flows.length === 1 && leads.length === 0)) warm += 1
        })
      }),
      runs(60),
    )
    assert.ok(warm > 100, `somebody waits ${warm} times`)
  })

  test('all come out, and nobody’s rate is changed more than once or twice: caps do not go to and fro', () => {
    fc.assert(
      fc.property(arbOnePath(changing, calm), spec => {
        const changes = new Map<string, number>()
        const onRow = ({ commands }: SimRow): void => {
          for (const command of commands)
            if (command.kind === 'adjust') changes.set(command.vm, (changes.get(command.vm) ?? 0) + 1)
        }
        const run = beginRehearsal({ ...generateWorld(spec), ...ours, watch: { onRow } })
        run.advance(Number.POSITIVE_INFINITY)
        const { state } = run.soFar()
        assert.equal(state.migrations.count('landed'), state.migrations.size)
        for (const [vm, times] of changes) assert.ok(times <= 2, `the rate of ${vm} was changed ${times} times`)
      }),
      runs(60),
    )
  })

  test('nobody stands still for longer than their owner allows, beside what handshakes take', () => {
    /** Run the target and see it run, at its slowest. @unit ms */
    const handOver = 20 + 60 * 1.5
    fc.assert(
      fc.property(arbOnePath(steady), spec => {
        const { state } = lived({ ...generateWorld(spec), ...ours }, () => undefined)
        for (const { vm, downtime = 0 } of state.migrations.in('landed')) {
          const { maxDowntime } = state.vms.get(vm)?.policy ?? { maxDowntime: 0 }
          const most = maxDowntime + 2 * spec.path.rtt + handOver
          assert.ok(downtime <= most, `${vm} stood still for ${downtime} ms, ${most} are allowed`)
        }
      }),
      runs(60),
    )
  })

  test('while one leads the path is as full as it gets', () => {
    let seen = 0
    fc.assert(
      fc.property(arbOnePath(steady), spec => {
        const world = generateWorld(spec)
        const capacity = onlyPath(world.snapshot).capacity ?? 0
        const run = beginRehearsal({
          ...world,
          ...ours,
          watch: {
            onRates: simulated => {
              const greedy = [...simulated.flowing()].some(
                ({ cap, silentUntil }) => cap === Infinity && silentUntil === 0,
              )
              if (!greedy) return
              seen += 1
              const used = [...simulated.usage().values()].reduce((a, b) => a + b, 0)
              assert.ok(used >= capacity * 0.999, `${used} of ${capacity}`)
            },
          },
        })
        run.advance(Number.POSITIVE_INFINITY)
      }),
      runs(40),
    )
    assert.ok(seen > 100)
  })
})

/** What one that waits may send. @unit bytes per second */
const waiting = 65_536
/** A rate is changed in flight only for more than a tenth. */
const within = 1.11

describe('what the operator and the neighbours bound', () => {
  test('at any moment no more are on their way than allowed', () => {
    let reached = 0
    fc.assert(
      fc.property(arbOnePath(['steady', 'step', 'one-flow']), fc.integer({ min: 1, max: 3 }), (spec, maxParallel) => {
        const limits = { ...unlimited, maxParallel }
        lived({ ...generateWorld(spec), ...ours, limits }, state => {
          const all = flowing(state).length + standing(state).length
          if (all === maxParallel) reached += 1
          assert.ok(all <= maxParallel, `${all} are on their way`)
        })
      }),
      runs(40),
    )
    assert.ok(reached > 100)
  })

  test('with a bandwidth nobody is without a cap, and while nobody stands still all together keep to it', () => {
    let seen = 0
    fc.assert(
      fc.property(arbOnePath(changing), fc.integer({ min: 2, max: 300 }), (spec, percent) => {
        const world = generateWorld(spec)
        const bandwidth = bytesPerSecond(((onlyPath(world.snapshot).capacity ?? 0) * percent) / 100)
        lived({ ...world, ...ours, limits: { ...unlimited, bandwidth } }, state => {
          const flows = flowing(state)
          for (const { vm, tuning } of flows) assert.ok(tuning.rate !== undefined, `${vm} has no cap`)
          if (standing(state).length > 0 || state.migrations.count('switchover') > 0) return
          const together = flows.reduce((sum, { tuning }) => sum + (tuning.rate ?? Infinity), 0)
          seen += flows.length
          assert.ok(together <= bandwidth * within + waiting, `${together} of ${bandwidth}`)
        })
      }),
      runs(40),
    )
    assert.ok(seen > 100)
  })

  test('other people’s traffic keeps its part while nobody stands still', () => {
    let seen = 0
    fc.assert(
      fc.property(arbOnePath(steady), fc.integer({ min: 10, max: 80 }), (spec, percent) => {
        const { snapshot, timeline } = generateWorld(spec)
        const capacity = onlyPath(snapshot).capacity ?? 0
        const background = bytesPerSecond((capacity * percent) / 100)
        lived({ snapshot: withPath(snapshot, { background }), timeline, ...ours }, state => {
          if (state.migrations.count('switchover') > 0) return
          const caps = flowing(state).map(({ tuning }) => tuning.rate ?? Infinity)
          seen += caps.length
          const together = caps.reduce((sum, rate) => sum + rate, 0)
          assert.ok(together <= (capacity - background) * within + waiting, `${together} of ${capacity - background}`)
        })
      }),
      runs(40),
    )
    assert.ok(seen > 100)
  })
})

/**
 * What the policy thinks that a path carries: a guest that stands still is put before it, and one that is ready; it may have half of the
 * path. No second passes, so nothing new is seen.
 */
function thought({ policy, started, vms }: Evacuation): number {
  const [vm] = vms.values()
  const target = started.snapshot.hosts.find(({ site }) => started.targets.includes(site))?.id
  assert.ok(vm !== undefined && target !== undefined)
  const attempt = { vm: vm.id, source: vm.host, target, attempt: 1, excluded: [], wasted: 0 } as const
  const now = instant(0)
  const stands: Migration = {
    ...attempt,
    phase: 'switchover',
    startedAt: now,
    since: now,
    progress: undefined,
    tuning: { rate: undefined, downtimeLimit: ms(vm.policy.maxDowntime / 2) },
    mode: 'pre-copy',
    learner: unlearned(undefined, now),
    said: [],
    finishing: false,
  }
  const next = [...vms.values()].at(-1)
  assert.ok(next !== undefined && next !== vm && next.host === vm.host)
  const waits: Migration = { ...attempt, vm: next.id, phase: 'preparing', since: now, ready: true, options: plainStart }
  const { intents } = policy.decide({
    now,
    snapshot: started.snapshot,
    targets: started.targets,
    limits: unlimited,
    admitting: true,
    migrations: MigrationTable.of([stands, waits]),
    vmOf: id => vms.get(id) ?? vm,
    plannedTo: () => target,
  })
  const [intent] = intents
  assert.ok(intent?.kind === 'start' && intent.tuning.rate !== undefined)
  return intent.tuning.rate * 2
}

describe('after a step in capacity', () => {
  /** Idle guests for several minutes. */
  const worldOf = (capacity: BytesPerSecond | undefined, timeline: Timeline): Rehearsal => ({
    ...ours,
    timeline,
    snapshot: aSnapshot({
      sites: aSnapshot().sites,
      hosts: [aHost('a-1', 'a', { memory: mebibytes(262_144) }), aHost('b-1', 'b', { memory: mebibytes(262_144) })],
      paths: [aPath('a', 'b', { capacity, rtt: ms(20) })],
      vms: Array.from({ length: 40 }, (_, n) =>
        aVm(`vm-${n + 1}`, 'a-1', { memory: mebibytes(2_048), used: mebibytes(700 + 13 * n) }),
      ),
    }),
  })
  const stepAt = (at: number, capacity: BytesPerSecond): Timeline[number] => {
    const { from, to } = aPath('a', 'b')
    return { at: ms(at), jitter: ms(0), what: { kind: 'path', path: [from, to], change: { capacity } } }
  }
  const thoughtAt = (rehearsal: Rehearsal, times: readonly number[]): readonly number[] => {
    const run = beginRehearsal(rehearsal)
    return times.map(at => {
      while (run.now < at) assert.ok(run.advance(1), 'it is over too soon')
      return thought(run.soFar().state)
    })
  }
  const near = (actual: number | undefined, there: number, what: string): void =>
    assert.ok(
      actual !== undefined && Math.abs(actual - there) <= there * 0.1,
      `${what}: ${actual} is thought, ${there} is there`,
    )
  /** Less than 15 % below what is thought is not told from the lag of an average, and what begins is slow at first. */
  const about = (actual: number | undefined, there: number, what: string): void =>
    assert.ok(
      actual !== undefined && actual >= there * 0.9 && actual * 0.849 <= there,
      `${what}: ${actual} is thought, ${there} is there`,
    )
  const arbCapacity = fc.integer({ min: 100, max: 400 }).map(megabitsPerSecond)

  test('20 s after a rise what is thought is within a tenth of what is there, and stays so; after it fell again it is near', () => {
    fc.assert(
      fc.property(arbCapacity, fc.integer({ min: 110, max: 400 }), (before, percent) => {
        const then = bytesPerSecond((before * percent) / 100)
        const rehearsal = worldOf(before, [stepAt(30_000, then), stepAt(75_000, before)])
        const [atFirst, soon, later, again] = thoughtAt(rehearsal, [29_000, 50_000, 74_000, 95_000])
        near(atFirst, before, 'before the step')
        near(soon, then, '20 s after it')
        near(later, then, '44 s after it')
        about(again, before, '20 s after the fall')
      }),
      runs(25),
    )
  })

  test('20 s after a fall what is thought is near what is there, and within a tenth 20 s after it rose again', () => {
    fc.assert(
      fc.property(arbCapacity, fc.integer({ min: 10, max: 85 }), (before, percent) => {
        const then = bytesPerSecond((before * percent) / 100)
        const rehearsal = worldOf(before, [stepAt(30_000, then), stepAt(75_000, before)])
        const [soon, later, again] = thoughtAt(rehearsal, [50_000, 74_000, 95_000])
        about(soon, then, '20 s after it')
        about(later, then, '44 s after it')
        near(again, before, '20 s after it came back')
      }),
      runs(25),
    )
  })

  test('what the inventory has wrong, or does not know, is known after 20 s', () => {
    for (const [known, real] of [
      [undefined, 400],
      [100, 400],
      [1_000, 400],
    ] as const) {
      const capacity = known === undefined ? undefined : megabitsPerSecond(known)
      const [actual] = thoughtAt(worldOf(capacity, [stepAt(0, megabitsPerSecond(real))]), [20_000])
      near(actual, megabitsPerSecond(real), `the inventory says ${known}`)
    }
  })

  test('the number that flows does not swing: one leads, and one waits now and then', () => {
    const timeline = [1, 2, 3, 4, 5, 6].map(n => stepAt(n * 20_000, megabitsPerSecond(n % 2 === 0 ? 800 : 150)))
    let most = 0
    const { state } = lived(worldOf(megabitsPerSecond(800), timeline), now => {
      most = Math.max(most, flowing(now).length)
    })
    assert.ok(most <= 2, `${most} flowed at one time`)
    assert.equal(state.migrations.count('landed'), 40)
  })
})
