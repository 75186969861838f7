/** What an evacuation has learned for its forecasts, and what it has forecast of its own end. Part of its state: a fold over the journal. */
import type { Estimate } from '../control/water-filling.ts'
import { pathKey } from '../control/water-filling.ts'
import type { Instant } from '../instant.ts'
import type { Path } from '../inventory/snapshot.ts'
import { type Correction, uncorrected } from './correction.ts'
import { statedCapacity } from './errand.ts'
import { observe, type PathEstimate, unobserved } from './path-capacity.ts'
import type { Judged, Said } from './said.ts'

/** Of all attempts that ended, the newest first: with ten thousand VMs a list that is copied for each is most of the work. */
export type Judgements = { readonly newest: readonly Judged[]; readonly earlier: Judgements } | undefined

/** In the order in which they were judged. */
export function allJudged(judgements: Judgements): readonly Judged[] {
  const parts: (readonly Judged[])[] = []
  for (let each = judgements; each !== undefined; each = each.earlier) parts.push(each.newest)
  return parts.reverse().flat()
}

export interface Forecasting {
  readonly paths: ReadonlyMap<string, PathEstimate>
  readonly lookedAt: number
  readonly correction: Correction
  /** Of the end of the whole. */
  readonly said: readonly Said[]
  /** Of all VMs that are home: one for each forecast. */
  readonly judged: Judgements
  /** Forecasts of VMs whose attempt failed: the end never came. */
  readonly neverCame: number
  /** When the last VM was home, once that is settled. @unit ms since the alarm */
  readonly cameAt: number | undefined
}

export const nothingLearned: Forecasting = {
  paths: new Map(),
  lookedAt: Number.NEGATIVE_INFINITY,
  correction: uncorrected,
  said: [],
  judged: undefined,
  neverCame: 0,
  cameAt: undefined,
}

/** Two looks at the paths are this far apart. @unit ms */
export const looksEvery = 1_000

export interface Through {
  readonly path: Path
  readonly goodput: number
  readonly greedy: boolean
}

/** Takes in what goes through each path now. */
export function lookAtPaths(forecasting: Forecasting, through: Iterable<Through>, at: Instant): Forecasting {
  const paths = new Map(forecasting.paths)
  for (const { path, goodput, greedy } of through) {
    const before = paths.get(pathKey(path)) ?? unobserved(path.capacity)
    paths.set(pathKey(path), observe(before, { at, goodput, flows: 1, fastest: goodput, greedy }))
  }
  return { ...forecasting, paths, lookedAt: at }
}

/**
 * What a path is going to carry for us: the mean of what went through it lately while something flowed that nothing of ours held back.
 * The most that was seen is what it can; a forecast is about what it does.
 */
export const yieldOf =
  ({ paths }: Forecasting): Estimate =>
  path => {
    const estimate = paths.get(pathKey(path))
    const looks = estimate?.seen.filter(({ greedy }) => greedy) ?? []
    if (looks.length > 0) return looks.reduce((sum, { goodput }) => sum + goodput, 0) / looks.length
    const stated = statedCapacity(path)
    const { capacity } = estimate ?? {}
    return capacity === undefined ? stated : Math.min(stated, capacity)
  }
