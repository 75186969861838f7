/** What forecasts leave behind: what was said is kept until its end is known, and what came corrects what is said next. */
import { lookAtPaths, looksEvery, type Through } from '../forecast/forecasting.ts'
import { correctedBy, judge } from '../forecast/said.ts'
import { between, type Instant } from '../instant.ts'
import { type Path, wayBetween } from '../inventory/snapshot.ts'
import { isMoving } from '../migration/migration.ts'
import { type Evacuation, withMigration } from './evacuation.ts'
import type { Observed } from './observed.ts'

export type ForecastFact = Extract<
  Observed,
  { kind: 'vm-forecast' | 'vm-forecast-judged' | 'forecast' | 'forecast-judged' }
>

export const isForecast = (event: Observed): event is ForecastFact =>
  event.kind === 'vm-forecast' ||
  event.kind === 'vm-forecast-judged' ||
  event.kind === 'forecast' ||
  event.kind === 'forecast-judged'

/** Rates are averages: a flow's own is true after so long. @unit ms */
const averageAfter = 3_000

/** Once a second: what goes through each path now. */
export function lookAtWays(state: Evacuation, now: Instant): Evacuation {
  const { forecasting, migrations, started } = state
  if (now - forecasting.lookedAt < looksEvery) return state
  const through = new Map<Path, { path: Path; goodput: number; greedy: boolean }>()
  for (const m of migrations.in('pre-copy', 'post-copy', 'switchover')) {
    const path = wayBetween(started.snapshot, m.source, m.target)
    if (path === undefined) continue
    const seen = through.get(path) ?? { path, goodput: 0, greedy: false }
    through.set(path, seen)
    seen.goodput += m.progress?.rate ?? 0
    if (m.phase === 'pre-copy' && m.tuning.rate === undefined && between(m.startedAt, now) >= averageAfter)
      seen.greedy = true
  }
  const seen: readonly Through[] = [...through.values()]
  return { ...state, forecasting: lookAtPaths(forecasting, seen, now) }
}

type Fact<K extends ForecastFact['kind']> = Extract<ForecastFact, { kind: K }>

export function onVmForecast(state: Evacuation, event: Fact<'vm-forecast'>, now: Instant): Evacuation {
  const m = state.migrations.get(event.vm)
  if (m === undefined || !isMoving(m) || m.attempt !== event.attempt) return state
  const { mark, end, predicted } = event
  return withMigration(state, { ...m, said: [...m.said, { mark, at: now - state.startedAt, end, predicted }] })
}

export function onVmForecastJudged(state: Evacuation, event: Fact<'vm-forecast-judged'>): Evacuation {
  const { forecasting } = state
  const { began, came, said } = event
  if (came === undefined)
    return { ...state, forecasting: { ...forecasting, neverCame: forecasting.neverCame + said.length } }
  const correction = correctedBy(forecasting.correction, event)
  const judged = { newest: said.map(each => judge(each, began, came)), earlier: forecasting.judged }
  return { ...state, forecasting: { ...forecasting, correction, judged } }
}

export function onForecast(state: Evacuation, { mark, end }: Fact<'forecast'>, now: Instant): Evacuation {
  const { forecasting } = state
  const said = [...forecasting.said, { mark, at: now - state.startedAt, end }]
  return { ...state, forecasting: { ...forecasting, said } }
}

export const onForecastJudged = (state: Evacuation, { came }: Fact<'forecast-judged'>): Evacuation => ({
  ...state,
  forecasting: { ...state.forecasting, cameAt: came },
})
