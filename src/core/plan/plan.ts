/** A plan is data: who goes where, in which order, and who cannot go and why. Anybody may write one; check-plan.ts judges it. */
import type { HostId, VmId } from '../ids.ts'
import type { MigrationFailure } from '../migration/failure.ts'
import type { Milliseconds } from '../units.ts'

export interface PlannedMove {
  readonly vm: VmId
  readonly source: HostId
  readonly target: HostId
  /** Forecast, since the alarm; `undefined` where no capacity is known to compute with. */
  readonly start: Milliseconds | undefined
  readonly end: Milliseconds | undefined
}
export interface Unplaced {
  readonly vm: VmId
  readonly failure: MigrationFailure
}
export interface Plan {
  readonly policy: string
  /** In order of start. */
  readonly moves: readonly PlannedMove[]
  readonly unplaced: readonly Unplaced[]
}
