/** What an evacuation starts from: sites, hosts, paths and VMs at one moment. It is fixture, bug report and simulator input at once. */
import type { Instant } from '../instant.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Bytes, BytesPerSecond, Fraction, Milliseconds } from '../units.ts'
import type { Compression } from '../migration/start-options.ts'
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
  /** Migrations that may leave it at the same time; what runs there cannot serve more. @default no bound */
  readonly outgoingMost?: number | undefined
  /** Caps on what leaves it are multiples of this (libvirt: whole MiB a second). @default to the byte */
  readonly rateStep?: BytesPerSecond | undefined
  /** How its hypervisor can squeeze memory on the way. @default not at all */
  readonly compressions?: readonly Compression[] | undefined
}

/** The way from one site (or host) to another, in one direction. `undefined` means not known. */
export interface Path {
  readonly from: SiteId | HostId
  readonly to: SiteId | HostId
  /** What all flows together can get. */
  readonly capacity: BytesPerSecond | undefined
  /** Who says so: lifeboat.yaml, or what was measured in peace. @default stated */
  readonly capacityFrom?: 'stated' | 'before' | undefined
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

interface Index {
  readonly sites: ReadonlyMap<SiteId, Site>
  readonly hosts: ReadonlyMap<HostId, Host>
  readonly hostsOfSite: ReadonlyMap<SiteId, readonly Host[]>
  readonly vms: ReadonlyMap<VmId, Vm>
  readonly vmsOfSite: ReadonlyMap<SiteId, readonly Vm[]>
  readonly paths: ReadonlyMap<string, ReadonlyMap<string, Path>>
}

/** Snapshots do not change, so what was found in one stays true; made at the first question. */
const indexes = new WeakMap<Snapshot, Index>()

function indexOf(snapshot: Snapshot): Index {
  const known = indexes.get(snapshot)
  if (known !== undefined) return known
  const hosts = new Map(snapshot.hosts.map(host => [host.id, host]))
  const hostsOfSites = new Map<SiteId, Host[]>()
  for (const host of snapshot.hosts) {
    const there = hostsOfSites.get(host.site)
    if (there === undefined) hostsOfSites.set(host.site, [host])
    else there.push(host)
  }
  const vmsOfSites = new Map<SiteId, Vm[]>()
  for (const vm of snapshot.vms) {
    const site = hosts.get(vm.host)?.site
    if (site === undefined) continue
    const there = vmsOfSites.get(site)
    if (there === undefined) vmsOfSites.set(site, [vm])
    else there.push(vm)
  }
  const paths = new Map<string, Map<string, Path>>()
  for (const path of snapshot.paths) {
    const from = paths.get(path.from) ?? new Map<string, Path>()
    paths.set(path.from, from)
    // Of two that say the same, the first counts.
    if (!from.has(path.to)) from.set(path.to, path)
  }
  const index = {
    sites: new Map(snapshot.sites.map(site => [site.id, site])),
    hosts,
    hostsOfSite: hostsOfSites,
    vms: new Map(snapshot.vms.map(vm => [vm.id, vm])),
    vmsOfSite: vmsOfSites,
    paths,
  }
  indexes.set(snapshot, index)
  return index
}

export const findSite = (snapshot: Snapshot, site: SiteId): Site | undefined => indexOf(snapshot).sites.get(site)

export const findHost = (snapshot: Snapshot, host: HostId): Host | undefined => indexOf(snapshot).hosts.get(host)

export const findVm = (snapshot: Snapshot, vm: VmId): Vm | undefined => indexOf(snapshot).vms.get(vm)

export const siteOf = (snapshot: Snapshot, host: HostId): SiteId | undefined => findHost(snapshot, host)?.site

export const hostsOfSite = (snapshot: Snapshot, site: SiteId): readonly Host[] =>
  indexOf(snapshot).hostsOfSite.get(site) ?? []

export const vmsOfSite = (snapshot: Snapshot, site: SiteId): readonly Vm[] =>
  indexOf(snapshot).vmsOfSite.get(site) ?? []

/** The most exact path that covers host to host: host–host before host–site before site–host before site–site. */
export function pathBetween(snapshot: Snapshot, from: HostId, to: HostId): Path | undefined {
  const { paths } = indexOf(snapshot)
  const fromSite = siteOf(snapshot, from)
  const toSite = siteOf(snapshot, to)
  const direct = paths.get(from)
  const found = direct?.get(to) ?? (toSite === undefined ? undefined : direct?.get(toSite))
  if (found !== undefined || fromSite === undefined) return found
  const fromItsSite = paths.get(fromSite)
  return fromItsSite?.get(to) ?? (toSite === undefined ? undefined : fromItsSite?.get(toSite))
}

export const unknownPath = (from: SiteId, to: SiteId): Path => ({
  from,
  to,
  capacity: undefined,
  rtt: undefined,
  loss: undefined,
  perFlow: undefined,
  background: undefined,
})

/** Ways nobody declared, one for each pair of sites. */
const undeclared = new WeakMap<Snapshot, Map<string, Path>>()

/** As {@link pathBetween}; where nothing is declared, what leads from site to site is thought of as one path of which nothing is known. */
export function wayBetween(snapshot: Snapshot, from: HostId, to: HostId): Path | undefined {
  const declared = pathBetween(snapshot, from, to)
  const [a, b] = [siteOf(snapshot, from), siteOf(snapshot, to)]
  if (declared !== undefined || a === undefined || b === undefined || a === b) return declared
  const all = undeclared.get(snapshot) ?? new Map<string, Path>()
  undeclared.set(snapshot, all)
  const key = `${a} ${b}`
  const known = all.get(key)
  if (known !== undefined) return known
  const way = unknownPath(a, b)
  all.set(key, way)
  return way
}
