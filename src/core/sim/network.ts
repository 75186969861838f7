/**
 * The network of a simulated world: what a flow between two hosts crosses, and how changes of the timeline take effect. Paths are
 * as the inventory has them; where it says nothing of a path, nothing bounds it but NICs and uplinks.
 */
import type { HostId, SiteId } from '../ids.ts'
import { findHost, pathBetween, type Path, type Snapshot } from '../inventory/snapshot.ts'
import { lossLimit } from '../forecast/tcp.ts'
import { backgroundStreams } from './physics/timings.ts'
import type { Flow, Resource } from './physics/share.ts'
import type { Ends, PathChange } from './timeline.ts'

export interface SimPath extends Resource {
  readonly path: Path
  rtt: number
  /** What one stream gets, as the inventory says. @unit bytes per second */
  perFlow: number
  /** Share of packets lost. */
  loss: number
  background: number
  cut: boolean
  /** When it was cut last; 0 when never. @unit ms */
  cutAt: number
  /** What it carries when it is not cut. @unit bytes per second */
  whole: number
}

/** Of what nothing bounds. */
export const infinite = Number.POSITIVE_INFINITY

export class SimNetwork {
  readonly #snapshot: Snapshot
  readonly #nics = new Map<HostId, Resource>()
  readonly #uplinks = new Map<SiteId, Resource>()
  readonly paths: readonly SimPath[]
  readonly #byPath: ReadonlyMap<Path, SimPath>

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot
    for (const { id, nic } of snapshot.hosts) if (nic !== undefined) this.#nics.set(id, { capacity: nic, lossy: false })
    for (const { id, uplink } of snapshot.sites)
      if (uplink !== undefined) this.#uplinks.set(id, { capacity: uplink, lossy: false })
    this.paths = snapshot.paths.map(path => ({
      path,
      capacity: path.capacity ?? infinite,
      whole: path.capacity ?? infinite,
      loss: path.loss ?? 0,
      lossy: (path.loss ?? 0) > 0,
      rtt: path.rtt ?? 0,
      perFlow: path.perFlow ?? infinite,
      background: path.background ?? 0,
      cut: false,
      cutAt: 0,
    }))
    this.#byPath = new Map(this.paths.map(each => [each.path, each]))
  }

  pathOf(from: HostId, to: HostId): SimPath | undefined {
    const path = pathBetween(this.#snapshot, from, to)
    return path === undefined ? undefined : this.#byPath.get(path)
  }

  /** Where paths are declared at all, hosts without one do not reach each other. */
  connects(from: HostId, to: HostId): boolean {
    return this.#snapshot.paths.length === 0 || this.pathOf(from, to)?.cut === false
  }

  crossed(from: HostId, to: HostId): readonly Resource[] {
    const path = this.pathOf(from, to)
    const [a, b] = [from, to].map(host => findHost(this.#snapshot, host)?.site)
    return [
      this.#nics.get(from),
      a === undefined || a === b ? undefined : this.#uplinks.get(a),
      path,
      b === undefined || a === b ? undefined : this.#uplinks.get(b),
      this.#nics.get(to),
    ].filter(resource => resource !== undefined)
  }

  /** Other people's traffic, as flows that share like ours. */
  background(): readonly Flow[] {
    return this.paths
      .filter(({ background, capacity }) => background > 0 && capacity > 0)
      .map(path => ({ weight: backgroundStreams, most: path.background, crosses: [path] }))
  }

  /** Every path between these ends, in both directions. */
  between([a, b]: Ends): readonly SimPath[] {
    return this.paths.filter(({ path: { from, to } }) => (from === a && to === b) || (from === b && to === a))
  }

  change(path: SimPath, { capacity, rtt, loss, perFlow, background }: PathChange): void {
    if (capacity !== undefined) path.whole = capacity
    if (rtt !== undefined) path.rtt = rtt
    if (loss !== undefined) {
      path.loss = loss
      path.lossy = loss > 0
    }
    if (perFlow !== undefined) path.perFlow = perFlow
    if (background !== undefined) path.background = background
    path.capacity = path.cut ? 0 : path.whole
  }

  cut(path: SimPath, now: number): void {
    if (!path.cut) path.cutAt = now
    path.cut = true
    path.capacity = 0
  }

  heal(path: SimPath): void {
    path.cut = false
    path.capacity = path.whole
  }

  /** The most that one stream between two hosts gets, however empty the path. @unit bytes per second */
  perStream(from: HostId, to: HostId): number {
    const path = this.pathOf(from, to)
    return path === undefined ? infinite : Math.min(path.perFlow, lossLimit(path.rtt, path.loss))
  }
}
