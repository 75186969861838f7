/** Until when all has to be home: the earliest of what the operator knows and what the power rooms said. */
import type { SiteId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { Milliseconds } from '../units.ts'

export interface Deadline {
  /** Since the alarm. */
  readonly at: Milliseconds
  /** For people: `the deadline`, `the power of sendai`. */
  readonly of: string
}

/** @returns undefined when nothing is known */
export function deadlineOf({ deadline, power }: Snapshot, endangered: readonly SiteId[]): Deadline | undefined {
  let earliest: Deadline | undefined = deadline === undefined ? undefined : { at: deadline, of: 'the deadline' }
  for (const { site, runtime } of power) {
    if (!endangered.includes(site)) continue
    if (earliest === undefined || runtime < earliest.at) earliest = { at: runtime, of: `the power of ${site}` }
  }
  return earliest
}
