/** finish-first in simulated worlds, watched at every event: what flows at one time, what it may take, and what its guests feel. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import type { Switchover } from '../src/core/migration/migration.ts'
import { generateWorld, type PathKind, type WorldSpec } from '../src/core/sim/generate.ts'
import { beginRehearsal } from '../src/core/sim/rehearse.ts'
import type { SimRow } from '../src/core/sim/simulate.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { runs } from './arbitraries.ts'
import { unlimited } from './finish-first-facts.ts'
import { flowing, Meter, onlyPath, ours, watched, withPath } from './finish-first-worlds.ts'

const standing = (state: Evacuation): readonly Switchover[] =>
  [...state.migrations.in('switchover')].filter(({ finishing }) => !finishing)

const calm = [
  { warm: 0, hot: 0 },
  { warm: 0.3, hot: 0 },
] as const
/** Their handshakes take next to none of their time. */
const large = mebibytes(4_096)
const mixed = mebibytes(512)
interface Worlds {
  readonly median?: typeof large
  readonly activities?: readonly WorldSpec['activity'][]
}
/** One path between two sites, however it fares; a few hosts, all with room. */
const arbOnePath = (
  kinds: readonly PathKind[],
  { median = mixed, activities = [...calm, { warm: 0.3, hot: 0.2 }] }: Worlds = {},
): fc.Arbitrary<WorldSpec> =>
  fc.record({
    endangered: fc.constant(1),
    safe: fc.constant(1),
    hosts: fc.integer({ min: 1, max: 3 }),
    vms: fc.integer({ min: 1, max: 10 }),
    memory: fc.constant({ kind: 'lognormal', median, spread: 2 } as const),
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

describe('on one path', () => {
  test('as it is stated: at any moment one leads without a cap, and of large ones at most one waits', () => {
    let warm = 0
    fc.assert(
      fc.property(arbOnePath(steady, { median: large }), spec => {
        watched({ ...generateWorld(spec), ...ours }, state => {
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

  test('as it is stated: of small ones a few fill the path together, and still one only has no cap', () => {
    let together = 0
    fc.assert(
      fc.property(arbOnePath(steady, { median: mebibytes(64) }), spec => {
        watched({ ...generateWorld(spec), ...ours }, state => {
          const flows = flowing(state)
          const leads = flows.filter(({ tuning }) => tuning.rate === undefined)
          assert.ok(leads.length <= 1, `${leads.length} have no cap`)
          if (flows.length > 2) together += 1
        })
      }),
      runs(40),
    )
    assert.ok(together > 20, `more than two flow ${together} times`)
  })

  test('however it fares: more than one without a cap is a trial, which ends after five seconds', () => {
    fc.assert(
      fc.property(arbOnePath(changing), spec => {
        let [since, most] = [Number.POSITIVE_INFINITY, 0]
        watched({ ...generateWorld(spec), ...ours }, (state, _, now) => {
          const flows = flowing(state)
          most = Math.max(most, flows.length)
          const leads = flows.filter(({ tuning }) => tuning.rate === undefined)
          if (leads.length <= 1) since = Number.POSITIVE_INFINITY
          else since = Math.min(since, now)
          assert.ok(now - since <= 6_000, `${leads.length} have no cap for ${now - since} ms`)
        })
        assert.ok(most <= 6, `${most} flowed at one time`)
      }),
      runs(60),
    )
  })

  /** How often each one’s rate was changed. */
  const changesIn = (spec: WorldSpec): readonly number[] => {
    const { snapshot, timeline } = generateWorld(spec)
    const changes = new Map<string, number>(snapshot.vms.map(({ id }) => [id, 0]))
    const onRow = ({ commands }: SimRow): void => {
      for (const command of commands)
        if (command.kind === 'adjust') changes.set(command.vm, (changes.get(command.vm) ?? 0) + 1)
    }
    const run = beginRehearsal({ snapshot, timeline, ...ours, watch: { onRow } })
    run.advance(Number.POSITIVE_INFINITY)
    const { migrations } = run.soFar().state
    assert.equal(migrations.count('landed'), migrations.size, 'all come out')
    return [...changes.values()]
  }

  test('all come out, and caps do not go to and fro: changed once, to lead; a few times where small ones share', () => {
    fc.assert(
      fc.property(arbOnePath(steady, { median: large, activities: calm }), spec => {
        for (const times of changesIn(spec)) assert.ok(times <= 1, `changed ${times} times`)
      }),
      runs(40),
    )
    fc.assert(
      fc.property(arbOnePath(steady, { activities: calm }), spec => {
        const changes = changesIn(spec)
        assert.ok(Math.max(...changes) <= 5, `changed ${Math.max(...changes)} times`)
        const all = changes.reduce((sum, times) => sum + times, 0)
        assert.ok(all <= 2 * changes.length, `${all} changes for ${changes.length} VMs`)
      }),
      runs(40),
    )
  })

  test('all come out, and on a path that changes a rate is changed some three times a VM at most', () => {
    fc.assert(
      fc.property(arbOnePath(changing, { activities: calm }), spec => {
        const changes = changesIn(spec)
        const all = changes.reduce((sum, times) => sum + times, 0)
        assert.ok(all <= 3 * changes.length, `${all} changes for ${changes.length} VMs`)
      }),
      runs(60),
    )
  })

  test('nobody stands still for longer than their owner allows, beside what handshakes take', () => {
    /** Run the target and see it run, at its slowest. @unit ms */
    const handOver = 20 + 60 * 1.5
    fc.assert(
      fc.property(arbOnePath(steady), spec => {
        const { state } = watched({ ...generateWorld(spec), ...ours }, () => undefined)
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

describe('what the operator and the neighbours bound', () => {
  test('at any moment no more are on their way than allowed', () => {
    let reached = 0
    fc.assert(
      fc.property(arbOnePath(['steady', 'step', 'one-flow']), fc.integer({ min: 1, max: 3 }), (spec, maxParallel) => {
        const limits = { ...unlimited, maxParallel }
        watched({ ...generateWorld(spec), ...ours, limits }, state => {
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
        watched({ ...world, ...ours, limits: { ...unlimited, bandwidth } }, state => {
          const flows = flowing(state)
          for (const { vm, tuning } of flows) assert.ok(tuning.rate !== undefined, `${vm} has no cap`)
          if (standing(state).length > 0 || state.migrations.count('switchover') > 0) return
          const together = flows.reduce((sum, { tuning }) => sum + (tuning.rate ?? Infinity), 0)
          seen += flows.length
          assert.ok(together <= bandwidth + flows.length * waiting, `${together} of ${bandwidth}`)
        })
      }),
      runs(40),
    )
    assert.ok(seen > 100)
  })

  /** What went through second by second, beside so much of other people’s traffic. */
  const measured = (spec: WorldSpec, percent: number): Meter => {
    const { snapshot, timeline } = generateWorld(spec)
    const background = bytesPerSecond(((onlyPath(snapshot).capacity ?? 0) * percent) / 100)
    const meter = new Meter(background)
    const watch = { onRates: meter.onRates }
    const run = beginRehearsal({ snapshot: withPath(snapshot, { background }), timeline, ...ours, watch })
    run.advance(Number.POSITIVE_INFINITY)
    meter.until(run.now)
    return meter
  }
  const arbPercent = fc.integer({ min: 10, max: 80 })

  test('other people’s traffic keeps nine tenths of its part over any five seconds; on a path that changes, nearly as much all in all', () => {
    let seen = 0
    fc.assert(
      fc.property(arbOnePath(steady), arbPercent, (spec, percent) => {
        for (const { theirs, left } of measured(spec, percent).over(5)) {
          seen += 1
          assert.ok(theirs >= 0.9 * left, `they have ${theirs} of the ${left} that they could`)
        }
      }),
      runs(30),
    )
    assert.ok(seen > 1_000, `${seen} looks`)
    fc.assert(
      fc.property(arbOnePath(changing), arbPercent, (spec, percent) => {
        const all = [...measured(spec, percent).over(1)]
        const [theirs, left] = [
          all.reduce((sum, each) => sum + each.theirs, 0),
          all.reduce((sum, each) => sum + each.left, 0),
        ]
        // Where the path falls under what they want, ours has its share of it like any stream.
        assert.ok(theirs >= 0.85 * left, `they have ${theirs} of the ${left} that they could`)
      }),
      runs(30),
    )
  })

  test('caps leave them their part all the time: a path that they fill is not tried', () => {
    let seen = 0
    fc.assert(
      fc.property(arbOnePath(steady, { median: large }), arbPercent, (spec, percent) => {
        const { snapshot, timeline } = generateWorld(spec)
        const capacity = onlyPath(snapshot).capacity ?? 0
        const background = bytesPerSecond((capacity * percent) / 100)
        const left = (capacity - background) * 1.01 + waiting
        watched({ snapshot: withPath(snapshot, { background }), timeline, ...ours }, state => {
          if (state.migrations.count('switchover') > 0) return
          const caps = flowing(state).map(({ tuning }) => tuning.rate ?? Infinity)
          const together = caps.reduce((sum, rate) => sum + rate, 0)
          seen += caps.length
          assert.ok(together <= left, `${together} of ${left}`)
        })
      }),
      runs(40),
    )
    assert.ok(seen > 1_000, `${seen} seen`)
  })
})
