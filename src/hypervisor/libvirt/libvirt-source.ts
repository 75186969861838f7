/**
 * A libvirt host as the source of migrations. The daemon does the work, peer to peer: it makes the target, sends memory, lets the target
 * run, and ends and undefines the source, in this order and without us.
 */
import type { VmId } from '../../core/ids.ts'
import { goneFrom, MigrationError } from '../../core/migration/failure.ts'
import type { Tuning } from '../../core/migration/migration.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import { type Bytes, bytes, type Milliseconds, ms, seconds } from '../../core/units.ts'
import { type Domain, errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { neverAborts, poll, withDeadline } from '../../time/with-deadline.ts'
import type { Adjustment, Definition, Landing, MigrationStatus, Sample } from '../hypervisor.ts'
import { diskFailure } from '../disk-failure.ts'
import { noSample } from '../no-sample.ts'
import type { GoneElsewhere, RunsElsewhere } from '../prove.ts'
import { sourceFailure } from './classify-libvirt-error.ts'
import { CopyRate } from './copy-rate.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { factsOf, overrulesSafety, tombstoneXml } from './domain-xml.ts'
import { type Domains, ignoreGone } from './domains.ts'
import { parseDestination, persistentXml, printLibvirtDefinition } from './libvirt-definition.ts'
import { domainState, pausedReason, presenceOf } from './libvirt-presence.ts'
import {
  isBeforeMemory,
  jobType,
  numbersOf,
  sampleOf,
  statusOf,
  withWholeMemory,
  withWrites,
} from './libvirt-sample.ts'
import {
  type Destination,
  downtimeOf,
  flagsOf,
  paramsOf,
  refusalOf,
  resumeFlag,
  resumesPostCopy,
  showVersion,
  speedOf,
} from './migration-params.ts'
import { type Outcome, type Outgoing, OutgoingMigrations } from './outgoing.ts'
import { readDisks } from './source-disks.ts'

const askEvery = ms(50)
/** A migration that nobody waits for any more is called off. */
const calledOffWithin = seconds(5)

/** include/libvirt/libvirt-domain.h. */
const xmlInactive = 1 << 1
const undefineFlags = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 4) // managed save, snapshots' and checkpoints' metadata; NVRAM is kept
const speedPostCopy = 1 << 0

export class Source {
  readonly #domains: Domains
  readonly #outgoing: OutgoingMigrations
  readonly #copyRate: CopyRate

  constructor(domains: Domains) {
    this.#domains = domains
    this.#outgoing = new OutgoingMigrations(domains)
    this.#copyRate = new CopyRate(domains)
  }

  async definition(vm: VmId, signal: AbortSignal): Promise<Definition> {
    const dom = await this.#domains.mustFind(vm, signal)
    try {
      const [{ xml }, live, { persistent }, autostart] = await Promise.all([
        this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal),
        this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal),
        this.#domains.daemon.call('domainIsPersistent', { dom }, signal),
        this.#autostartOf(dom, signal),
      ])
      const disks = [...(await readDisks(this.#domains, dom, live.xml, signal))]
      const text = printLibvirtDefinition({ name: dom.name, uuid: uuidText(dom), persistent, autostart, xml, disks })
      return { driver: 'libvirt', vm, text }
    } catch (error) {
      throw sourceFailure(vm, this.#domains.host, error)
    }
  }

  /** A transient VM has none, and says so with an error. */
  async #autostartOf(dom: Domain, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#domains.daemon.call('domainGetAutostart', { dom }, signal)).autostart
    } catch (error) {
      if (error instanceof LibvirtCallError && error.code === errorCode.operationInvalid) return false
      throw error
    }
  }

  async migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void> {
    try {
      const dom = await this.#domains.mustFind(vm, signal)
      this.#insistOnOptions(vm, options)
      await this.#insistOnRunning(vm, dom, signal)
      const [{ persistent }, { xml }] = await Promise.all([
        this.#domains.daemon.call('domainIsPersistent', { dom }, signal),
        this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal),
      ])
      const destination = parseDestination(to.uri)
      const traits = { persistent, overrulesSafety: overrulesSafety(factsOf(xml).disks) }
      const flags = flagsOf(options, traits, destination)
      await this.#setDowntime(dom, tuning.downtimeLimit, signal)
      await this.#start(vm, dom, destination, tuning.rate, options, flags, signal)
      if (this.#outgoing.of(vm)?.outcome === undefined)
        await this.#copyRate.begin(vm, dom, tuning.rate, destination.copy, signal)
    } catch (error) {
      throw sourceFailure(vm, this.#domains.host, error)
    }
  }

  #insistOnOptions(vm: VmId, options: StartOptions): void {
    const detail = refusalOf(options, this.#domains.daemon.version)
    if (detail !== undefined)
      throw new MigrationError(vm, { code: 'cannot-move', detail: `${this.#domains.host}: ${detail}` })
  }

  async #insistOnRunning(vm: VmId, dom: Domain, signal: AbortSignal): Promise<void> {
    const presence = presenceOf(await this.#domains.look(dom, signal))
    if (presence.state === 'running' && !presence.migrating) return
    if (presence.state === 'absent') throw goneFrom(this.#domains.host, vm, presence.detail)
    const does = presence.state === 'running' ? 'being migrated already' : presence.state
    const detail = `it is ${does} at ${this.#domains.host}; only a VM that runs there, and is left alone, can be moved`
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
    this.#domains.daemon.takeStatistics(dom)
    const started = { postCopy: options.postCopy, target: to.host }
    const outgoing = await this.#outgoing.start(vm, args, started, signal)
    const answered = new AbortController()
    const either = AbortSignal.any([signal, answered.signal])
    try {
      const outcome = await Promise.race([
        outgoing.over,
        poll(this.#domains.clock, askEvery, either, inner => this.#flows(dom, inner)),
      ])
      if (outcome === 'flows' || outcome.kind === 'completed') return
      if (outcome.kind === 'unknown')
        throw new Error(`the daemon of ${this.#domains.host} went away while ${vm} was started`)
      const failure = diskFailure(outcome.cause.said, to.host) ?? outcome.failure
      throw new MigrationError(vm, failure, { cause: outcome.cause })
    } catch (error) {
      if (signal.aborted) await this.#callOff(vm)
      throw error
    } finally {
      answered.abort() // nobody asks on when the first of the two has answered
    }
  }

  async #flows(dom: Domain, signal: AbortSignal): Promise<'flows' | undefined> {
    try {
      const { type, params } = await this.#domains.daemon.call('domainGetJobStats', { dom, flags: 0 }, signal)
      const number = numbersOf(params)
      const total = (number('memory_total') ?? 0) + (number('disk_total') ?? 0)
      return type === jobType.unbounded && total > 0 ? 'flows' : undefined
    } catch (error) {
      if (error instanceof LibvirtCallError) return undefined // it is gone already: the outcome is about to come
      throw error
    }
  }

  async #callOff(vm: VmId): Promise<void> {
    try {
      await withDeadline(this.#domains.clock, calledOffWithin, `calling off ${vm}`, neverAborts, inner =>
        this.cancel(vm, inner),
      )
    } catch (error) {
      // The caller was interrupted and asks both sides anyway.
      if (!(error instanceof Error)) throw error
    }
  }

  async sample(vm: VmId, signal: AbortSignal): Promise<Sample> {
    const outgoing = this.#outgoing.of(vm)
    const dom = await this.#domains.daemon.find(vm, signal)
    const outcome = outgoing?.outcome
    if (outgoing !== undefined && outcome !== undefined && outcome.kind !== 'unknown')
      return this.#finalSample(dom, outgoing, outcome, signal)
    const goesOn = outgoing !== undefined && outcome === undefined
    // Its source is ended already, the answer is on its way; or nobody here knows of a migration.
    const unseen = goesOn ? { ...outgoing.last, status: 'stopping' as const } : noSample
    if (dom === undefined) return unseen
    try {
      const [{ type, params }, { state, reason }] = await Promise.all([
        this.#domains.daemon.call('domainGetJobStats', { dom, flags: 0 }, signal),
        this.#domains.daemon.call('domainGetState', { dom, flags: 0 }, signal),
      ])
      const remaining = numbersOf(params)('memory_remaining') ?? 0
      const status = statusOf(type, state, reason, remaining)
      const told = sampleOf(params, goesOn && status === 'none' ? 'starting' : status, 'live')
      const writes = await this.#copyRate.hold(vm, dom, told, signal)
      const sample = withWrites(
        isBeforeMemory(told) ? withWholeMemory(told, await this.#memoryOf(dom, signal)) : told,
        writes,
      )
      if (outgoing !== undefined) outgoing.last = sample
      if (status === 'stopping') this.#ringSoon(vm)
      return sample
    } catch (error) {
      if (error instanceof LibvirtCallError && (isNoDomain(error) || error.code === errorCode.operationInvalid))
        return unseen
      throw error
    }
  }

  async #memoryOf(dom: Domain, signal: AbortSignal): Promise<Bytes> {
    const { maxMemory } = await this.#domains.daemon.call('domainGetInfo', { dom }, signal)
    return bytes(maxMemory * 1024)
  }

  /** Nobody tells when the last byte has left. */
  #ringSoon(vm: VmId): void {
    void this.#domains.clock.sleep(ms(100), neverAborts).then(() => this.#domains.daemon.ring(vm))
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
    return { ...outgoing.last, status, error: cause.said, failure: diskFailure(cause.said, outgoing.target) }
  }

  async #isBroken(dom: Domain, signal: AbortSignal): Promise<boolean> {
    const { state, reason } = await this.#domains.daemon.call('domainGetState', { dom, flags: 0 }, signal)
    return state === domainState.paused && reason === pausedReason.postCopyFailed
  }

  async *signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'> {
    yield* this.#domains.daemon.bell(vm, signal)
  }

  async adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.mustFind(vm, signal)
    if ('rate' in to) {
      const bandwidth = speedOf(to.rate)
      const now = await this.sample(vm, signal)
      if (now.disk === undefined)
        await this.#domains.daemon.call('domainMigrateSetMaxSpeed', { dom, bandwidth, flags: 0 }, signal)
      else await this.#copyRate.change(vm, dom, to.rate, now, signal)
      if (this.#outgoing.of(vm)?.postCopy === true)
        await this.#domains.daemon.call('domainMigrateSetMaxSpeed', { dom, bandwidth, flags: speedPostCopy }, signal)
    }
    if (to.downtimeLimit !== undefined) await this.#setDowntime(dom, to.downtimeLimit, signal)
  }

  async #setDowntime(dom: Domain, limit: Milliseconds, signal: AbortSignal): Promise<void> {
    await this.#domains.daemon.call(
      'domainMigrateSetMaxDowntime',
      { dom, downtime: downtimeOf(limit), flags: 0 },
      signal,
    )
  }

  async startPostCopy(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.mustFind(vm, signal)
    await this.#domains.daemon.call('domainMigrateStartPostCopy', { dom, flags: 0 }, signal)
  }

  async rejoin(vm: VmId, to: Landing, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.mustFind(vm, signal)
    const options = { channels: 1, compression: 'none', autoConverge: false, postCopy: true } as const
    const { persistent } = await this.#domains.daemon.call('domainIsPersistent', { dom }, signal)
    const { version } = this.#domains.daemon
    if (!resumesPostCopy(version))
      throw new Error(
        `libvirt ${showVersion(version ?? 0)} at ${this.#domains.host} cannot join a broken post-copy again (8.5 can); ${vm} waits on both hosts: update libvirt there, it keeps its guests`,
      )
    const destination = parseDestination(to.uri)
    const flags = flagsOf(options, { persistent, overrulesSafety: false }, destination) | resumeFlag
    const params = paramsOf(destination, undefined, options)
    const args = { dom, dconnuri: destination.connect, params, cookieIn: Buffer.alloc(0), flags }
    const started = { postCopy: true, target: destination.host }
    const outgoing = await this.#outgoing.start(vm, args, started, signal)
    const joined = async (inner: AbortSignal): Promise<true | undefined> =>
      (await this.#isBroken(dom, inner)) ? undefined : true
    const answered = new AbortController()
    const either = AbortSignal.any([signal, answered.signal])
    try {
      const first = await Promise.race([outgoing.over, poll(this.#domains.clock, askEvery, either, joined)])
      if (first !== true && first.kind === 'failed') throw first.cause
    } finally {
      answered.abort()
    }
  }

  async cancel(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.daemon.find(vm, signal)
    if (dom === undefined) return
    try {
      await this.#domains.daemon.call('domainAbortJob', { dom }, signal)
    } catch (error) {
      // Nothing goes on: it has ended already, one way or the other.
      if (!(error instanceof LibvirtCallError && error.code === errorCode.operationInvalid) && !isNoDomain(error))
        throw error
    }
  }

  async resume(vm: VmId, _proof: GoneElsewhere, signal: AbortSignal): Promise<void> {
    await this.#domains.daemon.call('domainResume', { dom: await this.#domains.mustFind(vm, signal) }, signal)
  }

  /** The daemon has ended and undefined the source, as a rule; what it left is cleared away, and the tombstone set. */
  async retire(vm: VmId, proof: RunsElsewhere, kept: Definition | undefined, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.daemon.find(vm, signal)
    const left = dom === undefined ? undefined : await this.#clearSource(vm, dom, signal)
    const xml = (kept === undefined ? undefined : persistentXml(kept)) ?? left
    if (xml === undefined) return // never defined here, so nothing can be started
    await this.#domains.daemon.call('domainDefineXmlFlags', { xml: tombstoneXml(xml, proof.host), flags: 0 }, signal)
  }

  /** @returns the definition that was there still */
  async #clearSource(vm: VmId, dom: Domain, signal: AbortSignal): Promise<string | undefined> {
    // Its daemon is at it: that takes a second or two after the target has begun to run.
    const presence = await poll(this.#domains.clock, askEvery, signal, async inner => {
      const now = await this.#domains.presence(vm, inner)
      return now.state === 'paused' && now.as === 'leaving' ? undefined : now
    })
    const ended = presence.state === 'absent' || (presence.state === 'paused' && presence.as === 'left')
    if (!ended) {
      const detail = `${this.#domains.host} will not end it: it is ${presence.state} there, though it runs at its target`
      throw new MigrationError(vm, { code: 'source-refused', detail })
    }
    const xml = await this.#definitionLeft(vm, signal)
    if (presence.state === 'paused')
      await ignoreGone(this.#domains.daemon.call('domainDestroyFlags', { dom, flags: 0 }, signal))
    if (xml !== undefined)
      await ignoreGone(this.#domains.daemon.call('domainUndefineFlags', { dom, flags: undefineFlags }, signal))
    return xml
  }

  /** As a rule there is none: libvirt has removed it. */
  async #definitionLeft(vm: VmId, signal: AbortSignal): Promise<string | undefined> {
    const dom = await this.#domains.daemon.find(vm, signal)
    if (dom === undefined) return undefined
    try {
      const { persistent } = await this.#domains.daemon.call('domainIsPersistent', { dom }, signal)
      if (!persistent) return undefined
      return (await this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: xmlInactive }, signal)).xml
    } catch (error) {
      if (isNoDomain(error)) return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#outgoing.close()
  }
}
