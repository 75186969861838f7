/**
 * A host that runs plain QEMU: a folder of definitions (vm-folder.ts), a QMP monitor for each running VM.
 *
 * Targets are started with `-S -incoming defer`, so they run only when told to. The source of a finished migration stays in
 * `postmigrate` until it is retired; a source whose migration breaks before that goes on by itself (QEMU does that).
 */
import type { HostId, VmId } from '../../core/ids.ts'
import { type PolicyWords, wordsBeyondDefault } from '../../core/inventory/policy-words.ts'
import type { Vm } from '../../core/inventory/vm.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import type { Tuning } from '../../core/migration/migration.ts'
import type { Presence } from '../../core/migration/presence.ts'
import { compressions, type StartOptions } from '../../core/migration/start-options.ts'
import {
  type Bytes,
  bytes,
  bytesPerSecond,
  type BytesPerSecond,
  mebibytes,
  type Milliseconds,
  ms,
} from '../../core/units.ts'
import {
  ignoreReply,
  parseMemorySize,
  parseQueryBlock,
  parseQueryDirtyRate,
  parseQueryMigrate,
  parseQueryStatus,
  type QmpClient,
} from '../../qmp/public.ts'
import { HostUnreachable, type Remote, runOk } from '../../remote/remote.ts'
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
  Sample,
} from '../hypervisor.ts'
import type { Departed, GoneElsewhere, RunsElsewhere } from '../prove.ts'
import { sourceFailure, targetFailure } from './classify-qemu-error.ts'
import { parseArrival, parseLanding, printArrival, printLanding } from './arrival.ts'
import { commandLine, monitorSockets, printDefinition, type QemuDefinition } from './definition.ts'
import { endExports, exportDisks, type Listening } from './export-disks.ts'
import { FreePorts } from './free-ports.ts'
import { ImageRoom } from './image-room.ts'
import { capabilitiesOf, parametersOf, startParametersOf } from './migration-settings.ts'
import { Mirrors } from './mirrors.ts'
import { MonitorPool } from './monitor-pool.ts'
import { isSending, presenceOf } from './qemu-presence.ts'
import { sampleOf, withDisks } from './qemu-sample.ts'
import { disksToCopy, mediaOf, withLengths } from './source-images.ts'
import { VmFolder } from './vm-folder.ts'
import { writePolicy } from './write-policy.ts'

export interface QemuHostOptions {
  readonly host: HostId
  readonly remote: Remote
  /** Absolute path of the folder of definitions on that host. */
  readonly folder: string
  /** Where other hosts reach this one for migrations. */
  readonly migrationAddress: string
  /** What guests may use together; @default the machine's memory */
  readonly memory: Bytes | undefined
  readonly clock: Clock
}

/** A process that was told to end is gone within this. */
const endsWithin = ms(10_000)
/** A monitor that is silent for so long is stuck: a target whose main thread waits for a page of a broken post-copy is. */
const monitorAnswersWithin = ms(4_000)
const askEvery = ms(50)
/** Events after which a migration is worth a look. */
const telling: ReadonlySet<string> = new Set([
  'MIGRATION',
  'STOP',
  'RESUME',
  'SHUTDOWN',
  'BLOCK_JOB_READY',
  'BLOCK_JOB_ERROR',
  'JOB_STATUS_CHANGE',
])
const watchEvery = ms(2_000)
/**
 * QEMU samples no block of memory below this (migration/dirtyrate.c, MIN_RAMBLOCK_SIZE): a small guest cannot be measured. Its other
 * mode, `dirty-bitmap`, ends QEMU 7.2 under TCG, guest and all: never used.
 */
const leastSampled = mebibytes(128)
/** Pages looked at per GiB: QEMU's default is 512, its most 16384 in newer and 8192 in older versions (qapi, `sample-pages`). */
const samplePagesLeast = 512
const samplePagesMost = 8192
/** So many pages in all tell a hot set of a thousandth of the memory from none. */
const samplePagesWanted = 4096

export class QemuHost implements Hypervisor {
  readonly driver = 'qemu'
  readonly capabilities: Capabilities = {
    inFlight: { rate: true, downtimeLimit: true, throttle: true, postCopy: true },
    atStart: { compression: compressions },
    rateStep: bytesPerSecond(1),
    selfCompleting: false,
  }
  readonly host: HostId
  readonly #options: QemuHostOptions
  readonly #folder: VmFolder
  readonly #monitors: MonitorPool
  readonly #mirrors: Mirrors
  readonly #images: ImageRoom
  readonly #sockets = new Map<VmId, readonly string[]>()
  readonly #memory = new Map<VmId, Bytes>()
  readonly #ports = new FreePorts()

  constructor(options: QemuHostOptions) {
    this.host = options.host
    this.#options = options
    this.#folder = new VmFolder(options.remote, options.folder)
    this.#monitors = new MonitorPool(options.remote, options.clock)
    this.#mirrors = new Mirrors(options.clock)
    this.#images = new ImageRoom(options.host, options.remote, this.#folder)
  }

  async facts(signal: AbortSignal): Promise<HostFacts> {
    const { remote, memory } = this.#options
    const info = await runOk(remote, ['cat', '/proc/meminfo'], {}, signal)
    const total = /^MemTotal:\s+(\d+) kB/m.exec(info)?.[1]
    if (memory === undefined && total === undefined)
      throw new HostUnreachable(`${remote.where}: /proc/meminfo says nothing of MemTotal`)
    const version = await remote.run(['qemu-system-x86_64', '--version'], {}, signal)
    return {
      memory: memory ?? bytes(Number(total) * 1024),
      version: /version (\S+)/.exec(version.stdout)?.[1] ?? 'unknown',
    }
  }

  async list(signal: AbortSignal): Promise<readonly Listing[]> {
    const { entries } = await this.#folder.list(signal)
    return Promise.all(
      entries
        .filter(({ as, alive }) => as === 'living' || alive)
        .map(async ({ definition, unread, as }): Promise<Listing> => {
          const presence = await this.presence(definition.name, signal)
          // A controller died between telling it to run and writing that down.
          if (as === 'arriving' && presence.state === 'running') await this.#folder.settle(definition.name, signal)
          return {
            vm: { ...vmFrom(definition, this.host), paused: presence.state === 'paused' && presence.as === 'home' },
            presence,
            own: wordsBeyondDefault(definition),
            unread,
          }
        }),
    )
  }

  async *watch(signal: AbortSignal): AsyncIterable<Change> {
    let known = new Map<VmId, Listing>()
    for (;;) {
      const now = new Map((await this.list(signal)).map(listing => [listing.vm.id, listing]))
      for (const [id, listing] of now) {
        const before = known.get(id)
        if (before === undefined) yield { kind: 'appeared', listing }
        else if (JSON.stringify(before) !== JSON.stringify(listing)) yield { kind: 'changed', listing }
      }
      for (const id of known.keys()) if (!now.has(id)) yield { kind: 'gone', vm: id }
      known = now
      await this.#options.clock.sleep(watchEvery, signal)
    }
  }

  async presence(vm: VmId, signal: AbortSignal): Promise<Presence> {
    try {
      return await withDeadline(this.#options.clock, monitorAnswersWithin, `the monitor of ${vm}`, signal, inner =>
        this.#askMonitor(vm, inner),
      )
    } catch (error) {
      signal.throwIfAborted()
      return this.#presenceWithoutMonitor(vm, error, signal)
    }
  }

  async #askMonitor(vm: VmId, signal: AbortSignal): Promise<Presence> {
    const client = await this.#monitor(vm, signal)
    const [status, migration] = await Promise.all([
      client.execute('query-status', {}, parseQueryStatus, signal),
      client.execute('query-migrate', {}, parseQueryMigrate, signal),
    ])
    const state = { runState: status.status, migration: migration.status, arriving: false }
    const presence = presenceOf(state)
    if (presence.state === 'running' && !presence.migrating)
      return { ...presence, migrating: (await this.#mirrors.jobs(client, signal)).length > 0 }
    if (presence.state !== 'paused' || presence.as !== 'home') return presence
    return presenceOf({ ...state, arriving: (await this.#folder.read(vm, signal))?.as === 'arriving' })
  }

  /** No monitor answers: only the process table can say that the VM is not there. */
  async #presenceWithoutMonitor(vm: VmId, cause: unknown, signal: AbortSignal): Promise<Presence> {
    const why = cause instanceof Error ? cause.message : String(cause)
    try {
      if (await this.#folder.isAlive(vm, signal))
        return { state: 'unreachable', detail: `its process lives, its monitor does not answer: ${why}` }
      return { state: 'absent', detail: 'no process' }
    } catch (error) {
      signal.throwIfAborted()
      return { state: 'unreachable', detail: error instanceof Error ? error.message : String(error) }
    }
  }

  async #monitor(vm: VmId, signal: AbortSignal): Promise<QmpClient> {
    let sockets = this.#sockets.get(vm)
    if (sockets === undefined) {
      const entry = await this.#folder.read(vm, signal)
      if (entry === undefined) throw new Error(`${vm} has no definition at ${this.host}`)
      sockets = monitorSockets(entry.definition, this.#folder.dirOf(vm))
      this.#sockets.set(vm, sockets)
    }
    return this.#monitors.get(vm, sockets, signal)
  }

  async #execute(vm: VmId, command: string, args: object, signal: AbortSignal): Promise<void> {
    const client = await this.#monitor(vm, signal)
    await client.execute(command, args, ignoreReply, signal)
  }

  /** For a QEMU whose main thread may be stuck. */
  async #executeOutOfBand(vm: VmId, command: string, args: object, signal: AbortSignal): Promise<void> {
    const client = await this.#monitor(vm, signal)
    if (client.enabled.includes('oob')) await client.executeOutOfBand(command, args, ignoreReply, signal)
    else await client.execute(command, args, ignoreReply, signal)
  }

  async measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined> {
    const memory = (await this.#folder.read(vm, signal))?.definition.memory ?? bytes(0)
    if (memory < leastSampled) return undefined
    const client = await this.#monitor(vm, signal)
    const wholeSeconds = Math.max(1, Math.round(span / 1000)) // qapi: calc-time is in seconds, 1 to 60
    await client.execute(
      'calc-dirty-rate',
      { 'calc-time': Math.min(60, wholeSeconds), mode: 'page-sampling', 'sample-pages': samplePagesFor(memory) },
      ignoreReply,
      signal,
    )
    return poll(this.#options.clock, ms(200), signal, async inner => {
      const { status, rate } = await client.execute('query-dirty-rate', {}, parseQueryDirtyRate, inner)
      return status === 'measured' ? rate : undefined
    })
  }

  setPolicy(vm: VmId, own: PolicyWords, signal: AbortSignal): Promise<void> {
    return writePolicy(this.#folder, { vm, host: this.host, own }, signal)
  }

  async definition(vm: VmId, signal: AbortSignal): Promise<Definition> {
    const entry = await this.#folder.read(vm, signal)
    if (entry === undefined)
      throw new MigrationError(vm, { code: 'not-there', detail: `${this.host} has no definition of it` })
    const { definition } = entry
    const client = await this.#monitor(vm, signal)
    const drives = await client.execute('query-block', {}, parseQueryBlock, signal)
    const dir = this.#folder.dirOf(vm)
    const copied = disksToCopy(vm, this.host, definition, drives, dir)
    const disks = await Promise.all(copied.map(disk => withLengths(this.#options.remote, disk, dir, signal)))
    return { driver: this.driver, vm, text: printArrival({ definition, disks, media: mediaOf(drives, dir) }) }
  }

  async migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void> {
    try {
      const client = await this.#monitor(vm, signal)
      const { running, status } = await client.execute('query-status', {}, parseQueryStatus, signal)
      if (!running) {
        const detail = `it is ${status} at ${this.host}; a move would set it running at the target`
        throw new MigrationError(vm, { code: 'source-refused', detail })
      }
      const before = await client.execute('query-migrate', {}, parseQueryMigrate, signal)
      if (isSending(before.status)) {
        const detail = `it is being migrated from ${this.host} already (${before.status})`
        throw new MigrationError(vm, { code: 'source-refused', detail })
      }
      const { migrate, disks } = parseLanding(to.uri)
      const pauses = disks === null ? 'goes on' : 'pauses'
      await client.execute('migrate-set-capabilities', capabilitiesOf(options, pauses), ignoreReply, signal)
      await client.execute(
        'migrate-set-parameters',
        { ...startParametersOf(options), ...parametersOf(tuning) },
        ignoreReply,
        signal,
      )
      this.#mirrors.forget(vm)
      if (disks === null) await client.execute('migrate', { uri: migrate }, ignoreReply, signal)
      else await this.#mirrors.start(vm, client, disks, migrate, tuning.rate, signal)
    } catch (error) {
      throw sourceFailure(vm, error)
    }
  }

  async sample(vm: VmId, signal: AbortSignal): Promise<Sample> {
    const client = await this.#monitor(vm, signal)
    const { migration, copy } = await this.#mirrors.advance(vm, client, signal)
    const status = await client.execute('query-status', {}, parseQueryStatus, signal)
    const sample = sampleOf(migration, status.status)
    return copy === undefined ? sample : withDisks(sample, copy, await this.#memoryOf(vm, client, signal))
  }

  async #memoryOf(vm: VmId, client: QmpClient, signal: AbortSignal): Promise<Bytes> {
    const known = this.#memory.get(vm)
    if (known !== undefined) return known
    const memory = await client.execute('query-memory-size-summary', {}, parseMemorySize, signal)
    this.#memory.set(vm, memory)
    return memory
  }

  async *signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'> {
    const client = await this.#monitor(vm, signal)
    for await (const event of client.events(signal)) {
      if (telling.has(event.name)) yield 'changed'
    }
    yield 'changed'
  }

  async adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void> {
    const client = await this.#monitor(vm, signal)
    const shared = 'rate' in to && (await this.#mirrors.setRate(vm, client, to.rate, signal))
    const { rate: _rate, ...others } = to
    const parameters = parametersOf(shared ? others : to)
    if (Object.keys(parameters).length > 0)
      await client.execute('migrate-set-parameters', parameters, ignoreReply, signal)
  }

  async startPostCopy(vm: VmId, signal: AbortSignal): Promise<void> {
    if (this.#mirrors.isBeforeMemory(vm))
      throw new Error(`${vm}: its disks are still copied, and post-copy is for memory; ask again when memory flows`)
    await this.#execute(vm, 'migrate-start-postcopy', {}, signal)
  }

  rejoin(vm: VmId, to: Landing, signal: AbortSignal): Promise<void> {
    return this.#execute(vm, 'migrate', { uri: parseLanding(to.uri).migrate, resume: true }, signal)
  }

  async cancel(vm: VmId, signal: AbortSignal): Promise<void> {
    await this.#mirrors.cancel(vm, await this.#monitor(vm, signal), signal)
  }

  resume(vm: VmId, _proof: GoneElsewhere, signal: AbortSignal): Promise<void> {
    return this.#execute(vm, 'cont', {}, signal)
  }

  /** The folder has its definition still, which is what the tombstone is made of. */
  async retire(vm: VmId, proof: RunsElsewhere, _kept: Definition | undefined, signal: AbortSignal): Promise<void> {
    await this.#end(vm, signal)
    await this.#folder.bury(vm, proof.host, signal)
    this.#sockets.delete(vm)
    this.#mirrors.forget(vm)
  }

  /** The process is asked to quit, and seen gone. */
  async #end(vm: VmId, signal: AbortSignal): Promise<void> {
    if (await this.#folder.isAlive(vm, signal)) {
      // QEMU may close the monitor before it answers: whether it ended is asked below, of the process table.
      await this.#execute(vm, 'quit', {}, signal).catch(() => signal.throwIfAborted())
      await withDeadline(this.#options.clock, endsWithin, `the end of ${vm} at ${this.host}`, signal, inner =>
        poll(this.#options.clock, askEvery, inner, async s => ((await this.#folder.isAlive(vm, s)) ? undefined : true)),
      )
    }
    await this.#monitors.drop(vm)
  }

  async prepare(definition: Definition, options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    try {
      const { definition: parsed, disks, media } = parseArrival(definition.text)
      await this.#makeRoom(parsed, signal)
      await this.#images.insistOnMedia(vm, media, signal)
      const wasHere = disks.length > 0 && (await this.#folder.wasHere(vm, parsed.uuid, signal))
      await this.#folder.writeArriving(parsed, printDefinition(parsed), signal)
      const copy = await this.#images.make(vm, disks, wasHere, signal)
      const dir = this.#folder.dirOf(vm)
      this.#sockets.set(vm, monitorSockets(parsed, dir))
      await runOk(this.#options.remote, commandLine(parsed, dir, 'target'), {}, signal)
      const client = await this.#monitor(vm, signal)
      await client.execute('migrate-set-capabilities', capabilitiesOf(options, 'goes on'), ignoreReply, signal)
      const parameters = startParametersOf(options)
      if (Object.keys(parameters).length > 0)
        await client.execute('migrate-set-parameters', parameters, ignoreReply, signal)
      const nbd = await exportDisks(vm, client, this.#listening(), copy, signal)
      const migrate = await this.#listen(vm, 'migrate-incoming', signal)
      return { driver: this.driver, uri: printLanding({ migrate, disks: nbd }) }
    } catch (error) {
      await this.#cleanUp(vm, error)
      throw targetFailure(vm, error)
    }
  }

  /** What a failed {@link prepare} left, as far as this host can be asked; the next attempt makes room for itself anyway. */
  async #cleanUp(vm: VmId, cause: unknown): Promise<void> {
    if (cause instanceof HostUnreachable) return
    try {
      await withDeadline(this.#options.clock, endsWithin, `clearing ${vm} at ${this.host}`, neverAborts, inner =>
        this.discard(vm, inner),
      )
    } catch (error) {
      // The first error is the one to tell; the core asks both sides about the rest.
      if (!(error instanceof Error)) throw error
    }
  }

  /** What an earlier attempt left here and has never run is taken away; anything else is in the way. */
  async #makeRoom(definition: QemuDefinition, signal: AbortSignal): Promise<void> {
    const vm = definition.name
    const there = await this.#folder.read(vm, signal)
    if (there === undefined) return
    if (there.as === 'living') {
      const detail = `a VM named ${vm} (uuid ${there.definition.uuid}) is defined at ${this.host} already; remove or rename it there`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    await this.discard(vm, signal)
  }

  #listening(): Listening {
    return { name: this.host, address: this.#options.migrationAddress, ports: this.#ports }
  }

  async #listen(vm: VmId, command: 'migrate-incoming' | 'migrate-recover', signal: AbortSignal): Promise<string> {
    return this.#ports.listen(vm, async port => {
      const uri = `tcp:${this.#options.migrationAddress}:${port}`
      if (command === 'migrate-recover') await this.#executeOutOfBand(vm, command, { uri }, signal)
      else await this.#execute(vm, command, { uri }, signal)
      return uri
    })
  }

  async reopen(vm: VmId, signal: AbortSignal): Promise<Landing> {
    const migrate = await this.#listen(vm, 'migrate-recover', signal)
    return { driver: this.driver, uri: printLanding({ migrate, disks: null }) }
  }

  async run(vm: VmId, _proof: Departed, signal: AbortSignal): Promise<void> {
    await endExports(await this.#monitor(vm, signal), signal)
    // While the last state is still being loaded, `cont` is remembered and takes effect when it is (QEMU: qmp_cont, RUN_STATE_INMIGRATE).
    await this.#execute(vm, 'cont', {}, signal)
    await this.#folder.settle(vm, signal)
    this.#images.forget(vm)
  }

  /** A controller that died between telling it to run and writing that down left it as one that arrives. */
  adopt({ vm }: Definition, signal: AbortSignal): Promise<void> {
    return this.#folder.settle(vm, signal)
  }

  async discard(vm: VmId, signal: AbortSignal): Promise<void> {
    const presence = await this.presence(vm, signal)
    this.#images.forget(vm)
    if (presence.state === 'absent') {
      await this.#monitors.drop(vm)
      await this.#folder.removeArriving(vm, signal)
      return
    }
    const neverRan = presence.state === 'incoming' || (presence.state === 'paused' && presence.as === 'ready')
    if (!neverRan) {
      const detail = `${this.host} will not end it: it is ${presence.state} there, which is no target that never ran`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    await this.#end(vm, signal)
    await this.#folder.removeArriving(vm, signal)
    this.#sockets.delete(vm)
  }

  async close(): Promise<void> {
    await this.#monitors.close()
    await this.#options.remote.close()
  }
}

/** Enough pages in all, also of a small guest. */
const samplePagesFor = (memory: Bytes): number =>
  Math.min(samplePagesMost, Math.max(samplePagesLeast, Math.ceil(samplePagesWanted / (memory / 2 ** 30))))

const vmFrom = (definition: QemuDefinition, host: HostId): Vm => ({
  id: definition.name,
  host,
  memory: definition.memory,
  used: definition.used ?? definition.memory,
  dirty: definition.dirty,
  disks: definition.disks,
  value: definition.value,
  group: definition.group,
  policy: definition.policy,
  paused: false,
})
