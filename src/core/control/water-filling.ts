/**
 * Strict-priority sharing: whoever is first takes what it can use of everything it crosses, the next what is left, and so on. The first
 * is home soonest, and nothing that could be carried is left unused.
 */
import type { HostId } from '../ids.ts'
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

export const pathKey = ({ from, to }: Path): string => `path ${from} ${to}`

/** A crossing's key for people: `path a – b`, `uplink of a`, `card of a-1`. */
export const showCrossing = (key: string): string =>
  key
    .replace(/^path (\S+) (\S+)$/, 'path $1 – $2')
    .replace(/^uplink (\S+)$/, 'uplink of $1')
    .replace(/^(?:out of|into) (\S+)$/, 'card of $1')

/** All that a migration between two hosts crosses: NICs, uplinks, and the path. */
export function crossings(snapshot: Snapshot, from: HostId, to: HostId, estimate: Estimate): readonly Crossing[] {
  const path = wayBetween(snapshot, from, to)
  const [a, b] = [siteOf(snapshot, from), siteOf(snapshot, to)]
  const all: readonly (Crossing | undefined)[] = [
    { key: `out of ${from}`, capacity: findHost(snapshot, from)?.nic ?? infinite },
    { key: `into ${to}`, capacity: findHost(snapshot, to)?.nic ?? infinite },
    a === undefined || a === b
      ? undefined
      : { key: `uplink ${a}`, capacity: findSite(snapshot, a)?.uplink ?? infinite },
    b === undefined || a === b
      ? undefined
      : { key: `uplink ${b}`, capacity: findSite(snapshot, b)?.uplink ?? infinite },
    path === undefined ? undefined : { key: pathKey(path), capacity: estimate(path) },
  ]
  return all.filter(crossing => crossing !== undefined)
}

export interface Taken {
  /** What it gets. Infinite where nothing bounds it. @unit bytes per second */
  readonly rate: number
  /** Nobody before it takes from anything it crosses. */
  readonly first: boolean
  /** Of what it could get alone, 0 … 1. */
  readonly share: number
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

  /** What this one would get, without taking it. @param most it can use @unit bytes per second */
  offer(crossed: readonly Crossing[], most: number): Taken {
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
    return { rate, first, share: alone === infinite ? (rate === infinite ? 1 : 0) : alone === 0 ? 0 : rate / alone }
  }

  take(crossed: readonly Crossing[], most: number): Taken {
    const taken = this.offer(crossed, most)
    for (const { key, capacity } of crossed) {
      const left = this.#left.get(key) ?? capacity
      // Of something without a known bound the first takes all: how much that is shows when it flows.
      this.#left.set(key, left === infinite ? (taken.rate === infinite ? 0 : infinite) : left - taken.rate)
    }
    if (this.#total !== infinite) this.#total -= taken.rate
    return taken
  }
}
