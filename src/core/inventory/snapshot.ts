/** What an evacuation starts from: sites, hosts, paths and VMs at one moment. It is fixture, bug report and simulator input at once. */
import type { Instant } from '../instant.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Bytes, BytesPerSecond, Fraction, Milliseconds } from '../units.ts'
import type { Vm } from './vm.ts'

export interface Site {
  readonly id: SiteId
  /** May receive VMs. */
  readonly safe: boolean
  /** Shared by all that leaves or enters. */
  readonly uplink: BytesPerSecond | undefined
}

export interface Host {
  readonly id: HostId
  readonly site: SiteId
  /** All memory that guests may have together. */
  readonly memory: Bytes
  readonly nic: BytesPerSecond | undefined
  readonly cpu: string | undefined
}

/** The way from one site (or host) to another, in one direction. `undefined` means not known. */
export interface Path {
  readonly from: SiteId | HostId
  readonly to: SiteId | HostId
  /** What all flows together can get. */
  readonly capacity: BytesPerSecond | undefined
  readonly rtt: Milliseconds | undefined
  readonly loss: Fraction | undefined
  /** What one TCP stream can get. */
  readonly perFlow: BytesPerSecond | undefined
  /** Other people's traffic, which must not be starved. */
  readonly background: BytesPerSecond | undefined
}

/** A host that could not be asked when the snapshot was taken, and why. Its VMs are unknown. */
export interface UnreachableHost {
  readonly host: HostId
  readonly why: string
}

export interface SitePower {
  readonly site: SiteId
  /** What the UPS said at the alarm. */
  readonly runtime: Milliseconds
}

export interface Snapshot {
  readonly takenAt: Instant
  readonly sites: readonly Site[]
  readonly hosts: readonly Host[]
  readonly paths: readonly Path[]
  readonly vms: readonly Vm[]
  readonly unreachable: readonly UnreachableHost[]
  readonly power: readonly SitePower[]
  readonly deadline: Milliseconds | undefined
}

export const siteOf = (snapshot: Snapshot, host: HostId): SiteId | undefined =>
  snapshot.hosts.find(({ id }) => id === host)?.site

export const vmsOfSite = (snapshot: Snapshot, site: SiteId): readonly Vm[] => {
  const hosts = new Set(snapshot.hosts.filter(host => host.site === site).map(({ id }) => id))
  return snapshot.vms.filter(vm => hosts.has(vm.host))
}

export const findVm = (snapshot: Snapshot, vm: VmId): Vm | undefined => snapshot.vms.find(({ id }) => id === vm)

/** The most exact path that covers host to host: host–host before host–site before site–host before site–site. */
export function pathBetween(snapshot: Snapshot, from: HostId, to: HostId): Path | undefined {
  const fromSite = siteOf(snapshot, from)
  const toSite = siteOf(snapshot, to)
  const pairs: readonly (readonly [string | undefined, string | undefined])[] = [
    [from, to],
    [from, toSite],
    [fromSite, to],
    [fromSite, toSite],
  ]
  for (const [a, b] of pairs) {
    const found = snapshot.paths.find(path => path.from === a && path.to === b)
    if (found !== undefined) return found
  }
  return undefined
}
