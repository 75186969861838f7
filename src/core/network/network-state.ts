/**
 * Everything the monitor saw, folded: one memory a host, one a path. Pure and total: a reading that cannot be believed is counted and
 * changes nothing else. Conclusions are drawn from it by conclude-links.ts.
 */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { bytesPerSecond } from '../units.ts'
import type { DropReason } from './counter.ts'
import { conclude, type HostInterval } from './host-interval.ts'
import type { MeasuredCapacity } from './link-state.ts'
import { flowsOver, flowTakes, roundTripOf, seesAllOf, standsInQueue, usageOf } from './link-usage.ts'
import { type Bucket, inBucket, type LinkWindow } from './link-window.ts'
import {
  type HostMemory,
  hostMemory,
  leastRtt,
  type LinkMemory,
  linkMemory,
  type NetworkState,
  withMinimum,
} from './network-memory.ts'
import type { Link } from './network-map.ts'
import { type HostReading, isKnown, type PingReading, type ThroughputReading } from './reading.ts'

/** "The most of the last seconds": rates of single seconds lag and vary. @unit s */
const capacityWindow = 10

/** Addresses are added; one that two hosts have (both this machine, both behind one router) belongs to neither. */
export function observeAddresses(state: NetworkState, host: HostId, addresses: readonly string[]): NetworkState {
  const fresh = addresses.filter(address => !state.addresses.has(address))
  const shared = addresses.filter(address => (state.addresses.get(address) ?? host) !== host)
  if (fresh.length + shared.length === 0) return state
  const known = new Map(state.addresses)
  for (const address of fresh) known.set(address, host)
  for (const address of shared) known.set(address, undefined)
  return { ...state, addresses: known }
}

export function observeSilence(state: NetworkState, host: HostId, why: string, at: Instant): NetworkState {
  const before = hostMemory(state, host)
  const silent = { why, since: before.silent?.since ?? at }
  return withHost(state, host, { ...before, silent, interval: undefined })
}

export function observeReading(state: NetworkState, reading: HostReading): NetworkState {
  const { host } = reading
  const before = hostMemory(state, host)
  if (before.last === undefined) return withHost(state, host, { ...before, last: reading, silent: undefined })
  const { interval, dropped, keepOlder } = conclude(before.last, reading)
  const after: HostMemory = {
    last: keepOlder ? before.last : reading,
    interval: interval ?? (keepOlder ? before.interval : undefined),
    at: interval === undefined ? before.at : reading.receivedAt,
    silent: undefined,
    readings: before.readings + (interval === undefined ? 0 : 1),
    dropped: counted(before.dropped, dropped),
  }
  const next = withHost(state, host, after)
  return interval === undefined ? next : foldIntoLinks(next, host, interval, reading.receivedAt)
}

export function observePing(state: NetworkState, ping: PingReading): NetworkState {
  const link = state.map.linkOf(ping.from, ping.to)
  if (link === undefined) return state
  const before = linkMemory(state, link)
  const least = isKnown(ping.result) ? ping.result.minRtt : undefined
  return withLink(state, link, { ...before, ping, minimums: withMinimum(before.minimums, ping.at, least) })
}

export function observeThroughput(state: NetworkState, probe: ThroughputReading): NetworkState {
  const link = state.map.linkOf(probe.from, probe.to)
  if (link === undefined || !Number.isFinite(probe.rate) || probe.rate <= 0) return state
  const before = linkMemory(state, link)
  const fresh: MeasuredCapacity = {
    rate: bytesPerSecond(probe.rate),
    bound: probe.bound,
    at: probe.at,
    how: 'probe',
  }
  const { measured } = before
  const weaker = probe.bound === 'at-least' && measured !== undefined && measured.rate >= probe.rate
  return withLink(state, link, {
    ...before,
    probe,
    measured: weaker ? measured : fresh,
    minimums: withMinimum(before.minimums, probe.at, probe.minRtt),
  })
}

function foldIntoLinks(state: NetworkState, host: HostId, interval: HostInterval, at: Instant): NetworkState {
  return state.map.linksFrom(host).reduce((next, link) => foldIntoLink(next, link, host, interval, at), state)
}

function foldIntoLink(
  state: NetworkState,
  link: Link,
  host: HostId,
  interval: HostInterval,
  at: Instant,
): NetworkState {
  const before = linkMemory(state, link)
  const mine = isKnown(interval.flows) ? interval.flows.filter(flow => flowTakes(state, host, flow, link)) : []
  const all = flowsOver(state, link, at)
  const usage = usageOf(state, link, at)
  const least = all.reduce<number | undefined>(
    (lowest, { minRtt }) => (minRtt === undefined ? lowest : Math.min(lowest ?? minRtt, minRtt)),
    undefined,
  )
  const minimums = withMinimum(before.minimums, at, least)
  const trip = roundTripOf(all, leastRtt({ ...before, minimums }, at))
  const queued = trip !== undefined && standsInQueue(trip)
  const second = Math.floor(at / 1000)
  const window = inBucket(before.window, second, bucket => ({
    ...bucket,
    inUse: isKnown(usage.inUse) ? usage.inUse : bucket.inUse,
    byUs: isKnown(usage.byUs) ? usage.byUs : bucket.byUs,
    sent: bucket.sent + sum(mine, ({ sent }) => sent),
    retransmitted: bucket.retransmitted + sum(mine, ({ retransmitted }) => retransmitted ?? 0),
    sentCounted: bucket.sentCounted + sum(mine, ({ sent, retransmitted }) => (retransmitted === undefined ? 0 : sent)),
    bestFlow: mine.reduce((most, flow) => Math.max(most, flow.rate), bucket.bestFlow),
    flows: seesAllOf(state, link, at) ? Math.max(bucket.flows ?? 0, all.length) : undefined,
    queued: bucket.queued || queued,
  }))
  return withLink(state, link, { ...before, window, minimums, measured: capacityFrom(before.measured, window, at) })
}

/**
 * What the path carried for us. Only our own flows count: other bytes of the same interfaces may go elsewhere. A second is believed to
 * be full when a queue stood in the one before it too: the first has the rise of the stream in it.
 */
function capacityFrom(
  before: MeasuredCapacity | undefined,
  window: LinkWindow,
  at: Instant,
): MeasuredCapacity | undefined {
  const recent = window.filter(({ second }) => second > Math.floor(at / 1000) - capacityWindow)
  const most = (buckets: readonly Bucket[]): number =>
    buckets.reduce((highest, { byUs }) => Math.max(highest, byUs ?? 0), 0)
  const full = most(
    recent.filter(
      ({ queued, second }, n) => queued && recent[n - 1]?.queued === true && recent[n - 1]?.second === second - 1,
    ),
  )
  if (full > 0) return { rate: bytesPerSecond(full), bound: 'full', at, how: 'in-use' }
  const highest = most(recent)
  // More went through than was thought to fit: what was thought is out of date.
  if (highest > (before?.rate ?? 0)) return { rate: bytesPerSecond(highest), bound: 'at-least', at, how: 'in-use' }
  return before
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0)

function counted(before: HostMemory['dropped'], dropped: readonly DropReason[]): HostMemory['dropped'] {
  if (dropped.length === 0) return before
  const after = { ...before }
  for (const why of dropped) after[why] = (after[why] ?? 0) + 1
  return after
}

const withHost = (state: NetworkState, host: HostId, memory: HostMemory): NetworkState => ({
  ...state,
  hosts: new Map(state.hosts).set(host, memory),
})
const withLink = (state: NetworkState, link: Link, memory: LinkMemory): NetworkState => ({
  ...state,
  links: new Map(state.links).set(link.name, memory),
})
