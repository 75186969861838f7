/**
 * Strict-priority sharing: whoever is first takes what it can use of everything it crosses, the next what is left, and so on. The first
 * is home soonest, and nothing that could be carried is left unused.
 */
import type { HostId, SiteId } from '../ids.ts'
import { findHost, findSite, type Path, type Snapshot, siteOf, wayBetween } from '../inventory/snapshot.ts'

/** Something with a capacity, by a name of its own. */
export interface Crossing {
  readonly key: string
  /** Infinite where nothing is known to bound it. @unit bytes per second */
  readonly capacity: number
}

/** What is thought to go through a path for us now. @unit bytes per second */
export type Estimate = (path: Path) => number

const infinite = Number.POSITIVE_INFINITY

export const pathKey = ({ from, to }: { readonly from: string; readonly to: string }): string => `path ${from} ${to}`

export const isIntoHost = (key: string): boolean => key.startsWith('into ')
export const isUplink = (key: string): boolean => key.startsWith('uplink ')

/** A crossing's key for people: `path a – b`, `uplink of a`, `card of a-1`. */
export const showCrossing = (key: string): string =>
  key
    .replace(/^path (\S+) (\S+)$/, 'path $1 – $2')
    .replace(/^uplink (\S+)$/, 'uplink of $1')
    .replace(/^(?:out of|into) (\S+)$/, 'card of $1')

/** All that a migration between two hosts crosses and that bounds it: NICs and uplinks where they are known, and the path. */
export function crossings(snapshot: Snapshot, from: HostId, to: HostId, estimate: Estimate): readonly Crossing[] {
  const path = wayBetween(snapshot, from, to)
  const [a, b] = [siteOf(snapshot, from), siteOf(snapshot, to)]
  const known = (key: string, capacity: number | undefined): readonly Crossing[] =>
    capacity === undefined ? [] : [{ key, capacity }]
  const uplink = (site: SiteId | undefined): readonly Crossing[] =>
    site === undefined || a === b ? [] : known(`uplink ${site}`, findSite(snapshot, site)?.uplink)
  return [
    ...known(`out of ${from}`, findHost(snapshot, from)?.nic),
    ...known(`into ${to}`, findHost(snapshot, to)?.nic),
    ...uplink(a),
    ...uplink(b),
    ...(path === undefined ? [] : known(pathKey(path), estimate(path))),
  ]
}

export interface Taken {
  /** What it gets. Infinite where nothing bounds it. @unit bytes per second */
  readonly rate: number
  /** Nobody before it takes from anything it crosses. */
  readonly first: boolean
  /** Of what it could get alone, 0 … 1. */
  readonly share: number
  /** What is gone for the others: less than the rate where it does not send all the time. @unit bytes per second */
  readonly used: number
}

/** The pool that is handed out in order of priority. */
export class Pool {
  readonly #left = new Map<string, number>()
  readonly #allowed: number
  #total: number

  /** @param total for all together, as the operator allows @unit bytes per second */
  constructor(total = infinite) {
    this.#allowed = total
    this.#total = total
  }

  /**
   * What this one would get, without taking it.
   * @param most it can use @unit bytes per second
   * @param busy the share of its time in which it sends
   * @param usual what it uses of that as far as is known: what it may have beyond is not kept from others @unit bytes per second
   */
  offer(crossed: readonly Crossing[], most: number, busy = 1, usual = infinite): Taken {
    let rate = Math.min(most, this.#total)
    let alone = Math.min(most, this.#allowed)
    let first = true
    for (const { key, capacity } of crossed) {
      const left = this.#left.get(key)
      if (left !== undefined) first = false
      rate = Math.min(rate, left ?? capacity)
      alone = Math.min(alone, capacity)
    }
    rate = Math.max(0, rate)
    const share = alone === infinite ? (rate === infinite ? 1 : 0) : alone === 0 ? 0 : rate / alone
    return { rate, first, share, used: Math.min(rate, usual) * busy }
  }

  /** What nobody has taken of it. @unit bytes per second */
  leftOf({ key, capacity }: Crossing): number {
    return this.#left.get(key) ?? capacity
  }

  take(crossed: readonly Crossing[], most: number, busy = 1, usual = infinite): Taken {
    const taken = this.offer(crossed, most, busy, usual)
    for (const { key, capacity } of crossed) {
      const left = this.#left.get(key) ?? capacity
      // Of something without a known bound the first takes all: how much that is shows when it flows.
      this.#left.set(key, left === infinite ? (taken.rate === infinite ? 0 : infinite) : left - taken.used)
    }
    if (this.#total !== infinite) this.#total -= taken.used
    return taken
  }
}
