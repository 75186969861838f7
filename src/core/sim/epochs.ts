/** The world as its timeline makes it, cut into spans of time in which nothing changes: for those who may look ahead (the oracle, plots). */
import type { HostId } from '../ids.ts'
import { findHost, type Path, type Snapshot } from '../inventory/snapshot.ts'
import { infinite, SimNetwork } from './network.ts'
import type { Timeline } from './timeline.ts'

export interface Epoch {
  /** @unit ms since the alarm */
  readonly from: number
  /** Infinite for the last. */
  readonly until: number
  /** 0 while it is cut. @unit bytes per second */
  readonly capacity: ReadonlyMap<Path, number>
  readonly down: ReadonlySet<HostId>
}

/** In order, from the alarm, without a gap. */
export function epochsOf(snapshot: Snapshot, timeline: Timeline): readonly Epoch[] {
  const network = new SimNetwork(snapshot)
  const down = new Set<HostId>()
  const epochs: Epoch[] = []
  let from = 0
  const close = (until: number): void => {
    if (until <= from) return
    const capacity = new Map(network.paths.map(path => [path.path, path.capacity]))
    epochs.push({ from, until, capacity, down: new Set(down) })
    from = until
  }
  for (const { at, what } of [...timeline].sort((a, b) => a.at - b.at)) {
    switch (what.kind) {
      case 'path':
      case 'cut':
      case 'heal':
        close(at)
        for (const path of network.between(what.path)) {
          if (what.kind === 'path') network.change(path, what.change)
          else if (what.kind === 'cut') network.cut(path, at)
          else network.heal(path)
        }
        break
      case 'power-off':
      case 'host-down':
        close(at)
        for (const host of snapshot.hosts)
          if (what.kind === 'host-down' ? host.id === what.host : host.site === what.site) down.add(host.id)
        break
      // The oracle knows from the start whom to keep away from, and may be better off for it; room only shrinks, so its bound holds.
      case 'endanger':
      case 'occupied':
      case 'busy':
      case 'power':
      case 'dirty':
      case 'crash':
      case 'fail':
        break
    }
  }
  close(infinite)
  return epochs
}

/** When a host stops for good; infinite when it never does. @unit ms since the alarm */
export const endOf = (epochs: readonly Epoch[], host: HostId): number =>
  epochs.find(({ down }) => down.has(host))?.from ?? infinite

export const nicOf = (snapshot: Snapshot, host: HostId): number => findHost(snapshot, host)?.nic ?? infinite
