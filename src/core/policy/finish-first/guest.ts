/** What a policy reads from what is known of a guest. */
import { type Vm, writesOf } from '../../inventory/vm.ts'

/** What it writes anew, memory and the disks that go along, at most. @unit bytes per second */
export function dirtiesOf(vm: Vm): number {
  const writes = writesOf(vm)
  return writes === undefined ? 0 : writes.cold + writes.hot / Math.max(0.001, writes.period / 1000)
}
