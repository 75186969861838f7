/** What became of a VM, in the end, from the phase its migration stands in. */
import { type MigrationFailure, showFailure } from './failure.ts'
import type { Migration } from './migration.ts'

export const outcomes = ['safe', 'left', 'saved', 'stopped', 'uncertain', 'lost'] as const
export type Outcome = (typeof outcomes)[number]

export const outcomeOf = (m: Migration): Outcome => {
  switch (m.phase) {
    case 'landed':
      return 'safe'
    case 'uncertain':
      return 'uncertain'
    case 'given-up':
      return m.failure.code === 'vm-died' ? 'lost' : 'left'
    case 'queued':
    case 'preparing':
    case 'pre-copy':
      return 'left'
    // Past the point of no return and not yet proven: whoever asks now must not be told that it is safe, nor that it stayed.
    case 'switchover':
    case 'post-copy':
      return 'uncertain'
  }
}

export const failureOf = (m: Migration): MigrationFailure | undefined => {
  if (m.phase === 'given-up') return m.failure
  return m.phase === 'queued' ? m.lastFailure : undefined
}

/** Why a VM is not safe; every outcome but `safe` has one. A safe one may have a remark. */
export function reasonOf(m: Migration): string | undefined {
  switch (m.phase) {
    case 'landed':
      return m.sourceEnded
        ? undefined
        : `safe, but its stopped copy at ${m.source} has not been ended${m.retire.why === undefined ? '' : `: ${m.retire.why}`}`
    case 'given-up':
      return `${showFailure(m.failure)}${m.attempts > 1 ? ` (after ${m.attempts} attempts)` : ''}`
    case 'uncertain':
      return m.why
    case 'queued':
      return m.lastFailure === undefined ? 'has not been started' : showFailure(m.lastFailure)
    case 'preparing':
    case 'pre-copy':
    case 'switchover':
    case 'post-copy':
      return `still in phase ${m.phase}`
  }
}
