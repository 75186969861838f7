/** What a policy reads from what is known of a guest. */
import type { Vm } from '../../inventory/vm.ts'

/** What it writes anew, at most. @unit bytes per second */
export const writesOf = ({ dirty }: Vm): number =>
  dirty === undefined ? 0 : dirty.cold + dirty.hot / Math.max(0.001, dirty.period / 1000)
