/** Whole evacuations in simulated worlds, and how long they took beside a rival's. */
import assert from 'node:assert/strict'
import { siteId } from '../src/core/ids.ts'
import type { Snapshot } from '../src/core/inventory/snapshot.ts'
import { rehearse } from '../src/core/sim/rehearse.ts'
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
