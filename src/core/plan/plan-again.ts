/** New targets for some VMs in the middle of an evacuation, beside everything that is under way, landed or planned already. */
import type { HostId, VmId } from '../ids.ts'
import { siteOf } from '../inventory/snapshot.ts'
import { planEvacuation, type PlanRequest } from './plan-evacuation.ts'

export interface PlanAgainRequest extends PlanRequest {
  /** Who needs a new target; they are at home. */
  readonly again: ReadonlySet<VmId>
  /** Where each of the others counts as being: where it landed, is on its way to, or is planned to go. */
  readonly whereabouts: (vm: VmId) => HostId | undefined
  /** Hosts that do not answer now, with the reason. */
  readonly down: ReadonlyMap<HostId, string>
}

/** @returns the new targets; who has none finds no place now */
export function planAgain(request: PlanAgainRequest): ReadonlyMap<VmId, HostId> {
  const { snapshot, endangered, again, whereabouts, down } = request
  const vms = snapshot.vms.flatMap(vm => {
    if (again.has(vm.id)) return [vm]
    const host = whereabouts(vm.id) ?? vm.host
    const site = siteOf(snapshot, host)
    // What stays in a site that is being left takes no room anywhere else.
    return site !== undefined && endangered.includes(site) ? [] : [{ ...vm, host }]
  })
  const unreachable = [...down].map(([host, why]) => ({ host, why }))
  const { moves } = planEvacuation({ ...request, snapshot: { ...snapshot, vms, unreachable } })
  return new Map(moves.map(({ vm, target }) => [vm, target]))
}
