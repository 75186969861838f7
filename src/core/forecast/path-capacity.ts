/**
 * What a path carries for us, from what our migrations get through it: the most of the last seconds. What the inventory says holds until
 * it is contradicted: a shortfall counts when it was seen twice while something flowed that nothing of ours held back.
 */
import type { Instant } from '../instant.ts'

export interface PathObservation {
  readonly at: Instant
  /** Of all our migrations over it. @unit bytes per second */
  readonly goodput: number
  /** A migration flows over it that has no cap and is not about to end: it takes what there is. */
  readonly greedy: boolean
}

export interface PathEstimate {
  /** Undefined before anything is known. @unit bytes per second */
  readonly capacity: number | undefined
  readonly seen: readonly PathObservation[]
  /** Shortfalls in a row. */
  readonly short: number
}

/** The window of the maximum. @unit ms */
const windowLength = 10_000
/** Less than this share of what was thought is a shortfall: rates are averages, and lag. */
const shortfall = 0.85
const timesToBelieve = 2
/** After a shortfall was believed, only what was seen since it began counts. */
const samplesSince = 2

export const unobserved = (known: number | undefined): PathEstimate => ({ capacity: known, seen: [], short: 0 })

export function observe(estimate: PathEstimate, now: PathObservation): PathEstimate {
  const seen = [...estimate.seen.filter(({ at }) => now.at - at <= windowLength), now]
  const most = seen.reduce((highest, { goodput }) => Math.max(highest, goodput), 0)
  const { capacity } = estimate
  if (capacity === undefined) return { capacity: now.greedy && now.goodput > 0 ? most : undefined, seen, short: 0 }
  if (now.goodput > capacity) return { capacity: now.goodput, seen, short: 0 }
  if (!now.greedy || now.goodput >= capacity * shortfall) return { capacity, seen, short: 0 }
  const short = estimate.short + 1
  if (short < timesToBelieve) return { capacity, seen, short }
  const since = seen.slice(-samplesSince)
  return { capacity: since.reduce((highest, { goodput }) => Math.max(highest, goodput), 0), seen: since, short }
}
