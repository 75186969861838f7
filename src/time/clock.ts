/** The clock as a port: what waits, waits on this, so that tests and simulation own time. The real one is engine/real-clock.ts. */
import type { Instant } from '../core/instant.ts'
import type { Milliseconds } from '../core/units.ts'

export interface Clock {
  /** Never runs backwards. */
  now(): Instant
  /** Resolves after `span`. Rejects with the signal's reason when it aborts first. */
  sleep(span: Milliseconds, signal: AbortSignal): Promise<void>
}
