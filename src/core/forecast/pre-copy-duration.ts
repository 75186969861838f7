/**
 * How long a pre-copy takes at a given rate, for a guest with a hot set and a cold rate.
 *
 * The hot set H is rewritten every h seconds, the rest dirtied at c bytes/s. The first pass sends b bytes in t0 = b/R. What the
 * cold part dirtied since is sent at the net rate R − c; a hot set that is rewritten while it is sent shrinks each round by the
 * ratio (H/h)/R, a geometric series. Below R = H/h the hot set never shrinks: pre-copy alone does not end.
 */
import type { DirtyModel } from '../inventory/vm.ts'
import type { Bytes, BytesPerSecond, Milliseconds } from '../units.ts'

/** @returns milliseconds; `Infinity` when pre-copy does not converge at this rate within `maxDowntime` */
export function preCopyDuration(
  needed: Bytes,
  dirty: DirtyModel | undefined,
  rate: BytesPerSecond | number,
  maxDowntime: Milliseconds,
): number {
  if (rate <= 0) return needed === 0 ? 0 : Number.POSITIVE_INFINITY
  const first = needed / rate
  if (dirty === undefined || (dirty.hot === 0 && dirty.cold === 0)) return first * 1000
  const period = Math.max(dirty.period / 1000, 1e-3)
  const hotRate = dirty.hot / period
  if (dirty.cold >= rate) return Number.POSITIVE_INFINITY
  const hotFits = dirty.hot / rate <= maxDowntime / 1000
  if (hotRate >= rate && !hotFits) return Number.POSITIVE_INFINITY
  const ratio = hotRate / rate
  const hotRounds = hotFits ? dirty.hot / rate : (dirty.hot / rate) * (ratio / (1 - ratio))
  if (first <= period)
    return (first + (hotFits ? Math.min(ratio * first, hotRounds) : (ratio * first) / (1 - ratio))) * 1000
  const afterFirst = (dirty.hot + (first - period) * dirty.cold) / (rate - dirty.cold)
  return (first + afterFirst + hotRounds) * 1000
}
