/** One sample of a running migration, in the words of no driver in particular. */
import type { Bytes, BytesPerSecond, Milliseconds } from '../units.ts'

/** Of the disks that are copied along. A block that the guest writes after it was copied counts anew, in `total` too. */
export interface DiskProgress {
  readonly copied: Bytes
  readonly remaining: Bytes
  readonly total: Bytes
}

/** Disks are copied for the first time, and memory waits: post-copy, which is about memory, cannot begin. */
export const copiesDisksFirst = ({ disk, round }: Pick<Progress, 'disk' | 'round'>): boolean =>
  disk !== undefined && round === 0

export interface Progress {
  /** Bytes put on the wire so far in this attempt, by our own reading of the hypervisor's counters, not its rate estimate. Disks count. */
  readonly sent: Bytes
  /** Still to send: of memory in this round, and of disks. */
  readonly remaining: Bytes
  /** Of memory and disks. */
  readonly total: Bytes
  /** What of the three is disks; `undefined` where none is copied. */
  readonly disk?: DiskProgress | undefined
  /** Zero pages met so far: bytes that need not leave. */
  readonly zero: Bytes
  /** Passes over memory begun so far, from 1; 0 while disks are copied first. */
  readonly round: number
  /** Between the last two samples. */
  readonly rate: BytesPerSecond
  /** Memory, as the hypervisor saw it in the last round, `undefined` before the first is over; and blocks of disks that were copied before. */
  readonly dirtyRate: BytesPerSecond | undefined
  readonly throttle: number
  /** What the hypervisor expects the switchover to cost now. */
  readonly expectedDowntime: Milliseconds | undefined
}
