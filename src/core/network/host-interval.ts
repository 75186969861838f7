/** From two readings of a host to what happened between them. Total: whatever the readings hold, every number that comes out is finite. */
import { type BytesPerSecond, bytesPerSecond, type Fraction, fraction, type Milliseconds, ms } from '../units.ts'
import { absurdRate, type DropReason, growth } from './counter.ts'
import { type CpuTicks, type FlowReading, type HostReading, isKnown, type NotKnown } from './reading.ts'

/** One connection between two readings. */
export interface FlowInterval {
  readonly peerAddress: string
  readonly peerPort: number
  /** Payload that arrived. */
  readonly rate: BytesPerSecond
  /** As the interface counts it: with headers, and with what was sent again. */
  readonly wireRate: BytesPerSecond
  /** @unit bytes, within the interval */
  readonly sent: number
  /** @unit bytes, within the interval, not more than {@link sent}; undefined where the kernel does not say */
  readonly retransmitted: number | undefined
  readonly rtt: Milliseconds | undefined
  readonly minRtt: Milliseconds | undefined
  readonly appLimited: boolean
}

export interface HostInterval {
  readonly span: Milliseconds
  readonly sent: BytesPerSecond | NotKnown
  readonly received: BytesPerSecond | NotKnown
  readonly cpuBusy: Fraction | NotKnown
  readonly stolen: Fraction | NotKnown
  readonly flows: readonly FlowInterval[] | NotKnown
}

export interface Concluded {
  /** Undefined when nothing can be said of the time between the two. */
  readonly interval: HostInterval | undefined
  /** One entry for each value that was not used. */
  readonly dropped: readonly DropReason[]
  /** The next reading is compared with the older of the two: they were too near to each other. */
  readonly keepOlder: boolean
}

/** Nearer readings say nothing: the host's clock has steps of 10 ms. @unit ms */
const leastSpan = 200
/** An average over more than this is no present rate. @unit ms */
const longestSpan = 30_000
/** Answers come late by some seconds at most (the session's deadline); clocks further apart than this have jumped. @unit ms */
const clocksAgreeWithin = 10_000
/** Ethernet, IP and TCP with timestamps. @unit bytes a segment */
const headers = { v4: 14 + 20 + 32, v6: 14 + 40 + 32 } as const
/** Without a count of segments: headers of 66 bytes on 1448. */
const headerShare = 66 / 1448
/** A round trip beyond this is a fault of whoever reports it: TCP itself gives up sooner. @unit ms */
const longestRtt = 120_000

export function conclude(older: HostReading, newer: HostReading): Concluded {
  const span = newer.hostClock - older.hostClock
  const ours = newer.receivedAt - older.receivedAt
  const nothing = (why: DropReason): Concluded => ({
    interval: undefined,
    dropped: [why],
    keepOlder: why === 'too-soon',
  })
  if (!(span > 0)) return nothing('clock-backwards')
  if (!(Math.abs(span - ours) <= clocksAgreeWithin)) return nothing('clock-jump')
  if (span < leastSpan) return nothing('too-soon')
  if (span > longestSpan) return nothing('gap')
  const dropped: DropReason[] = []
  const nic = interfaceRates(older, newer, span, dropped)
  return {
    interval: {
      span: ms(span),
      ...nic,
      ...cpuShares(older.cpu, newer.cpu, dropped),
      flows: flowIntervals(older, newer, span, dropped),
    },
    dropped,
    keepOlder: false,
  }
}

function interfaceRates(
  older: HostReading,
  newer: HostReading,
  span: number,
  dropped: DropReason[],
): Pick<HostInterval, 'sent' | 'received'> {
  if (!isKnown(newer.interfaces)) return { sent: newer.interfaces, received: newer.interfaces }
  if (!isKnown(older.interfaces)) return bothUnknown(older.interfaces)
  const before = new Map(older.interfaces.map(each => [each.name, each]))
  let sent = 0
  let received = 0
  let counted = 0
  for (const now of newer.interfaces) {
    const then = before.get(now.name)
    if (then === undefined) continue
    const out = growth(then.sent, now.sent, span, now.speed)
    const into = growth(then.received, now.received, span, now.speed)
    for (const each of [out, into]) if (each.kind === 'dropped') dropped.push(each.why)
    if (out.kind === 'dropped' || into.kind === 'dropped') continue
    sent += out.by
    received += into.by
    counted += 1
  }
  if (counted === 0) return bothUnknown({ why: 'no interface was read twice with values that can be believed' })
  return { sent: rate(sent, span), received: rate(received, span) }
}

const bothUnknown = (why: NotKnown): Pick<HostInterval, 'sent' | 'received'> => ({ sent: why, received: why })
const rate = (size: number, span: number): BytesPerSecond => bytesPerSecond((size / span) * 1000)

function cpuShares(
  older: CpuTicks | NotKnown,
  newer: CpuTicks | NotKnown,
  dropped: DropReason[],
): Pick<HostInterval, 'cpuBusy' | 'stolen'> {
  if (!isKnown(newer)) return { cpuBusy: newer, stolen: newer }
  if (!isKnown(older)) return { cpuBusy: older, stolen: older }
  const total = newer.total - older.total
  const idle = newer.idle - older.idle
  const stolen = newer.stolen - older.stolen
  // Idle time is known to run backwards by a tick (proc(5)); further back, the count began again.
  if (!(total > 0) || !(idle >= -1) || !(stolen >= -1) || !(idle + stolen <= total + 1)) {
    dropped.push('counter-reset')
    const unknown = { why: 'its count of processor time went backwards' }
    return { cpuBusy: unknown, stolen: unknown }
  }
  return { cpuBusy: share(1 - idle / total), stolen: share(stolen / total) }
}

const share = (n: number): Fraction => fraction(Math.min(1, Math.max(0, n)))

function flowIntervals(
  older: HostReading,
  newer: HostReading,
  span: number,
  dropped: DropReason[],
): readonly FlowInterval[] | NotKnown {
  if (!isKnown(newer.flows)) return newer.flows
  if (!isKnown(older.flows)) return older.flows
  const before = new Map(older.flows.map(flow => [flowKey(flow), flow]))
  return newer.flows.flatMap(now => {
    const found = flowInterval(before.get(flowKey(now)), now, span)
    if ('dropped' in found) {
      dropped.push(found.dropped)
      return []
    }
    return [found]
  })
}

const flowKey = ({ local, peer }: FlowReading): string => `${local} ${peer}`

/** @param then undefined for a connection that was not there at the last reading: all it sent, it sent since */
function flowInterval(
  then: FlowReading | undefined,
  now: FlowReading,
  span: number,
): FlowInterval | { readonly dropped: DropReason } {
  // What an old kernel does not count is taken from what was acknowledged.
  const sentNow = now.bytesSent ?? now.bytesAcked
  const sentThen = then === undefined ? 0 : (then.bytesSent ?? then.bytesAcked)
  const { peerAddress, peerPort, appLimited } = now
  const rtts = { rtt: believable(now.rtt), minRtt: believable(now.minRtt) }
  if (sentNow === undefined || sentThen === undefined) {
    const guessed = bytesPerSecond(clamped(now.deliveryRate ?? 0, absurdRate))
    const size = (guessed * span) / 1000
    return {
      peerAddress,
      peerPort,
      appLimited,
      ...rtts,
      rate: guessed,
      wireRate: guessed,
      sent: size,
      retransmitted: undefined,
    }
  }
  // A smaller count under the same ports is another connection; only those of the kernel's 64 bits are here, and they do not wrap.
  if (sentNow < sentThen) return { dropped: 'counter-reset' }
  const grown = growth(sentThen, sentNow, span, undefined)
  if (grown.kind === 'dropped') return { dropped: grown.why }
  const sent = grown.by
  const retransmitted = difference(then === undefined ? 0 : then.bytesRetransmitted, now.bytesRetransmitted)
  const acked = difference(then === undefined ? 0 : then.bytesAcked, now.bytesAcked)
  const segments = difference(then === undefined ? 0 : then.segmentsSent, now.segmentsSent)
  const again = retransmitted === undefined ? undefined : Math.min(sent, retransmitted)
  const arrived = acked !== undefined && acked / span < absurdRate / 1000 ? acked : sent - (again ?? 0)
  const perSegment = peerAddress.includes(':') ? headers.v6 : headers.v4
  const overhead = segments === undefined ? sent * headerShare : Math.min(segments * perSegment, sent + perSegment)
  return {
    peerAddress,
    peerPort,
    appLimited,
    ...rtts,
    rate: rate(arrived, span),
    wireRate: rate(sent + overhead, span),
    sent,
    retransmitted: again,
  }
}

/** A kernel that does not say "retransmitted" before the first retransmission means 0. */
function difference(then: number | undefined, now: number | undefined): number | undefined {
  if (now === undefined) return undefined
  const by = now - (then ?? 0)
  return Number.isFinite(by) && by >= 0 ? by : undefined
}

const believable = (time: number | undefined): Milliseconds | undefined =>
  time !== undefined && time > 0 && time <= longestRtt ? ms(time) : undefined
const clamped = (n: number, most: number): number => (n >= 0 ? Math.min(n, most) : 0)
