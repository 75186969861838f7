/**
 * One VM's way out, as a union: each phase holds only what is true in it.
 *
 *     queued ─> preparing ─> pre-copy ─> switchover ─> landed
 *       ^           │           │  └─> post-copy ──────^ │
 *       └───────────┴───────────┘        │               │
 *       │                                v               v
 *       └──────────────<────────────  uncertain ──> given-up
 *
 * The point of no return is `switchover`: from there the guest may already be whole at the target, so nothing may be cancelled;
 * only what both sides answer decides. `edges` is the table of legal moves; `step` goes through {@link move}, which checks it.
 */
import type { DirtyLearner } from '../forecast/dirty-model.ts'
import type { SaidOfVm } from '../forecast/said.ts'
import type { HostId, VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { BytesPerSecond, Milliseconds } from '../units.ts'
import type { MigrationFailure } from './failure.ts'
import type { Whereabouts } from './presence.ts'
import type { Progress } from './progress.ts'
import type { Compression, StartOptions } from './start-options.ts'

/** How the guest crossed. */
export type Mode = 'pre-copy' | 'post-copy' | 'stop-copy'

/** What an attempt was told; `adjust` changes it in flight. */
export interface Tuning {
  /** Most the migration may send; `undefined`: as much as it gets. */
  readonly rate: BytesPerSecond | undefined
  readonly downtimeLimit: Milliseconds
}

interface Attempt {
  readonly vm: VmId
  readonly source: HostId
  readonly target: HostId
  /** From 1. */
  readonly attempt: number
}

export interface Queued {
  readonly phase: 'queued'
  readonly vm: VmId
  readonly source: HostId
  /** Attempts already made. */
  readonly attempts: number
  /** Not to be started before; a pause after a failure. */
  readonly notBefore: Instant | undefined
  /** Targets that refused this VM for good. */
  readonly excluded: readonly HostId[]
  readonly lastFailure: MigrationFailure | undefined
  /** Bytes sent by earlier attempts, in vain. */
  readonly wasted: number
  /** Attempts that were ended before any byte was sent, for another way or another time: they are no failures. @default 0 */
  readonly postponed?: number | undefined
}
export interface Preparing extends Attempt {
  readonly phase: 'preparing'
  readonly since: Instant
  /** The target listens; memory may flow as soon as the policy says so. */
  readonly ready: boolean
  readonly options: StartOptions
  readonly excluded: readonly HostId[]
  readonly wasted: number
  /** As in {@link Queued}. */
  readonly postponed?: number | undefined
}
interface Moving extends Attempt {
  /** When memory began to flow: the start of the migration's *duration*. */
  readonly startedAt: Instant
  readonly excluded: readonly HostId[]
  readonly wasted: number
  /** As in {@link Queued}. */
  readonly postponed?: number | undefined
  readonly progress: Progress | undefined
  readonly tuning: Tuning
  /** TCP streams, as chosen at the start. */
  readonly streams: number
  /** As chosen at the start. */
  readonly compression: Compression
  readonly mode: Mode
  /** How its guest writes, as this attempt has shown. */
  readonly learner: DirtyLearner
  /** What was forecast of its end. */
  readonly said: readonly SaidOfVm[]
}
export interface PreCopy extends Moving {
  readonly phase: 'pre-copy'
  /** A cancel was asked for and its end is awaited; this is what the attempt will have ended with. */
  readonly cancelling: MigrationFailure | undefined
  /** Post-copy was asked for and its beginning is awaited. */
  readonly switching: boolean
}
export interface Switchover extends Moving {
  readonly phase: 'switchover'
  /** When the guest stopped at the source. */
  readonly since: Instant
  /** The order to run was given to the target, so the target may have run: the source may never be resumed any more. */
  readonly finishing: boolean
}
export interface PostCopy extends Moving {
  readonly phase: 'post-copy'
  readonly since: Instant
  /** The link broke; the guest waits for pages until it is recovered. */
  readonly broken: boolean
}
export interface Uncertain extends Moving {
  readonly phase: 'uncertain'
  readonly since: Instant
  readonly why: string
  readonly whereabouts: Whereabouts | undefined
  /** See {@link Switchover.finishing}. */
  readonly finishing: boolean
  /** When both sides are asked again; `undefined` while an answer is awaited. */
  readonly askAgainAt: Instant | undefined
  /** Questions asked so far. */
  readonly asked: number
}
export interface Landed extends Attempt {
  readonly phase: 'landed'
  readonly mode: Mode
  /** How its memory was squeezed on the way. */
  readonly compression: Compression
  readonly startedAt: Instant
  /** When the target was proven to run it. */
  readonly switchedAt: Instant
  readonly downtime: Milliseconds | undefined
  readonly bytesSent: number
  readonly bytesNeeded: number | undefined
  /** The stopped copy at the source was ended. Until then that is tried again, a few times. */
  readonly sourceEnded: boolean
  readonly retire: Retire
}
export interface Retire {
  readonly tries: number
  /** When to try again; `undefined` while an answer is awaited, and after the last try. */
  readonly nextAt: Instant | undefined
  /** Why the last try did not succeed. */
  readonly why: string | undefined
  /** It was tried often enough; a human has to end it. */
  readonly gaveUp: boolean
}
export interface GivenUp {
  readonly phase: 'given-up'
  readonly vm: VmId
  readonly source: HostId
  readonly attempts: number
  readonly failure: MigrationFailure
  readonly wasted: number
}

export type Migration = Queued | Preparing | PreCopy | Switchover | PostCopy | Uncertain | Landed | GivenUp
export type Phase = Migration['phase']
/** On the way from first to last. */
export const phases = [
  'queued',
  'preparing',
  'pre-copy',
  'switchover',
  'post-copy',
  'uncertain',
  'landed',
  'given-up',
] as const satisfies readonly Phase[]
export const phasesInFlight = ['preparing', 'pre-copy', 'switchover', 'post-copy', 'uncertain'] as const

/** Can still be called off: the guest is whole at the source and nowhere else. Post-copy and switchover do not type-check here. */
export type Reversible = Queued | Preparing | PreCopy
/** Has, or may have, something at the target. */
export type InFlight = Preparing | PreCopy | Switchover | PostCopy | Uncertain

export const edges = {
  queued: ['preparing', 'given-up'],
  preparing: ['pre-copy', 'queued', 'uncertain', 'given-up'],
  'pre-copy': ['switchover', 'post-copy', 'queued', 'uncertain', 'landed', 'given-up'],
  switchover: ['landed', 'queued', 'uncertain', 'given-up'],
  'post-copy': ['landed', 'uncertain', 'given-up'],
  uncertain: ['pre-copy', 'switchover', 'post-copy', 'queued', 'landed', 'given-up'],
  landed: [],
  'given-up': ['queued'],
} as const satisfies Record<Phase, readonly Phase[]>

/** @throws Error when the edge is not in the table: a bug, never an operator's mistake */
export function move(from: Migration, to: Migration): Migration {
  const allowed: readonly Phase[] = edges[from.phase]
  if (from.phase !== to.phase && !allowed.includes(to.phase))
    throw new Error(`${from.vm}: no edge ${from.phase} -> ${to.phase}`)
  return to
}

export const isReversible = (m: Migration): m is Reversible =>
  m.phase === 'queued' || m.phase === 'preparing' || m.phase === 'pre-copy'
export const isInFlight = (m: Migration): m is InFlight =>
  m.phase !== 'queued' && m.phase !== 'landed' && m.phase !== 'given-up'
/** Memory flows, or may flow, on the path. */
export const isMoving = (m: Migration): m is PreCopy | Switchover | PostCopy | Uncertain =>
  isInFlight(m) && m.phase !== 'preparing'
