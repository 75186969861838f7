/**
 * How long a pre-copy takes at a given rate, for a guest with a hot set and a cold rate.
 *
 * Each pass sends what the last one left dirty. A pass of x seconds leaves min(H, x·H/h) of the hot set, which is rewritten every h, and
 * c·x of the rest. Once passes are shorter than h they shrink by the same ratio (H/h + c)/R each time: a geometric series. The pass that
 * fits into the downtime allowed is the last; where passes stop shrinking before that, pre-copy alone does not end.
 */
import type { DirtyModel } from '../inventory/vm.ts'
import type { Bytes, BytesPerSecond, Milliseconds } from '../units.ts'

/** Passes longer than the period of the hot set shrink towards a limit fast, or not at all. */
const longPassesAtMost = 10_000
/** A pass that is no shorter than this share of the one before is no shorter. */
const noShorter = 1 - 1e-12

/** Where a pre-copy stands in the pass it is in. */
export interface PassUnderWay {
  /** Still to send in this pass. @unit bytes */
  readonly remaining: number
  /** Since it began: what was written since then is sent in the next one. @unit ms */
  readonly since: number
  /** All memory that is not zero: no more can be written. @unit bytes */
  readonly all: number
}

/** @returns milliseconds; `Infinity` when pre-copy does not converge at this rate within `maxDowntime` */
export const preCopyDuration = (
  needed: Bytes,
  dirty: DirtyModel | undefined,
  rate: BytesPerSecond | number,
  maxDowntime: Milliseconds,
): number =>
  needed === 0 ? 0 : preCopyRemaining({ remaining: needed, since: 0, all: needed }, dirty, rate, maxDowntime)

/** As {@link preCopyDuration}, from the middle of a pass to the end. @returns milliseconds, or `Infinity` */
export function preCopyRemaining(
  { remaining, since, all }: PassUnderWay,
  dirty: DirtyModel | undefined,
  rate: BytesPerSecond | number,
  maxDowntime: Milliseconds,
): number {
  if (rate <= 0) return Number.POSITIVE_INFINITY
  const first = remaining / rate
  if (dirty === undefined || (dirty.hot === 0 && dirty.cold === 0)) return first * 1000
  const period = Math.max(dirty.period, 1) / 1000
  const allowed = maxDowntime / 1000
  const ratio = (dirty.hot / period + dirty.cold) / rate
  const next = (pass: number): number =>
    (Math.min(dirty.hot, (dirty.hot / period) * pass) + Math.min(Math.max(0, all - dirty.hot), dirty.cold * pass)) /
    rate

  let total = first
  let before = first + since / 1000
  let pass = next(before)
  for (let n = 0; n < longPassesAtMost; n += 1) {
    total += pass
    if (pass <= allowed) return total * 1000
    if (pass >= before * noShorter) return Number.POSITIVE_INFINITY
    if (pass < period) return (total + shrinkingPasses(pass, ratio, allowed)) * 1000
    before = pass
    pass = next(pass)
  }
  return Number.POSITIVE_INFINITY
}

/** All passes after `pass`, each `ratio` times the one before, up to the first that is allowed. @unit seconds */
function shrinkingPasses(pass: number, ratio: number, allowed: number): number {
  if (ratio >= 1) return Number.POSITIVE_INFINITY
  // With no downtime allowed the series has no last member, but a sum.
  if (allowed <= 0) return (pass * ratio) / (1 - ratio)
  const more = Math.max(1, Math.ceil(Math.log(allowed / pass) / Math.log(ratio)))
  return (pass * ratio * (1 - ratio ** more)) / (1 - ratio)
}
