/**
 * VMs of one group belong together: an application whose parts should not be torn apart for longer than it takes. They leave one
 * after the other, so that their switchovers are close together, and to one site where that has room for them. Both are wishes: a
 * VM that is safe apart from its group is better than one that is left.
 */
import type { SiteId } from '../ids.ts'
import { hostsOfSite, type Snapshot } from '../inventory/snapshot.ts'
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import { freeMemory, type Ledger } from './ledger.ts'

/** What is ordered as one: the VMs of a group, or one VM of none. */
export type Unit = readonly Vm[]

/** In the order in which the first of each stands; nobody is left out, nobody is there twice. */
export function unitsOf(vms: readonly Vm[]): readonly Unit[] {
  const groups = new Map<string, Vm[]>()
  const units: Vm[][] = []
  for (const vm of vms) {
    const there = vm.group === undefined ? undefined : groups.get(vm.group)
    if (there !== undefined) {
      there.push(vm)
      continue
    }
    const unit = [vm]
    units.push(unit)
    if (vm.group !== undefined) groups.set(vm.group, unit)
  }
  return units
}

/** @unit bytes */
export const unitSize = (unit: Unit): number => unit.reduce((sum, vm) => sum + bytesToMove(vm), 0)

export const smallestFirst = (unit: Unit): Unit => [...unit].sort((a, b) => bytesToMove(a) - bytesToMove(b))

export interface GroupWish {
  /** Where others of its group are going; before the first, those with room for all. */
  readonly sites: ReadonlySet<SiteId>
  /** What its group will bring there, if that is still to be decided. @unit bytes */
  readonly brings: number
}

/** Where the groups of one plan have gone so far. */
export class GroupSites {
  readonly #snapshot: Snapshot
  readonly #memory = new Map<string, number>()
  readonly #bytes = new Map<string, number>()
  readonly #members = new Map<string, number>()
  readonly #chosen = new Map<string, SiteId>()

  constructor(snapshot: Snapshot, vms: readonly Vm[]) {
    this.#snapshot = snapshot
    for (const vm of vms) {
      const { group, memory } = vm
      if (group === undefined) continue
      this.#memory.set(group, (this.#memory.get(group) ?? 0) + memory)
      this.#bytes.set(group, (this.#bytes.get(group) ?? 0) + bytesToMove(vm))
      this.#members.set(group, (this.#members.get(group) ?? 0) + 1)
    }
  }

  /** `undefined`: it is of no group, or of one that finds room nowhere. */
  wish({ group }: Vm, targets: readonly SiteId[], ledger: Ledger): GroupWish | undefined {
    if (group === undefined || (this.#members.get(group) ?? 0) < 2) return undefined
    const chosen = this.#chosen.get(group)
    if (chosen !== undefined) return { sites: new Set([chosen]), brings: 0 }
    const need = this.#memory.get(group) ?? 0
    const roomy = targets.filter(site => this.#roomIn(site, ledger) >= need)
    return roomy.length === 0 ? undefined : { sites: new Set(roomy), brings: this.#bytes.get(group) ?? 0 }
  }

  /** The first of a group decides. */
  went({ group }: Vm, site: SiteId | undefined): void {
    if (group !== undefined && site !== undefined && !this.#chosen.has(group)) this.#chosen.set(group, site)
  }

  #roomIn(site: SiteId, ledger: Ledger): number {
    return hostsOfSite(this.#snapshot, site).reduce((sum, { id }) => sum + freeMemory(ledger, id), 0)
  }
}
