/** Where a VM may go: every rule is a filter that returns nothing or a reason with numbers; among what is left, the emptiest host. */
import type { HostId, SiteId } from '../ids.ts'
import { findHost, type Host, pathBetween, type Snapshot, siteOf } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { freeMemory, keptAwayBy, type Ledger } from './ledger.ts'
import type { Refusal } from './refusal.ts'

export interface PlacementView {
  readonly snapshot: Snapshot
  readonly ledger: Ledger
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  /** Hosts that do not answer now, with the reason. */
  readonly down: ReadonlyMap<HostId, string>
  /** Hosts that refused this very VM before. */
  readonly excluded: readonly HostId[]
}

export type Filter = (vm: Vm, host: Host, view: PlacementView) => Refusal | undefined

const endangered: Filter = (_vm, host, view) =>
  view.endangered.includes(host.site) ? { why: 'endangered', site: host.site } : undefined

const chosen: Filter = (_vm, host, view) =>
  view.targets.includes(host.site) ? undefined : { why: 'not-chosen', site: host.site }

const allowed: Filter = ({ policy: { targets } }, host) =>
  targets === undefined || targets.some(place => place === host.id || place === host.site)
    ? undefined
    : { why: 'not-allowed', allowed: targets }

const reachable: Filter = (_vm, host, view) => {
  const detail = view.down.get(host.id)
  return detail === undefined ? undefined : { why: 'unreachable', detail }
}

const refusedBefore: Filter = (_vm, host, view) =>
  view.excluded.includes(host.id)
    ? { why: 'failed-before', detail: 'an earlier attempt to this host failed' }
    : undefined

/** Where any path is declared at all, an undeclared one does not exist. */
const connected: Filter = (vm, host, { snapshot }) => {
  const from = siteOf(snapshot, vm.host)
  if (from === undefined || snapshot.paths.length === 0 || pathBetween(snapshot, vm.host, host.id) !== undefined)
    return undefined
  return { why: 'no-path', from, to: host.site }
}

/** Counts who lives there, who has landed and who is on the way. */
const apart: Filter = (vm, host, { ledger }) => {
  const beside = keptAwayBy(ledger, host.id, vm)
  if (beside === undefined || vm.policy.antiAffinity === undefined) return undefined
  return { why: 'anti-affinity', name: vm.policy.antiAffinity, beside }
}

const memory: Filter = (vm, host, { ledger }) => {
  const free = freeMemory(ledger, host.id)
  return vm.memory <= free ? undefined : { why: 'memory', need: vm.memory, free }
}

/** In the order in which a reader wants the reasons: what no other host cures comes first. */
export const filters: readonly Filter[] = [
  endangered,
  chosen,
  allowed,
  reachable,
  refusedBefore,
  connected,
  apart,
  memory,
]

export type Placement =
  | { readonly placed: true; readonly host: HostId }
  | { readonly placed: false; readonly refusals: readonly (readonly [HostId, Refusal])[] }

export const refuse = (vm: Vm, host: Host, view: PlacementView): Refusal | undefined => {
  for (const filter of filters) {
    const refusal = filter(vm, host, view)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/** Every host that would do, of the sites that were chosen. */
export const acceptable = (vm: Vm, view: PlacementView): readonly Host[] =>
  view.snapshot.hosts.filter(host => view.targets.includes(host.site) && refuse(vm, host, view) === undefined)

/**
 * The host with the most memory left after the move, or `preferred` if that one accepts.
 * Hosts of sites that are not among the targets are not asked, so that reasons speak of real candidates only.
 */
export function place(vm: Vm, view: PlacementView, preferred: HostId | undefined): Placement {
  const wished = preferred === undefined ? undefined : findHost(view.snapshot, preferred)
  if (wished !== undefined && refuse(vm, wished, view) === undefined) return { placed: true, host: wished.id }
  const candidates = view.snapshot.hosts.filter(host => view.targets.includes(host.site))
  const refusals: (readonly [HostId, Refusal])[] = []
  let best: { readonly host: HostId; readonly free: number } | undefined
  for (const host of candidates) {
    const refusal = refuse(vm, host, view)
    if (refusal !== undefined) {
      refusals.push([host.id, refusal])
      continue
    }
    const free = freeMemory(view.ledger, host.id) - vm.memory
    if (best === undefined || free > best.free) best = { host: host.id, free }
  }
  return best === undefined ? { placed: false, refusals } : { placed: true, host: best.host }
}
