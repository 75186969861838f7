/** Facts that reach the core, in the past tense. They are what the journal stores, so a change to one needs a version and an upcast. */
import type { Correction, Mark, Spread } from '../forecast/correction.ts'
import type { SeenOfHost } from '../forecast/host-signal.ts'
import type { SeenOnPath } from '../forecast/path-signal.ts'
import type { Said, SaidOfVm } from '../forecast/said.ts'
import type { EvacuationId, HostId, SiteId, VmId } from '../ids.ts'
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
  /** Where the plan was read from, when somebody handed one in: then its targets go before what the policy prefers. */
  readonly planFile?: string | undefined
  readonly world: 'qemu' | 'libvirt' | 'simulated'
  /** What earlier runs with this driver taught about forecasts. */
  readonly correction?: Correction | undefined
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
  /** A site that was to receive VMs is in danger itself: nobody is sent there from now on. */
  | { readonly order: 'endanger'; readonly site: SiteId }
  /** The operator says, on their own responsibility, where an uncertain VM is to count as running. */
  | { readonly order: 'resolve'; readonly vm: VmId; readonly runsAt: 'source' | 'target' }

export type Observed =
  | Started
  | { readonly kind: 'tick' }
  /** A new controller process took over this journal. Running migrations went on without it. */
  | { readonly kind: 'controller-restarted'; readonly by: string }
  | ({ readonly kind: 'operator'; readonly by: string } & Order)
  /** What the VM is at its source, whole, in the words of its driver: kept before anything of it leaves. */
  | ({
      readonly kind: 'definition-kept'
      readonly source: HostId
      readonly driver: string
      readonly text: string
    } & OfAttempt)
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
  /** Of hosts that the monitor reads: told when one becomes overloaded and when it is no more, and now and then while it is. */
  | { readonly kind: 'host-load'; readonly hosts: readonly SeenOfHost[] }
  /** The site has no power any more: what ran there does not run, and never will from where it stood. */
  | { readonly kind: 'site-lost'; readonly site: SiteId; readonly why: string }
  /**
   * Said of a VM's end by the controller itself, when its memory began to flow and at 10, 50 and 90 % of all it is expected to send. `end`:
   * milliseconds since the alarm; undefined when no end can be forecast. `predicted`: milliseconds from then, before correction.
   */
  | ({
      readonly kind: 'vm-forecast'
      readonly mark: Mark
      readonly end: Spread | undefined
      readonly predicted: number | undefined
      /** @unit bytes per second */
      readonly rate: number | undefined
    } & OfAttempt)
  /** What had been said of it beside what came; `came` is undefined when the attempt failed. Milliseconds since the alarm. */
  | ({
      readonly kind: 'vm-forecast-judged'
      readonly began: number
      readonly came: number | undefined
      readonly said: readonly SaidOfVm[]
    } & OfAttempt)
  /** Said of the end of the whole, at the start and when 10, 50 and 90 % of all bytes were home. `because`: why there is no end. */
  | {
      readonly kind: 'forecast'
      readonly mark: Mark
      readonly end: Spread | undefined
      readonly because: string | undefined
    }
  /** `came`: when the last VM was home; undefined when none came. */
  | { readonly kind: 'forecast-judged'; readonly came: number | undefined; readonly said: readonly Said[] }
  /** The journal can hardly be written: finish what runs, admit nothing. */
  | { readonly kind: 'journal-failing'; readonly why: string }

export type ObservedKind = Observed['kind']
