/**
 * A host under libvirt. Migrations are peer to peer: the source's daemon makes the target, sends memory, lets the target run, and ends
 * and undefines the source, in this order and without us; it goes on when this process dies. So `prepare` only asks, `run` only waits,
 * and what has come to an end is known from both sides' answers, as with every driver.
 */
import type { HostId, VmId } from '../../core/ids.ts'
import { defaultVmPolicy, type Disk, type Vm } from '../../core/inventory/vm.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import type { Tuning } from '../../core/migration/migration.ts'
import type { Presence } from '../../core/migration/presence.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import {
  type Bytes,
  bytes,
  bytesPerSecond,
  type BytesPerSecond,
  mebibytes,
  type Milliseconds,
  ms,
  seconds,
} from '../../core/units.ts'
import { type Domain, errorCode, LibvirtCallError, type TypedParam } from '../../libvirt/public.ts'
import type { Clock } from '../../time/clock.ts'
import { neverAborts, poll, withDeadline } from '../../time/with-deadline.ts'
import type {
  Adjustment,
  Capabilities,
  Change,
  Definition,
  HostFacts,
  Hypervisor,
  Landing,
  Listing,
  MigrationStatus,
  Sample,
} from '../hypervisor.ts'
import { noSample } from '../no-sample.ts'
import type { Departed, GoneElsewhere, RunsElsewhere } from '../prove.ts'
import { sourceFailure, targetFailure } from './classify-libvirt-error.ts'
import { Daemon, idOf, isNoDomain, uuidText } from './daemon.ts'
import { type DomainDisk, factsOf, tombstoneName, tombstoneXml } from './domain-xml.ts'
import { parseDestination, parseLibvirtDefinition, printLibvirtDefinition } from './libvirt-definition.ts'
import { domainState, type DomainSeen, jobMatters, pausedReason, presenceOf } from './libvirt-presence.ts'
import { jobOperation, jobType, numbersOf, sampleOf, statusOf } from './libvirt-sample.ts'
import { type Destination, downtimeOf, flagsOf, paramsOf, resumeFlag, speedOf } from './migration-params.ts'
import { type Outgoing, OutgoingMigrations, type Outcome } from './outgoing.ts'

export interface LibvirtHostOptions {
  readonly host: HostId
  /** How this process reaches its daemon. */
  readonly uri: string
  /** How the daemons of other hosts reach it. */
  readonly connectUri: string
  /** Where other hosts reach it for migrations. */
  readonly migrationAddress: string
  /** What guests may use together; @default the machine's memory */
  readonly memory: Bytes | undefined
  readonly clock: Clock
}

/** A daemon that is silent about a domain for so long is stuck, or its monitor is. */
const answersWithin = ms(5_000)
const askEvery = ms(50)
const watchEvery = ms(2_000)
/** A migration that nobody waits for any more is called off. */
const calledOffWithin = seconds(5)
/** Domains that are asked about at the same time. */
const askedAtOnce = 8
/** QEMU samples no block of memory below this (see qemu/qemu-host.ts). */
const leastSampled = mebibytes(128)

/** include/libvirt/libvirt-domain.h. */
const xmlInactive = 1 << 1
const listActive = 1 << 0
const stats = { state: 1 << 0, balloon: 1 << 2, dirtyRate: 1 << 9, noWait: 1 << 29 } as const
const undefineFlags = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 4) // managed save, snapshots' and checkpoints' metadata; NVRAM is kept
const speedPostCopy = 1 << 0
/** virterror.h, VIR_ERR_OPERATION_UNSUPPORTED: what a target says when it is asked for the statistics of its migration. */
const unsupported = 84

export class LibvirtHost implements Hypervisor {
  readonly driver = 'libvirt'
  readonly capabilities: Capabilities = {
    inFlight: { rate: true, downtimeLimit: true, throttle: false, postCopy: true },
    rateStep: bytesPerSecond(1_048_576),
    selfCompleting: true,
  }
  readonly host: HostId
  readonly #options: LibvirtHostOptions
  readonly #clock: Clock
  readonly #daemon: Daemon
  readonly #outgoing: OutgoingMigrations
  /** Definitions of VMs that were sent away from here, for the tombstone. */
  readonly #sent = new Map<VmId, string>()
  /** VMs that are to start with this host once they run here. */
  readonly #autostarts = new Set<VmId>()

  constructor(options: LibvirtHostOptions) {
    this.host = options.host
    this.#options = options
    this.#clock = options.clock
    this.#daemon = new Daemon(options.uri, options.clock)
    this.#outgoing = new OutgoingMigrations(this.#daemon, options.clock)
  }

  async facts(signal: AbortSignal): Promise<HostFacts> {
    const [node, library, hypervisor] = await Promise.all([
      this.#daemon.call('nodeGetInfo', undefined, signal),
      this.#daemon.call('connectGetLibVersion', undefined, signal),
      this.#daemon.call('connectGetVersion', undefined, signal),
    ])
    return {
      memory: this.#options.memory ?? bytes(node.memory * 1024),
      version: `libvirt ${versionOf(library.version)}, QEMU ${versionOf(hypervisor.version)}`,
    }
  }

  async list(signal: AbortSignal): Promise<readonly Listing[]> {
    const flags = listActive | stats.noWait
    const { records } = await this.#daemon.call(
      'connectGetAllDomainStats',
      { doms: [], stats: stats.state | stats.balloon, flags },
      signal,
    )
    const left = [...records]
    const found: Listing[] = []
    const worker = async (): Promise<void> => {
      for (let record = left.pop(); record !== undefined; record = left.pop()) {
        const listing = await this.#listing(record.dom, record.params, signal)
        if (listing !== undefined) found.push(listing)
      }
    }
    await Promise.all(Array.from({ length: askedAtOnce }, worker))
    return found.sort((a, b) => (a.vm.id < b.vm.id ? -1 : 1))
  }

  /** @returns undefined for one that has gone meanwhile */
  async #listing(dom: Domain, params: readonly TypedParam[], signal: AbortSignal): Promise<Listing | undefined> {
    try {
      const { xml } = await this.#daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
      const { memory, disks } = factsOf(xml)
      const presence = presenceOf(await this.#look(dom, signal))
      if (presence.state === 'absent') return undefined
      const resident = numbersOf(params)('balloon.rss')
      const vm: Vm = {
        id: idOf(dom),
        host: this.host,
        memory,
        // What QEMU holds in memory bounds what of the guest's is not zero.
        used: resident === undefined ? memory : bytes(Math.min(memory, resident * 1024)),
        dirty: undefined,
        disks: await Promise.all(disks.map(disk => this.#disk(dom, disk, signal))),
        value: 1,
        group: undefined,
        policy: defaultVmPolicy,
        paused: presence.state === 'paused' && presence.as === 'home',
      }
      return { vm, presence }
    } catch (error) {
      if (isNoDomain(error)) return undefined
      throw error
    }
  }

  async #disk(dom: Domain, { target, shared }: DomainDisk, signal: AbortSignal): Promise<Disk> {
    const info = await this.#daemon
      .call('domainGetBlockInfo', { dom, path: target, flags: 0 }, signal)
      .catch((error: unknown) => {
        if (!(error instanceof LibvirtCallError) || isNoDomain(error)) throw error
        return { capacity: 0, allocation: 0 } // an empty drive, or a source that cannot be read
      })
    return {
      name: target,
      size: bytes(info.capacity),
      used: bytes(Math.min(info.capacity, info.allocation)),
      write: bytesPerSecond(0),
      shared,
    }
  }

  async *watch(signal: AbortSignal): AsyncIterable<Change> {
    let known = new Map<VmId, Listing>()
    for (;;) {
      const own = new AbortController()
      const bell = this.#daemon.bell(undefined, AbortSignal.any([signal, own.signal]))[Symbol.asyncIterator]()
      const rung = bell.next()
      try {
        const now = new Map((await this.list(signal)).map(listing => [listing.vm.id, listing]))
        for (const [id, listing] of now) {
          const before = known.get(id)
          if (before === undefined) yield { kind: 'appeared', listing }
          else if (JSON.stringify(before) !== JSON.stringify(listing)) yield { kind: 'changed', listing }
        }
        for (const id of known.keys()) if (!now.has(id)) yield { kind: 'gone', vm: id }
        known = now
        await Promise.race([rung, this.#clock.sleep(watchEvery, AbortSignal.any([signal, own.signal]))])
      } finally {
        own.abort()
      }
      signal.throwIfAborted()
    }
  }

  async presence(vm: VmId, signal: AbortSignal): Promise<Presence> {
    try {
      return await withDeadline(this.#clock, answersWithin, `${this.host} about ${vm}`, signal, async inner => {
        const dom = await this.#daemon.find(vm, inner)
        return dom === undefined
          ? { state: 'absent', detail: 'no such domain' }
          : presenceOf(await this.#look(dom, inner))
      })
    } catch (error) {
      signal.throwIfAborted()
      if (isNoDomain(error)) return { state: 'absent', detail: 'no such domain' }
      return { state: 'unreachable', detail: error instanceof Error ? error.message : String(error) }
    }
  }

  async #look(dom: Domain, signal: AbortSignal): Promise<DomainSeen> {
    const { state, reason } = await this.#daemon.call('domainGetState', { dom, flags: 0 }, signal)
    return { state, reason, job: jobMatters(state) ? await this.#jobOf(dom, signal) : 'none' }
  }

  async #jobOf(dom: Domain, signal: AbortSignal): Promise<DomainSeen['job']> {
    try {
      const { type, params } = await this.#daemon.call('domainGetJobStats', { dom, flags: 0 }, signal)
      if (type === jobType.none) return 'none'
      const operation = numbersOf(params)('operation')
      if (operation === jobOperation.migrationOut) return 'out'
      return operation === jobOperation.migrationIn ? 'in' : 'other'
    } catch (error) {
      if (!(error instanceof LibvirtCallError)) throw error
      if (error.code === unsupported) return 'in'
      if (error.code === errorCode.operationInvalid) return 'none' // it ended between the two questions
      throw error
    }
  }

  async measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined> {
    const dom = await this.#mustFind(vm, signal)
    const { xml } = await this.#daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
    if (factsOf(xml).memory < leastSampled) return undefined
    const wholeSeconds = Math.min(60, Math.max(1, Math.round(span / 1000)))
    await this.#daemon.call('domainStartDirtyRateCalc', { dom, seconds: wholeSeconds, flags: 0 }, signal)
    return poll(this.#clock, ms(200), signal, async inner => {
      const { records } = await this.#daemon.call(
        'connectGetAllDomainStats',
        { doms: [dom], stats: stats.dirtyRate, flags: 0 },
        inner,
      )
      const number = numbersOf(records[0]?.params ?? [])
      const rate = number('dirtyrate.megabytes_per_second')
      const measured = 2 // virDomainDirtyRateStatus
      if (number('dirtyrate.calc_status') !== measured || rate === undefined) return undefined
      return bytesPerSecond(rate * 1_048_576)
    })
  }

  // ── as source ──

  async definition(vm: VmId, signal: AbortSignal): Promise<Definition> {
    const dom = await this.#mustFind(vm, signal)
    try {
      const [{ xml }, autostart] = await Promise.all([
        this.#daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal),
        this.#autostartOf(dom, signal),
      ])
      const text = printLibvirtDefinition({ name: dom.name, uuid: uuidText(dom), autostart, xml })
      return { driver: this.driver, vm, text }
    } catch (error) {
      throw sourceFailure(vm, error)
    }
  }

  /** A transient VM has none, and says so with an error. */
  async #autostartOf(dom: Domain, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#daemon.call('domainGetAutostart', { dom }, signal)).autostart
    } catch (error) {
      if (error instanceof LibvirtCallError && error.code === errorCode.operationInvalid) return false
      throw error
    }
  }

  /** @throws MigrationError `source-refused` */
  async #mustFind(vm: VmId, signal: AbortSignal): Promise<Domain> {
    const dom = await this.#daemon.find(vm, signal)
    if (dom === undefined)
      throw new MigrationError(vm, { code: 'source-refused', detail: `${this.host} has no domain of that name` })
    return dom
  }

  async migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void> {
    try {
      const dom = await this.#mustFind(vm, signal)
      await this.#insistOnRunning(vm, dom, signal)
      const [{ persistent }, { xml }] = await Promise.all([
        this.#daemon.call('domainIsPersistent', { dom }, signal),
        this.#daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal),
      ])
      if (persistent) this.#sent.set(vm, xml)
      const sharedByWord = factsOf(xml).disks.some(disk => disk.sharedByWord)
      const flags = flagsOf(options, { persistent, sharedByWord })
      await this.#setDowntime(dom, tuning.downtimeLimit, signal)
      await this.#start(vm, dom, parseDestination(to.uri), tuning.rate, options, flags, signal)
    } catch (error) {
      throw sourceFailure(vm, error)
    }
  }

  async #insistOnRunning(vm: VmId, dom: Domain, signal: AbortSignal): Promise<void> {
    const presence = presenceOf(await this.#look(dom, signal))
    if (presence.state === 'running' && !presence.migrating) return
    const does = presence.state === 'running' ? 'being migrated already' : presence.state
    const detail = `it is ${does} at ${this.host}; only a VM that runs there, and is left alone, can be moved`
    throw new MigrationError(vm, { code: 'source-refused', detail })
  }

  /** Returns when memory flows, or all is over already. */
  async #start(
    vm: VmId,
    dom: Domain,
    to: Destination,
    rate: Tuning['rate'],
    options: StartOptions,
    flags: number,
    signal: AbortSignal,
  ): Promise<void> {
    const args = { dom, dconnuri: to.connect, params: paramsOf(to, rate, options), cookieIn: Buffer.alloc(0), flags }
    this.#daemon.takeStatistics(dom)
    const outgoing = await this.#outgoing.start(vm, args, options, signal)
    const answered = new AbortController()
    const either = AbortSignal.any([signal, answered.signal])
    try {
      const outcome = await Promise.race([
        outgoing.over,
        poll(this.#clock, askEvery, either, inner => this.#flows(dom, inner)),
      ])
      if (outcome === 'flows' || outcome.kind === 'completed') return
      if (outcome.kind === 'unknown') throw new Error(`the daemon of ${this.host} went away while ${vm} was started`)
      throw new MigrationError(vm, outcome.failure, { cause: outcome.cause })
    } catch (error) {
      if (signal.aborted) await this.#callOff(vm)
      throw error
    } finally {
      answered.abort() // nobody asks on when the first of the two has answered
    }
  }

  async #flows(dom: Domain, signal: AbortSignal): Promise<'flows' | undefined> {
    try {
      const { type, params } = await this.#daemon.call('domainGetJobStats', { dom, flags: 0 }, signal)
      return type === jobType.unbounded && (numbersOf(params)('memory_total') ?? 0) > 0 ? 'flows' : undefined
    } catch (error) {
      if (error instanceof LibvirtCallError) return undefined // it is gone already: the outcome is about to come
      throw error
    }
  }

  async #callOff(vm: VmId): Promise<void> {
    try {
      await withDeadline(this.#clock, calledOffWithin, `calling off ${vm}`, neverAborts, inner =>
        this.cancel(vm, inner),
      )
    } catch (error) {
      // The caller was interrupted and asks both sides anyway.
      if (!(error instanceof Error)) throw error
    }
  }

  async sample(vm: VmId, signal: AbortSignal): Promise<Sample> {
    const outgoing = this.#outgoing.of(vm)
    const dom = await this.#daemon.find(vm, signal)
    const outcome = outgoing?.outcome
    if (outgoing !== undefined && outcome !== undefined && outcome.kind !== 'unknown')
      return this.#finalSample(dom, outgoing, outcome, signal)
    const goesOn = outgoing !== undefined && outcome === undefined
    // Its source is ended already, the answer is on its way; or nobody here knows of a migration.
    const unseen = goesOn ? { ...outgoing.last, status: 'stopping' as const } : noSample
    if (dom === undefined) return unseen
    try {
      const [{ type, params }, { state, reason }] = await Promise.all([
        this.#daemon.call('domainGetJobStats', { dom, flags: 0 }, signal),
        this.#daemon.call('domainGetState', { dom, flags: 0 }, signal),
      ])
      const remaining = numbersOf(params)('memory_remaining') ?? 0
      const status = statusOf(type, state, reason, remaining)
      const sample = sampleOf(params, goesOn && status === 'none' ? 'starting' : status, 'live')
      if (outgoing !== undefined) outgoing.last = sample
      if (status === 'stopping') this.#ringSoon(vm)
      return sample
    } catch (error) {
      if (error instanceof LibvirtCallError && (isNoDomain(error) || error.code === errorCode.operationInvalid))
        return unseen
      throw error
    }
  }

  /** Nobody tells when the last byte has left. */
  #ringSoon(vm: VmId): void {
    void this.#clock.sleep(ms(100), neverAborts).then(() => this.#daemon.ring(vm))
  }

  async #finalSample(
    dom: Domain | undefined,
    outgoing: Outgoing,
    outcome: Exclude<Outcome, { kind: 'unknown' }>,
    signal: AbortSignal,
  ): Promise<Sample> {
    if (outcome.kind === 'completed')
      return outcome.statistics === undefined
        ? { ...outgoing.last, status: 'completed' }
        : sampleOf(outcome.statistics, 'completed', 'final')
    const { failure, cause } = outcome
    const status: MigrationStatus =
      dom !== undefined && (await this.#isBroken(dom, signal))
        ? 'post-copy-broken'
        : failure.code === 'cancelled'
          ? 'cancelled'
          : 'failed'
    return { ...outgoing.last, status, error: cause.said }
  }

  async #isBroken(dom: Domain, signal: AbortSignal): Promise<boolean> {
    const { state, reason } = await this.#daemon.call('domainGetState', { dom, flags: 0 }, signal)
    return state === domainState.paused && reason === pausedReason.postCopyFailed
  }

  async *signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'> {
    yield* this.#daemon.bell(vm, signal)
  }

  async adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void> {
    const dom = await this.#mustFind(vm, signal)
    if ('rate' in to) {
      const bandwidth = speedOf(to.rate)
      await this.#daemon.call('domainMigrateSetMaxSpeed', { dom, bandwidth, flags: 0 }, signal)
      if (this.#outgoing.of(vm)?.postCopy === true)
        await this.#daemon.call('domainMigrateSetMaxSpeed', { dom, bandwidth, flags: speedPostCopy }, signal)
    }
    if (to.downtimeLimit !== undefined) await this.#setDowntime(dom, to.downtimeLimit, signal)
  }

  async #setDowntime(dom: Domain, limit: Milliseconds, signal: AbortSignal): Promise<void> {
    await this.#daemon.call('domainMigrateSetMaxDowntime', { dom, downtime: downtimeOf(limit), flags: 0 }, signal)
  }

  async startPostCopy(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#mustFind(vm, signal)
    await this.#daemon.call('domainMigrateStartPostCopy', { dom, flags: 0 }, signal)
  }

  async rejoin(vm: VmId, to: Landing, signal: AbortSignal): Promise<void> {
    const dom = await this.#mustFind(vm, signal)
    const options = { channels: 1, compression: 'none', autoConverge: false, postCopy: true } as const
    const { persistent } = await this.#daemon.call('domainIsPersistent', { dom }, signal)
    const flags = flagsOf(options, { persistent, sharedByWord: false }) | resumeFlag
    const destination = parseDestination(to.uri)
    const params = paramsOf(destination, undefined, options)
    const args = { dom, dconnuri: destination.connect, params, cookieIn: Buffer.alloc(0), flags }
    const outgoing = await this.#outgoing.start(vm, args, options, signal)
    const joined = async (inner: AbortSignal): Promise<true | undefined> =>
      (await this.#isBroken(dom, inner)) ? undefined : true
    const answered = new AbortController()
    const either = AbortSignal.any([signal, answered.signal])
    try {
      const first = await Promise.race([outgoing.over, poll(this.#clock, askEvery, either, joined)])
      if (first !== true && first.kind === 'failed') throw first.cause
    } finally {
      answered.abort()
    }
  }

  async cancel(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#daemon.find(vm, signal)
    if (dom === undefined) return
    try {
      await this.#daemon.call('domainAbortJob', { dom }, signal)
    } catch (error) {
      // Nothing goes on: it has ended already, one way or the other.
      if (!(error instanceof LibvirtCallError && error.code === errorCode.operationInvalid) && !isNoDomain(error))
        throw error
    }
  }

  async resume(vm: VmId, _proof: GoneElsewhere, signal: AbortSignal): Promise<void> {
    await this.#daemon.call('domainResume', { dom: await this.#mustFind(vm, signal) }, signal)
  }

  /** The daemon has ended and undefined the source, as a rule; what it left is cleared away, and the tombstone set. */
  async retire(vm: VmId, proof: RunsElsewhere, signal: AbortSignal): Promise<void> {
    const dom = await this.#daemon.find(vm, signal)
    if (dom !== undefined) await this.#clearSource(vm, dom, signal)
    const xml = this.#sent.get(vm)
    if (xml === undefined) return
    await this.#daemon.call('domainDefineXmlFlags', { xml: tombstoneXml(xml, proof.host), flags: 0 }, signal)
    this.#sent.delete(vm)
  }

  async #clearSource(vm: VmId, dom: Domain, signal: AbortSignal): Promise<void> {
    // Its daemon is at it: that takes a second or two after the target has begun to run.
    const presence = await poll(this.#clock, askEvery, signal, async inner => {
      const now = await this.presence(vm, inner)
      return now.state === 'paused' && now.as === 'leaving' ? undefined : now
    })
    const ended = presence.state === 'absent' || (presence.state === 'paused' && presence.as === 'left')
    if (!ended) {
      const detail = `${this.host} will not end it: it is ${presence.state} there, though it runs at its target`
      throw new MigrationError(vm, { code: 'source-refused', detail })
    }
    const persistent = await this.#keepDefinition(vm, signal)
    if (presence.state === 'paused')
      await this.#ignoreGone(this.#daemon.call('domainDestroyFlags', { dom, flags: 0 }, signal))
    if (persistent)
      await this.#ignoreGone(this.#daemon.call('domainUndefineFlags', { dom, flags: undefineFlags }, signal))
  }

  /** @returns whether there is one: libvirt has removed it, as a rule */
  async #keepDefinition(vm: VmId, signal: AbortSignal): Promise<boolean> {
    const dom = await this.#daemon.find(vm, signal)
    if (dom === undefined) return false
    try {
      const { persistent } = await this.#daemon.call('domainIsPersistent', { dom }, signal)
      if (!persistent) return false
      const { xml } = await this.#daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal)
      this.#sent.set(vm, xml)
      return true
    } catch (error) {
      if (isNoDomain(error)) return false
      throw error
    }
  }

  async #ignoreGone(call: Promise<unknown>): Promise<void> {
    await call.catch((error: unknown) => {
      if (!isNoDomain(error)) throw error
    })
  }

  // ── as target ──

  async prepare(definition: Definition, _options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    if (definition.driver !== this.driver) {
      const detail = `${this.host} is a libvirt host and cannot take a VM of driver ${definition.driver}`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    try {
      const { name, uuid, autostart } = parseLibvirtDefinition(definition.text)
      await this.#makeRoom(vm, name, uuid, signal)
      if (autostart) this.#autostarts.add(vm)
      else this.#autostarts.delete(vm)
    } catch (error) {
      throw targetFailure(vm, error)
    }
    return this.#landing()
  }

  #landing(): Landing {
    const { connectUri, migrationAddress } = this.#options
    const address = migrationAddress.includes(':') ? `[${migrationAddress.replace(/^\[|\]$/g, '')}]` : migrationAddress
    const to: Destination = { connect: connectUri, migrate: `tcp://${address}` }
    return { driver: this.driver, uri: JSON.stringify(to) }
  }

  /** A definition of the same VM that does not run is written over; a target that never ran is taken away; all else is in the way. */
  async #makeRoom(vm: VmId, name: string, uuid: string, signal: AbortSignal): Promise<void> {
    const [byName, byUuid] = await Promise.all([this.#daemon.find(vm, signal), this.#daemon.findByUuid(uuid, signal)])
    const refuse = (detail: string): never => {
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    for (const dom of [byName, byUuid]) {
      if (dom === undefined) continue
      if (dom.name !== name || uuidText(dom) !== uuid)
        refuse(
          `${this.host} has another domain ${dom.name} (uuid ${uuidText(dom)}) in its place; remove or rename it there`,
        )
    }
    if (byName === undefined) return
    const presence = presenceOf(await this.#look(byName, signal))
    if (presence.state === 'absent') return
    if (presence.state !== 'incoming') refuse(`it is ${presence.state} at ${this.host} already`)
    await this.discard(vm, signal)
  }

  /** libvirt finds the connection's end by itself; both sides are named anew. */
  reopen(_vm: VmId, _signal: AbortSignal): Promise<Landing> {
    return Promise.resolve(this.#landing())
  }

  /** The source's daemon has it run; what is left to do here is what libvirt does not carry over. */
  async run(vm: VmId, _proof: Departed, signal: AbortSignal): Promise<void> {
    const dom = await poll(this.#clock, askEvery, signal, async inner => {
      const { state } = await this.presence(vm, inner)
      return state === 'running' || state === 'split' ? this.#daemon.find(vm, inner) : undefined
    })
    if (this.#autostarts.delete(vm))
      await this.#daemon.call('domainSetAutostart', { dom, autostart: true }, signal).catch((error: unknown) => {
        if (!(error instanceof LibvirtCallError)) throw error // not persistent yet (post-copy), or not allowed: it runs
      })
    await this.#removeTombstone(dom, signal)
  }

  async #removeTombstone({ name }: Domain, signal: AbortSignal): Promise<void> {
    try {
      const { dom } = await this.#daemon.call('domainLookupByName', { name: tombstoneName(name) }, signal)
      await this.#daemon.call('domainUndefineFlags', { dom, flags: 0 }, signal)
    } catch (error) {
      if (!isNoDomain(error)) throw error
    }
  }

  async discard(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#daemon.find(vm, signal)
    if (dom === undefined) return
    const presence = await this.presence(vm, signal)
    if (presence.state === 'absent') return
    if (presence.state !== 'incoming') {
      const detail = `${this.host} will not end it: it is ${presence.state} there, which is no target that never ran`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    await this.#ignoreGone(this.#daemon.call('domainDestroyFlags', { dom, flags: 0 }, signal))
  }

  async close(): Promise<void> {
    await this.#outgoing.close()
    await this.#daemon.close()
  }
}

/** major · 10⁶ + minor · 10³ + release. */
function versionOf(n: number): string {
  return `${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`
}
