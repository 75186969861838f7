/**
 * What really happens, of what a scenario says: jitter drawn by the seed, and power that goes off because nobody said otherwise.
 *
 * A site loses its power when the timeline says so; else when its UPS said so last or, if it is endangered, at the deadline, whichever
 * is sooner.
 */
import type { SiteId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { ms } from '../units.ts'
import { around, type Chance } from './chance.ts'
import type { Timeline, TimelineEntry } from './timeline.ts'

export function realTimeline(
  snapshot: Snapshot,
  timeline: Timeline,
  endangered: readonly SiteId[],
  chance: Chance,
): Timeline {
  const drawn = timeline
    .map((entry, n): TimelineEntry => {
      const shift = entry.jitter * (around(chance('timeline', n), 1) - 1)
      return { ...entry, at: ms(Math.max(0, entry.at + shift)), jitter: ms(0) }
    })
    .sort((a, b) => a.at - b.at)
  const off = snapshot.sites.flatMap(({ id }): TimelineEntry[] => {
    const at = offAt(snapshot, drawn, id, endangered.includes(id))
    return at === undefined ? [] : [{ at: ms(at), jitter: ms(0), what: { kind: 'power-off', site: id } }]
  })
  return [...drawn, ...off].sort((a, b) => a.at - b.at)
}

function offAt(snapshot: Snapshot, timeline: Timeline, site: SiteId, endangered: boolean): number | undefined {
  if (timeline.some(({ what }) => what.kind === 'power-off' && what.site === site)) return undefined
  let at: number = snapshot.power.find(power => power.site === site)?.runtime ?? Number.POSITIVE_INFINITY
  for (const entry of timeline)
    if (entry.what.kind === 'power' && entry.what.site === site && entry.at < at) at = entry.at + entry.what.runtime
  if (endangered && snapshot.deadline !== undefined) at = Math.min(at, snapshot.deadline)
  return Number.isFinite(at) ? at : undefined
}
