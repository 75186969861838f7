/** What the hosts' answers leave to be desired, for the operator, on standard error: before a plan, not after it. */
import type { Taken } from '../engine/take-snapshot.ts'
import { err } from './output.ts'

export function warnAbout({ snapshot, warnings }: Pick<Taken, 'snapshot' | 'warnings'>): void {
  for (const { host, why } of snapshot.unreachable)
    err(`warning: host ${host} does not answer, its VMs are not known: ${why}`)
  for (const { vm, host, what } of warnings)
    err(`warning: VM ${vm} on ${host}: in its own policy, ${what}. Write it anew: lifeboat policy set ${vm} …`)
}
