/**
 * How a guest writes, learned from its own passes: each pass of τ seconds leaves X bytes dirty, and X(τ) = min(H, τ·H/h) + c·τ for a hot
 * set H rewritten every h and a cold rate c. What no pass has shown is taken from what was thought before: passes longer than h say nothing
 * of h, passes shorter than h only of H/h + c. Never measured anew while it moves: that would slow the guest.
 *
 * Total: numbers that cannot be are passed over, whatever a hypervisor says.
 */
import type { Instant } from '../instant.ts'
import type { DirtyModel } from '../inventory/vm.ts'
import { bytes, bytesPerSecond, ms } from '../units.ts'

/** What one pass left dirty. */
export interface PassSeen {
  /** How long the guest ran in it, its throttling taken off. @unit seconds */
  readonly awake: number
  /** @unit bytes */
  readonly dirtied: number
}

export interface DirtyLearner {
  /** From before the migration: measured, or stated. */
  readonly prior: DirtyModel | undefined
  /** What is thought now, of the guest when it is not throttled; undefined as long as nothing is known. */
  readonly model: DirtyModel | undefined
  /** Oldest first; the first pass is the longest, and is kept. */
  readonly passes: readonly PassSeen[]
  /** Passes in a row that contradict the model. */
  readonly against: number
  /** The pass under way, from 1; 0 before the first sample. */
  readonly round: number
  /** When it was first seen, or the attempt began. */
  readonly since: Instant
  /** As of the last sample, 0 … 1. */
  readonly throttle: number
  /** Bytes put on the wire for one of memory that is not zero: less than 1 with compression. Shown by the first pass. */
  readonly wire: number
}

/** The part of a sample that tells how a guest writes. */
export interface PassSample {
  readonly round: number
  readonly sent: number
  readonly remaining: number
  readonly total: number
  readonly zero: number
  readonly dirtyRate: number | undefined
  readonly throttle: number
}

const passesKept = 12
/** A pass that ended n passes ago counts so much less: guests change. */
const forgets = 0.85
/** What was thought before counts so much of what one pass shows, where no pass has been; and the less, the more there were. */
const priorWeight = 0.05
/** A pass that left more than so many times what the model says, or less than a part of it, contradicts it. */
const contradiction = 2
/** A guest has changed when it was seen so often in a row. */
const timesToBelieve = 2
/** Relative errors of less than this are equal: the larger period is taken, which is what the data bear out. */
const sameError = 1e-6
/** Errors are relative, but of no less than this: a few pages more or less mean nothing. @unit bytes */
const leastDirtied = 64 * 1024

export const unlearned = (prior: DirtyModel | undefined, at: Instant): DirtyLearner => ({
  prior,
  model: prior,
  passes: [],
  against: 0,
  round: 0,
  since: at,
  throttle: 0,
  wire: 1,
})

/** Memory that is not zero and that the first pass has been over. @unit bytes */
export const passedOver = ({ total, remaining, zero }: Pick<PassSample, 'total' | 'remaining' | 'zero'>): number =>
  Math.max(0, total - remaining - zero)

/** Takes in one sample. @returns the same learner when it tells nothing new */
export function learn(learner: DirtyLearner, sample: PassSample, at: Instant): DirtyLearner {
  const { round, total } = sample
  if (!Number.isSafeInteger(round) || round < 1 || round < learner.round) return learner
  const throttle = isShare(sample.throttle) ? sample.throttle : learner.throttle
  const wire = round === 1 ? wireIn(sample, learner.wire) : learner.wire
  if (round === learner.round)
    return throttle === learner.throttle && wire === learner.wire ? learner : { ...learner, throttle, wire }
  const begun = { ...learner, round, since: at, throttle, wire }
  // The first sample is of the first pass, or of one that nobody saw begin.
  if (learner.round === 0) return round === 1 ? { ...begun, since: learner.since } : begun
  const awake = ((at - learner.since) / 1000 / (round - learner.round)) * (1 - learner.throttle)
  const dirtied = dirtiedIn(sample, awake / Math.max(0.01, 1 - learner.throttle), round - learner.round === 1)
  if (!(awake > 0) || dirtied === undefined || !Number.isSafeInteger(total) || total <= 0) return begun
  const seen: PassSeen = { awake, dirtied: Math.min(dirtied, total) }
  const against = learner.model !== undefined && contradicts(seen, learner.model) ? learner.against + 1 : 0
  // Another guest than it was: what it did before, and what was thought then, says nothing.
  const changed = against >= timesToBelieve && learner.passes.length >= timesToBelieve
  const all = [...learner.passes, seen]
  const passes = changed ? all.slice(-timesToBelieve) : [...all.slice(0, 1), ...all.slice(1).slice(-(passesKept - 1))]
  const prior = changed ? undefined : learner.prior
  return { ...begun, prior, passes, against, model: fit(passes, prior, total) }
}

function contradicts({ awake, dirtied }: PassSeen, model: DirtyModel): boolean {
  const said = dirtiedAfter(model, awake)
  const [less, more] = said < dirtied ? [said, dirtied] : [dirtied, said]
  return more > less * contradiction && more - less > leastDirtied
}

/** Sockets hold some bytes back, so a little says nothing. @unit bytes */
const enoughToTell = 4 * 1024 * 1024
const [wireLeast, wireMost] = [0.05, 1.5]

function wireIn(sample: PassSample, before: number): number {
  const passed = passedOver(sample)
  const wire = sample.sent / passed
  if (!(passed >= enoughToTell) || !Number.isFinite(wire) || wire <= 0) return before
  return Math.min(wireMost, Math.max(wireLeast, wire))
}

const isShare = (n: number): boolean => n >= 0 && n < 1

/** By the hypervisor's own count; else what is there to send when the next pass has begun. */
function dirtiedIn({ dirtyRate, remaining }: PassSample, lasted: number, next: boolean): number | undefined {
  const counted = dirtyRate === undefined ? undefined : dirtyRate * lasted
  if (counted !== undefined && Number.isFinite(counted) && counted >= 0) return counted
  return next && Number.isFinite(remaining) && remaining >= 0 ? remaining : undefined
}

/** What a guest writes in a pass. @param awake @unit seconds @returns bytes */
export const dirtiedAfter = ({ hot, period, cold }: DirtyModel, awake: number): number =>
  hot * Math.min(1, awake / (Math.max(1, period) / 1000)) + cold * awake

interface Point extends PassSeen {
  readonly weight: number
}

/** Least squares of relative errors, for each period that may be; both parts not negative. */
function fit(passes: readonly PassSeen[], prior: DirtyModel | undefined, total: number): DirtyModel {
  const points = [
    ...passes.map((pass, n): Point => ({ ...pass, weight: forgets ** (passes.length - 1 - n) })),
    ...fromBefore(passes, prior),
  ]
  let best: { readonly error: number; readonly period: number; readonly hot: number; readonly cold: number } | undefined
  // From the largest down, so that of equals the largest stays.
  for (const period of periodsFor(points, prior)) {
    const { hot, cold } = partsFor(points, period, total)
    const error = points.reduce((sum, { awake, dirtied, weight }) => {
      const off = (hot * Math.min(1, awake / period) + cold * awake - dirtied) / Math.max(leastDirtied, dirtied)
      return sum + weight * off * off
    }, 0)
    if (best === undefined || error < best.error - sameError) best = { error, period, hot, cold }
  }
  const { period = 1, hot = 0, cold = 0 } = best ?? {}
  return {
    hot: bytes(Math.round(Math.min(hot, total))),
    period: ms(Math.max(1, period * 1000)),
    cold: bytesPerSecond(cold),
  }
}

/** Where no pass has been, what was thought before, in the size of what passes showed. */
function fromBefore(passes: readonly PassSeen[], prior: DirtyModel | undefined): readonly Point[] {
  if (prior === undefined) return []
  const sum = (of: (pass: PassSeen) => number): number => passes.reduce((total, pass) => total + of(pass), 0)
  const scale = sum(({ dirtied }) => dirtied) / sum(({ awake }) => dirtiedAfter(prior, awake))
  if (!Number.isFinite(scale)) return []
  const shortest = Math.min(...passes.map(({ awake }) => awake))
  const longest = Math.max(...passes.map(({ awake }) => awake))
  return [shortest / 16, shortest / 4, longest * 4].map(awake => ({
    awake,
    dirtied: scale * dirtiedAfter(prior, awake),
    weight: priorWeight / passes.length,
  }))
}

/**
 * Periods that may be, from the largest down. Points sorted by length fall apart into those shorter than the period, which lie on a line
 * through nothing, and those longer, which lie on one through the hot set: where both lines cross is the period.
 */
function periodsFor(points: readonly Point[], prior: DirtyModel | undefined): readonly number[] {
  const sorted = [...points].sort((a, b) => a.awake - b.awake)
  const periods = sorted.map(({ awake }) => awake)
  for (let short = 1; short < sorted.length; short += 1) {
    const below = sorted[short - 1]
    const above = sorted[short]
    if (below === undefined || above === undefined) continue
    const steep = slopeThroughNothing(sorted.slice(0, short))
    const { at: hot, slope } = line(sorted.slice(short))
    const crossing = hot / (steep - slope)
    if (crossing > below.awake && crossing < above.awake) periods.push(crossing)
  }
  if (prior !== undefined) periods.push(Math.max(1, prior.period) / 1000)
  return periods.sort((a, b) => b - a)
}

const relativeWeight = ({ dirtied, weight }: Point): number => weight / Math.max(leastDirtied, dirtied) ** 2

function slopeThroughNothing(points: readonly Point[]): number {
  let [xx, xy] = [0, 0]
  for (const point of points) {
    xx += relativeWeight(point) * point.awake ** 2
    xy += relativeWeight(point) * point.awake * point.dirtied
  }
  return xy / xx
}

/** Level where there is only one point, or the best line would fall. */
function line(points: readonly Point[]): { readonly at: number; readonly slope: number } {
  let [n, x, y, xx, xy] = [0, 0, 0, 0, 0]
  for (const point of points) {
    const weight = relativeWeight(point)
    n += weight
    x += weight * point.awake
    y += weight * point.dirtied
    xx += weight * point.awake ** 2
    xy += weight * point.awake * point.dirtied
  }
  const apart = n * xx - x * x
  const slope = apart > 1e-9 * n * xx ? Math.max(0, (n * xy - x * y) / apart) : 0
  return { at: (y - slope * x) / n, slope }
}

/** The hot set and the cold rate that fit best for one period. */
function partsFor(points: readonly Point[], period: number, total: number) {
  let [hh, hc, cc, hx, cx] = [0, 0, 0, 0, 0]
  for (const { awake, dirtied, weight } of points) {
    const scale = weight / Math.max(leastDirtied, dirtied) ** 2
    const share = Math.min(1, awake / period)
    hh += scale * share * share
    hc += scale * share * awake
    cc += scale * awake * awake
    hx += scale * share * dirtied
    cx += scale * awake * dirtied
  }
  const apart = hh * cc - hc * hc
  // All passes shorter than the period: hot and cold look the same, and all is taken for hot.
  if (apart <= 1e-9 * hh * cc) return { hot: hh > 0 ? Math.min(total, hx / hh) : 0, cold: 0 }
  const hot = (hx * cc - cx * hc) / apart
  const cold = (cx * hh - hx * hc) / apart
  if (hot < 0) return { hot: 0, cold: cx / cc }
  if (cold < 0) return { hot: Math.min(total, hx / hh), cold: 0 }
  if (hot > total) return { hot: total, cold: Math.max(0, (cx - total * hc) / cc) }
  return { hot, cold }
}
