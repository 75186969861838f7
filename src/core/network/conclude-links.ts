/** From the folded state to what is shown and handed on: every path, every host, with a reason wherever something is not known. */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { bytesPerSecond, fraction, type Milliseconds, ms } from '../units.ts'
import type { HostState, LinkLoss, LinkState } from './link-state.ts'
import { alone, lastSeconds, windowSeconds } from './link-window.ts'
import type { Link } from './network-map.ts'
import { flowsOver, freshInterval, roundTripOf, usageOf } from './link-usage.ts'
import { hostMemory, leastRtt, linkMemory, type LinkMemory, type NetworkState } from './network-memory.ts'
import { isKnown, type NotKnown } from './reading.ts'

/** Of our own flows. @unit s */
const lossWindow = 30
/** Echoes say so long what stands in queues now. @unit ms */
const standsFor = 10_000
/** Less than this was sent within the window: a share of it says nothing. @unit bytes */
const leastForLoss = 64 * 1024

export const linksOf = (state: NetworkState, now: Instant): readonly LinkState[] =>
  state.map.links.map(link => linkState(state, link, now))

function linkState(state: NetworkState, link: Link, now: Instant): LinkState {
  const memory = linkMemory(state, link)
  const flows = flowsOver(state, link, now)
  const second = Math.floor(now / 1000)
  const seen = lastSeconds(memory.window, second, windowSeconds)
  const best = seen.reduce((most, { bestFlow }) => Math.max(most, bestFlow), 0)
  const lone = alone(seen)
  const { probe } = memory
  return {
    link,
    ...usageOf(state, link, now),
    flows: flows.length,
    ...roundTrips(memory, flows, now),
    standingDelay: standingOf(link, memory, now),
    loss: lossOf(memory, second, now),
    bestFlow: best > 0 ? bytesPerSecond(best) : { why: 'no migration used it within the last minute' },
    loneFlow: lone === undefined ? { why: 'no migration had it alone within the last minute' } : bytesPerSecond(lone),
    measured: memory.measured ?? { why: 'no migration and no probe went through it yet' },
    trend: trendOf(memory, second),
    lastProbe: probe && { stoppedBy: probe.stoppedBy, sent: probe.sent, took: probe.took },
    remarks: remarksOf(state, link, now),
  }
}

function roundTrips(
  memory: LinkMemory,
  flows: ReturnType<typeof flowsOver>,
  now: Instant,
): Pick<LinkState, 'rtt' | 'minRtt' | 'queueingDelay'> {
  const trip = roundTripOf(flows, leastRtt(memory, now))
  if (trip !== undefined) return { rtt: ms(trip.rtt), minRtt: ms(trip.minRtt), queueingDelay: ms(trip.queueing) }
  const { ping } = memory
  if (ping === undefined) {
    const unknown = { why: 'nothing of ours uses it, and no echo was asked for yet' }
    return { rtt: unknown, minRtt: unknown, queueingDelay: unknown }
  }
  if (!isKnown(ping.result)) return { rtt: ping.result, minRtt: ping.result, queueingDelay: ping.result }
  const { rtt } = ping.result
  const least = Math.min(rtt, leastRtt(memory, now) ?? ping.result.minRtt)
  return { rtt, minRtt: ms(least), queueingDelay: ms(rtt - least) }
}

/** What stands there ever since we look shows against the round trip that is stated. */
function standingOf({ path }: Link, memory: LinkMemory, now: Instant): Milliseconds | NotKnown {
  const { ping } = memory
  if (ping === undefined || now < ping.at || now - ping.at > standsFor) return { why: 'no echo was asked for just now' }
  if (!isKnown(ping.result)) return ping.result
  const { minRtt } = ping.result
  return ms(Math.max(0, minRtt - Math.min(leastRtt(memory, now) ?? minRtt, path.rtt ?? minRtt)))
}

function lossOf(memory: LinkMemory, second: number, now: Instant): LinkLoss | NotKnown {
  const recent = lastSeconds(memory.window, second, lossWindow)
  const sent = recent.reduce((total, { sentCounted }) => total + sentCounted, 0)
  if (sent >= leastForLoss) {
    const again = recent.reduce((total, { retransmitted }) => total + retransmitted, 0)
    return { share: fraction(Math.min(1, again / sent)), from: 'retransmissions' }
  }
  const { ping } = memory
  if (ping === undefined || now < ping.at) return { why: 'nothing of ours uses it, and no echo was asked for yet' }
  return isKnown(ping.result) ? { share: ping.result.loss, from: 'ping' } : ping.result
}

function trendOf(memory: LinkMemory, second: number): readonly (number | undefined)[] {
  const first = memory.window[0]?.second
  if (first === undefined) return []
  const by = new Map(memory.window.map(bucket => [bucket.second, bucket.inUse]))
  const from = Math.max(first, second - windowSeconds + 1)
  return Array.from({ length: Math.max(0, second - from + 1) }, (_, n) => by.get(from + n))
}

function remarksOf(state: NetworkState, link: Link, now: Instant): readonly string[] {
  return link.sources.flatMap(host => {
    const { silent, last } = hostMemory(state, host)
    if (silent !== undefined) return [`${host} is not read: ${silent.why}`]
    if (last === undefined) return [`${host} has not answered yet`]
    const interval = freshInterval(state, host, now)
    const flows = interval?.flows ?? last.flows
    const sent = interval?.sent ?? last.interfaces
    return [
      ...(isKnown(flows) ? [] : [`${host}: ${flows.why}; byte counts only`]),
      ...(isKnown(sent) ? [] : [`${host}: ${sent.why}`]),
    ]
  })
}

export const hostsOf = (state: NetworkState, hosts: readonly HostId[], now: Instant): readonly HostState[] =>
  hosts.map(host => {
    const { silent, last, readings, dropped } = hostMemory(state, host)
    const interval = freshInterval(state, host, now)
    const unknown = { why: silent?.why ?? 'it has not answered twice yet' }
    return {
      host,
      silent,
      cpuBusy: interval?.cpuBusy ?? unknown,
      stolen: interval?.stolen ?? unknown,
      memoryAvailable: last?.memoryAvailable ?? unknown,
      pressure: last?.pressure ?? unknown,
      readings,
      dropped,
    }
  })
