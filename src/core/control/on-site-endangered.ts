/**
 * A site that was to receive VMs is in danger itself. From now on no VM is sent there: those queued for it get other targets, those
 * on their way to it are called back where another host would take them and nothing is past the point of no return. What has landed
 * there stays where it is: the report counts it, and says that it must leave again.
 */
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { findSite, siteOf } from '../inventory/snapshot.ts'
import type { MigrationFailure } from '../migration/failure.ts'
import { isInFlight, type Migration, type PreCopy } from '../migration/migration.ts'
import { place } from '../plan/placement.ts'
import { planAgain } from '../plan/plan-again.ts'
import type { Command } from './command.ts'
import { endangeredNow, type Evacuation, targetsNow, vmOf, withMigration } from './evacuation.ts'
import { type Decision, nothing, routeOf, targetInDanger } from './on-attempt.ts'

export function onSiteEndangered(before: Evacuation, site: SiteId, now: Instant): Decision {
  const { snapshot } = before.started
  if (findSite(snapshot, site) === undefined || endangeredNow(before).includes(site)) return nothing(before)
  let state: Evacuation = { ...before, inDanger: new Map(before.inDanger).set(site, now) }
  const isThere = (host: HostId | undefined): boolean => host !== undefined && siteOf(snapshot, host) === site
  const commands: Command[] = []
  const again = new Set<VmId>()
  for (const m of before.migrations.in('queued')) if (isThere(before.planned.get(m.vm))) again.add(m.vm)
  for (const m of before.migrations.in('preparing', 'pre-copy')) {
    const failure = isThere(m.target) ? targetInDanger(state, m.target) : undefined
    if (failure === undefined) continue
    if (m.phase === 'preparing') {
      again.add(m.vm)
      // One that is not ready yet is taken down when it reports (on-attempt.ts, onReady).
      if (!m.ready) continue
      // Nor is it started any more, while that is done.
      state = withMigration(state, { ...m, ready: false })
      commands.push({ kind: 'roll-back', ...routeOf(m), failure })
    } else if (m.cancelling === undefined && !m.switching && findsOther(state, m)) {
      again.add(m.vm)
      state = withMigration(state, { ...m, cancelling: failure })
      commands.push({ kind: 'cancel', ...routeOf(m), why: detailOf(failure) })
    }
  }
  return { state: { ...state, planned: planFor(state, again) }, commands }
}

const detailOf = (failure: MigrationFailure): string => ('detail' in failure ? failure.detail : failure.code)

/** On its way into danger is better than at home only where nobody else would take it. */
function findsOther(state: Evacuation, m: PreCopy): boolean {
  const { snapshot } = state.started
  const view = {
    snapshot,
    ledger: state.ledger,
    endangered: endangeredNow(state),
    targets: targetsNow(state),
    down: state.down,
    excluded: m.excluded,
  }
  return place(vmOf(state, m.vm), view, undefined).placed
}

function planFor(state: Evacuation, again: ReadonlySet<VmId>): ReadonlyMap<VmId, HostId> {
  const { snapshot, policy, limits } = state.started
  const planned = new Map(state.planned)
  for (const vm of again) planned.delete(vm)
  const holds = (m: Migration): HostId | undefined => (m.phase === 'landed' || isInFlight(m) ? m.target : undefined)
  const found = planAgain({
    snapshot,
    endangered: state.started.endangered,
    targets: targetsNow(state),
    policy,
    slots: state.policy.slots,
    order: state.policy.order ?? 'inventory',
    bandwidth: limits.bandwidth,
    again,
    whereabouts: vm => {
      const m = state.migrations.get(vm)
      return m === undefined ? undefined : (holds(m) ?? (m.phase === 'queued' ? planned.get(vm) : undefined))
    },
    down: state.down,
  })
  for (const [vm, host] of found) if (again.has(vm)) planned.set(vm, host)
  return planned
}
