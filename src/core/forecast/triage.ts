/** Who fits until the deadline, who may, and who does not, and because of what. */
import type { VmId } from '../ids.ts'
import type { Spread } from './correction.ts'
import type { Deadline } from './deadline.ts'
import { type Verdict, verdictOn } from './verdict.ts'

/** One that is still to come. */
export interface Arrival {
  readonly vm: VmId
  /** Since the alarm; undefined when no end can be forecast. */
  readonly end: Spread | undefined
  /** Why it has none. */
  readonly why: string | undefined
  /** Nothing is known of its way: its end is open, not out of reach. */
  readonly unknown: boolean
  /** What it waits at. */
  readonly over: string
  /** Of that. @unit bytes per second */
  readonly capacity: number
  /** Still to go over. @unit bytes */
  readonly load: number
}
export interface Staying {
  readonly vm: VmId
  readonly why: string
}

/** Something too much is to go over. */
export interface Crowded {
  readonly over: string
  /** @unit bytes per second */
  readonly capacity: number
  /** All that is left to go over it. @unit bytes */
  readonly left: number
  /** What it carries until the deadline. @unit bytes */
  readonly until: number
}

export interface Triage {
  readonly deadline: Deadline
  /** Of the whole: the worst of those still to come. Undefined when none is. */
  readonly verdict: Verdict | undefined
  readonly total: number
  /** Home, or nine times in ten before the deadline. */
  readonly fit: number
  /** As likely as not. */
  readonly atRisk: readonly Arrival[]
  /** Too late, or without an end. In the order in which they would come. */
  readonly late: readonly Arrival[]
  readonly staying: readonly Staying[]
  /** What the late wait at. */
  readonly crowded: readonly Crowded[]
}

export interface TriageQuestion {
  readonly deadline: Deadline
  /** Since the alarm. @unit ms */
  readonly now: number
  /** How many are home. */
  readonly home: number
  readonly arrivals: readonly Arrival[]
  readonly staying: readonly Staying[]
}

export function triage({ deadline, now, home, arrivals, staying }: TriageQuestion): Triage {
  const by = (wanted: Verdict): readonly Arrival[] =>
    arrivals.filter(({ end, unknown }) => verdictOn(end, deadline, unknown) === wanted)
  const late = by('will-miss')
  const atRisk = by('at-risk')
  const verdict = late.length > 0 ? 'will-miss' : atRisk.length > 0 ? 'at-risk' : 'on-track'
  return {
    deadline,
    verdict: arrivals.length === 0 ? undefined : verdict,
    total: home + arrivals.length + staying.length,
    fit: home + by('on-track').length,
    atRisk,
    late: [...late].sort((a, b) => (a.end?.p50 ?? Number.MAX_VALUE) - (b.end?.p50 ?? Number.MAX_VALUE)),
    staying,
    crowded: crowded(late, arrivals, Math.max(0, deadline.at - now)),
  }
}

function crowded(late: readonly Arrival[], arrivals: readonly Arrival[], left: number): readonly Crowded[] {
  const ways = new Map<string, Crowded>()
  for (const { over, capacity, end } of late) {
    if (end === undefined || ways.has(over) || !Number.isFinite(capacity)) continue
    const load = arrivals.reduce((sum, each) => (each.over === over ? sum + each.load : sum), 0)
    ways.set(over, { over, capacity, left: load, until: (capacity * left) / 1000 })
  }
  return [...ways.values()]
}
