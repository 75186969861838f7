/**
 * Why a migration's rate was changed, in one line with its numbers: what comes after the colon of the command's own sentence (sentence.ts).
 *
 *     cap db-1 to 12.6 Mbit/s: path a – b 96.0 of 100 Mbit/s, db-2 first, both 3.1 s from home
 */
import { showCrossing } from '../control/water-filling.ts'
import type { VmId } from '../ids.ts'
import { showRate, showTime } from '../units.ts'

/** What a policy knows when it hands out rates. Undefined, or infinite: not known. */
export interface AdjustedFacts {
  readonly vm: VmId
  /** The crossing that bounds it: `path a b` (control/water-filling.ts). */
  readonly over: string
  /** What that carries for us. @unit bytes per second */
  readonly capacity: number
  /** Of that, what is handed out, this one's part included. @unit bytes per second */
  readonly taken: number
  /** Who is served first on what it crosses; undefined when it is first itself. */
  readonly first: VmId | undefined
  /** From now until it is home, at the rate it gets. @unit ms */
  readonly timeToHome: number | undefined
  /** The same of the first. @unit ms */
  readonly firstTimeToHome: number | undefined
  /** It may send no more than keeps its connection alive. */
  readonly waits: boolean
}

/** Times that differ by less than this share are the same for a reader. */
const sameTime = 0.05

export function whyAdjusted(facts: AdjustedFacts): string {
  const { first, waits } = facts
  const place = first === undefined ? 'first on its way' : `${first} first`
  return [roadOf(facts), place, ...(waits && first !== undefined ? ['it waits'] : []), ...distances(facts)].join(', ')
}

/** `path a – b 96.0 of 100 Mbit/s` */
function roadOf({ over, capacity, taken }: AdjustedFacts): string {
  const name = showCrossing(over)
  if (!Number.isFinite(capacity)) return `${name}, of unknown capacity`
  if (!Number.isFinite(taken)) return `${name} of ${showRate(capacity)}`
  const [some, all] = [showRate(Math.min(taken, capacity)), showRate(capacity)]
  const unit = / \S+$/
  const same = unit.exec(some)?.[0] === unit.exec(all)?.[0]
  return `${name} ${same ? some.replace(unit, '') : some} of ${all}`
}

function distances({ vm, first, timeToHome, firstTimeToHome }: AdjustedFacts): readonly string[] {
  const own = known(timeToHome)
  if (first === undefined) return own === undefined ? [] : [`${showTime(own)} from home`]
  const other = known(firstTimeToHome)
  if (own !== undefined && other !== undefined && Math.abs(own - other) <= sameTime * Math.max(own, other))
    return [`both ${showTime(other)} from home`]
  const others = other === undefined ? [] : [`${first} ${showTime(other)} from home`]
  const its = own === undefined ? [] : [`${vm} ${showTime(own)}${other === undefined ? ' from home' : ''}`]
  return [...others, ...its]
}

const known = (time: number | undefined): number | undefined =>
  time !== undefined && Number.isFinite(time) && time >= 0 ? time : undefined
