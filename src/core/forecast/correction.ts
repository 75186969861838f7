/**
 * How far forecasts were off, so that the next ones are not: for each point of progress the ratios of what was left in truth to what was
 * forecast, of the last migrations of this run. Their median corrects, their spread makes p50 and p90. Before anything was seen, ratios
 * from the simulator and the lab stand in, and fade as real ones come.
 */

/** Points of a VM's progress at which its end is forecast: percent of the bytes that must leave. */
export const marks = [0, 10, 50, 90] as const
export type Mark = (typeof marks)[number]

/** A time that is expected, and one that is kept nine times in ten. @unit ms */
export interface Spread {
  readonly p50: number
  readonly p90: number
}

export type Correction = Readonly<Record<Mark, readonly number[]>>

/** Ratios kept for each mark. */
const kept = 48
/** A ratio outside of these says that something else happened: an outage, a stalled host. */
const [least, most] = [0.05, 20]
/** What a run is likely to show, as if it had been seen (test/forecast-calibration.test.ts holds them against the simulator). */
const prior: Correction = {
  0: [0.9, 0.97, 1, 1.02, 1.06, 1.35],
  10: [0.9, 0.97, 1, 1.02, 1.06, 1.3],
  50: [0.9, 0.97, 1, 1.02, 1.06, 1.3],
  90: [0.8, 0.95, 1, 1.1, 1.3, 1.6],
}

export const uncorrected: Correction = { 0: [], 10: [], 50: [], 90: [] }

/** @param ratio what was left in truth, over what was forecast; one that is no number, or none at all, teaches nothing */
export function withRatio(correction: Correction, mark: Mark, ratio: number): Correction {
  if (!(ratio > 0) || !Number.isFinite(ratio)) return correction
  const bounded = Math.min(most, Math.max(least, ratio))
  return { ...correction, [mark]: [...correction[mark].slice(-(kept - 1)), bounded] }
}

/** Corrections do not change, and each is asked once for every VM that flows. */
const factors = new WeakMap<Correction, Map<Mark, Spread>>()

/** Factors on a forecast. */
export function factorsAt(correction: Correction, mark: Mark): Spread {
  const known = factors.get(correction) ?? new Map<Mark, Spread>()
  factors.set(correction, known)
  const found = known.get(mark) ?? factorsFrom(correction, mark)
  known.set(mark, found)
  return found
}

function factorsFrom(correction: Correction, mark: Mark): Spread {
  const ratios = [...prior[mark], ...correction[mark]].sort((a, b) => a - b)
  const p50 = quantile(ratios, 0.5)
  return { p50, p90: Math.max(p50, quantile(ratios, 0.9)) }
}

/** The last mark that has been passed. @param done 0 … 1 */
export const markPassed = (done: number): Mark => marks.findLast(mark => done * 100 >= mark) ?? 0

/** Between the two nearest ranks. @param ascending not empty */
export function quantile(ascending: readonly number[], share: number): number {
  const at = share * (ascending.length - 1)
  const [below = 0, above = below] = [ascending[Math.floor(at)], ascending[Math.ceil(at)]]
  return below + (above - below) * (at - Math.floor(at))
}
