/**
 * A line in front of one thing with a capacity: so many are served at a time, in equal parts, the next comes when one ends. All that flow
 * are given the same, so the one with the least left is the next to end.
 */
import type { Crossing } from '../control/water-filling.ts'
import type { VmId } from '../ids.ts'
import type { Spread } from './correction.ts'

/** One VM's way that is still to go. */
export interface Errand {
  readonly vm: VmId
  /** All that it shares with others. */
  readonly crosses: readonly Crossing[]
  /** The most it can use. @unit bytes per second */
  readonly most: number
  /** About what will go over. @unit bytes */
  readonly load: number
  /** Uncorrected. @returns milliseconds at that rate; infinite when it does not end */
  readonly lasts: (rate: number) => number
  /** What its uncorrected times are multiplied with. */
  readonly factors: Spread
  /** It flows already. */
  readonly flows: boolean
}

export interface Outlook {
  readonly vm: VmId
  /** From now until memory flows; 0 when it does. @unit ms */
  readonly start: Spread
  /** From now until it runs at its target; undefined when it does not end at this rate, or nothing is known of the way. @unit ms */
  readonly end: Spread | undefined
  /** From now until its end, before correction: what the truth is compared with. @unit ms */
  readonly predicted: number
  /** What it will flow at. Infinite when nothing is known. @unit bytes per second */
  readonly rate: number
  /** What it waits at: the key of a crossing. */
  readonly over: string
  /** Of that. Infinite when nothing is known. @unit bytes per second */
  readonly capacity: number
  /** About what will go over. @unit bytes */
  readonly load: number
  /** Whose end it waits for. */
  readonly after: VmId | undefined
}

export interface Line {
  /** In the order in which they are served. */
  readonly members: readonly Waiting[]
  /** Of what is handed out; with {@link Waiting.unit} it makes bytes per second. */
  readonly capacity: number
  /** The most that one can be given. */
  readonly most: number
  readonly slots: number
  /** So many more come when there is a slot, and are not among the members. */
  readonly coming: number
}

export interface Waiting {
  readonly errand: Errand
  /** What it waits at: the key of a crossing. */
  readonly over: string
  /** Bytes per second that one unit of capacity is for it. */
  readonly unit: number
  /** Of what it waits at. @unit bytes per second */
  readonly carries: number
}

/** Of the uncertainty of one VM's time, so much is that of all (the path), the rest its own. */
const shared = 0.5
/**
 * Paths change while one looks ahead, and what was carried so far does not tell of it: so much of a time that is far, next to nothing of
 * one that is near.
 */
const pathRisk = 0.15
const far = 300_000
/** An end that is further away than a month is none. @unit ms */
const horizon = 30 * 86_400_000

interface Served extends Waiting {
  readonly begins: Spread
  readonly after: VmId | undefined
  /** When so much was given to each since the beginning, it is home. */
  readonly until: number
}

export function serve({ members, capacity, most, slots, coming }: Line): readonly Outlook[] {
  const outlooks: Outlook[] = []
  const part = (flowing: number): number => Math.min(most, capacity / Math.max(1, flowing))
  const flowing: Served[] = []
  let [now, given, variance] = [0, 0, 0]
  let before: Outlook | undefined

  const enter = (waiting: Waiting): void => {
    // It begins when the one before it ends, as surely or unsurely as that.
    const begins = waiting.errand.flows || before === undefined ? atOnce : (before.end ?? never)
    const served = { ...waiting, begins, after: before?.vm, until: given + workOf(waiting, slots, part) }
    if (Number.isFinite(served.until)) flowing.splice(placeOf(flowing, served.until), 0, served)
    else outlooks.push(withoutEnd(served, part(slots)))
  }
  let next = 0
  for (;;) {
    for (let waiting = members[next]; flowing.length < slots && waiting !== undefined; waiting = members[(next += 1)])
      enter(waiting)
    const ended = flowing.shift()
    if (ended === undefined) return outlooks
    const took = ((ended.until - given) / part(Math.min(slots, flowing.length + 1 + coming))) * 1000
    now += took
    given = ended.until
    variance += took ** 2
    before = now <= horizon ? withEnd(ended, part(slots), now, variance) : withoutEnd(ended, part(slots))
    outlooks.push(before)
  }
}

const atOnce: Spread = { p50: 0, p90: 0 }
const never: Spread = { p50: horizon, p90: horizon }

const placeOfWaiting = ({ errand, over, carries, unit, after }: Served, part: number) => ({
  vm: errand.vm,
  rate: part * unit,
  over,
  capacity: carries,
  load: errand.load,
  after,
})

function withEnd(served: Served, part: number, end: number, variance: number): Outlook {
  const { errand, begins } = served
  return {
    ...placeOfWaiting(served, part),
    start: begins,
    end: { p50: end, p90: lateBy(errand.factors, end, variance) },
    predicted: end / errand.factors.p50,
  }
}

function withoutEnd(served: Served, part: number): Outlook {
  return {
    ...placeOfWaiting(served, part),
    start: served.begins,
    end: undefined,
    predicted: Number.POSITIVE_INFINITY,
  }
}

/** @param variance of the single times up to then, were each off by all of itself */
function lateBy({ p50, p90 }: Spread, time: number, variance: number): number {
  const relative = Math.max(0, p90 / p50 - 1)
  const together = shared * relative ** 2 + (pathRisk * (1 - Math.exp(-time / far))) ** 2
  const own = (1 - shared) * relative ** 2 * Math.min(variance, time * time)
  return time + Math.sqrt(together * time * time + own)
}

/**
 * What it has to be given. One that does not end at the rate it gets waits for others to end: then it does with more.
 * @returns infinite when it does not end even alone, or nothing is known of the way
 */
function workOf({ errand, unit }: Waiting, slots: number, part: (flowing: number) => number): number {
  for (let flowing = slots; flowing >= 1; flowing = Math.floor(flowing / 2)) {
    const given = part(flowing)
    if (!Number.isFinite(given * unit)) break
    const takes = errand.lasts(given * unit) * errand.factors.p50
    if (Number.isFinite(takes)) return (takes * given) / 1000
  }
  return Number.POSITIVE_INFINITY
}

/** Behind all that end no later. */
function placeOf(flowing: readonly Served[], until: number): number {
  let [low, high] = [0, flowing.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((flowing[middle]?.until ?? 0) <= until) low = middle + 1
    else high = middle
  }
  return low
}
