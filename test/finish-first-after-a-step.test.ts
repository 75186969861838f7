/** finish-first after a path changed: what it thinks is there, what it uses of it and how soon, and what the neighbours keep. */
import assert from 'node:assert/strict'
import { unlearned } from '../src/core/forecast/dirty-model.ts'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import { MigrationTable } from '../src/core/control/migration-table.ts'
import { instant } from '../src/core/instant.ts'
import type { Migration } from '../src/core/migration/migration.ts'
import { plainStart } from '../src/core/migration/start-options.ts'
import { beginRehearsal, type Rehearsal } from '../src/core/sim/rehearse.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { runs } from './arbitraries.ts'
import { unlimited } from './finish-first-facts.ts'
import { flowing, watched } from './finish-first-worlds.ts'
import { idleGuests, settled, stepAt } from './step-worlds.ts'

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
    streams: 1,
    compression: 'none',
    learner: unlearned(undefined, now),
    said: [],
    mode: 'pre-copy',
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
    network: new Map(),
    hostLoads: new Map(),
    mayGo: () => true,
    freeAt: () => mebibytes(1_048_576),
  })
  const [intent] = intents
  assert.ok(intent?.kind === 'start' && intent.tuning.rate !== undefined)
  return intent.tuning.rate * 2
}

describe('after a step in capacity', () => {
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
        const rehearsal = idleGuests(before, [stepAt(30_000, then), stepAt(75_000, before)])
        const [atFirst, soon, later, again] = thoughtAt(rehearsal, [29_000, 50_000, 74_000, 95_000])
        near(atFirst, before, 'before the step')
        near(soon, then, '20 s after it')
        near(later, then, '44 s after it')
        about(again, before, '20 s after the fall')
      }),
      runs(25),
    )
  })

  test('20 s after a fall what is thought is near what is there, and so it is 20 s after it rose again', () => {
    fc.assert(
      fc.property(arbCapacity, fc.integer({ min: 10, max: 85 }), (before, percent) => {
        const then = bytesPerSecond((before * percent) / 100)
        const rehearsal = idleGuests(before, [stepAt(30_000, then), stepAt(75_000, before)])
        const [soon, later, again] = thoughtAt(rehearsal, [50_000, 74_000, 95_000])
        about(soon, then, '20 s after it')
        about(later, then, '44 s after it')
        about(again, before, '20 s after it came back')
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
      const [actual] = thoughtAt(idleGuests(capacity, [stepAt(0, megabitsPerSecond(real))]), [20_000])
      near(actual, megabitsPerSecond(real), `the inventory says ${known}`)
    }
  })

  test('the number that flows does not swing: one leads, and one waits now and then', () => {
    const timeline = [1, 2, 3, 4, 5, 6].map(n => stepAt(n * 20_300, megabitsPerSecond(n % 2 === 0 ? 800 : 150)))
    let most = 0
    const { state } = watched(idleGuests(megabitsPerSecond(800), timeline), now => {
      most = Math.max(most, flowing(now).length)
    })
    assert.ok(most <= 2, `${most} flowed at one time`)
    assert.equal(state.migrations.count('landed'), 40)
  })

  /** From all of it to a share, and back after a minute. Idle guests that take half a minute each; the neighbours have their part. */
  const arbSteps = fc.record({
    before: fc.integer({ min: 100, max: 1_000 }),
    falls: fc.constantFrom(0.3, 0.5, 0.8),
    at: fc.integer({ min: 25_000, max: 45_000 }),
    background: fc.constantFrom(0, 0.05, 0.1, 0.2),
  })
  test('nine tenths of what is there are used at once, by one at a time, and two where one more is tried', () => {
    fc.assert(
      fc.property(arbSteps, steps => {
        const { down, up, most } = settled({ ...steps, background: 0 })
        assert.ok(down <= 2 && up <= 2, `${down} s after the fall, ${up} s after the rise`)
        assert.ok(most <= 2, `${most} flowed at one time`)
      }),
      runs(25),
    )
  })

  test('beside neighbours too: at once after a fall, within 20 s after a rise. They keep nine tenths of theirs', () => {
    const rises: number[] = []
    fc.assert(
      fc.property(arbSteps, fc.constantFrom(0.05, 0.1, 0.2), (steps, background) => {
        const { down, up, kept, most } = settled({ ...steps, background })
        assert.ok(down <= 2, `${down} s after the fall`)
        rises.push(up)
        assert.ok(up <= 20, `${up} s after the rise`)
        assert.ok(most <= 2, `${most} flowed at one time`)
        assert.ok(kept >= 0.9, `they have ${kept} of what they could`)
      }),
      runs(40),
    )
    const late = rises.sort((a, b) => a - b)[Math.floor(rises.length / 2)] ?? Infinity
    assert.ok(late <= 8, `half of them take ${late} s`)
  })

  test('from 100 to 30 to 100 Mbit/s beside 10 of others: nine tenths are used within 20 s', () => {
    for (const at of [30_000, 33_300, 36_500]) {
      const { down, up } = settled({ before: 100, falls: 0.3, at, background: 0.1 })
      assert.ok(down <= 20 && up <= 20, `${down} s after the fall, ${up} s after the rise`)
    }
  })
})
