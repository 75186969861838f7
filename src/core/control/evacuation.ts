/** The state of one evacuation: a fold over its journal. Read-only; `step` makes the next one. */
import type { Forecasting } from '../forecast/forecasting.ts'
import type { HostSignal } from '../forecast/host-signal.ts'
import type { PathSignal } from '../forecast/path-signal.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { findVm } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { isInFlight, type Migration, move } from '../migration/migration.ts'
import { type Ledger, release, reserve } from '../plan/ledger.ts'
import type { Policy } from '../policy/policy.ts'
import { ms } from '../units.ts'
import type { MigrationTable } from './migration-table.ts'
import type { Started } from './observed.ts'

/**
 * What the operator wants: go on; start nothing new; start nothing new and let go of what has not begun, for the controller is
 * leaving; call back what can be called back.
 */
export type Intent = 'run' | 'paused' | 'winding-down' | 'aborting'

export interface Evacuation {
  readonly started: Started
  readonly startedAt: Instant
  readonly policy: Policy
  readonly intent: Intent
  /** Why nothing new is admitted although nobody paused. */
  readonly degraded: string | undefined
  /** In the plan's order, then those without a place. */
  readonly migrations: MigrationTable
  /** Memory and company as they are promised now: VMs at home, landed, and on their way. Kept by {@link withMigration}. */
  readonly ledger: Ledger
  readonly vms: ReadonlyMap<VmId, Vm>
  /** Planned targets. */
  readonly planned: ReadonlyMap<VmId, HostId>
  readonly down: ReadonlyMap<HostId, string>
  /** Sites that were to receive VMs and became endangered since, with when: nobody is sent there any more. */
  readonly inDanger: ReadonlyMap<SiteId, Instant>
  /** Sites without power, and what is known of it. */
  readonly lost: ReadonlyMap<SiteId, string>
  readonly forecasting: Forecasting
  /** By path: what the network showed last. */
  readonly network: ReadonlyMap<string, PathSignal>
  /** What the processors of hosts showed last; only of those that were overloaded once. */
  readonly hostLoads: ReadonlyMap<HostId, HostSignal>
  readonly endedAt: Instant | undefined
}

/** How long VMs in doubt are waited for when there is nothing else left to do. They are then reported as uncertain. */
export const uncertainPatience = ms(300_000)

/** Sites that are being left, and those that ought to be. */
export const endangeredNow = ({ started, inDanger }: Evacuation): readonly SiteId[] =>
  inDanger.size === 0 ? started.endangered : [...started.endangered, ...inDanger.keys()]

/** Sites that still receive. */
export const targetsNow = ({ started, inDanger }: Evacuation): readonly SiteId[] =>
  inDanger.size === 0 ? started.targets : started.targets.filter(site => !inDanger.has(site))

/** Where a migration holds memory, beside the VM's home. */
const holds = (m: Migration): HostId | undefined => (m.phase === 'landed' || isInFlight(m) ? m.target : undefined)

/** @throws Error when the edge is illegal */
export function withMigration(state: Evacuation, next: Migration): Evacuation {
  const current = state.migrations.get(next.vm)
  if (current === undefined) throw new Error(`${next.vm} is not part of this evacuation`)
  if (current === next) return state
  const migrations = state.migrations.with(move(current, next))
  const [before, after] = [holds(current), holds(next)]
  if (before === after) return { ...state, migrations }
  const vm = vmOf(state, next.vm)
  const freed = before === undefined ? state.ledger : release(state.ledger, before, vm)
  return { ...state, migrations, ledger: after === undefined ? freed : reserve(freed, after, vm) }
}

export function vmOf(state: Evacuation, id: VmId): Vm {
  const vm = state.vms.get(id) ?? findVm(state.started.snapshot, id)
  if (vm === undefined) throw new Error(`${id} is not part of this evacuation`)
  return vm
}
