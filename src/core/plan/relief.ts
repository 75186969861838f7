/**
 * Who is sent elsewhere because the host it was meant for has no processor left: there it would be received late, and run badly. A wish
 * and no rule: an overloaded host is better than none, so nothing here may cost another VM its place.
 */
import type { HostId } from '../ids.ts'
import { findHost, type Host, hostsOfSite, type Snapshot, wayBetween } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { freeMemory } from './ledger.ts'
import { type PlacementView, refuse } from './placement.ts'

export interface TargetLoads {
  isOverloaded(host: HostId): boolean
  /** VMs that wait at home and are meant for that host. */
  meantFor(host: HostId): Iterable<Vm>
}

/**
 * A host of the same site, to which the same way leads at no lower rate, and which keeps room for all that are meant for it; of several
 * the emptiest.
 * @returns `wish` when it is not overloaded, or nobody can relieve it
 */
export function relieved(vm: Vm, wish: HostId, view: PlacementView, loads: TargetLoads): HostId {
  const wished = findHost(view.snapshot, wish)
  if (wished === undefined || !loads.isOverloaded(wish)) return wish
  let best: { readonly host: HostId; readonly free: number } | undefined
  for (const host of hostsOfSite(view.snapshot, wished.site)) {
    if (host.id === wish || loads.isOverloaded(host.id) || !isReachedAlike(view.snapshot, vm, wished, host)) continue
    if (refuse(vm, host, view) !== undefined) continue
    const free = roomBeside(vm, host.id, view, loads.meantFor(host.id))
    if (free !== undefined && (best === undefined || free > best.free)) best = { host: host.id, free }
  }
  return best?.host ?? wish
}

const isReachedAlike = (snapshot: Snapshot, { host: from }: Vm, wished: Host, other: Host): boolean =>
  wayBetween(snapshot, from, other.id) === wayBetween(snapshot, from, wished.id) &&
  (other.nic ?? Number.POSITIVE_INFINITY) >= (wished.nic ?? Number.POSITIVE_INFINITY)

/** What stays free when all that are meant for it have come as well; undefined where one of them would be turned away. @unit bytes */
function roomBeside(vm: Vm, host: HostId, { ledger }: PlacementView, meant: Iterable<Vm>): number | undefined {
  let free = freeMemory(ledger, host) - vm.memory
  for (const { id, memory, policy } of meant) {
    if (id === vm.id) continue
    const apart = policy.antiAffinity
    if (apart !== undefined && apart === vm.policy.antiAffinity) return undefined
    free -= memory
  }
  return free >= 0 ? free : undefined
}
