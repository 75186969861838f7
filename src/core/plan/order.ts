/**
 * In which order VMs leave. `value-per-time`: most value for each second of the path first (Smith's rule). With equal values that is the
 * quickest first, which makes the mean completion the least there can be, and brings out as many as can be by any deadline; with
 * different values it is the greedy answer to the knapsack. What does not converge at the rate it would get goes last.
 */
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import { bytesToMove, type Vm, writesOf } from '../inventory/vm.ts'

export type Order = 'inventory' | 'value-per-time'

/** @param rateOf what it would get if it had its way to itself @unit bytes per second */
export function inOrder(vms: readonly Vm[], order: Order, rateOf: (vm: Vm) => number): readonly Vm[] {
  if (order === 'inventory') return vms
  const worth = new Map(vms.map(vm => [vm, valuePerTime(vm, rateOf(vm))]))
  const size = (vm: Vm): number => bytesToMove(vm)
  return [...vms].sort((a, b) => (worth.get(b) ?? 0) - (worth.get(a) ?? 0) || size(a) - size(b))
}

/** Nothing crosses in no time: a switchover at the least. @unit ms */
const leastDuration = 100

function valuePerTime(vm: Vm, rate: number): number {
  // Without a capacity all rates are alike, and bytes tell the order as well as times.
  const known = Number.isFinite(rate) ? rate : 1
  const takes = Number.isFinite(rate)
    ? preCopyDuration(bytesToMove(vm), writesOf(vm), known, vm.policy.maxDowntime)
    : bytesToMove(vm)
  return Number.isFinite(takes) ? vm.value / Math.max(leastDuration, takes) : 0
}
