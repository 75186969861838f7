/** Questions to the folded state about one path at one moment: which flows cross it, who uses how much, what stands in its queues. */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { type BytesPerSecond, bytesPerSecond } from '../units.ts'
import type { FlowInterval, HostInterval } from './host-interval.ts'
import { hostMemory, type NetworkState } from './network-memory.ts'
import type { Link } from './network-map.ts'
import { isKnown, type NotKnown } from './reading.ts'

/** An answer older than this is no present state. @unit ms */
export const freshFor = 5_000
/** What stands in a queue is more than noise when it is more than this, and more than this share of the least round trip. @unit ms */
export const queueFloor = 5
export const queueShare = 0.25

/** Flows of the hosts at its beginning that cross this link, as far as they answered of late. */
export function flowsOver(state: NetworkState, link: Link, now: Instant): readonly FlowInterval[] {
  return link.sources.flatMap(host => {
    const interval = freshInterval(state, host, now)
    if (interval === undefined || !isKnown(interval.flows)) return []
    return interval.flows.filter(flow => flowTakes(state, host, flow, link))
  })
}

/** Whether every host at its beginning said of late which connections it has: then those that are known are all there are. */
export const seesAllOf = (state: NetworkState, link: Link, now: Instant): boolean =>
  link.sources.every(host => {
    const interval = freshInterval(state, host, now)
    return interval !== undefined && isKnown(interval.flows)
  })

export function freshInterval(state: NetworkState, host: HostId, now: Instant): HostInterval | undefined {
  const { interval, at } = hostMemory(state, host)
  return at !== undefined && now - at <= freshFor && at <= now + freshFor ? interval : undefined
}

export function flowTakes(state: NetworkState, from: HostId, flow: FlowInterval, link: Link): boolean {
  const to = state.addresses.get(flow.peerAddress)
  return to !== undefined && to !== from && state.map.linkOf(from, to)?.name === link.name
}

export interface Usage {
  /** @unit bytes per second */
  readonly inUse: BytesPerSecond | NotKnown
  readonly byUs: BytesPerSecond | NotKnown
  readonly byOthers: BytesPerSecond | NotKnown
}

/** Sums over the hosts at its beginning that answered; unknown when none did. */
export function usageOf(state: NetworkState, link: Link, now: Instant): Usage {
  let inUse = 0
  let ofLink = 0
  let ofAll = 0
  let nics = 0
  let seen = 0
  let why: NotKnown = { why: 'no host at its beginning answered of late' }
  let whyFlows: NotKnown = why
  for (const host of link.sources) {
    const interval = freshInterval(state, host, now)
    if (interval === undefined) continue
    if (isKnown(interval.sent)) {
      inUse += interval.sent
      nics += 1
    } else why = interval.sent
    if (!isKnown(interval.flows)) {
      whyFlows = interval.flows
      continue
    }
    seen += 1
    for (const flow of interval.flows) {
      const to = state.addresses.get(flow.peerAddress)
      if (to === undefined || to === host) continue
      ofAll += flow.wireRate
      if (flowTakes(state, host, flow, link)) ofLink += flow.wireRate
    }
  }
  const byUs = seen === 0 ? whyFlows : bytesPerSecond(ofLink)
  if (nics === 0) return { inUse: why, byUs, byOthers: why }
  return {
    inUse: bytesPerSecond(inUse),
    byUs,
    byOthers: seen === 0 ? whyFlows : bytesPerSecond(Math.max(0, inUse - ofAll)),
  }
}

export interface RoundTrip {
  /** @unit ms */
  readonly rtt: number
  readonly minRtt: number
  readonly queueing: number
}

/** Of flows: the median of their smoothed round trips against the least of the path. */
export function roundTripOf(flows: readonly FlowInterval[], least: number | undefined): RoundTrip | undefined {
  const rtts = flows.flatMap(({ rtt }) => (rtt === undefined ? [] : [Number(rtt)])).sort((a, b) => a - b)
  const rtt = rtts[Math.floor((rtts.length - 1) / 2)]
  if (rtt === undefined) return undefined
  const minRtt = Math.min(rtt, least ?? rtt, ...flows.flatMap(flow => (flow.minRtt === undefined ? [] : [flow.minRtt])))
  return { rtt, minRtt, queueing: rtt - minRtt }
}

export const standsInQueue = ({ queueing, minRtt }: RoundTrip): boolean =>
  queueing > Math.max(queueFloor, minRtt * queueShare)
