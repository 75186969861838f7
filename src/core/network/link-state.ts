/**
 * What is known of a path now. Rates are averages over about a second, of the interfaces of the hosts at its beginning: traffic that
 * others send over it from elsewhere shows as queueing and loss only.
 */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { BytesPerSecond, Fraction, Milliseconds } from '../units.ts'
import type { DropReason } from './counter.ts'
import type { NotKnown, Pressure, StoppedBy } from './reading.ts'
import type { Bytes } from '../units.ts'
import type { Link } from './network-map.ts'

export interface MeasuredCapacity {
  readonly rate: BytesPerSecond
  /** `full`: a queue stood while this much went through, so it is all there is. `at-least`: nothing was in the way of more. */
  readonly bound: 'full' | 'at-least'
  readonly at: Instant
  readonly how: 'in-use' | 'probe'
}

export interface LinkLoss {
  readonly share: Fraction
  /** What was sent again by our flows within the window, or echoes that did not come back. */
  readonly from: 'retransmissions' | 'ping'
}

export interface LinkState {
  readonly link: Link
  readonly inUse: BytesPerSecond | NotKnown
  readonly byUs: BytesPerSecond | NotKnown
  readonly byOthers: BytesPerSecond | NotKnown
  /** Of our migrations, over this path. */
  readonly flows: number
  readonly rtt: Milliseconds | NotKnown
  readonly minRtt: Milliseconds | NotKnown
  /** Smoothed round trip less the least of the last minutes: what stands in queues, ours or anyone's. */
  readonly queueingDelay: Milliseconds | NotKnown
  /**
   * The quickest of a handful of echoes less the least of the last minutes: what stands in queues even between the bursts that a capped
   * migration sends, so other people's. Asked for where they share the path.
   */
  readonly standingDelay: Milliseconds | NotKnown
  readonly loss: LinkLoss | NotKnown
  /** The most that one connection of ours got for about a second, within the last minute. */
  readonly bestFlow: BytesPerSecond | NotKnown
  /** As {@link bestFlow}, but of seconds in which it was the only one: beside others one gets its share, however much it could have. */
  readonly loneFlow: BytesPerSecond | NotKnown
  readonly measured: MeasuredCapacity | NotKnown
  /** In use, a number a second, oldest first, at most a minute. @unit bytes per second */
  readonly trend: readonly (number | undefined)[]
  readonly lastProbe: { readonly stoppedBy: StoppedBy; readonly sent: Bytes; readonly took: Milliseconds } | undefined
  /** Everything that keeps something from being known, a sentence each. */
  readonly remarks: readonly string[]
}

export interface HostState {
  readonly host: HostId
  /** Undefined while it answers. */
  readonly silent: { readonly why: string; readonly since: Instant } | undefined
  readonly cpuBusy: Fraction | NotKnown
  readonly stolen: Fraction | NotKnown
  readonly memoryAvailable: Bytes | NotKnown
  readonly pressure: Pressure | NotKnown
  /** Readings that were used. */
  readonly readings: number
  /** What was read and not believed. */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>
}
