/** What is remembered of every host and every path: the state that network-state.ts folds readings into and link-usage.ts asks. */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { DropReason } from './counter.ts'
import type { HostInterval } from './host-interval.ts'
import type { MeasuredCapacity } from './link-state.ts'
import type { LinkWindow } from './link-window.ts'
import type { Link, NetworkMap } from './network-map.ts'
import type { HostReading, PingReading, ThroughputReading } from './reading.ts'

export interface HostMemory {
  readonly last: HostReading | undefined
  readonly interval: HostInterval | undefined
  /** When {@link interval} ended, by our clock. */
  readonly at: Instant | undefined
  readonly silent: { readonly why: string; readonly since: Instant } | undefined
  readonly readings: number
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>
}

export interface LinkMemory {
  readonly window: LinkWindow
  /** Least round trips, by slots of {@link minSlot}. @unit ms */
  readonly minimums: readonly { readonly slot: number; readonly rtt: number }[]
  readonly ping: PingReading | undefined
  readonly probe: ThroughputReading | undefined
  readonly measured: MeasuredCapacity | undefined
}

export interface NetworkState {
  readonly map: NetworkMap
  /** Addresses as `ss` shows them; undefined for one that several hosts have. */
  readonly addresses: ReadonlyMap<string, HostId | undefined>
  readonly hosts: ReadonlyMap<HostId, HostMemory>
  readonly links: ReadonlyMap<string, LinkMemory>
}

/** @unit ms */
const minSlot = 10_000
/** Routes change: a least round trip of ten minutes ago may be of another. @unit ms */
const minimumFor = 300_000

export const emptyNetwork = (map: NetworkMap): NetworkState => ({
  map,
  addresses: new Map(),
  hosts: new Map(),
  links: new Map(),
})

const unseenHost: HostMemory = {
  last: undefined,
  interval: undefined,
  at: undefined,
  silent: undefined,
  readings: 0,
  dropped: {},
}
const unseenLink: LinkMemory = { window: [], minimums: [], ping: undefined, probe: undefined, measured: undefined }

export const hostMemory = (state: NetworkState, host: HostId): HostMemory => state.hosts.get(host) ?? unseenHost
export const linkMemory = (state: NetworkState, link: Link): LinkMemory => state.links.get(link.name) ?? unseenLink

export const leastRtt = (memory: LinkMemory, now: Instant): number | undefined => {
  const known = memory.minimums.filter(({ slot }) => slot * minSlot > now - minimumFor)
  return known.length === 0 ? undefined : Math.min(...known.map(({ rtt }) => rtt))
}

export function withMinimum(
  minimums: LinkMemory['minimums'],
  at: Instant,
  rtt: number | undefined,
): LinkMemory['minimums'] {
  if (rtt === undefined || !(rtt > 0)) return minimums
  const slot = Math.floor(at / minSlot)
  const kept = minimums.filter(each => each.slot !== slot && each.slot * minSlot > at - minimumFor)
  const same = minimums.find(each => each.slot === slot)
  return [...kept, { slot, rtt: Math.min(rtt, same?.rtt ?? rtt) }]
}
