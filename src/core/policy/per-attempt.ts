/** What a policy remembers of each running attempt, from one decision to the next. */
import type { VmId } from '../ids.ts'
import type { PreCopy } from '../migration/migration.ts'
import type { PolicyView } from './policy.ts'

export interface Attempted {
  readonly attempt: number
}

export const sameAttempt = <T extends Attempted>(before: T | undefined, m: PreCopy): before is T =>
  before !== undefined && before.attempt === m.attempt

/** Of what is in pre-copy now; the rest is forgotten. */
export function remember<T extends Attempted>(
  known: ReadonlyMap<VmId, T>,
  { migrations }: PolicyView,
  look: (m: PreCopy, before: T | undefined) => T,
): ReadonlyMap<VmId, T> {
  const seen = new Map([...migrations.in('pre-copy')].map(m => [m.vm, look(m, known.get(m.vm))]))
  // The same memory is the same value: nobody has to note that nothing changed.
  const same = seen.size === known.size && [...seen].every(([vm, value]) => known.get(vm) === value)
  return same ? known : seen
}
