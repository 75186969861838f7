/**
 * The port `Hypervisor`: one host's hypervisor, as the engine needs it. Drivers: qemu/ (raw QEMU over QMP); libvirt/ and simulated/
 * join the same contract suite (contract.ts).
 *
 * What must hold whoever implements it: a target never runs a VM before {@link Hypervisor.run}; a source is ended only with a
 * {@link RunsElsewhere} and let go on only with a {@link GoneElsewhere}: proofs that only prove.ts can make, by asking.
 * A call that was interrupted has an unknown outcome; callers ask {@link Hypervisor.presence} afterwards, they do not assume.
 */
import type { HostId, VmId } from '../core/ids.ts'
import type { PolicyWords } from '../core/inventory/policy-words.ts'
import type { Vm } from '../core/inventory/vm.ts'
import type { MigrationFailure } from '../core/migration/failure.ts'
import type { Tuning } from '../core/migration/migration.ts'
import type { Compression, StartOptions } from '../core/migration/start-options.ts'
import type { DiskProgress } from '../core/migration/progress.ts'
import type { Presence } from '../core/migration/presence.ts'
import type { Bytes, BytesPerSecond, Milliseconds } from '../core/units.ts'
import type { Departed, GoneElsewhere, RunsElsewhere } from './prove.ts'

/** What a driver can change while memory flows. What it cannot must be chosen at the start. */
export interface Capabilities {
  readonly inFlight: {
    readonly rate: boolean
    readonly downtimeLimit: boolean
    readonly throttle: boolean
    readonly postCopy: boolean
  }
  /** What it can be told at the start. More is refused before anything is begun. */
  readonly atStart: {
    /** Of libvirt's, by its version, which is known once it was reached: until then `none` only. */
    readonly compression: readonly Compression[]
  }
  /**
   * Migrations that may leave one host at the same time. A libvirtd gives each a thread for as long as it takes, of 20 (`max_workers`):
   * with none left it answers nobody. @default no bound
   */
  readonly outgoingMost?: number
  /** Smallest step in which a rate can be set (libvirt: 1 MiB/s). */
  readonly rateStep: BytesPerSecond
  /** The driver itself takes the source to the target and starts it there (libvirt peer-to-peer): `run` only waits. */
  readonly selfCompleting: boolean
}

export interface HostFacts {
  readonly memory: Bytes
  readonly version: string
}

/** A VM that lives on this host: what its definition says, and what it does now. */
export interface Listing {
  readonly vm: Vm
  readonly presence: Presence
  /** What of its policy its own definition says, and so travels with it; {@link vm} has it already. */
  readonly own: PolicyWords
  /** What of its policy in its definition could not be read and does not count, each in half a sentence. */
  readonly unread: readonly string[]
}

export type Change =
  | { readonly kind: 'appeared'; readonly listing: Listing }
  | { readonly kind: 'changed'; readonly listing: Listing }
  | { readonly kind: 'gone'; readonly vm: VmId }

/** What a target needs to know to take a VM; made by the source's driver, understood by the same driver at the target. */
export interface Definition {
  readonly driver: string
  readonly vm: VmId
  readonly text: string
}

/** Where a source sends memory to. */
export interface Landing {
  readonly driver: string
  readonly uri: string
}

export type MigrationStatus =
  | 'none'
  | 'starting'
  | 'active'
  /** The guest is stopped for the last part. */
  | 'stopping'
  | 'post-copy'
  | 'post-copy-broken'
  | 'completed'
  | 'failed'
  | 'cancelled'

/** The hypervisor's own counters of the newest migration of one VM, at the source. */
export interface Sample {
  readonly status: MigrationStatus
  /** Bytes put on the wire so far, of memory and disks. */
  readonly sent: Bytes
  /** Of memory in this round, and of disks. Before memory flows it counts whole. */
  readonly remaining: Bytes
  readonly total: Bytes
  /** What of the three is disks; `undefined` where none is copied. */
  readonly disk: DiskProgress | undefined
  readonly zero: Bytes
  /** Passes over memory begun, from 1; 0 while disks are copied first. */
  readonly round: number
  readonly dirtyRate: BytesPerSecond | undefined
  readonly throttle: number
  readonly expectedDowntime: Milliseconds | undefined
  /** Known at the end only. */
  readonly downtime: Milliseconds | undefined
  readonly error: string | undefined
  /** What the error comes to, where the driver knows; the path, as a rule. */
  readonly failure?: MigrationFailure | undefined
}

export interface Adjustment {
  readonly rate?: BytesPerSecond | undefined
  readonly downtimeLimit?: Milliseconds
  /** How much a guest that outruns the path is slowed, 0 … 0.99. Needs auto-converge chosen at the start. */
  readonly throttle?: number
}

export interface Hypervisor {
  readonly host: HostId
  readonly driver: 'qemu' | 'libvirt' | 'simulated'
  readonly capabilities: Capabilities

  /** @throws HostUnreachable */
  facts(signal: AbortSignal): Promise<HostFacts>
  /** VMs that live here. @throws HostUnreachable */
  list(signal: AbortSignal): Promise<readonly Listing[]>
  /** First everything that is there, then every change. @throws HostUnreachable while it lasts */
  watch(signal: AbortSignal): AsyncIterable<Change>
  /** What this host answers about one VM. Never throws but for the signal: not answering is an answer. */
  presence(vm: VmId, signal: AbortSignal): Promise<Presence>
  /**
   * Bytes the guest writes anew a second, measured for `span`. Not to be asked while it migrates: it disturbs.
   * @returns undefined where this hypervisor cannot measure this guest
   */
  measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined>

  /**
   * Writes what of its policy the VM's own definition says, in place of all it said before; it travels with the VM. Words that say
   * nothing take it away. A driver whose definitions have no place for it leaves this out. @throws PolicyNotWritten
   */
  setPolicy?(vm: VmId, own: PolicyWords, signal: AbortSignal): Promise<void>

  // As source
  /** @throws MigrationError `not-there` when there is no such VM here */
  definition(vm: VmId, signal: AbortSignal): Promise<Definition>
  /** Lets memory flow; returns once the hypervisor accepted. @throws MigrationError */
  migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void>
  sample(vm: VmId, signal: AbortSignal): Promise<Sample>
  /** Something about this VM's migration may have changed: sample it now. Ends when the hypervisor goes away. */
  signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'>
  adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void>
  startPostCopy(vm: VmId, signal: AbortSignal): Promise<void>
  /** The source half of a recovery; `to` comes from the target's {@link reopen}. */
  rejoin(vm: VmId, to: Landing, signal: AbortSignal): Promise<void>
  /** Asks to stop sending. The guest goes on at home, unless it was too late: sample to know. */
  cancel(vm: VmId, signal: AbortSignal): Promise<void>
  /** Lets a stopped source go on. */
  resume(vm: VmId, proof: GoneElsewhere, signal: AbortSignal): Promise<void>
  /**
   * Ends the source's process and leaves a tombstone, so that nothing starts the old copy. Idempotent.
   * @param kept what {@link definition} said before it left, if that is known: this host may have forgotten the VM by now
   */
  retire(vm: VmId, proof: RunsElsewhere, kept: Definition | undefined, signal: AbortSignal): Promise<void>

  // As target
  /** Makes this host listen for a VM. It will not run before {@link run}. @throws MigrationError */
  prepare(definition: Definition, options: StartOptions, signal: AbortSignal): Promise<Landing>
  /** The target half of a recovery of a broken post-copy. */
  reopen(vm: VmId, signal: AbortSignal): Promise<Landing>
  /** Runs what arrived whole. Idempotent. */
  run(vm: VmId, proof: Departed, signal: AbortSignal): Promise<void>
  /**
   * Once it runs here: what the hypervisor itself does not carry over, and the tombstone of an earlier leave goes. Idempotent.
   * A driver that has nothing of the kind to do leaves it out. @throws Error that says what this host now lacks, and what to do
   */
  adopt?(definition: Definition, signal: AbortSignal): Promise<void>
  /** Ends a target that has never run, and removes what it left. Idempotent. @throws MigrationError `target-refused` when it runs */
  discard(vm: VmId, signal: AbortSignal): Promise<void>

  close(): Promise<void>
}
