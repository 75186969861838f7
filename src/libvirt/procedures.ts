/**
 * The procedures this client knows: number, arguments, result, each from src/remote/remote_protocol.x of libvirt, where numbers are
 * never given twice. To add one, add its line; nothing else needs to know.
 */
import {
  authTypesMost,
  cellsMost,
  cookieMost,
  domainStatsMost,
  jobStatsMost,
  listMost,
  migrateParamsMost,
  stringMost,
} from './limits.ts'
import { typedParams } from './typed-params.ts'
import {
  array,
  type Codec,
  count,
  type Decoded,
  fixedArray,
  fixedOpaque,
  flag,
  int,
  nothing,
  opaque,
  optional,
  string,
  struct,
  uint,
  unsignedHyper,
} from './xdr.ts'

const text = string(stringMost)
const maybeText = optional(text)
export const uuid = fixedOpaque(16)

/** @field id -1 while it does not run */
export const domain = struct({ name: text, uuid, id: int })
export type Domain = Decoded<typeof domain>
const pool = struct({ name: text, uuid })
export type StoragePool = Decoded<typeof pool>
const volume = struct({ pool: text, name: text, key: text })
export type StorageVolume = Decoded<typeof volume>
const network = struct({ name: text, uuid })
export type Network = Decoded<typeof network>

const ofDomain = struct({ dom: domain })
const ofDomainFlags = struct({ dom: domain, flags: uint })
const info = struct({ state: int, capacity: count, allocation: count, available: count })

export interface Procedure<A, R> {
  /** `qemu`: of src/remote/qemu_protocol.x, whose numbers are its own. */
  readonly program: 'remote' | 'qemu'
  readonly number: number
  readonly args: Codec<A>
  readonly result: Codec<R>
}
const procedure = <A, R>(number: number, args: Codec<A>, result: Codec<R>): Procedure<A, R> => ({
  program: 'remote',
  number,
  args,
  result,
})

export const procedures = {
  connectOpen: procedure(1, struct({ name: maybeText, flags: uint }), nothing),
  connectClose: procedure(2, nothing, nothing),
  connectGetType: procedure(3, nothing, struct({ type: text })),
  /** Of the hypervisor: major · 10⁶ + minor · 10³ + release. */
  connectGetVersion: procedure(4, nothing, struct({ version: count })),
  /** @unit memory in KiB */
  nodeGetInfo: procedure(
    6,
    nothing,
    struct({
      /** Character codes, zeros behind. */
      model: fixedArray(int, 32),
      memory: count,
      cpus: int,
      mhz: int,
      nodes: int,
      sockets: int,
      cores: int,
      threads: int,
    }),
  ),
  connectGetCapabilities: procedure(7, nothing, struct({ capabilities: text })),
  domainGetXmlDesc: procedure(14, ofDomainFlags, struct({ xml: text })),
  domainGetAutostart: procedure(15, ofDomain, struct({ autostart: flag })),
  /** @unit memory in KiB, cpuTime in ns: 104 days of it are more than a double counts */
  domainGetInfo: procedure(
    16,
    ofDomain,
    struct({ state: int, maxMemory: count, memory: count, cpus: int, cpuTime: unsignedHyper }),
  ),
  domainLookupByName: procedure(23, struct({ name: text }), ofDomain),
  domainLookupByUuid: procedure(24, struct({ uuid }), ofDomain),
  domainResume: procedure(28, ofDomain, nothing),
  domainSetAutostart: procedure(29, struct({ dom: domain, autostart: flag }), nothing),
  domainSuspend: procedure(34, ofDomain, nothing),
  networkGetXmlDesc: procedure(43, struct({ network, flags: uint }), struct({ xml: text })),
  networkLookupByName: procedure(46, struct({ name: text }), struct({ network })),
  connectGetHostname: procedure(59, nothing, struct({ hostname: text })),
  connectSupportsFeature: procedure(60, struct({ feature: int }), struct({ supported: flag })),
  authList: procedure(66, nothing, struct({ types: array(int, authTypesMost) })),
  authPolkit: procedure(70, nothing, struct({ complete: flag })),
  /** Not persistent: gone when its daemon is. */
  storagePoolCreateXml: procedure(76, struct({ xml: text, flags: uint }), struct({ pool })),
  storagePoolRefresh: procedure(83, struct({ pool, flags: uint }), nothing),
  storagePoolLookupByName: procedure(84, struct({ name: text }), struct({ pool })),
  storagePoolGetInfo: procedure(87, struct({ pool }), info),
  storagePoolGetXmlDesc: procedure(88, struct({ pool, flags: uint }), struct({ xml: text })),
  storageVolCreateXml: procedure(93, struct({ pool, xml: text, flags: uint }), struct({ vol: volume })),
  storageVolDelete: procedure(94, struct({ vol: volume, flags: uint }), nothing),
  storageVolLookupByName: procedure(95, struct({ pool, name: text }), struct({ vol: volume })),
  storageVolLookupByPath: procedure(97, struct({ path: text }), struct({ vol: volume })),
  storageVolGetInfo: procedure(98, struct({ vol: volume }), struct({ type: int, capacity: count, allocation: count })),
  storageVolGetXmlDesc: procedure(99, struct({ vol: volume, flags: uint }), struct({ xml: text })),
  /** @unit bytes */
  nodeGetFreeMemory: procedure(102, nothing, struct({ free: count })),
  domainIsPersistent: procedure(151, ofDomain, struct({ persistent: flag })),
  /** As {@link connectGetVersion}, of libvirt itself. */
  connectGetLibVersion: procedure(157, nothing, struct({ version: count })),
  /** With the host's CPU, whatever its QEMU makes of it; see {@link connectCompareHypervisorCpu}. */
  connectCompareCpu: procedure(158, struct({ xml: text, flags: uint }), struct({ result: int })),
  domainAbortJob: procedure(164, ofDomain, nothing),
  /** @unit ms */
  domainMigrateSetMaxDowntime: procedure(166, struct({ dom: domain, downtime: count, flags: uint }), nothing),
  domainSnapshotNum: procedure(187, ofDomainFlags, struct({ num: int })),
  domainGetBlockInfo: procedure(
    194,
    struct({ dom: domain, path: text, flags: uint }),
    struct({ allocation: count, capacity: count, physical: count }),
  ),
  domainCreateWithFlags: procedure(196, ofDomainFlags, ofDomain),
  /** @unit MiB/s */
  domainMigrateSetMaxSpeed: procedure(207, struct({ dom: domain, bandwidth: count, flags: uint }), nothing),
  domainGetState: procedure(212, ofDomainFlags, struct({ state: int, reason: int })),
  domainUndefineFlags: procedure(231, ofDomainFlags, nothing),
  domainDestroyFlags: procedure(234, ofDomainFlags, nothing),
  domainSetMetadata: procedure(
    264,
    struct({ dom: domain, type: int, metadata: maybeText, key: maybeText, uri: maybeText, flags: uint }),
    nothing,
  ),
  domainGetMetadata: procedure(
    265,
    struct({ dom: domain, type: int, uri: maybeText, flags: uint }),
    struct({ metadata: text }),
  ),
  connectListAllDomains: procedure(
    273,
    struct({ needResults: flag, flags: uint }),
    struct({ domains: array(domain, listMost), ret: uint }),
  ),
  connectListAllStoragePools: procedure(
    281,
    struct({ needResults: flag, flags: uint }),
    struct({ pools: array(pool, listMost), ret: uint }),
  ),
  storagePoolListAllVolumes: procedure(
    282,
    struct({ pool, needResults: flag, flags: uint }),
    struct({ vols: array(volume, listMost), ret: uint }),
  ),
  connectListAllNetworks: procedure(
    283,
    struct({ needResults: flag, flags: uint }),
    struct({ networks: array(network, listMost), ret: uint }),
  ),
  connectListAllInterfaces: procedure(
    284,
    struct({ needResults: flag, flags: uint }),
    struct({ interfaces: array(struct({ name: text, mac: text }), listMost), ret: uint }),
  ),
  connectListAllNwfilters: procedure(
    286,
    struct({ needResults: flag, flags: uint }),
    struct({ filters: array(struct({ name: text, uuid }), listMost), ret: uint }),
  ),
  connectListAllSecrets: procedure(
    287,
    struct({ needResults: flag, flags: uint }),
    struct({ secrets: array(struct({ uuid, usageType: int, usageId: text }), listMost), ret: uint }),
  ),
  domainGetJobStats: procedure(298, ofDomainFlags, struct({ type: int, params: typedParams(jobStatsMost) })),
  /** Asks whether it may be migrated; nothing begins unless the flag VIR_MIGRATE_CHANGE_PROTECTION is set. */
  domainMigrateBegin3Params: procedure(
    302,
    struct({ dom: domain, params: typedParams(migrateParamsMost), flags: uint }),
    struct({ cookieOut: opaque(cookieMost), xml: text }),
  ),
  domainMigratePerform3Params: procedure(
    305,
    struct({
      dom: domain,
      dconnuri: maybeText,
      params: typedParams(migrateParamsMost),
      cookieIn: opaque(cookieMost),
      flags: uint,
    }),
    struct({ cookieOut: opaque(cookieMost) }),
  ),
  connectDomainEventCallbackRegisterAny: procedure(
    316,
    struct({ eventId: int, dom: optional(domain) }),
    struct({ callbackId: int }),
  ),
  connectDomainEventCallbackDeregisterAny: procedure(317, struct({ callbackId: int }), nothing),
  /** @unit pages in KiB; counts by page size, cell by cell */
  nodeGetFreePages: procedure(
    340,
    struct({ pages: array(uint, cellsMost), startCell: int, cellCount: uint, flags: uint }),
    struct({ counts: array(count, cellsMost) }),
  ),
  connectGetDomainCapabilities: procedure(
    342,
    struct({ emulator: maybeText, arch: maybeText, machine: maybeText, virttype: maybeText, flags: uint }),
    struct({ capabilities: text }),
  ),
  connectGetAllDomainStats: procedure(
    344,
    struct({ doms: array(domain, listMost), stats: uint, flags: uint }),
    struct({ records: array(struct({ dom: domain, params: typedParams(domainStatsMost) }), listMost) }),
  ),
  domainDefineXmlFlags: procedure(350, struct({ xml: text, flags: uint }), ofDomain),
  domainMigrateStartPostCopy: procedure(364, ofDomainFlags, nothing),
  /** @unit bytes; `allocation` is the length of the file, where `flags` has 1 (VIR_STORAGE_VOL_GET_PHYSICAL) */
  storageVolGetInfoFlags: procedure(
    378,
    struct({ vol: volume, flags: uint }),
    struct({ type: int, capacity: count, allocation: count }),
  ),
  storagePoolLookupByTargetPath: procedure(391, struct({ path: text }), struct({ pool })),
  connectCompareHypervisorCpu: procedure(
    393,
    struct({
      emulator: maybeText,
      arch: maybeText,
      machine: maybeText,
      virttype: maybeText,
      xmlCpu: text,
      flags: uint,
    }),
    struct({ result: int }),
  ),
  domainListAllCheckpoints: procedure(
    413,
    struct({ dom: domain, needResults: flag, flags: uint }),
    struct({ checkpoints: array(struct({ name: text, dom: domain }), listMost), ret: int }),
  ),
  domainStartDirtyRateCalc: procedure(427, struct({ dom: domain, seconds: int, flags: uint }), nothing),
  /** A QMP command behind libvirt's back; the domain is marked as tainted (`custom-monitor`). */
  qemuDomainMonitorCommand: {
    ...procedure(1, struct({ dom: domain, cmd: text, flags: uint }), struct({ result: text })),
    program: 'qemu',
  },
} as const

export type Procedures = typeof procedures
export type ProcedureName = keyof Procedures
export type ArgsOf<P extends ProcedureName> = Decoded<Procedures[P]['args']>
export type ResultOf<P extends ProcedureName> = Decoded<Procedures[P]['result']>

/** What a daemon says of its own accord, once it was asked to (connectDomainEventCallbackRegisterAny). */
export const events = {
  /** `kind` and `detail`: include/libvirt/libvirt-domain.h, virDomainEventType and its details. */
  lifecycle: {
    eventId: 0,
    number: 318,
    body: struct({ callbackId: int, dom: domain, kind: int, detail: int }),
  },
  /** A pass over memory begins. */
  migrationIteration: {
    eventId: 20,
    number: 359,
    body: struct({ callbackId: int, dom: domain, iteration: int }),
  },
  jobCompleted: {
    eventId: 21,
    number: 363,
    body: struct({ callbackId: int, dom: domain, params: typedParams(jobStatsMost) }),
  },
} as const
export type Events = typeof events
export type EventName = keyof Events
export type LibvirtEvent = { readonly [E in EventName]: { readonly event: E } & Decoded<Events[E]['body']> }[EventName]

/** The body of a reply whose status is `error` (virnetprotocol.x, virNetMessageError). */
export const remoteError = struct({
  code: int,
  domain: int,
  message: maybeText,
  level: int,
  dom: optional(domain),
  str1: maybeText,
  str2: maybeText,
  str3: maybeText,
  int1: int,
  int2: int,
  net: optional(network),
})
