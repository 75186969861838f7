/** What was forecast, and what came: kept until the end is known, then judged. Times are milliseconds since the alarm. */
import { type Correction, type Mark, type Spread, withRatio } from './correction.ts'

/** One forecast of an end. */
export interface Said {
  readonly mark: Mark
  /** When it was made. */
  readonly at: number
  /** Undefined when no end could be forecast. */
  readonly end: Spread | undefined
}

/** … of a VM's, with what it was before correction, so that the correction learns from what it corrects. */
export interface SaidOfVm extends Said {
  /** From `at` to the end. @unit ms */
  readonly predicted: number | undefined
}

/** How one forecast turned out. */
export interface Judged {
  readonly mark: Mark
  /** |forecast − truth|, over the whole time from start to end. Undefined when no end was forecast. */
  readonly error: number | undefined
  /** The end came by the p90. */
  readonly withinP90: boolean
}

/** @param began when the whole began @param came when it ended */
export const judge = ({ mark, end }: Said, began: number, came: number): Judged => ({
  mark,
  error: end === undefined ? undefined : Math.abs(end.p50 - came) / Math.max(1, came - began),
  withinP90: end !== undefined && came <= end.p90,
})

/** What one VM teaches: of each of its forecasts, what was left in truth over what had been predicted. Nothing, when its end never came. */
export function correctedBy(
  before: Correction,
  { came, said }: { readonly came: number | undefined; readonly said: readonly SaidOfVm[] },
): Correction {
  if (came === undefined) return before
  let correction = before
  for (const { mark, at, predicted } of said)
    if (predicted !== undefined && predicted > 0) correction = withRatio(correction, mark, (came - at) / predicted)
  return correction
}
