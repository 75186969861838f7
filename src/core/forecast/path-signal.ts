/**
 * What the network itself shows of a path in use, beside what goes through it: packets that queue say that it is full, packets that do
 * not say that something else holds migrations back (one stream's window or losses, a sending thread, a card).
 */
import type { HostId, SiteId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { Fraction, Milliseconds } from '../units.ts'

export interface SeenOnPath {
  readonly from: SiteId | HostId
  readonly to: SiteId | HostId
  /** Round trip less the least one: smoothed, of our migrations' own connections; of the quickest echo where others share the path. */
  readonly queueing: Milliseconds
  /** Bytes sent again, of all that were sent in the last seconds. */
  readonly loss: Fraction
}

export interface PathSignal extends Pick<SeenOnPath, 'queueing' | 'loss'> {
  readonly at: Instant
}

export type Fullness = 'full' | 'not full' | 'unknown'

/** An older one says nothing of now, and one from a clock that was set back since does not either. @unit ms */
const validFor = 10_000
/** Jitter of a quiet path is below this, the queue of a full one above (a drop-tail queue holds tens of milliseconds). @unit ms */
const queueOfFull = 8

/** So much lost beside what is stated to be is somebody's queue that overflows. */
const lostByOthers = 0.02

const isOfNow = (signal: PathSignal | undefined, now: Instant): signal is PathSignal =>
  signal !== undefined && signal.at <= now && now - signal.at <= validFor

/** @param stated the share that this path always loses */
export const losesMore = (signal: PathSignal | undefined, stated: number, now: Instant): boolean =>
  isOfNow(signal, now) && signal.loss - stated >= lostByOthers

export function fullness(signal: PathSignal | undefined, now: Instant): Fullness {
  if (!isOfNow(signal, now)) return 'unknown'
  return signal.queueing >= queueOfFull ? 'full' : 'not full'
}
