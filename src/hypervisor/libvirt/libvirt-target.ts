/** A libvirt host as the target of migrations: `prepare` only makes room and asks, for the source's daemon makes the target itself. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import { ms } from '../../core/units.ts'
import { type Domain, LibvirtCallError } from '../../libvirt/public.ts'
import { poll } from '../../time/with-deadline.ts'
import type { Definition, Landing } from '../hypervisor.ts'
import type { Departed } from '../prove.ts'
import { targetFailure } from './classify-libvirt-error.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { tombstoneName } from './domain-xml.ts'
import { type Domains, ignoreGone } from './domains.ts'
import { parseLibvirtDefinition } from './libvirt-definition.ts'
import { presenceOf } from './libvirt-presence.ts'
import { type Destination, refusalOf } from './migration-params.ts'

const askEvery = ms(50)

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
  /** VMs that are to start with this host once they run here. */
  readonly #autostarts = new Set<VmId>()

  constructor(domains: Domains, reached: Reached) {
    this.#domains = domains
    this.#reached = reached
  }

  async prepare(definition: Definition, options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    if (definition.driver !== 'libvirt') {
      const detail = `${this.#domains.host} is a libvirt host and cannot take a VM of driver ${definition.driver}`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    try {
      await this.#insistOnOptions(vm, options, signal)
      const { name, uuid, autostart } = parseLibvirtDefinition(definition.text)
      await this.#makeRoom(vm, name, uuid, signal)
      if (autostart) this.#autostarts.add(vm)
      else this.#autostarts.delete(vm)
    } catch (error) {
      throw targetFailure(vm, this.#domains.host, error)
    }
    return this.#landing()
  }

  async #insistOnOptions(vm: VmId, options: StartOptions, signal: AbortSignal): Promise<void> {
    // Its version is known once it was asked for anything.
    if (options.compression !== 'none') await this.#domains.daemon.find(vm, signal)
    const detail = refusalOf(options, this.#domains.daemon.version)
    if (detail !== undefined)
      throw new MigrationError(vm, { code: 'target-unfit', detail: `${this.#domains.host}: ${detail}` })
  }

  #landing(): Landing {
    const { connectUri, migrationAddress, listenAddress: listen, tls } = this.#reached
    const address = migrationAddress.includes(':') ? `[${migrationAddress.replace(/^\[|\]$/g, '')}]` : migrationAddress
    const to: Destination = { connect: connectUri, migrate: `tcp://${address}`, listen, tls }
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
    return Promise.resolve(this.#landing())
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
    if (dom === undefined) return
    const presence = await this.#domains.presence(vm, signal)
    if (presence.state === 'absent') return
    if (presence.state !== 'incoming') {
      const detail = `${this.#domains.host} will not end it: it is ${presence.state} there, which is no target that never ran`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
    await ignoreGone(this.#domains.daemon.call('domainDestroyFlags', { dom, flags: 0 }, signal))
  }
}
