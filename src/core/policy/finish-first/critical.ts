/**
 * Ways that share an uplink. Strict priority gives all of it to whoever is first; a narrow way that is left for last cannot fill it alone
 * then, and all wait for that one. So a way goes before the others from when what it has to carry takes nearly as long by itself as all
 * of them take by the uplink: until then it loses nothing by waiting.
 */
import { isIntoHost, isUplink } from '../../control/water-filling.ts'
import type { PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Queues } from './queues.ts'
import type { Loads } from './ways.ts'

/** From this share of the uplink's time on it goes first, … */
const criticalFrom = 0.9
/** … until it has less than this share: whoever flows is not stopped for a little. */
const criticalUntil = 0.6

/** … if a byte of it is worth about as much as one of all that crosses the uplink. */
const asWorthy = 0.8

/** A path or a card on the way to an uplink. */
interface Narrow {
  readonly capacity: number
  /** What is still to go through it. @unit bytes */
  bytes: number
  value: number
  readonly queues: Set<string>
}

interface Uplink {
  readonly capacity: number
  bytes: number
  value: number
  readonly queues: Set<string>
  readonly narrow: Map<string, Narrow>
}

/**
 * Queues that go before all others on their uplinks.
 * @param before those that did so far
 */
export function criticalQueues(
  before: ReadonlySet<string>,
  view: PolicyView,
  lanes: Lanes,
  queues: Queues | undefined,
  loads: Loads,
): ReadonlySet<string> {
  const { snapshot, limits, deadline } = view
  if (!snapshot.sites.some(({ uplink }) => uplink !== undefined)) return none
  // Where something else bounds them all, or what counts is who is home in time, the plan's order is the answer.
  if (limits.bandwidth !== undefined || limits.maxParallel !== undefined || deadline !== undefined) return none
  const critical = new Set<string>()
  for (const uplink of uplinksInUse(view, lanes, queues, loads)) {
    const all = uplink.bytes / uplink.capacity
    for (const { capacity, bytes, value, queues: through } of uplink.narrow.values()) {
      // Whoever crosses the uplink is on it: nobody is to go before anybody.
      if (through.size === uplink.queues.size || !Number.isFinite(capacity)) continue
      // What is worth less waits, even if all take longer for it.
      if (value * uplink.bytes < uplink.value * bytes * asWorthy) continue
      const share = bytes / capacity / all
      for (const queue of through) if (share > (before.has(queue) ? criticalUntil : criticalFrom)) critical.add(queue)
    }
  }
  return critical.size === 0 ? none : critical
}

const none: ReadonlySet<string> = new Set()

function uplinksInUse(view: PolicyView, lanes: Lanes, queues: Queues | undefined, loads: Loads): Iterable<Uplink> {
  const uplinks = new Map<string, Uplink>()
  for (const [queue, { crossed }] of lanesInUse(view, lanes, queues)) {
    const [waiting, begun] = [queues?.byLane.get(queue), loads.get(queue)]
    const bytes = (waiting?.bytes ?? 0) + (begun?.bytes ?? 0)
    const value = (waiting?.value ?? 0) + (begun?.value ?? 0)
    for (const { key, capacity } of crossed) {
      if (!isUplink(key)) continue
      const uplink = uplinks.get(key) ?? {
        capacity,
        bytes: 0,
        value: 0,
        queues: new Set(),
        narrow: new Map<string, Narrow>(),
      }
      uplinks.set(key, uplink)
      uplink.bytes += bytes
      uplink.value += value
      uplink.queues.add(queue)
      for (const each of crossed) {
        // A queue may lead to several targets: what each card takes of it is not known here.
        if (isUplink(each.key) || isIntoHost(each.key)) continue
        const fresh = { capacity: each.capacity, bytes: 0, value: 0, queues: new Set<string>() }
        const narrow = uplink.narrow.get(each.key) ?? fresh
        uplink.narrow.set(each.key, narrow)
        narrow.bytes += bytes
        narrow.value += value
        narrow.queues.add(queue)
      }
    }
  }
  return uplinks.values()
}

/** By queue, one of those that wait or flow. */
function lanesInUse(view: PolicyView, lanes: Lanes, queues: Queues | undefined): ReadonlyMap<string, Lane> {
  const inUse = new Map<string, Lane>()
  for (const [key, { lane }] of queues?.byLane ?? []) if (lane !== undefined) inUse.set(key, lane)
  for (const m of view.migrations.in('preparing', 'pre-copy', 'post-copy')) {
    const lane = lanes.lane(m.source, m.target)
    inUse.set(lane.queue, lane)
  }
  return inUse
}
