/**
 * What a path carries for us, from what our migrations get through it: the most of the last seconds. What the inventory says holds until
 * it is contradicted: a shortfall counts when it was seen twice while something flowed that did not get what it may have.
 *
 * A shortfall has two causes that look alike: the path carries less, or one migration alone cannot fill it (its stream, its sending
 * thread, a card nobody stated). The first is believed, the second is tried: a few more at a time for some seconds. Where they bring
 * more, what one stream gets is known from then on; where they do not, the next trial is further off. A path that is shared with other
 * people has caps of ours on it all the time; there it is tried with a higher cap. Where several fill a path, fewer are tried now and then.
 */
import type { Instant } from '../instant.ts'
import type { Fullness } from './path-signal.ts'

export interface PathObservation {
  readonly at: Instant
  /** Of all our migrations over it. @unit bytes per second */
  readonly goodput: number
  /** Migrations that send what they can. */
  readonly flows: number
  /** Their TCP streams. @default one each */
  readonly streams?: number | undefined
  /** A stream of the fastest of them. @unit bytes per second */
  readonly fastest: number
  /** Something flows that gets less than its cap, its card and its streams let it have: it takes what there is. */
  readonly greedy: boolean
  /** What their caps allow together: less than is there where a hypervisor keeps caps in steps. @default no cap @unit bytes per second */
  readonly allowed?: number | undefined
  /** What takes what there is squeezes memory, and nothing queues: the squeezing is what holds it back. @default no */
  readonly squeezed?: boolean | undefined
  /** What the network shows of it. @default nobody looks */
  readonly fullness?: Fullness | undefined
}

export interface Trial {
  readonly kind: 'more-migrations' | 'higher-cap' | 'fewer-migrations'
  readonly since: Instant
  /** What went through before. @unit bytes per second */
  readonly baseline: number
  /** … over so many streams. */
  readonly streams: number
}

export interface PathEstimate {
  /** What the inventory leaves for us. @unit bytes per second */
  readonly declared: number | undefined
  /** Undefined before anything is known. @unit bytes per second */
  readonly capacity: number | undefined
  /** What one stream gets at most, though the path has more; undefined until that was seen. @unit bytes per second */
  readonly single: number | undefined
  readonly seen: readonly PathObservation[]
  /** Shortfalls in a row. */
  readonly short: number
  readonly trial: Trial | undefined
  /** Looks in a row at which squeezing was what held things back. */
  readonly squeezed: number
  /** Since when less than what is stated is there, or since when what nobody stated is known. */
  readonly contradictedAt: Instant | undefined
  /** No trial before. */
  readonly nextTrial: number
  /** From a trial that brought nothing to the next. @unit ms */
  readonly wait: number
  /** What one stream gets is not doubted before, and so long after it was in vain. @unit ms */
  readonly nextDoubt: number
  readonly doubtWait: number
}

/** The window of the maximum. @unit ms */
const windowLength = 10_000
/** A window without a gap. @unit ms */
const wholeWindow = 8_000
/** Less than this share of what was thought is a shortfall: rates are averages, and lag. */
const shortfall = 0.85
const timesToBelieve = 2
/** Looks at which squeezing held things back, until it is not done any more. */
const squeezedToBelieve = 4
/** After a shortfall was believed, only what was seen since it began counts. */
const samplesSince = 2
/** Rates are averages over seconds: what more migrations bring shows after so long. @unit ms */
const trialLasts = 5_000
/** … and is worth it from here on. */
const worthKeeping = 1.1
/** Several on a full path get no more than their part of it, and so never show more: now and then it is tried with this share of it for fewer. */
const shareForFewer = 0.8
/** The path stays as full as it was, give or take an average. */
const asFull = 0.97
/** From one that was in vain to the next. @unit ms */
const firstDoubtWait = 20_000
const longestDoubtWait = 300_000
/** From a trial with more that brought nothing to the next. @unit ms */
const firstWait = 10_000
const longestWait = 120_000
/**
 * A shortfall lasts so long before it is tried: bursts of losses are shorter, and one that was started for their sake waits for long when
 * they are over. Where nobody looks at the network, longer. @unit ms
 */
const triedAfter = 8_000
const unseenWait = 30_000
/** The path itself carries more meanwhile when a stream has more by so much: then nothing is learned of streams. */
const noFaster = 1.15
/** A cap is raised by so much at a time: from a third to all of it in two trials, within 20 s. */
const raise = 2
/** So long the network has to say that nothing stands on a shared path. @unit ms */
const emptyFor = 4_000
/** Caps are reached, give or take an average. */
const reached = 0.93
/** Where nobody states a capacity, and migrations fill each what one can get, twice as much is thought to be there. */
const double = 2

/** @param declared for us: what the inventory states, less other people's part */
export const unobserved = (declared: number | undefined): PathEstimate => ({
  declared,
  capacity: declared,
  single: undefined,
  seen: [],
  short: 0,
  trial: undefined,
  squeezed: 0,
  contradictedAt: undefined,
  nextTrial: 0,
  wait: firstWait,
  nextDoubt: 0,
  doubtWait: firstDoubtWait,
})

export function observe(before: PathEstimate, now: PathObservation): PathEstimate {
  const seen = [...before.seen.filter(({ at }) => at <= now.at && now.at - at <= windowLength), now]
  // What was taken for the most of one is less than one gets.
  const single = before.single === undefined ? undefined : Math.max(before.single, now.fastest)
  const squeezed = squeezes(before) ? (now.squeezed === true ? before.squeezed + 1 : 0) : before.squeezed
  const estimate = { ...before, seen, single, squeezed }
  const { trial } = estimate
  if (trial !== undefined)
    return now.at - trial.since < trialLasts ? atLeast(estimate, now) : concluded(estimate, trial, now)
  return dated(capacityFrom(estimate, now), now)
}

function dated(estimate: PathEstimate, { at }: PathObservation): PathEstimate {
  const { declared, capacity, contradictedAt } = estimate
  const contradicted = capacity !== undefined && (declared === undefined || capacity < declared * shortfall)
  if (contradicted === (contradictedAt !== undefined)) return estimate
  return { ...estimate, contradictedAt: contradicted ? at : undefined }
}

function capacityFrom(estimate: PathEstimate, now: PathObservation): PathEstimate {
  const { seen, capacity, declared, single } = estimate
  const most = highest(seen)
  if (capacity === undefined)
    return { ...estimate, capacity: now.greedy && now.goodput > 0 ? most : undefined, short: 0 }
  if (declared === undefined && single !== undefined && !now.greedy && now.goodput >= capacity * shortfall)
    return { ...estimate, capacity: now.goodput * double, short: 0 }
  if (now.goodput > capacity) return { ...estimate, capacity: now.goodput, short: 0 }
  if (!now.greedy) return { ...estimate, short: 0 }
  if (now.goodput >= capacity * shortfall)
    return { ...estimate, capacity: Math.min(capacity, steadily(seen) ?? capacity), short: 0 }
  const short = estimate.short + 1
  if (short < timesToBelieve) return { ...estimate, short }
  const since = seen.slice(-samplesSince)
  return { ...estimate, capacity: highest(since), seen: since, short }
}

const atLeast = (estimate: PathEstimate, { goodput }: PathObservation): PathEstimate =>
  estimate.capacity !== undefined && goodput > estimate.capacity ? { ...estimate, capacity: goodput } : estimate

function concluded(estimate: PathEstimate, trial: Trial, now: PathObservation): PathEstimate {
  const ended = { ...estimate, trial: undefined, short: 0 }
  const { declared } = estimate
  const after = mean(estimate.seen.slice(-samplesSince))
  if (trial.kind === 'fewer-migrations') {
    if (after >= trial.baseline * asFull) return { ...ended, nextDoubt: now.at, doubtWait: firstDoubtWait }
    const doubtWait = Math.min(longestDoubtWait, estimate.doubtWait * double)
    return { ...ended, nextDoubt: now.at + estimate.doubtWait, doubtWait }
  }
  if (after < trial.baseline * worthKeeping) {
    if (trial.kind === 'higher-cap' && isHeldBackAlone(estimate, now))
      // It had a higher cap, and nothing queued: its stream holds it back. The path is taken at its word again.
      return {
        ...ended,
        single: now.fastest,
        capacity: estimate.declared,
        nextTrial: now.at + estimate.wait,
      }
    const wait = Math.min(longestWait, estimate.wait * double)
    return { ...ended, nextTrial: now.at + estimate.wait, wait }
  }
  const again = { ...ended, nextTrial: now.at, wait: firstWait }
  if (trial.kind === 'higher-cap') {
    const most = now.fullness === 'not full' || now.fullness === 'full' ? after : Math.min(after, declared ?? after)
    return { ...again, capacity: most }
  }
  const before = trial.baseline / Math.max(1, trial.streams)
  if (now.fastest > before * noFaster) return { ...again, capacity: Math.max(after, estimate.capacity ?? 0) }
  const capacity = declared === undefined || declared < after ? after * double : declared
  // What was thought before is less true than what a trial shows.
  const doubtWait =
    estimate.single === undefined ? firstDoubtWait : Math.min(longestDoubtWait, estimate.doubtWait * double)
  return { ...again, single: Math.max(before, now.fastest), capacity, doubtWait, nextDoubt: now.at + doubtWait }
}

/** Beside neighbours, where less goes through than is left for us though nothing queues. */
const isHeldBackAlone = (
  { declared, capacity = 0 }: PathEstimate,
  { fullness, squeezed, fastest }: PathObservation,
): boolean =>
  fullness === 'not full' &&
  squeezed !== true &&
  fastest > 0 &&
  declared !== undefined &&
  capacity < declared * shortfall

/** The most of a whole window in which something took what there was all the time: no more can be there. */
function steadily(seen: readonly PathObservation[]): number | undefined {
  const [first, last] = [seen[0], seen.at(-1)]
  if (first === undefined || last === undefined || last.at - first.at < wholeWindow) return undefined
  return seen.every(({ greedy }) => greedy) ? highest(seen) : undefined
}

/**
 * Whether more migrations at a time may bring more: what is there falls short of what is stated, or nobody states anything. A queue on
 * the path says no, its absence for some seconds says yes; where nobody looks, a trial is worth it now and then only.
 */
export function mayTryMore(estimate: PathEstimate, fullness: Fullness, now: Instant): boolean {
  const { trial, nextTrial, declared, capacity, single, seen, contradictedAt } = estimate
  const last = seen.at(-1)
  if (trial !== undefined || fullness === 'full' || now < nextTrial || capacity === undefined || last === undefined)
    return false
  if (!last.greedy || last.flows === 0 || last.goodput <= 0) return false
  if (declared === undefined ? single !== undefined : capacity >= declared * shortfall)
    return fullness === 'not full' && hasMoreThanStated(estimate)
  if (contradictedAt === undefined) return false
  if (fullness !== 'not full') return now - contradictedAt >= unseenWait
  // Between two migrations nothing queues for a moment on any path.
  if (seen.some(each => each.fullness === 'full')) return false
  // Where more brought more before, it is no burst.
  return single !== undefined || now - contradictedAt >= triedAfter
}

/** All that is stated goes through for a while, nothing queues, and it is not squeezing that holds it back: there is more than is stated. */
function hasMoreThanStated({ seen, declared }: PathEstimate): boolean {
  const [first, last] = [seen[0], seen.at(-1)]
  if (declared === undefined || first === undefined || last === undefined || last.at - first.at < wholeWindow)
    return false
  return seen.every(
    each => each.goodput >= declared * reached && each.greedy && each.fullness === 'not full' && each.squeezed !== true,
  )
}

/** Whether a higher cap may bring more: what is allowed was reached for a while, and nothing queues. */
export function mayRaiseCap(estimate: PathEstimate, fullness: Fullness, now: Instant): boolean {
  const { trial, nextTrial, capacity, declared, seen } = estimate
  if (trial !== undefined || fullness === 'full' || now < nextTrial || capacity === undefined) return false
  // Where nobody sees whether others fill the path, no more than what is left for us is tried.
  if (fullness === 'unknown' && (declared === undefined || capacity >= declared * shortfall)) return false
  if (seen.length <= samplesSince) return false
  // Neighbours who fill a path let its queue run empty for a moment now and then: two rounds of echoes have to say the same.
  if (seen.some(({ at, fullness: was }) => was === 'full' && now - at < emptyFor)) return false
  return seen
    .slice(-samplesSince - 1)
    .every(({ goodput, allowed = capacity }) => goodput > 0 && goodput >= Math.min(capacity, allowed) * reached)
}

/** Whether fewer may do: several fill the path, for a while. */
export function mayTryFewer({ trial, single, seen, nextDoubt }: PathEstimate, now: Instant): boolean {
  const [first, last] = [seen[0], seen.at(-1)]
  if (trial !== undefined || single === undefined || first === undefined || last === undefined) return false
  if (now < nextDoubt || last.at - first.at < wholeWindow) return false
  return seen.every(({ fullness, flows }) => fullness === 'full' && flows > 1)
}

/** Squeezing memory pays, as far as is known: it never was what held migrations back for some seconds. */
export const squeezes = ({ squeezed }: Pick<PathEstimate, 'squeezed'>): boolean => squeezed < squeezedToBelieve

export function beginTrial(estimate: PathEstimate, kind: Trial['kind'], now: Instant): PathEstimate {
  const last = estimate.seen.at(-1)
  const streams = last?.streams ?? last?.flows ?? 0
  const went = mean(estimate.seen.slice(-samplesSince))
  const { capacity = 0 } = estimate
  // A cap that was rounded down lets less through than is known to be there: to have that is no news.
  const isRounded = kind === 'higher-cap' && last?.allowed !== undefined && last.allowed < capacity * reached
  return { ...estimate, trial: { kind, since: now, baseline: isRounded ? Math.max(went, capacity) : went, streams } }
}

/** What is thought to be there for us now; more, or less, while that is being tried. @unit bytes per second */
export function offered({ capacity, trial }: PathEstimate): number | undefined {
  if (capacity === undefined || trial === undefined || trial.kind === 'more-migrations') return capacity
  return capacity * (trial.kind === 'higher-cap' ? raise : shareForFewer)
}

const highest = (seen: readonly PathObservation[]): number =>
  seen.reduce((most, { goodput }) => Math.max(most, goodput), 0)
const mean = (seen: readonly PathObservation[]): number =>
  seen.length === 0 ? 0 : seen.reduce((sum, { goodput }) => sum + goodput, 0) / seen.length
