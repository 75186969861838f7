/**
 * Policies are rivals behind this one interface, so that ours can be measured against the others on the same world.
 *
 * A policy says what it wants; `step` keeps the rules (memory, pause, abort, legal edges), picks the host, and makes the commands.
 * A policy is an immutable value that carries its own memory: `decide` returns its successor.
 */
import type { HostSignal } from '../forecast/host-signal.ts'
import type { PathSignal } from '../forecast/path-signal.ts'
import type { Instant } from '../instant.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { Order } from '../plan/order.ts'
import type { Vm } from '../inventory/vm.ts'
import type { MigrationTable } from '../control/migration-table.ts'
import type { Mode, Tuning } from '../migration/migration.ts'
import type { StartOptions } from '../migration/start-options.ts'
import type { Limits } from '../control/observed.ts'
import type { Bytes } from '../units.ts'

export interface PolicyView {
  readonly now: Instant
  readonly snapshot: Snapshot
  /** Sites that receive. */
  readonly targets: readonly SiteId[]
  readonly limits: Limits
  /** Whether anything new may start; not while paused, or leaving, or when the journal fails. */
  readonly admitting: boolean
  /** In the plan's order. */
  readonly migrations: MigrationTable
  readonly vmOf: (id: VmId) => Vm
  /** Where the plan wants it to go. */
  readonly plannedTo: (id: VmId) => HostId | undefined
  /** Until when all has to be home; undefined when nothing is known. */
  readonly deadline?: Instant | undefined
  /** By path ({@link pathKey}): what the network showed last. Empty where nobody looks. */
  readonly network: ReadonlyMap<string, PathSignal>
  /** What the processors of hosts showed last. Empty where nobody looks, or none was overloaded. */
  readonly hostLoads: ReadonlyMap<HostId, HostSignal>
  /** Memory that nobody has and nobody was promised. */
  readonly freeAt: (host: HostId) => Bytes
  /** Whether the rules of placement, and a plan that was handed in, let it go there now. */
  readonly mayGo: (vm: VmId, host: HostId) => boolean
}

export interface Candidate {
  readonly vm: VmId
  readonly options: StartOptions
  /** Where it would rather go than to its planned target, if there is room. */
  readonly prefer?: HostId | undefined
  /** Hosts that failed it before may be asked again, as often as such a failure allows. @default they are passed over */
  readonly again?: boolean
}

export type Intent =
  /** Make targets ready for the first `atMost` of these that find a place: takes memory there, none of the path. */
  | {
      readonly kind: 'prepare'
      readonly candidates: Iterable<Candidate>
      readonly atMost: number
      /** … and at most so many from one host, counting those that leave it already. @default no bound */
      readonly perSource?: { readonly atMost: number; readonly leaving: ReadonlyMap<HostId, number> }
    }
  /** Let memory of a ready one flow. */
  | { readonly kind: 'start'; readonly vm: VmId; readonly tuning: Tuning }
  | {
      readonly kind: 'adjust'
      readonly vm: VmId
      readonly tuning: Tuning
      /** From now on it crosses by this mode. @default as before */
      readonly mode?: Mode
      readonly why: string
    }
  | { readonly kind: 'post-copy'; readonly vm: VmId; readonly why: string }
  /** Takes the target of a ready one down again, before any of it was sent: another way is better now. */
  | { readonly kind: 'release'; readonly vm: VmId; readonly why: string }
  /** `again`: it may be tried another time, or at another target; else the VM is given up. */
  | { readonly kind: 'cancel'; readonly vm: VmId; readonly why: string; readonly again: boolean | 'elsewhere' }

export interface Decided {
  readonly intents: readonly Intent[]
  readonly next: Policy
}

export interface Policy {
  /** As the operator writes it: `fixed:4`. */
  readonly name: string
  /** Migrations at one time, for the plan's forecast. */
  readonly slots: number
  /** In which order the plan has them. @default as the inventory */
  readonly order?: Order
  decide(view: PolicyView): Decided
}
