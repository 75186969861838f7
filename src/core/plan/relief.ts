/**
 * Who is sent elsewhere because the host it was meant for has no processor left: there it would be received late, and run badly. A wish
 * and no rule: an overloaded host is better than none, so nothing here may cost another VM its place.
 */
import type { HostId } from '../ids.ts'
import { findHost, type Host, hostsOfSite, type Snapshot, wayBetween } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { freeMemory } from './ledger.ts'
import { type PlacementView, refuse } from './placement.ts'

/** What waits at home and is meant for one host. */
export interface Meant {
  /** @unit bytes */
  readonly memory: number
  /** How many of each anti-affinity. */
  readonly apart: ReadonlyMap<string, number>
}

export interface TargetLoads {
  isOverloaded(host: HostId): boolean
  meantFor(host: HostId): Meant
}

export function meantByHost(waiting: Iterable<readonly [HostId, Vm]>): ReadonlyMap<HostId, Meant> {
  const all = new Map<HostId, { memory: number; readonly apart: Map<string, number> }>()
  for (const [host, { memory, policy }] of waiting) {
    const meant = all.get(host) ?? { memory: 0, apart: new Map<string, number>() }
    all.set(host, meant)
    meant.memory += memory
    const { antiAffinity } = policy
    if (antiAffinity !== undefined) meant.apart.set(antiAffinity, (meant.apart.get(antiAffinity) ?? 0) + 1)
  }
  return all
}

/**
 * A host of the same site, to which the same way leads at no lower rate, and which keeps room for all that are meant for it; of several
 * the emptiest.
 * @param planned the host it is meant for, if for any
 * @returns `wish` when it is not overloaded, or nobody can relieve it
 */
export function relieved(
  vm: Vm,
  wish: HostId,
  planned: HostId | undefined,
  view: PlacementView,
  loads: TargetLoads,
): HostId {
  const wished = findHost(view.snapshot, wish)
  if (wished === undefined || !loads.isOverloaded(wish)) return wish
  let best: { readonly host: HostId; readonly free: number } | undefined
  for (const host of hostsOfSite(view.snapshot, wished.site)) {
    if (host.id === wish || loads.isOverloaded(host.id) || !isReachedAlike(view.snapshot, vm, wished, host)) continue
    if (refuse(vm, host, view) !== undefined) continue
    const free = roomBeside(vm, host.id, view, loads.meantFor(host.id), planned === host.id)
    if (free !== undefined && (best === undefined || free > best.free)) best = { host: host.id, free }
  }
  return best?.host ?? wish
}

const isReachedAlike = (snapshot: Snapshot, { host: from }: Vm, wished: Host, other: Host): boolean =>
  wayBetween(snapshot, from, other.id) === wayBetween(snapshot, from, wished.id) &&
  (other.nic ?? Number.POSITIVE_INFINITY) >= (wished.nic ?? Number.POSITIVE_INFINITY)

/**
 * What stays free when all that are meant for it have come as well; undefined where one of them would be turned away.
 * @param isMeant it is one of them itself
 * @unit bytes
 */
function roomBeside(
  { memory, policy: { antiAffinity } }: Vm,
  host: HostId,
  { ledger }: PlacementView,
  meant: Meant,
  isMeant: boolean,
): number | undefined {
  const alike = antiAffinity === undefined ? 0 : (meant.apart.get(antiAffinity) ?? 0)
  if (alike > (isMeant ? 1 : 0)) return undefined
  const free = freeMemory(ledger, host) - meant.memory - (isMeant ? 0 : memory)
  return free >= 0 ? free : undefined
}
