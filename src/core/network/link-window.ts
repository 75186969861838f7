/** The last minute of a path, a bucket a second: what windows (loss, best flow, capacity, trend) are made of. Bounded by its length. */

export interface Bucket {
  /** Of our clock. @unit s */
  readonly second: number
  /** All bytes of the sources' interfaces. @unit bytes per second */
  readonly inUse: number | undefined
  /** @unit bytes per second */
  readonly byUs: number | undefined
  /** Of our flows. @unit bytes */
  readonly sent: number
  /** Of {@link sentCounted}. @unit bytes */
  readonly retransmitted: number
  /** Of flows whose kernel counts retransmissions. @unit bytes */
  readonly sentCounted: number
  /** @unit bytes per second */
  readonly bestFlow: number
  /** Connections of ours, the most that were seen in it; undefined as long as some host at its beginning does not say. */
  readonly flows: number | undefined
  /** A queue stood on the path. */
  readonly queued: boolean
}

export type LinkWindow = readonly Bucket[]

/** @unit s */
export const windowSeconds = 60

const empty = (second: number): Bucket => ({
  second,
  inUse: undefined,
  byUs: undefined,
  sent: 0,
  retransmitted: 0,
  sentCounted: 0,
  bestFlow: 0,
  flows: undefined,
  queued: false,
})

/** The bucket of that second, changed. A second older than the newest is put where it belongs if the window still has it. */
export function inBucket(window: LinkWindow, second: number, change: (bucket: Bucket) => Bucket): LinkWindow {
  const newest = window.at(-1)
  if (newest === undefined || second > newest.second)
    return [...window.filter(bucket => bucket.second > second - windowSeconds), change(empty(second))]
  const at = window.findIndex(bucket => bucket.second === second)
  return at < 0 ? window : window.with(at, change(window[at] ?? empty(second)))
}

/** A stream rises, and one that others have just left has their share yet to take. @unit s */
const settledAfter = 3

/**
 * The most that one connection got in a second in which, as in those before it, it was the only one of ours: what one stream gets. Beside
 * others it gets its share, which says nothing of that. @unit bytes per second; undefined when none was alone for long enough
 */
export function alone(window: LinkWindow): number | undefined {
  let most: number | undefined
  let since = 0
  window.forEach(({ second, flows, bestFlow }, at) => {
    const goes = at > 0 && window[at - 1]?.second === second - 1
    since = flows === 1 ? (goes ? since : 0) + 1 : 0
    if (since >= settledAfter && bestFlow > 0) most = Math.max(most ?? 0, bestFlow)
  })
  return most
}

/** Buckets of the last so many seconds, the newest included. */
export const lastSeconds = (window: LinkWindow, now: number, seconds: number): LinkWindow =>
  window.filter(({ second }) => second > now - seconds && second <= now)
