/** How fast the ways out of a host are, by what is stated or was measured before. */
import { crossings } from '../control/water-filling.ts'
import type { HostId, SiteId } from '../ids.ts'
import { pathBetween, type Snapshot, wayBetween } from '../inventory/snapshot.ts'
import { type BytesPerSecond, bytesPerSecond, slowest } from '../units.ts'

export interface WayOut {
  readonly to: SiteId
  /** The most that one migration could get. `undefined`: not known. */
  readonly rate: BytesPerSecond | undefined
}

/** @param targets hosts that could receive; where paths are declared, those that none leads to are left out */
export function waysOut(
  snapshot: Snapshot,
  from: HostId,
  targets: readonly { readonly id: HostId; readonly site: SiteId }[],
): readonly WayOut[] {
  return targets.flatMap(({ id, site }) => {
    const path = snapshot.paths.length === 0 ? wayBetween(snapshot, from, id) : pathBetween(snapshot, from, id)
    if (path === undefined) return []
    const crossed = crossings(snapshot, from, id, ({ capacity, perFlow }) => slowest(capacity, perFlow))
    // Cards alone say nothing of what is between the sites.
    const between = crossed.filter(({ key, capacity }) => !isCard(key) && Number.isFinite(capacity))
    const rate = Math.min(...crossed.map(({ capacity }) => capacity))
    return [{ to: site, rate: between.length === 0 ? undefined : bytesPerSecond(rate) }]
  })
}

const isCard = (key: string): boolean => key.startsWith('out of ') || key.startsWith('into ')
