/** Whole evacuations in simulated worlds: how long they took beside a rival's, what was decided at every event, what went through. */
import assert from 'node:assert/strict'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import { siteId } from '../src/core/ids.ts'
import type { Instant } from '../src/core/instant.ts'
import type { Path, Snapshot } from '../src/core/inventory/snapshot.ts'
import type { PostCopy, PreCopy } from '../src/core/migration/migration.ts'
import { beginRehearsal, type Rehearsal, rehearse } from '../src/core/sim/rehearse.ts'
import type { SimWorld } from '../src/core/sim/sim-world.ts'
import type { Simulated } from '../src/core/sim/simulate.ts'
import type { PathChange, Timeline } from '../src/core/sim/timeline.ts'
import { ms } from '../src/core/units.ts'
import { unlimited } from './finish-first-facts.ts'

/** The path from a changes. @unit ms */
export const change = (at: number, what: PathChange, to = 'b'): Timeline[number] => ({
  at: ms(at),
  jitter: ms(0),
  what: { kind: 'path', path: [siteId('a'), siteId(to)], change: what },
})
export const lived = (
  snapshot: Snapshot,
  timeline: Timeline = [],
  limits = unlimited,
  policy = 'finish-first',
): Simulated => rehearse({ snapshot, timeline, policy, limits, seed: 1 })

/** When the last is home; never where one is not. @unit ms */
export const makespan = ({ state }: Simulated): number =>
  [...state.migrations.values()].reduce((last, m) => Math.max(last, m.phase === 'landed' ? m.switchedAt : Infinity), 0)

export function noSlower(snapshot: Snapshot, rival: string, timeline: Timeline = [], times = 1.3): void {
  const [ours, theirs] = ['finish-first', rival].map(policy => makespan(lived(snapshot, timeline, unlimited, policy)))
  assert.ok(ours !== undefined && theirs !== undefined)
  const [us, them] = [ours, theirs].map(took => Math.round(took / 1000))
  assert.ok(ours <= theirs * times, `${us} s, ${rival} takes ${them} s`)
}

// ── watched ──

export const ours = { policy: 'finish-first', limits: unlimited, seed: 1 } as const

/** Looks at the state after every event of the simulation. */
export function watched(
  rehearsal: Rehearsal,
  look: (state: Evacuation, world: SimWorld, now: Instant) => void,
): Simulated {
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

export const flowing = (state: Evacuation): readonly (PreCopy | PostCopy)[] => [
  ...state.migrations.in('pre-copy', 'post-copy'),
]

export const onlyPath = ({ paths }: Snapshot): Path => {
  const [path] = paths
  assert.ok(path !== undefined && paths.length === 1)
  return path
}
export const withPath = (snapshot: Snapshot, change: Partial<Path>): Snapshot => ({
  ...snapshot,
  paths: [{ ...onlyPath(snapshot), ...change }],
})

/** Counts the bytes of ours and of the neighbours on the only path, second by second. */
export class Meter {
  readonly #background: number
  readonly #seconds: { ours: number; theirs: number; left: number }[] = []
  #at = 0
  #ours = 0
  #capacity = 0

  constructor(background: number) {
    this.#background = background
  }

  readonly onRates = (world: SimWorld): void => {
    this.until(world.kernel.now)
    this.#ours = [...world.flowing()].reduce((sum, { rate }) => sum + rate, 0)
    this.#capacity = world.network.paths[0]?.capacity ?? 0
  }

  until(now: number): void {
    while (this.#at < now) {
      const second = Math.floor(this.#at / 1000)
      const end = Math.min(now, (second + 1) * 1000)
      const share = (end - this.#at) / 1000
      const sum = this.#seconds[second] ?? { ours: 0, theirs: 0, left: 0 }
      this.#seconds[second] = sum
      sum.ours += this.#ours * share
      // What is shared is full, or they have all that they want.
      sum.theirs += Math.max(0, Math.min(this.#background, this.#capacity - this.#ours)) * share
      sum.left += Math.min(this.#background, this.#capacity) * share
      this.#at = end
    }
  }

  /** Means of every so many seconds. @unit bytes per second */
  *over(span: number, from = 0, to = this.#seconds.length): Generator<{ ours: number; theirs: number; left: number }> {
    for (let first = from; first + span <= Math.min(to, this.#seconds.length); first += 1) {
      const mean = { ours: 0, theirs: 0, left: 0 }
      for (const { ours: sent, theirs, left } of this.#seconds.slice(first, first + span)) {
        mean.ours += sent / span
        mean.theirs += theirs / span
        mean.left += left / span
      }
      yield mean
    }
  }
}
