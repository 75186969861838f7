/** What the core asks the shell to do. Each is journaled with the observation that caused it before it is carried out. */
import type { HostId, VmId } from '../ids.ts'
import type { MigrationFailure } from '../migration/failure.ts'
import type { StartOptions } from '../migration/start-options.ts'
import type { Tuning } from '../migration/migration.ts'

/** Between which hosts, and which attempt: an answer that belongs to an older attempt is told apart by its number. */
export interface Route {
  readonly vm: VmId
  readonly source: HostId
  readonly target: HostId
  readonly attempt: number
}

export type Command =
  /** Make the target listen. Answer: `target-ready` or `attempt-failed`. */
  | ({ readonly kind: 'prepare'; readonly options: StartOptions } & Route)
  /** Let memory flow, and follow it to its end. Answer: `memory-flowing`, then `progress` … */
  | ({ readonly kind: 'migrate'; readonly tuning: Tuning; readonly options: StartOptions } & Route)
  | ({ readonly kind: 'adjust'; readonly tuning: Tuning; readonly why: string } & Route)
  | ({ readonly kind: 'start-post-copy'; readonly why: string } & Route)
  /** The processor state has gone over in post-copy: run the target. Failing that, `command-failed`; `finish` does it again. */
  | ({ readonly kind: 'run-split' } & Route)
  /** Join the broken halves of a post-copy again. Answer: `post-copy-began` or `attempt-unclear`. */
  | ({ readonly kind: 'recover' } & Route)
  /** Stop sending; the guest goes on at home. Answer: `attempt-failed` with code `cancelled`, unless it was too late. */
  | ({ readonly kind: 'cancel'; readonly why: string } & Route)
  /** The source sent all: run the target, and prove that it runs. Answer: `landed` or `attempt-unclear`. */
  | ({ readonly kind: 'finish' } & Route)
  /** End the stopped copy at the source. Answer: `source-ended` or `source-lingers`. */
  | ({ readonly kind: 'retire' } & Route)
  /** End the target, prove it gone, then let the source go on. Answer: `attempt-failed` or `attempt-unclear`. */
  | ({ readonly kind: 'roll-back'; readonly failure: MigrationFailure } & Route)
  /** A migration that runs already: follow it to its end. */
  | ({ readonly kind: 'follow' } & Route)
  /** Ask both sides. Answer: `whereabouts`. */
  | ({ readonly kind: 'reconcile' } & Route)
