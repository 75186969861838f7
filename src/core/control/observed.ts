/** Facts that reach the core, in the past tense. They are what the journal stores, so a change to one needs a version and an upcast. */
import type { EvacuationId, SiteId, VmId } from '../ids.ts'
import type { SeenOnPath } from '../forecast/path-signal.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { MigrationFailure } from '../migration/failure.ts'
import type { Whereabouts } from '../migration/presence.ts'
import type { Progress } from '../migration/progress.ts'
import type { Plan } from '../plan/plan.ts'
import type { Bytes, BytesPerSecond, Milliseconds } from '../units.ts'

/** What the operator bounds. `undefined`: no bound but the policy's own. */
export interface Limits {
  readonly maxParallel: number | undefined
  /** For all migrations together. */
  readonly bandwidth: BytesPerSecond | undefined
}

export interface Started {
  readonly kind: 'evacuation-started'
  readonly id: EvacuationId
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  /** As given: `fixed:4`. */
  readonly policy: string
  readonly limits: Limits
  readonly plan: Plan
  readonly world: 'qemu' | 'libvirt' | 'simulated'
  readonly seed: number
  /** Who started it: user, machine, process. For the next one, who is refused. */
  readonly by: string
}

interface OfAttempt {
  readonly vm: VmId
  readonly attempt: number
}

export type Order =
  | { readonly order: 'pause' }
  | { readonly order: 'resume' }
  | { readonly order: 'wind-down' }
  | { readonly order: 'abort' }
  /** The operator says, on their own responsibility, where an uncertain VM is to count as running. */
  | { readonly order: 'resolve'; readonly vm: VmId; readonly runsAt: 'source' | 'target' }

export type Observed =
  | Started
  | { readonly kind: 'tick' }
  /** A new controller process took over this journal. Running migrations went on without it. */
  | { readonly kind: 'controller-restarted'; readonly by: string }
  | ({ readonly kind: 'operator'; readonly by: string } & Order)
  | ({ readonly kind: 'target-ready' } & OfAttempt)
  | ({ readonly kind: 'memory-flowing' } & OfAttempt)
  | ({ readonly kind: 'progress'; readonly progress: Progress } & OfAttempt)
  /** Stopped at the source for the last part. */
  | ({ readonly kind: 'guest-stopped' } & OfAttempt)
  /** The source has sent everything and has the target's word that it arrived. */
  | ({ readonly kind: 'sent-whole' } & OfAttempt)
  | ({ readonly kind: 'post-copy-began' } & OfAttempt)
  | ({ readonly kind: 'post-copy-broke'; readonly why: string } & OfAttempt)
  /** The source stopped sending, of itself or because it was asked to. The guest should be at home; the target still waits. */
  | ({ readonly kind: 'migration-broke'; readonly failure: MigrationFailure } & OfAttempt)
  /** The VM runs at home, the target has nothing of it (any more). */
  | ({ readonly kind: 'attempt-failed'; readonly failure: MigrationFailure } & OfAttempt)
  /** Nobody knows: both sides must be asked. */
  | ({ readonly kind: 'attempt-unclear'; readonly why: string } & OfAttempt)
  | ({ readonly kind: 'whereabouts'; readonly where: Whereabouts } & OfAttempt)
  /** The target was seen running it. */
  | ({
      readonly kind: 'landed'
      /** By the hypervisor's own count; used where the controller did not see the guest stop. */
      readonly downtime: Milliseconds | undefined
      readonly sent: Bytes
      readonly needed: Bytes | undefined
    } & OfAttempt)
  | ({ readonly kind: 'source-ended' } & OfAttempt)
  | ({ readonly kind: 'source-lingers'; readonly why: string } & OfAttempt)
  /** A command that may fail without harm did: the story of the VM has a line about it. */
  | ({ readonly kind: 'command-failed'; readonly command: string; readonly why: string } & OfAttempt)
  /** What the monitor sees of the paths in use; of those it says nothing of, nothing new is known. */
  | { readonly kind: 'network'; readonly paths: readonly SeenOnPath[] }
  /** The site has no power any more: what ran there does not run, and never will from where it stood. */
  | { readonly kind: 'site-lost'; readonly site: SiteId; readonly why: string }
  /** The journal can hardly be written: finish what runs, admit nothing. */
  | { readonly kind: 'journal-failing'; readonly why: string }

export type ObservedKind = Observed['kind']
