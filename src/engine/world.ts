/** Everything outside the core, as one object: real, simulated or scripted. Nobody below the engine reaches for a clock or a hypervisor but through it. */
import type { HostId } from '../core/ids.ts'
import type { Hypervisor } from '../hypervisor/hypervisor.ts'
import type { Journal } from '../journal/journal.ts'
import type { NetworkMonitor } from '../monitor/monitor.ts'
import type { Clock } from '../time/clock.ts'

export interface World {
  readonly clock: Clock
  readonly journal: Journal
  /** Sees what the network does; undefined where nobody looks. */
  readonly monitor?: NetworkMonitor | undefined
  /** @throws Error for a host that is not configured */
  hypervisor(host: HostId): Hypervisor
}
