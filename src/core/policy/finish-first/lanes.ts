/** The ways out as a policy sees them: what a migration between two hosts crosses, how much of it is thought to be there, who has taken what. */
import { type Crossing, crossings, pathKey, Pool, type Taken } from '../../control/water-filling.ts'
import { offered, type PathEstimate, squeezes } from '../../forecast/path-capacity.ts'
import { lossLimit } from '../../forecast/tcp.ts'
import type { HostId } from '../../ids.ts'
import { rateStepOf } from '../rate-step.ts'
import { leastOverChannels } from '../../migration/start-options.ts'
import { findHost, type Path, type Snapshot, wayBetween } from '../../inventory/snapshot.ts'

/** What a migration that has to wait may send: its connection lives. @unit bytes per second */
export const floor = 64 * 1024

export type Estimates = ReadonlyMap<string, PathEstimate>

export interface Lane {
  readonly path: Path | undefined
  readonly crossed: readonly Crossing[]
  /** Infinite where nothing is known to bound it. @unit bytes per second */
  readonly narrowest: number
  /** As `narrowest`, by what is stated: a path that carries little now carries more another time. @unit bytes per second */
  readonly usual: number
  /** What bounds one migration whatever the path carries: cards. @unit bytes per second */
  readonly own: number
  /** What one stream was seen to get at most; infinite until that is known. @unit bytes per second */
  readonly single: number
  /** What one stream gets at best, as is stated, or as losses that are stated leave it. @unit bytes per second */
  readonly stated: number
  /** What one stream gets at best: as is stated, what losses leave it, or a little more than it was seen to get. @unit bytes per second */
  readonly perStream: number
  /** Caps are multiples of it. @unit bytes per second */
  readonly step: number
  /** What one that has to wait may send: {@link floor}, or the least cap there is. @unit bytes per second */
  readonly least: number
  /** Other people are on it: even the first keeps off their share. */
  readonly shared: boolean
  /** How memory is squeezed on it: both hosts can, the path is slow enough for that to pay, and it has not been seen to slow anybody. */
  readonly compression: 'none' | 'zstd'
  /** Names the path. */
  readonly key: string
  /** Names the path, and the card where that is narrower: who waits for one does not wait for the other. */
  readonly queue: string
}

/**
 * One thread squeezes some 300 MB of a guest a second (zstd, level 1), which a gigabit path carries squeezed; a faster one is better used
 * by plain memory. In the lab, at 100 Mbit/s: 0.55 of the time, 0.74 for memory that is mostly random. @unit bytes per second
 */
const squeezedUpTo = 125_000_000
/** What one thread squeezes (see above). @unit bytes per second */
const squeezedByThread = 300_000_000
/** Bytes on the wire for one of memory, at best: so much more is squeezed than the path carries. */
const squeezedTo = 0.55
/** A promise of less than so many times what goes over channels whatever the cap is given to one stream. */
const timesLeast = 4
/** What one migration was seen to get at most is an average: it may have a little more. */
const singleMay = 1.1

/** What is known to bound one stream: what the inventory says, and what loss does over that round trip. */
const streamLimit = ({ perFlow, rtt, loss }: Path): number =>
  Math.min(perFlow ?? Number.POSITIVE_INFINITY, lossLimit(rtt ?? 0, loss ?? 0))

/** Other people who have all of a path give up so much of it: lives go before downloads, and they keep nine tenths. */
const leastOfOthers = 0.1

/** What a path has for us by what is stated of it: other people's part is taken off. */
export const declaredFor = ({ capacity, background }: Path): number | undefined =>
  capacity === undefined ? undefined : Math.max(floor, capacity - (background ?? 0), capacity * leastOfOthers)

/** What of an estimate a lane is made of: lanes are the same for as long as these are, and the inventory. */
interface Thought {
  /** What there is for us; undefined where nobody knows. @unit bytes per second */
  readonly offered: number | undefined
  readonly single: number | undefined
  readonly squeezes: boolean
}

interface Known {
  readonly key: string | undefined
  thought: Thought
  /** In which that was looked up last. */
  estimates: Estimates
  lane: Lane
}

const known = new WeakMap<Snapshot, Map<HostId, Map<HostId, Known>>>()

const unthought: Thought = { offered: undefined, single: undefined, squeezes: true }

export class Lanes {
  readonly #snapshot: Snapshot
  readonly #estimates: Estimates
  readonly #known: Map<HostId, Map<HostId, Known>>
  readonly #pool: Pool
  readonly #bounded: boolean
  readonly #bandwidth: number
  readonly #thoughts = new Map<string, Thought>()

  /** @param bandwidth what the operator allows all together @unit bytes per second */
  constructor(snapshot: Snapshot, estimates: Estimates, bandwidth: number | undefined) {
    this.#snapshot = snapshot
    this.#estimates = estimates
    this.#pool = new Pool(bandwidth)
    this.#bounded = bandwidth !== undefined
    this.#bandwidth = bandwidth ?? Number.POSITIVE_INFINITY
    this.#known = known.get(snapshot) ?? new Map<HostId, Map<HostId, Known>>()
    known.set(snapshot, this.#known)
  }

  lane(from: HostId, to: HostId): Lane {
    const found = this.#known.get(from)?.get(to)
    if (found !== undefined) {
      if (found.estimates === this.#estimates) return found.lane
      found.estimates = this.#estimates
      const now = found.key === undefined ? unthought : this.#thoughtOf(found.key)
      const { thought } = found
      if (now === thought) return found.lane
      if (now.offered !== thought.offered || now.single !== thought.single || now.squeezes !== thought.squeezes)
        found.lane = this.#measure(from, to)
      found.thought = now
      return found.lane
    }
    const lane = this.#measure(from, to)
    const key = lane.path === undefined ? undefined : lane.key
    const out = this.#known.get(from) ?? new Map<HostId, Known>()
    this.#known.set(from, out)
    out.set(to, {
      key,
      lane,
      estimates: this.#estimates,
      thought: key === undefined ? unthought : this.#thoughtOf(key),
    })
    return lane
  }

  #thoughtOf(key: string): Thought {
    const found = this.#thoughts.get(key)
    if (found !== undefined) return found
    const estimate = this.#estimates.get(key)
    const thought =
      estimate === undefined
        ? unthought
        : { offered: offered(estimate), single: estimate.single, squeezes: squeezes(estimate) }
    this.#thoughts.set(key, thought)
    return thought
  }

  estimate({ key }: Lane): PathEstimate | undefined {
    return this.#estimates.get(key)
  }

  /** @param busy the share of its time in which it sends: the rest are handshakes */
  offer(lane: Lane, streams: number, busy = 1): Taken {
    return this.#pool.offer(lane.crossed, mostOf(lane, streams), busy, this.#usualOf(lane, streams))
  }

  take(lane: Lane, streams: number, busy = 1): Taken {
    return this.#pool.take(lane.crossed, mostOf(lane, streams), busy, this.#usualOf(lane, streams))
  }

  /** What one with so many streams was seen to use at most; where caps are promises, all that it may is taken for used. */
  #usualOf(lane: Lane, streams: number): number {
    return this.isBounded(lane) ? Number.POSITIVE_INFINITY : lane.single * Math.max(1, streams)
  }

  /** What bounds it most, and what of that is handed out. */
  bottleneck({ crossed, key }: Lane): { readonly key: string; readonly capacity: number; readonly taken: number } {
    const narrow = crossed.reduce<Crossing | undefined>(
      (least, each) => (least === undefined || each.capacity < least.capacity ? each : least),
      undefined,
    )
    if (narrow === undefined) return { key, capacity: Number.POSITIVE_INFINITY, taken: Number.POSITIVE_INFINITY }
    return { ...narrow, taken: narrow.capacity - this.#pool.leftOf(narrow) }
  }

  /** Whether other people are on that path, and their part is known. */
  isShared(key: string): boolean {
    return this.#snapshot.paths.some(
      path => pathKey(path) === key && path.capacity !== undefined && (path.background ?? 0) > 0,
    )
  }

  statedLoss(key: string): number {
    return this.#snapshot.paths.find(path => pathKey(path) === key)?.loss ?? 0
  }

  /** Caps are promises to others here, not only shares among ours. */
  isBounded({ shared }: Lane): boolean {
    return shared || this.#bounded
  }

  /** Caps are promises, of less than channels keep. */
  needsExactCaps(lane: Lane): boolean {
    return this.isBounded(lane) && Math.min(lane.usual, this.#bandwidth) < leastOverChannels * timesLeast
  }

  /** Takes all it gets: nobody has a claim before it, and nobody else on the path is to be spared. */
  isFree(lane: Lane, { first }: Taken): boolean {
    return first && !this.isBounded(lane)
  }

  #measure(from: HostId, to: HostId): Lane {
    const path = wayBetween(this.#snapshot, from, to)
    const estimate = path === undefined ? undefined : this.#estimates.get(pathKey(path))
    const now = (each: Path): number => this.#estimateOf(each)
    const stated = (each: Path): number => declaredFor(each) ?? now(each)
    const crossed = crossings(this.#snapshot, from, to, now)
    const cards = crossed.filter(({ key }) => path === undefined || key !== pathKey(path))
    const own = narrowestOf(cards)
    const single = estimate?.single ?? Number.POSITIVE_INFINITY
    const ofStream = path === undefined ? Number.POSITIVE_INFINITY : streamLimit(path)
    const key = path === undefined ? `${from} ${to}` : pathKey(path)
    const narrowest = narrowestOf(crossed)
    const card = findHost(this.#snapshot, from)?.nic ?? Number.POSITIVE_INFINITY
    const usual = narrowestOf(crossings(this.#snapshot, from, to, stated))
    const step = rateStepOf(this.#snapshot, from)
    const can = [from, to].every(host => findHost(this.#snapshot, host)?.compressions?.includes('zstd') === true)
    const pays = usual <= squeezedUpTo && (estimate === undefined || squeezes(estimate))
    return {
      path,
      crossed,
      narrowest,
      usual,
      compression: can && pays ? 'zstd' : 'none',
      own,
      single,
      stated: ofStream,
      perStream: Math.min(ofStream, single * singleMay),
      step,
      least: Math.max(floor, step),
      shared: path?.capacity !== undefined && (path.background ?? 0) > 0,
      key,
      queue: path !== undefined && card < now(path) ? `${key} out of ${from}` : key,
    }
  }

  /** What a path has for us. */
  #estimateOf(path: Path): number {
    const estimate = this.#estimates.get(pathKey(path))
    const capacity = estimate === undefined ? declaredFor(path) : offered(estimate)
    return Math.max(floor, capacity ?? Number.POSITIVE_INFINITY)
  }
}

/** The part of one processor that squeezing what this way carries takes. */
export const squeezingTakes = ({ usual }: Pick<Lane, 'usual'>): number => usual / squeezedTo / squeezedByThread

/** What one migration with so many streams can use, whatever else is on the path. @unit bytes per second */
export const mostOf = ({ own, perStream }: Lane, streams: number): number =>
  Math.min(own, perStream * Math.max(1, streams))

const narrowestOf = (crossed: readonly Crossing[]): number =>
  crossed.reduce((least, { capacity }) => Math.min(least, capacity), Number.POSITIVE_INFINITY)
