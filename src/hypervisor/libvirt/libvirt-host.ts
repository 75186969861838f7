/**
 * A host under libvirt. Migrations are peer to peer: the source's daemon makes the target, sends memory, lets the target run, and ends
 * and undefines the source, in this order and without us; it goes on when this process dies. So `prepare` only asks, `run` only waits,
 * and what has come to an end is known from both sides' answers, as with every driver.
 */
import type { HostId, VmId } from '../../core/ids.ts'
import type { PolicyWords } from '../../core/inventory/policy-words.ts'
import type { Tuning } from '../../core/migration/migration.ts'
import type { Presence } from '../../core/migration/presence.ts'
import type { StartOptions } from '../../core/migration/start-options.ts'
import { type Bytes, bytes, bytesPerSecond, type BytesPerSecond, type Milliseconds } from '../../core/units.ts'
import type { Clock } from '../../time/clock.ts'
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
import { Daemon } from './daemon.ts'
import { Domains } from './domains.ts'
import { Listings } from './libvirt-listing.ts'
import { Source } from './libvirt-source.ts'
import { type Reached, Target } from './libvirt-target.ts'
import { writePolicy } from './write-policy.ts'
import { compressionsOf, showVersion } from './migration-params.ts'

export interface LibvirtHostOptions extends Reached {
  readonly host: HostId
  /** How this process reaches its daemon. */
  readonly uri: string
  /** What guests may use together; @default the machine's memory */
  readonly memory: Bytes | undefined
  readonly clock: Clock
}

/** Of a daemon's 20 threads (`max_workers` in libvirtd.conf) 8 are left for questions, and for what comes in. */
const outgoingMost = 12

export class LibvirtHost implements Hypervisor {
  readonly driver = 'libvirt'
  readonly host: HostId
  readonly #memory: Bytes | undefined
  readonly #daemon: Daemon
  readonly #domains: Domains
  readonly #listings: Listings
  readonly #source: Source
  readonly #target: Target

  constructor(options: LibvirtHostOptions) {
    this.host = options.host
    this.#memory = options.memory
    this.#daemon = new Daemon(options.uri, options.clock)
    this.#domains = new Domains(options.host, this.#daemon, options.clock)
    this.#listings = new Listings(this.#domains)
    this.#source = new Source(this.#domains)
    this.#target = new Target(this.#domains, options)
  }

  get capabilities(): Capabilities {
    return {
      inFlight: { rate: true, downtimeLimit: true, throttle: false, postCopy: true },
      atStart: { compression: compressionsOf(this.#daemon.version) },
      rateStep: bytesPerSecond(1_048_576),
      selfCompleting: true,
      outgoingMost,
    }
  }

  async facts(signal: AbortSignal): Promise<HostFacts> {
    const [node, library, hypervisor] = await Promise.all([
      this.#daemon.call('nodeGetInfo', undefined, signal),
      this.#daemon.call('connectGetLibVersion', undefined, signal),
      this.#daemon.call('connectGetVersion', undefined, signal),
    ])
    return {
      memory: this.#memory ?? bytes(node.memory * 1024),
      version: `libvirt ${showVersion(library.version)}, QEMU ${showVersion(hypervisor.version)}`,
    }
  }

  list(signal: AbortSignal): Promise<readonly Listing[]> {
    return this.#listings.list(signal)
  }

  watch(signal: AbortSignal): AsyncIterable<Change> {
    return this.#listings.watch(signal)
  }

  presence(vm: VmId, signal: AbortSignal): Promise<Presence> {
    return this.#domains.presence(vm, signal)
  }

  measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined> {
    return this.#listings.measureDirtyRate(vm, span, signal)
  }

  setPolicy(vm: VmId, own: PolicyWords, signal: AbortSignal): Promise<void> {
    return writePolicy(this.#domains, vm, own, signal)
  }

  definition(vm: VmId, signal: AbortSignal): Promise<Definition> {
    return this.#source.definition(vm, signal)
  }

  migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void> {
    return this.#source.migrate(vm, to, tuning, options, signal)
  }

  sample(vm: VmId, signal: AbortSignal): Promise<Sample> {
    return this.#source.sample(vm, signal)
  }

  signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'> {
    return this.#source.signals(vm, signal)
  }

  adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void> {
    return this.#source.adjust(vm, to, signal)
  }

  startPostCopy(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#source.startPostCopy(vm, signal)
  }

  rejoin(vm: VmId, to: Landing, signal: AbortSignal): Promise<void> {
    return this.#source.rejoin(vm, to, signal)
  }

  cancel(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#source.cancel(vm, signal)
  }

  resume(vm: VmId, proof: GoneElsewhere, signal: AbortSignal): Promise<void> {
    return this.#source.resume(vm, proof, signal)
  }

  retire(vm: VmId, proof: RunsElsewhere, kept: Definition | undefined, signal: AbortSignal): Promise<void> {
    return this.#source.retire(vm, proof, kept, signal)
  }

  prepare(definition: Definition, options: StartOptions, signal: AbortSignal): Promise<Landing> {
    return this.#target.prepare(definition, options, signal)
  }

  reopen(vm: VmId, signal: AbortSignal): Promise<Landing> {
    return this.#target.reopen(vm, signal)
  }

  run(vm: VmId, proof: Departed, signal: AbortSignal): Promise<void> {
    return this.#target.run(vm, proof, signal)
  }

  adopt(definition: Definition, signal: AbortSignal): Promise<void> {
    return this.#target.adopt(definition, signal)
  }

  discard(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#target.discard(vm, signal)
  }

  async close(): Promise<void> {
    await this.#source.close()
    await this.#daemon.close()
  }
}
