/**
 * In which order VMs leave. `value-per-time`: most value for each second of the path first (Smith's rule). With equal values that is the
 * quickest first, which makes the mean completion the least there can be, and brings out as many as can be by any deadline; with
 * different values it is the greedy answer to the knapsack. What does not converge at the rate it would get goes last.
 *
 * A group is ordered as one: all its value for all its time, inside smallest first. One of it that does not converge goes last by itself.
 */
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import { bytesToMove, type Vm, writesOf } from '../inventory/vm.ts'
import { smallestFirst, type Unit, unitSize, unitsOf } from './groups.ts'

export type Order = 'inventory' | 'value-per-time'

/** @param rateOf what it would get if it had its way to itself @unit bytes per second */
export function inOrder(vms: readonly Vm[], order: Order, rateOf: (vm: Vm) => number): readonly Vm[] {
  if (order === 'inventory') return vms
  const takes = new Map(vms.map(vm => [vm, timeOf(vm, rateOf(vm))]))
  const ends = (vm: Vm): boolean => Number.isFinite(takes.get(vm))
  const units = [...unitsOf(vms.filter(ends)), ...vms.filter(vm => !ends(vm)).map(vm => [vm])]
  return units
    .map(unit => ({ unit, size: unitSize(unit), worth: worthOf(unit, takes) }))
    .sort((a, b) => b.worth - a.worth || a.size - b.size)
    .flatMap(({ unit }) => smallestFirst(unit))
}

/** Nothing crosses in no time: a switchover at the least. @unit ms */
const leastDuration = 100

/** @unit ms, or bytes where no rate is known: without a capacity all rates are alike, and bytes tell the order as well as times */
function timeOf(vm: Vm, rate: number): number {
  if (!Number.isFinite(rate)) return Math.max(leastDuration, bytesToMove(vm))
  return Math.max(leastDuration, preCopyDuration(bytesToMove(vm), writesOf(vm), rate, vm.policy.maxDowntime))
}

/** What does not end is worth nothing per second of it. */
function worthOf(unit: Unit, takes: ReadonlyMap<Vm, number>): number {
  let value = 0
  let time = 0
  for (const vm of unit) {
    value += vm.value
    time += takes.get(vm) ?? 0
  }
  return value / time
}
