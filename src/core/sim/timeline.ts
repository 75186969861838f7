/** What happens to a simulated world, and when: the facts of a scenario's timeline.yaml. */
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { DirtyModel } from '../inventory/vm.ts'
import type { FailureCode } from '../migration/failure.ts'
import type { Bytes, BytesPerSecond, Fraction, Milliseconds } from '../units.ts'

/** Between two places, both directions alike. */
export type Ends = readonly [SiteId | HostId, SiteId | HostId]

export interface PathChange {
  readonly capacity?: BytesPerSecond | undefined
  readonly rtt?: Milliseconds | undefined
  readonly loss?: Fraction | undefined
  readonly perFlow?: BytesPerSecond | undefined
  readonly background?: BytesPerSecond | undefined
}

export type Happening =
  | { readonly kind: 'path'; readonly path: Ends; readonly change: PathChange }
  | { readonly kind: 'cut'; readonly path: Ends }
  | { readonly kind: 'heal'; readonly path: Ends }
  /** The UPS revises its forecast. */
  | { readonly kind: 'power'; readonly site: SiteId; readonly runtime: Milliseconds }
  /** Everything in the site stops, now. */
  | { readonly kind: 'power-off'; readonly site: SiteId }
  | { readonly kind: 'host-down'; readonly host: HostId }
  | { readonly kind: 'dirty'; readonly vm: VmId; readonly model: DirtyModel }
  /** The controller dies, and comes back after a while. */
  | { readonly kind: 'crash'; readonly lasts: Milliseconds }
  /** Somebody tells the controller that a safe site is in danger itself. */
  | { readonly kind: 'endanger'; readonly site: SiteId }
  /** Somebody else's VM takes so much memory of a host; nobody tells the controller. */
  | { readonly kind: 'occupied'; readonly host: HostId; readonly memory: Bytes }
  /** Its processors have so much to do beside; a migration's thread gets what is left of one, and the controller sees it. */
  | { readonly kind: 'busy'; readonly host: HostId; readonly processors: Fraction }
  /** The VM's next attempts, so many, fail so. */
  | { readonly kind: 'fail'; readonly vm: VmId; readonly how: FailsHow; readonly times: number }

export const failsHow = [
  'target-out-of-memory',
  'target-refused',
  'target-died',
  'path-lost',
  'no-free-port',
  'source-refused',
] as const satisfies readonly FailureCode[]
export type FailsHow = (typeof failsHow)[number]

/** Since the alarm, in order. */
export interface TimelineEntry {
  readonly at: Milliseconds
  /** It happens up to this much earlier or later, by the seed. */
  readonly jitter: Milliseconds
  readonly what: Happening
}
export type Timeline = readonly TimelineEntry[]
