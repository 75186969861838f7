/** Profiles of the VMs of a host: their live XML, what their disks take, and what their daemon says to a migration it is only asked about. */
import type { Rehearsal, VmDisk, VmProfile } from '../../core/preflight/vm-profile.ts'
import { plainStart } from '../../core/migration/start-options.ts'
import type { HostId } from '../../core/ids.ts'
import { bytes } from '../../core/units.ts'
import { type Domain, errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { fewAtATime } from '../../time/few-at-a-time.ts'
import type { Listing } from '../hypervisor.ts'
import { type Daemon, idOf, isNoDomain, uuidText } from './daemon.ts'
import { type DomainNeeds, needsOf } from './domain-needs.ts'
import { overrulesSafety, factsOf } from './domain-xml.ts'
import { flagsOf, noCopy } from './migration-params.ts'
import { askedAtOnce } from './probe-host.ts'
import { XmlError } from './xml.ts'

/** include/libvirt/libvirt-domain.h, virConnectListAllDomainsFlags. */
const list = {
  active: 1 << 0,
  persistent: 1 << 2,
  autostart: 1 << 10,
  hasSnapshot: 1 << 12,
  hasCheckpoint: 1 << 14,
} as const

interface Sets {
  readonly active: ReadonlyMap<string, Domain>
  readonly persistent: ReadonlySet<string>
  readonly autostart: ReadonlySet<string>
  readonly snapshots: ReadonlySet<string>
  readonly checkpoints: ReadonlySet<string>
}

export async function probeVms(
  daemon: Daemon,
  host: HostId,
  listings: readonly Listing[],
  signal: AbortSignal,
): Promise<readonly VmProfile[]> {
  const sets = await setsOf(daemon, signal)
  const profiles = await fewAtATime(askedAtOnce, listings, async listing => {
    const dom = sets.active.get(listing.vm.id)
    return dom === undefined ? undefined : profileOf(daemon, host, dom, listing, sets, signal)
  })
  return profiles.filter(profile => profile !== undefined)
}

/** Five questions, however many domains there are. */
async function setsOf(daemon: Daemon, signal: AbortSignal): Promise<Sets> {
  const named = async (flags: number): Promise<readonly Domain[]> =>
    (await daemon.call('connectListAllDomains', { needResults: true, flags }, signal)).domains
  const ids = async (flags: number): Promise<ReadonlySet<string>> => {
    try {
      return new Set((await named(flags)).map(idOf))
    } catch (error) {
      // A daemon that does not know the flag has nothing of the kind.
      if (error instanceof LibvirtCallError) return new Set()
      throw error
    }
  }
  const [active, persistent, autostart, snapshots, checkpoints] = await Promise.all([
    named(list.active),
    ids(list.persistent),
    ids(list.autostart),
    ids(list.hasSnapshot),
    ids(list.hasCheckpoint),
  ])
  return { active: new Map(active.map(dom => [idOf(dom), dom])), persistent, autostart, snapshots, checkpoints }
}

/** @returns undefined for one that has gone meanwhile */
async function profileOf(
  daemon: Daemon,
  host: HostId,
  dom: Domain,
  { vm, presence }: Listing,
  sets: Sets,
  signal: AbortSignal,
): Promise<VmProfile | undefined> {
  const migrating = presence.state === 'running' && presence.migrating
  const about = {
    id: vm.id,
    host,
    state: migrating
      ? ('migrating' as const)
      : presence.state === 'paused'
        ? ('paused' as const)
        : ('running' as const),
    persistent: sets.persistent.has(vm.id),
    autostart: sets.autostart.has(vm.id),
  }
  try {
    const { xml } = await daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
    const needs = needsOf(xml)
    const [disks, snapshots, checkpoints, rehearsal] = await Promise.all([
      sizesOf(daemon, dom, needs, signal),
      sets.snapshots.has(vm.id) ? snapshotsOf(daemon, dom, signal) : 0,
      sets.checkpoints.has(vm.id) ? checkpointsOf(daemon, dom, signal) : 0,
      // It waits for a migration that goes on.
      migrating ? undefined : rehearse(daemon, dom, xml, about.persistent, signal),
    ])
    return { ...about, ...needs, disks, snapshots, checkpoints, rehearsal }
  } catch (error) {
    if (isNoDomain(error)) return undefined
    if (error instanceof LibvirtCallError || error instanceof XmlError)
      return { ...about, ...unreadable(dom, vm.memory), rehearsal: { allowed: false, code: 0, said: error.message } }
    throw error
  }
}

const unreadable = (dom: Domain, memory: VmProfile['memory']) => ({
  name: dom.name,
  uuid: uuidText(dom),
  memory,
  hugepages: undefined,
  machine: undefined,
  cpu: undefined,
  disks: [],
  nics: [],
  devices: [],
  files: [],
  models: [],
  secrets: [],
  snapshots: 0,
  checkpoints: 0,
})

/** Of one VM's disks. */
const disksAtOnce = 2

/** Of those that would have to be copied: what they take at the host now. */
const sizesOf = (
  daemon: Daemon,
  dom: Domain,
  { disks }: DomainNeeds,
  signal: AbortSignal,
): Promise<readonly VmDisk[]> =>
  fewAtATime(disksAtOnce, disks, async (disk): Promise<VmDisk> => {
    if (disk.source === undefined || disk.shared || disk.readonly) return { ...disk, size: undefined }
    try {
      const info = await daemon.call('domainGetBlockInfo', { dom, path: disk.name, flags: 0 }, signal)
      return { ...disk, size: bytes(Math.max(info.capacity, info.allocation)) }
    } catch (error) {
      if (!(error instanceof LibvirtCallError) || isNoDomain(error)) throw error
      return { ...disk, size: undefined } // a source that cannot be read
    }
  })

/** One that is in the list has one at least, whatever is said when they are counted. */
async function atLeastOne(count: () => Promise<number>): Promise<number> {
  try {
    return Math.max(1, await count())
  } catch (error) {
    if (!(error instanceof LibvirtCallError) || isNoDomain(error)) throw error
    return 1
  }
}
const snapshotsOf = (daemon: Daemon, dom: Domain, signal: AbortSignal): Promise<number> =>
  atLeastOne(async () => (await daemon.call('domainSnapshotNum', { dom, flags: 0 }, signal)).num)
const checkpointsOf = (daemon: Daemon, dom: Domain, signal: AbortSignal): Promise<number> =>
  atLeastOne(
    async () => (await daemon.call('domainListAllCheckpoints', { dom, needResults: false, flags: 0 }, signal)).ret,
  )

/**
 * The first step of a migration, which by itself begins nothing: the daemon looks at the domain and asks QEMU for what blocks it
 * (src/qemu/qemu_migration.c, qemuMigrationSrcBegin without VIR_MIGRATE_CHANGE_PROTECTION). Disks that are not shared are judged by
 * rules of their own; with them in the way the daemon would say nothing else.
 */
async function rehearse(
  daemon: Daemon,
  dom: Domain,
  xml: string,
  persistent: boolean,
  signal: AbortSignal,
): Promise<Rehearsal> {
  const { disks } = factsOf(xml)
  const overrules = overrulesSafety(disks) || disks.some(disk => !disk.shared)
  const flags = flagsOf(plainStart, { persistent, overrulesSafety: overrules }, { tls: undefined, copy: noCopy })
  try {
    await daemon.call('domainMigrateBegin3Params', { dom, params: [], flags }, signal)
    return { allowed: true }
  } catch (error) {
    if (!(error instanceof LibvirtCallError) || isNoDomain(error)) throw error
    // It stopped between two questions: the next snapshot has it no more.
    if (error.code === errorCode.operationInvalid && /not running/i.test(error.said)) return { allowed: true }
    return { allowed: false, code: error.code, said: error.said }
  }
}
