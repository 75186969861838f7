/** What a plan means for whoever typed the command: its exit code, and what an empty one says. */
import type { HostId, SiteId } from '../core/ids.ts'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import type { Plan } from '../core/plan/plan.ts'
import { exitCode, type ExitCode } from './exit.ts'

export const misfits = (plan: Plan): Plan['unplaced'] =>
  plan.unplaced.filter(({ failure }) => failure.code === 'no-target')

/** A host that does not answer may run VMs of which the plan knows nothing: then not all is as asked. */
export function exitOfPlan(plan: Plan, snapshot: Snapshot, endangered: readonly SiteId[]): ExitCode {
  if (misfits(plan).length > 0) return exitCode.infeasible
  return silentOf(snapshot, endangered).length > 0 ? exitCode.partly : exitCode.asAsked
}

/** What nobody could ask is not said to be empty. */
export function nobodyRuns(site: string, snapshot: Snapshot, endangered: readonly SiteId[]): string {
  const silent = silentOf(snapshot, endangered)
  return silent.length === 0
    ? `No VM runs in ${site}: nothing to do.`
    : `No VM is known to run in ${site}; not known what runs on ${silent.join(', ')}, which does not answer.`
}

const silentOf = ({ hosts, unreachable }: Snapshot, endangered: readonly SiteId[]): readonly HostId[] =>
  unreachable
    .map(({ host }) => host)
    .filter(host => hosts.some(({ id, site }) => id === host && endangered.includes(site)))
