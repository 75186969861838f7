/**
 * A reason is a rule's name and its numbers; a table has for each rule how grave it is, its sentence and what to do next. A topic's file
 * (cpu-rules.ts, disk-rules.ts, …) has all three: numbers, table, rules. To add a rule, add it there; rule-table.ts puts topics together.
 */
import type { Milliseconds } from '../units.ts'
import type { HostProfile } from './host-profile.ts'
import type { LinkProfile } from './link-profile.ts'
import type { TargetAnswer, VmProfile } from './vm-profile.ts'
import type { WayOut } from './ways-out.ts'

/** `blocks`: it cannot be done. `warns`: it can, and may go wrong. `note`: worth knowing. */
export type Severity = 'blocks' | 'warns' | 'note'

export interface Row<N> {
  readonly severity: Severity
  /** What is so, with numbers: without a name in front and a full stop behind. */
  readonly says: (reason: N) => string
  /** What a human does about it. */
  readonly next: (reason: N) => string
}

export type Table<M> = { readonly [R in keyof M]: Row<M[R]> }
/** One of a topic's reasons. */
export type ReasonIn<M> = { readonly [R in keyof M]: { readonly rule: R } & M[R] }[keyof M]

/** Each returns what it finds, as a rule nothing. Pure. */
export type HostRule<M> = (host: HostProfile, role: 'source' | 'target') => readonly ReasonIn<M>[]
export type SourceRule<M> = (host: HostProfile, facts: SourceFacts) => readonly ReasonIn<M>[]
export type LinkRule<M> = (link: LinkFacts) => readonly ReasonIn<M>[]
export type VmRule<M> = (vm: VmProfile, source: HostProfile) => readonly ReasonIn<M>[]
export type TargetRule<M> = (vm: VmProfile, facts: TargetFacts) => readonly ReasonIn<M>[]

export interface SourceFacts {
  /** To hosts that could receive what leaves. */
  readonly ways: readonly WayOut[]
  /** The least downtime that a guest there allows, of those that may move; undefined when there are none. */
  readonly strictest: Milliseconds | undefined
}
export interface LinkFacts {
  readonly source: HostProfile
  readonly target: HostProfile
  readonly tried: LinkProfile | undefined
}
export interface TargetFacts {
  readonly source: HostProfile
  readonly target: HostProfile
  readonly answer: TargetAnswer | undefined
}

/** A rule with one reason or none. */
export const when = <T>(holds: boolean, reason: T): readonly T[] => (holds ? [reason] : [])
/** For names in a sentence; many become few and a number. */
export function few(names: readonly string[], most = 5): string {
  const rest = names.length - most
  return rest > 0 ? `${names.slice(0, most).join(', ')} and ${rest} more` : names.join(', ')
}
