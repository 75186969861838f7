/** A libvirt host as the target of migrations: `prepare` only makes room and asks, for the source's daemon makes the target itself. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import { ms, seconds } from '../../core/units.ts'
import { type Domain, LibvirtCallError } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'
import { neverAborts, poll, withDeadline } from '../../time/with-deadline.ts'
import type { Definition, Landing } from '../hypervisor.ts'
import type { Departed } from '../prove.ts'
import { targetFailure } from './classify-libvirt-error.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { tombstoneName } from './domain-xml.ts'
import { type Domains, ignoreGone } from './domains.ts'
import { parseLibvirtDefinition } from './libvirt-definition.ts'
import { presenceOf } from './libvirt-presence.ts'
import type { Copy, Destination } from './migration-params.ts'
import { StorageRoom } from './storage-room.ts'

const askEvery = ms(50)
const clearsWithin = seconds(10)

export interface Reached {
  /** How the daemons of other hosts reach this one. */
  readonly connectUri: string
  /** Where other hosts reach it for migrations. */
  readonly migrationAddress: string
}

export class Target {
  readonly #domains: Domains
  readonly #reached: Reached
  /** VMs that are to start with this host once they run here. */
  readonly #autostarts = new Set<VmId>()
  readonly #storage: StorageRoom

  constructor(domains: Domains, reached: Reached) {
    this.#domains = domains
    this.#reached = reached
    this.#storage = new StorageRoom(domains)
  }

  async prepare(definition: Definition, _options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    if (definition.driver !== 'libvirt') {
      const detail = `${this.#domains.host} is a libvirt host and cannot take a VM of driver ${definition.driver}`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    try {
      const { name, uuid, autostart, disks } = parseLibvirtDefinition(definition.text)
      await this.#makeRoom(vm, name, uuid, signal)
      const copy = await this.#storage.make(vm, { name, uuid, disks }, signal)
      if (autostart) this.#autostarts.add(vm)
      else this.#autostarts.delete(vm)
      return this.#landing(copy)
    } catch (error) {
      await this.#clearUp(vm, error)
      throw targetFailure(vm, error)
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

  #landing(copy: Copy): Landing {
    const { connectUri, migrationAddress } = this.#reached
    const address = migrationAddress.includes(':') ? `[${migrationAddress.replace(/^\[|\]$/g, '')}]` : migrationAddress
    const to: Destination = { connect: connectUri, migrate: `tcp://${address}`, host: this.#domains.host, copy }
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
    return Promise.resolve(this.#landing({ targets: [], incremental: false }))
  }

  /** The source's daemon has it run; what is left to do here is what libvirt does not carry over. */
  async run(vm: VmId, _proof: Departed, signal: AbortSignal): Promise<void> {
    const dom = await poll(this.#domains.clock, askEvery, signal, async inner => {
      const { state } = await this.#domains.presence(vm, inner)
      return state === 'running' || state === 'split' ? this.#domains.daemon.find(vm, inner) : undefined
    })
    if (this.#autostarts.delete(vm))
      await this.#domains.daemon
        .call('domainSetAutostart', { dom, autostart: true }, signal)
        .catch((error: unknown) => {
          if (!(error instanceof LibvirtCallError)) throw error // not persistent yet (post-copy), or not allowed: it runs
        })
    await this.#storage.settle(vm, signal)
    await this.#removeTombstone(dom, signal)
  }

  async #removeTombstone({ name }: Domain, signal: AbortSignal): Promise<void> {
    try {
      const { dom } = await this.#domains.daemon.call('domainLookupByName', { name: tombstoneName(name) }, signal)
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
