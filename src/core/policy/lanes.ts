/** The ways out as a policy sees them: what a migration between two hosts crosses, how much of it is thought to be there, who has taken what. */
import type { HostId } from '../ids.ts'
import { type Path, type Snapshot, wayBetween } from '../inventory/snapshot.ts'
import type { PathEstimate } from '../forecast/path-capacity.ts'
import { lossLimit } from '../forecast/tcp.ts'
import { type Crossing, crossings, pathKey, Pool, type Taken } from '../control/water-filling.ts'

/** What a migration that has to wait may send: its connection lives. @unit bytes per second */
export const floor = 64 * 1024

export type Estimates = ReadonlyMap<string, PathEstimate>

export interface Lane {
  readonly path: Path | undefined
  readonly crossed: readonly Crossing[]
  /** Infinite where nothing is known to bound it. @unit bytes per second */
  readonly narrowest: number
  /** What one stream gets at best. @unit bytes per second */
  readonly perStream: number
  /** Other people are on it: even the first keeps off their share. */
  readonly shared: boolean
  /** Names what is shared on it. */
  readonly key: string
}

/** What is known to bound one stream: what the inventory says, and what loss does over that round trip. */
const streamLimit = ({ perFlow, rtt, loss }: Path): number =>
  Math.min(perFlow ?? Number.POSITIVE_INFINITY, lossLimit(rtt ?? 0, loss ?? 0))

/** Lanes are the same for as long as the estimates are. */
const known = new WeakMap<Estimates, Map<HostId, Map<HostId, Lane>>>()

export class Lanes {
  readonly #snapshot: Snapshot
  readonly #estimates: Estimates
  readonly #pool: Pool
  readonly #bounded: boolean

  /** @param bandwidth what the operator allows all together @unit bytes per second */
  constructor(snapshot: Snapshot, estimates: Estimates, bandwidth: number | undefined) {
    this.#snapshot = snapshot
    this.#estimates = estimates
    this.#pool = new Pool(bandwidth)
    this.#bounded = bandwidth !== undefined
  }

  lane(from: HostId, to: HostId): Lane {
    const all = known.get(this.#estimates) ?? new Map<HostId, Map<HostId, Lane>>()
    known.set(this.#estimates, all)
    const out = all.get(from) ?? new Map<HostId, Lane>()
    all.set(from, out)
    const found = out.get(to)
    if (found !== undefined) return found
    const lane = this.#measure(from, to)
    out.set(to, lane)
    return lane
  }

  offer(lane: Lane, streams: number): Taken {
    return this.#pool.offer(lane.crossed, lane.perStream * Math.max(1, streams))
  }

  take(lane: Lane, streams: number): Taken {
    return this.#pool.take(lane.crossed, lane.perStream * Math.max(1, streams))
  }

  /** Takes all it gets: nobody has a claim before it, and nobody else on the path is to be spared. */
  isFree({ shared }: Lane, { first }: Taken): boolean {
    return first && !shared && !this.#bounded
  }

  #measure(from: HostId, to: HostId): Lane {
    const path = wayBetween(this.#snapshot, from, to)
    const crossed = crossings(this.#snapshot, from, to, each => this.#estimate(each))
    return {
      path,
      crossed,
      narrowest: crossed.reduce((least, { capacity }) => Math.min(least, capacity), Number.POSITIVE_INFINITY),
      perStream: path === undefined ? Number.POSITIVE_INFINITY : streamLimit(path),
      shared: (path?.background ?? 0) > 0,
      key: path === undefined ? `${from} ${to}` : pathKey(path),
    }
  }

  /** What a path has for us: what it carries, less what is other people's. */
  #estimate(path: Path): number {
    const capacity = this.#estimates.get(pathKey(path))?.capacity ?? path.capacity ?? Number.POSITIVE_INFINITY
    return Math.max(floor, capacity - (path.background ?? 0))
  }
}
