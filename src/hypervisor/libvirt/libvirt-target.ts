/** A libvirt host as the target of migrations: `prepare` only makes room and asks, for the source's daemon makes the target itself. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import { ms, seconds } from '../../core/units.ts'
import type { Domain } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'
import { neverAborts, poll, withDeadline } from '../../time/with-deadline.ts'
import type { Definition, Landing } from '../hypervisor.ts'
import type { Departed } from '../prove.ts'
import { targetFailure } from './classify-libvirt-error.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { tombstoneName, tombstoneOf } from './domain-xml.ts'
import { type Domains, ignoreGone } from './domains.ts'
import { parseLibvirtDefinition } from './libvirt-definition.ts'
import { presenceOf } from './libvirt-presence.ts'
import { type Copy, type Destination, noCopy, refusalOf } from './migration-params.ts'
import { StorageRoom } from './storage-room.ts'

const askEvery = ms(50)
/** A VM that runs here is defined here soon. */
const definedWithin = seconds(5)
const clearsWithin = seconds(10)

export interface Reached {
  /** How the daemons of other hosts reach this one. */
  readonly connectUri: string
  /** Where other hosts reach it for migrations. */
  readonly migrationAddress: string
  /** Where it listens for them. @default all its addresses */
  readonly listenAddress?: string | undefined
  /** Memory sent here is encrypted; `name` is the one in its certificate, where that is not {@link Reached.migrationAddress}. */
  readonly tls?: { readonly name?: string | undefined } | undefined
}

export class Target {
  readonly #domains: Domains
  readonly #reached: Reached
  readonly #storage: StorageRoom

  constructor(domains: Domains, reached: Reached) {
    this.#domains = domains
    this.#reached = reached
    this.#storage = new StorageRoom(domains)
  }

  async prepare(definition: Definition, options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    if (definition.driver !== 'libvirt') {
      const detail = `${this.#domains.host} is a libvirt host and cannot take a VM of driver ${definition.driver}`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    try {
      await this.#insistOnOptions(vm, options, signal)
      const { name, uuid, disks } = parseLibvirtDefinition(definition.text)
      await this.#makeRoom(vm, name, uuid, signal)
      return this.#landing(await this.#storage.make(vm, { name, uuid, disks }, signal))
    } catch (error) {
      await this.#clearUp(vm, error)
      throw targetFailure(vm, this.#domains.host, error)
    }
  }

  /** What a failed {@link prepare} made, as far as this host can be asked; the next attempt clears it away anyway. */
  async #clearUp(vm: VmId, cause: unknown): Promise<void> {
    if (cause instanceof MigrationError || cause instanceof HostUnreachable) return
    try {
      await withDeadline(this.#domains.clock, clearsWithin, `clearing ${vm} away`, neverAborts, inner =>
        this.#storage.clear(vm, inner),
      )
    } catch (error) {
      // The first error is the one to tell.
      if (!(error instanceof Error)) throw error
    }
  }

  async #insistOnOptions(vm: VmId, options: StartOptions, signal: AbortSignal): Promise<void> {
    // Its version is known once it was asked for anything.
    if (options.compression !== 'none') await this.#domains.daemon.find(vm, signal)
    const detail = refusalOf(options, this.#domains.daemon.version)
    if (detail !== undefined)
      throw new MigrationError(vm, { code: 'target-unfit', detail: `${this.#domains.host}: ${detail}` })
  }

  #landing(copy: Copy): Landing {
    const { connectUri, migrationAddress, listenAddress: listen, tls } = this.#reached
    const address = migrationAddress.includes(':') ? `[${migrationAddress.replace(/^\[|\]$/g, '')}]` : migrationAddress
    const to: Destination = {
      connect: connectUri,
      migrate: `tcp://${address}`,
      listen,
      tls,
      host: this.#domains.host,
      copy,
    }
    return { driver: 'libvirt', uri: JSON.stringify(to) }
  }

  /** A definition of the same VM that does not run is written over; a target that never ran is taken away; all else is in the way. */
  async #makeRoom(vm: VmId, name: string, uuid: string, signal: AbortSignal): Promise<void> {
    const [byName, byUuid] = await Promise.all([
      this.#domains.daemon.find(vm, signal),
      this.#domains.daemon.findByUuid(uuid, signal),
    ])
    const refuse = (detail: string): never => {
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    for (const dom of [byName, byUuid]) {
      if (dom === undefined) continue
      if (dom.name !== name || uuidText(dom) !== uuid)
        refuse(
          `${this.#domains.host} has another domain ${dom.name} (uuid ${uuidText(dom)}) in its place; remove or rename it there`,
        )
    }
    if (byName === undefined) return
    const presence = presenceOf(await this.#domains.look(byName, signal))
    if (presence.state === 'absent') return
    if (presence.state !== 'incoming') refuse(`it is ${presence.state} at ${this.#domains.host} already`)
    await this.discard(vm, signal)
  }

  /** libvirt finds the connection's end by itself; both sides are named anew. */
  reopen(_vm: VmId, _signal: AbortSignal): Promise<Landing> {
    return Promise.resolve(this.#landing(noCopy))
  }

  /** The source's daemon has it run. */
  async run(vm: VmId, _proof: Departed, signal: AbortSignal): Promise<void> {
    await poll(this.#domains.clock, askEvery, signal, async inner => {
      const { state } = await this.#domains.presence(vm, inner)
      return state === 'running' || state === 'split' ? true : undefined
    })
  }

  /** libvirt does not carry autostart over, and a definition that was written over here may have had it. */
  async adopt({ vm, text }: Definition, signal: AbortSignal): Promise<void> {
    const { name, persistent, autostart } = parseLibvirtDefinition(text)
    const dom = await this.#domains.daemon.find(vm, signal)
    if (dom === undefined) throw new Error(`${this.#domains.host} has no domain ${name} any more`)
    await this.#storage.settle(vm, signal)
    await this.#removeTombstone(dom, signal)
    if (!persistent) return
    try {
      await this.#untilPersistent(dom, signal)
      const now = await this.#domains.daemon.call('domainGetAutostart', { dom }, signal)
      if (now.autostart !== autostart) await this.#domains.daemon.call('domainSetAutostart', { dom, autostart }, signal)
    } catch (error) {
      signal.throwIfAborted()
      const [does, option] = autostart ? ['does not start with', ''] : ['may start with', ' --disable']
      const why = error instanceof Error ? error.message : String(error)
      throw new Error(
        `it runs at ${this.#domains.host}, but ${does} that host as it did with the one it left: ${why}; say there: virsh autostart ${name}${option}`,
        { cause: error },
      )
    }
  }

  /** In post-copy the definition is written after the VM has begun to run. */
  #untilPersistent(dom: Domain, signal: AbortSignal): Promise<true> {
    return withDeadline(this.#domains.clock, definedWithin, `the definition of ${dom.name}`, signal, inner =>
      poll(this.#domains.clock, askEvery, inner, async s => {
        const { persistent } = await this.#domains.daemon.call('domainIsPersistent', { dom }, s)
        return persistent ? true : undefined
      }),
    )
  }

  async #removeTombstone({ name }: Domain, signal: AbortSignal): Promise<void> {
    try {
      const { dom } = await this.#domains.daemon.call('domainLookupByName', { name: tombstoneName(name) }, signal)
      const { xml } = await this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
      // Somebody's domain may have that name.
      if (tombstoneOf(xml) === undefined) return
      await this.#domains.daemon.call('domainUndefineFlags', { dom, flags: 0 }, signal)
    } catch (error) {
      if (!isNoDomain(error)) throw error
    }
  }

  async discard(vm: VmId, signal: AbortSignal): Promise<void> {
    const dom = await this.#domains.daemon.find(vm, signal)
    const presence = dom === undefined ? undefined : await this.#domains.presence(vm, signal)
    if (dom === undefined || presence === undefined || presence.state === 'absent') {
      await this.#storage.clear(vm, signal)
      return
    }
    if (presence.state !== 'incoming') {
      const detail = `${this.#domains.host} will not end it: it is ${presence.state} there, which is no target that never ran`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    await ignoreGone(this.#domains.daemon.call('domainDestroyFlags', { dom, flags: 0 }, signal))
    await this.#storage.clear(vm, signal)
  }
}
