/**
 * What one host said of itself at one moment: counters as its kernel keeps them, nothing concluded. What a host did not or would not
 * say is {@link NotKnown}, with the reason, and never 0.
 */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { Bytes, Fraction, Milliseconds } from '../units.ts'

export interface NotKnown {
  /** For an operator: what was tried and what came back. */
  readonly why: string
}
export const isKnown = <T extends object | number>(value: T | NotKnown): value is T =>
  !(typeof value === 'object' && 'why' in value)

/** Of an interface, since it came up. Counters of some drivers have 32 bits, the kernel's own 64. @unit bytes, 0 … 2^64 */
export interface InterfaceCounters {
  readonly name: string
  readonly received: number
  readonly sent: number
  /** What the link is sold as, where the driver of a real device says so. @unit bytes per second */
  readonly speed: number | undefined
}

/** Of all processors together, since the host started (proc(5), /proc/stat). @unit ticks */
export interface CpuTicks {
  readonly total: number
  readonly idle: number
  /** Taken by the hypervisor below, where the host is a guest itself. */
  readonly stolen: number
}

/** Share of the last ten seconds in which some task waited for it (Documentation/accounting/psi.rst, `some avg10`). */
export interface Pressure {
  readonly cpu: Fraction | undefined
  readonly memory: Fraction | undefined
  readonly io: Fraction | undefined
}

/** One TCP connection as `ss -ti` shows it. Absent fields are `undefined`: older kernels have fewer. */
export interface FlowReading {
  readonly local: string
  /** `ADDRESS PORT` of the other end, without brackets or zone; an IPv4 address within IPv6 is shown as IPv4. */
  readonly peer: string
  readonly peerAddress: string
  readonly peerPort: number
  /** Payload handed to the network, what was sent again included (RFC 4898, tcpEStatsPerfHCDataOctetsOut). @unit bytes */
  readonly bytesSent: number | undefined
  /** @unit bytes */
  readonly bytesAcked: number | undefined
  /** @unit bytes */
  readonly bytesRetransmitted: number | undefined
  readonly segmentsSent: number | undefined
  /** The kernel's newest estimate of what arrives (net/ipv4/tcp_rate.c). @unit bytes per second */
  readonly deliveryRate: number | undefined
  /** Smoothed. @unit ms */
  readonly rtt: number | undefined
  /** Least of the last minutes (net.ipv4.tcp_min_rtt_wlen). @unit ms */
  readonly minRtt: number | undefined
  /** Written by the program, not yet sent. @unit bytes */
  readonly notSent: number | undefined
  /** @unit segments */
  readonly unacked: number | undefined
  /** @unit segments */
  readonly cwnd: number | undefined
  /** The program had nothing to send when the rate was taken: it says nothing of the path. */
  readonly appLimited: boolean
}

export interface HostReading {
  readonly host: HostId
  /** By the host's own clock since it started: what rates are made of, for answers may be late. @unit ms */
  readonly hostClock: number
  /** By ours. */
  readonly receivedAt: Instant
  /** Of the interfaces that lead to the other hosts. */
  readonly interfaces: readonly InterfaceCounters[] | NotKnown
  readonly cpu: CpuTicks | NotKnown
  readonly memoryAvailable: Bytes | NotKnown
  readonly pressure: Pressure | NotKnown
  /** Connections to ports that migrations use. */
  readonly flows: readonly FlowReading[] | NotKnown
}

/** A few echoes while nothing of ours flows. */
export interface PingReading {
  readonly from: HostId
  readonly to: HostId
  readonly at: Instant
  readonly result:
    | { readonly rtt: Milliseconds; readonly minRtt: Milliseconds; readonly loss: Fraction; readonly sent: number }
    | NotKnown
}

/** A short stream of bytes that stopped at the first sign of a queue. */
export interface ThroughputReading {
  readonly from: HostId
  readonly to: HostId
  readonly at: Instant
  /** @unit bytes per second */
  readonly rate: number
  /** `full`: a queue had begun to grow, so the path gives no more. `at-least`: something else held the stream back. */
  readonly bound: 'full' | 'at-least'
  readonly stoppedBy: StoppedBy
  readonly sent: Bytes
  readonly took: Milliseconds
  readonly rtt: Milliseconds | undefined
  readonly minRtt: Milliseconds | undefined
}
export type StoppedBy = 'queueing' | 'loss' | 'byte-limit' | 'time-limit'
