/** How far forecasts were off, from what was said and what came: part of the report (docs/report.md). */
import { allJudged } from '../forecast/forecasting.ts'
import type { Evacuation } from '../control/evacuation.ts'
import { type Mark, marks, quantile } from '../forecast/correction.ts'
import { judge } from '../forecast/said.ts'

/** Forecasts of VMs' ends, made when so much of their way was done. */
export interface VmForecastErrors {
  /** Percent of all bytes a VM was expected to send. */
  readonly progress: Mark
  /** Forecasts whose end has come. */
  readonly judged: number
  /** |forecast − truth| over the VM's duration; `null` where none was judged. */
  readonly medianError: number | null
  readonly p90Error: number | null
  /** Share of ends that had come by the p90 that was said. */
  readonly withinP90: number | null
}

/** A forecast of the last switchover, made when so much of all bytes was home. */
export interface EndForecast {
  readonly progress: Mark
  /** When it was made. @unit ms since the alarm */
  readonly atMs: number
  readonly p50Ms: number | null
  readonly p90Ms: number | null
  /** |p50 − truth| over the makespan; `null` when none was said, or none came. */
  readonly error: number | null
  readonly withinP90: boolean | null
}

export interface ForecastErrors {
  readonly vms: readonly VmForecastErrors[]
  readonly end: readonly EndForecast[]
  /** Forecasts of ends that never came, because the attempt failed. */
  readonly neverCame: number
}

export const noForecasts: ForecastErrors = { vms: [], end: [], neverCame: 0 }

export function forecastErrorsOf({ forecasting }: Evacuation): ForecastErrors {
  const { said, cameAt, neverCame } = forecasting
  const judged = allJudged(forecasting.judged)
  return {
    vms: marks.map(progress => {
      const those = judged.filter(({ mark }) => mark === progress)
      const errors = those.flatMap(({ error }) => error ?? []).sort((a, b) => a - b)
      const share = (q: number): number | null => (errors.length === 0 ? null : rounded(quantile(errors, q)))
      return {
        progress,
        judged: those.length,
        medianError: share(0.5),
        p90Error: share(0.9),
        withinP90:
          those.length === 0 ? null : rounded(those.filter(({ withinP90 }) => withinP90).length / those.length),
      }
    }),
    end: said.map(each => {
      const came = cameAt === undefined ? undefined : judge(each, 0, cameAt)
      return {
        progress: each.mark,
        atMs: Math.round(each.at),
        p50Ms: each.end?.p50 ?? null,
        p90Ms: each.end?.p90 ?? null,
        error: came?.error === undefined ? null : rounded(came.error),
        withinP90: came === undefined || each.end === undefined ? null : came.withinP90,
      }
    }),
    neverCame,
  }
}

const rounded = (share: number): number => Math.round(share * 1000) / 1000
