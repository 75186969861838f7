/** A host's profile, as its daemon tells it. Parts that a daemon does not have (storage, networks, filters may be others) stay unknown. */
import {
  type Feature,
  type HostProfile,
  type NetworkProfile,
  type PagePool,
  type PoolProfile,
} from '../../core/preflight/host-profile.ts'
import { version } from '../../core/preflight/version.ts'
import { bytes } from '../../core/units.ts'
import { type ArgsOf, LibvirtCallError, type ProcedureName, type ResultOf } from '../../libvirt/public.ts'
import { fewAtATime } from '../../time/few-at-a-time.ts'
import type { ProbedHost, SystemSeen } from '../preflight-probe.ts'
import { type HostCapabilities, hostCapabilities, networkFrom, poolFrom } from './capabilities-xml.ts'
import { type Daemon, uuidText } from './daemon.ts'
import { XmlError } from './xml.ts'

/** A daemon works on five calls of a client at a time (libvirtd.conf, max_client_requests). */
export const askedAtOnce = 5

/** src/libvirt_internal.h, virDrvFeature. */
const featureNumbers: readonly (readonly [Feature, number])[] = [
  ['peer-to-peer', 4],
  ['migration-v3', 6],
  ['migration-params', 13],
]
/** include/libvirt/libvirt-network.h and libvirt-storage.h: the same for both. */
const listFlag = { active: 1 << 1, autostart: 1 << 4 } as const
const everything = { needResults: true, flags: 0 } as const

export async function probeHost(
  daemon: Daemon,
  about: ProbedHost,
  seen: SystemSeen,
  signal: AbortSignal,
): Promise<HostProfile> {
  const maybe = optionalCalls(daemon, signal)
  const [library, qemu, capabilities, free] = await Promise.all([
    daemon.call('connectGetLibVersion', undefined, signal),
    maybe('connectGetVersion', undefined),
    capabilitiesOf(daemon, signal),
    maybe('nodeGetFreeMemory', undefined),
  ])
  const [features, { domains }, networks, pools] = await Promise.all([
    featuresOf(maybe),
    daemon.call('connectListAllDomains', everything, signal),
    networksOf(daemon, maybe, signal),
    poolsOf(daemon, maybe, about, signal),
  ])
  const [filters, secrets, interfaces, hugepages] = await Promise.all([
    maybe('connectListAllNwfilters', everything),
    maybe('connectListAllSecrets', everything),
    seen.interfaces === undefined ? interfacesOf(maybe) : seen.interfaces,
    hugepagesOf(maybe, capabilities),
  ])
  const { uuid, arch, cpu } = capabilities
  return {
    id: about.id,
    site: about.site,
    driver: 'libvirt',
    libvirt: version(library.version),
    qemu: qemu === undefined ? undefined : version(qemu.version),
    kernel: seen.kernel,
    uuid,
    arch,
    cpu,
    memory: about.memory,
    free: free === undefined ? undefined : bytes(free.free),
    hugepages,
    features,
    networks,
    interfaces,
    filters: filters?.filters.map(({ name }) => name),
    secrets: secrets?.secrets.flatMap(secret => [uuidText(secret), secret.usageId]),
    pools,
    domains: domains.map(dom => ({ name: dom.name, uuid: uuidText(dom), active: dom.id >= 0 })),
    address: about.address,
    connectUri: about.connectUri,
    system: seen.system,
    systemUnknown: seen.systemUnknown,
  }
}

type Maybe = <P extends ProcedureName>(name: P, args: ArgsOf<P>) => Promise<ResultOf<P> | undefined>

/** What the daemon refuses, or has no driver for, is not known. */
const optionalCalls =
  (daemon: Daemon, signal: AbortSignal): Maybe =>
  async (name, args) => {
    try {
      return await daemon.call(name, args, signal)
    } catch (error) {
      if (error instanceof LibvirtCallError) return undefined
      throw error
    }
  }

async function capabilitiesOf(daemon: Daemon, signal: AbortSignal): Promise<HostCapabilities> {
  try {
    return hostCapabilities((await daemon.call('connectGetCapabilities', undefined, signal)).capabilities)
  } catch (error) {
    if (!(error instanceof LibvirtCallError || error instanceof XmlError)) throw error
    return { uuid: undefined, arch: undefined, cpu: undefined, pageSizes: [] }
  }
}

async function featuresOf(maybe: Maybe): Promise<readonly Feature[] | undefined> {
  const answers = await Promise.all(
    featureNumbers.map(async ([name, feature]) => ({
      name,
      answer: await maybe('connectSupportsFeature', { feature }),
    })),
  )
  if (answers.every(({ answer }) => answer === undefined)) return undefined
  return answers.filter(({ answer }) => answer?.supported === true).map(({ name }) => name)
}

async function networksOf(
  daemon: Daemon,
  maybe: Maybe,
  signal: AbortSignal,
): Promise<readonly NetworkProfile[] | undefined> {
  const list = (flags: number) => maybe('connectListAllNetworks', { needResults: true, flags })
  const [all, active, autostart] = await Promise.all([list(0), list(listFlag.active), list(listFlag.autostart)])
  if (all === undefined) return undefined
  const named = (some: typeof all | undefined) => new Set(some?.networks.map(({ name }) => name))
  const [running, starting] = [named(active), named(autostart)]
  const found = await fewAtATime(askedAtOnce, all.networks, async (network): Promise<NetworkProfile | undefined> => {
    const parts = await described(() => daemon.call('networkGetXmlDesc', { network, flags: 0 }, signal), networkFrom)
    if (parts === undefined) return undefined
    const { name } = network
    return { name, active: running.has(name), autostart: starting.has(name), ...parts }
  })
  return found.filter(network => network !== undefined)
}

async function poolsOf(
  daemon: Daemon,
  maybe: Maybe,
  about: ProbedHost,
  signal: AbortSignal,
): Promise<readonly PoolProfile[] | undefined> {
  const list = (flags: number) => maybe('connectListAllStoragePools', { needResults: true, flags })
  const [all, active, autostart] = await Promise.all([list(0), list(listFlag.active), list(listFlag.autostart)])
  if (all === undefined) return undefined
  const named = (some: typeof all | undefined) => new Set(some?.pools.map(({ name }) => name))
  const [running, starting] = [named(active), named(autostart)]
  const found = await fewAtATime(askedAtOnce, all.pools, async (pool): Promise<PoolProfile | undefined> => {
    const { name } = pool
    // What it says of its room is from when it last looked.
    if (about.receives && running.has(name)) await maybe('storagePoolRefresh', { pool, flags: 0 })
    const parts = await described(() => daemon.call('storagePoolGetXmlDesc', { pool, flags: 0 }, signal), poolFrom)
    const info = await maybe('storagePoolGetInfo', { pool })
    if (parts === undefined || info === undefined) return undefined
    const { capacity, available } = info
    return {
      name,
      ...parts,
      active: running.has(name),
      autostart: starting.has(name),
      capacity: bytes(capacity),
      available: bytes(available),
    }
  })
  return found.filter(pool => pool !== undefined)
}

/** One that has gone between the two questions, or is described in words unknown here, is left out. */
async function described<T>(
  ask: () => Promise<{ readonly xml: string }>,
  read: (xml: string) => T,
): Promise<T | undefined> {
  try {
    return read((await ask()).xml)
  } catch (error) {
    if (error instanceof LibvirtCallError || error instanceof XmlError) return undefined
    throw error
  }
}

/** By libvirt's interface driver, which not every host has. */
async function interfacesOf(maybe: Maybe): Promise<readonly string[] | undefined> {
  const listed = await maybe('connectListAllInterfaces', everything)
  return listed?.interfaces.map(({ name }) => name)
}

async function hugepagesOf(maybe: Maybe, { pageSizes }: HostCapabilities): Promise<readonly PagePool[] | undefined> {
  if (pageSizes.length === 0) return []
  const pages = pageSizes.map(size => size / 1024)
  const anyCell = -1
  const answer = await maybe('nodeGetFreePages', { pages, startCell: anyCell, cellCount: 1, flags: 0 })
  return answer === undefined ? undefined : pageSizes.map((size, at) => ({ size, free: answer.counts[at] ?? 0 }))
}
