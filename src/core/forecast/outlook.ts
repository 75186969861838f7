/**
 * When each VM will be home, from what is left to carry and what carries it.
 *
 * Each VM waits at the one thing it crosses that is busiest: a path, an uplink, a card. There those in front of it are served as the policy
 * does it: so many at a time, in equal parts. Times are what an uncorrected duration says, times what the past showed to be right; a
 * later one is the less certain, partly with all before it (the same path carries them), partly by itself.
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
  /** Whose end it waits for. */
  readonly after: VmId | undefined
}

export interface Queueing {
  /** Migrations at one time that the policy allows; at most as many as there are. */
  readonly slots: number
  /** As few as fill the way, whatever the slots: each gets what it can use. */
  readonly fills: boolean
  /** Others come as soon as one ends, so the parts stay as small as they are. */
  readonly refilled?: boolean
}

/** Of the uncertainty of one VM's time, so much is that of all (the path), the rest its own. */
const shared = 0.5

/** @param errands in the order in which they are served */
export function lookAhead(errands: readonly Errand[], queueing: Queueing): ReadonlyMap<VmId, Outlook> {
  const outlooks = new Map<VmId, Outlook>()
  const groups = byBottleneck(errands)
  for (const [over, { capacity, members }] of groups) {
    const slots = slotsFor(members, capacity, queueing, members.length / Math.max(1, errands.length))
    for (const outlook of serve(members, over, capacity, slots, queueing.refilled ?? false))
      outlooks.set(outlook.vm, outlook)
  }
  return outlooks
}

interface Group {
  readonly capacity: number
  readonly members: Errand[]
}

/** Each with those that wait at the same thing: of all it crosses the one that has most to carry for its capacity. */
function byBottleneck(errands: readonly Errand[]): ReadonlyMap<string, Group> {
  const load = new Map<string, number>()
  for (const { crosses, load: its } of errands) {
    for (const { key, capacity } of crosses) load.set(key, (load.get(key) ?? 0) + its / capacity)
  }
  const groups = new Map<string, Group>()
  for (const errand of errands) {
    let busiest: Crossing | undefined
    for (const crossing of errand.crosses) {
      if (busiest === undefined || isBusier(crossing, busiest, load)) busiest = crossing
    }
    const { key, capacity } = busiest ?? { key: 'nothing known', capacity: Number.POSITIVE_INFINITY }
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { capacity, members: [errand] })
    else group.members.push(errand)
  }
  return groups
}

/** The later in the list the nearer to the path itself, which is the better name for the same thing. */
function isBusier(a: Crossing, b: Crossing, load: ReadonlyMap<string, number>): boolean {
  const [ours, theirs] = [load.get(a.key) ?? 0, load.get(b.key) ?? 0]
  return ours === theirs ? a.capacity <= b.capacity : ours > theirs
}

function slotsFor(members: readonly Errand[], capacity: number, { slots, fills }: Queueing, share: number): number {
  const ofPolicy = fills ? slots : Math.max(1, Math.round(slots * share))
  const most = members.reduce((least, errand) => Math.min(least, errand.most), Number.POSITIVE_INFINITY)
  const toFill = fills && Number.isFinite(capacity) && most > 0 ? Math.ceil(capacity / most - 1e-6) : 1
  return Math.min(members.length, Math.max(1, ofPolicy, toFill))
}

interface Served {
  readonly errand: Errand
  readonly begins: number
  readonly after: VmId | undefined
  /** When what it was given in all has reached this, it is home: its work beside what was given before. @unit bytes */
  readonly until: number
}

/**
 * Equal parts for `slots` at a time. All that flow are given the same, so the one with the least left is the next to end; `given` is what
 * each has been given since the beginning.
 */
function serve(
  members: readonly Errand[],
  over: string,
  capacity: number,
  slots: number,
  refilled: boolean,
): readonly Outlook[] {
  const outlooks: Outlook[] = []
  const most = members.reduce((least, errand) => Math.min(least, errand.most), Number.POSITIVE_INFINITY)
  const part = (flowing: number): number => Math.min(most, capacity / Math.max(1, flowing))
  const nominal = part(slots)
  const flowing: Served[] = []
  let [now, given, variance, last] = [0, 0, 0, 0]
  let before: VmId | undefined

  const enter = (errand: Errand): void => {
    const lasts = Number.isFinite(nominal) ? errand.lasts(nominal) * errand.factors.p50 : Number.POSITIVE_INFINITY
    if (!Number.isFinite(lasts)) {
      const start = errand.flows ? 0 : now
      outlooks.push({ ...unending(errand, over, nominal), start: { p50: start, p90: start }, after: before })
      return
    }
    const until = given + (lasts * nominal) / 1000
    flowing.splice(placeOf(flowing, until), 0, { errand, begins: now, after: before, until })
  }
  let next = 0
  for (;;) {
    for (let errand = members[next]; flowing.length < slots && errand !== undefined; errand = members[(next += 1)])
      enter(errand)
    const ended = flowing.shift()
    if (ended === undefined) return outlooks
    const rate = refilled ? nominal : part(flowing.length + 1)
    now += ((ended.until - given) / rate) * 1000
    given = ended.until
    variance += (now - last) ** 2
    last = now
    const { errand, begins, after } = ended
    const { p50, p90 } = errand.factors
    const relative = Math.max(0, p90 / p50 - 1)
    const late = (time: number): number =>
      time + relative * Math.sqrt(shared * time * time + (1 - shared) * Math.min(variance, time * time))
    outlooks.push({
      vm: errand.vm,
      start: errand.flows ? { p50: 0, p90: 0 } : { p50: begins, p90: late(begins) },
      end: { p50: now, p90: late(now) },
      predicted: now / p50,
      rate: nominal,
      over,
      after,
    })
    before = errand.vm
  }
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

const unending = ({ vm }: Errand, over: string, rate: number) => ({
  vm,
  end: undefined,
  predicted: Number.POSITIVE_INFINITY,
  rate,
  over,
})
