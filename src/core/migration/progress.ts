/** One sample of a running migration, in the words of no driver in particular. */
import type { Bytes, BytesPerSecond, Milliseconds } from '../units.ts'

export interface Progress {
  /** Bytes put on the wire so far in this attempt, by our own reading of the hypervisor's counters, not its rate estimate. */
  readonly sent: Bytes
  /** Still to send in this round. */
  readonly remaining: Bytes
  readonly total: Bytes
  /** Zero pages met so far: bytes that need not leave. */
  readonly zero: Bytes
  /** Passes over memory begun so far, from 1. */
  readonly round: number
  /** Between the last two samples. */
  readonly rate: BytesPerSecond
  /** As the hypervisor saw it in the last round; `undefined` before the first is over. */
  readonly dirtyRate: BytesPerSecond | undefined
  readonly throttle: number
  /** What the hypervisor expects the switchover to cost now. */
  readonly expectedDowntime: Milliseconds | undefined
}
