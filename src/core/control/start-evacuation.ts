/** The first state, from the first fact of a journal. */
import { nothingLearned } from '../forecast/forecasting.ts'
import type { HostId, VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { findVm } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import type { Migration } from '../migration/migration.ts'
import { policyByName } from '../policy/policy-by-name.ts'
import { openLedger } from '../plan/ledger.ts'
import type { Evacuation } from './evacuation.ts'
import { MigrationTable } from './migration-table.ts'
import type { Started } from './observed.ts'

/** @throws UnknownPolicy, or Error when the plan names a VM that the snapshot does not have (the judge refuses such a plan before) */
export function startEvacuation(started: Started, now: Instant): Evacuation {
  const migrations: Migration[] = []
  const vms = new Map<VmId, Vm>()
  const planned = new Map<VmId, HostId>()
  const enter = (id: VmId): Vm => {
    const vm = findVm(started.snapshot, id)
    if (vm === undefined) throw new Error(`the plan names ${id}, which is not in the inventory`)
    vms.set(id, vm)
    return vm
  }
  for (const { vm: id, target } of started.plan.moves) {
    const vm = enter(id)
    planned.set(id, target)
    migrations.push({
      phase: 'queued',
      vm: id,
      source: vm.host,
      attempts: 0,
      notBefore: undefined,
      excluded: [],
      lastFailure: undefined,
      wasted: 0,
    })
  }
  for (const { vm: id, failure } of started.plan.unplaced) {
    const vm = enter(id)
    migrations.push({ phase: 'given-up', vm: id, source: vm.host, attempts: 0, failure, wasted: 0 })
  }
  return {
    started,
    startedAt: now,
    policy: policyByName(started.policy),
    intent: 'run',
    degraded: undefined,
    migrations: MigrationTable.of(migrations),
    ledger: openLedger(started.snapshot),
    vms,
    planned,
    down: new Map(started.snapshot.unreachable.map(({ host, why }) => [host, why])),
    inDanger: new Map(),
    lost: new Map(),
    forecasting: { ...nothingLearned, correction: started.correction ?? nothingLearned.correction },
    network: new Map(),
    hostLoads: new Map(),
    endedAt: undefined,
  }
}
