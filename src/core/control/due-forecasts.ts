/**
 * The forecasts that are due after a fact, as facts: a VM's end when its memory begins to flow and at 10, 50 and 90 % of its way, the
 * end of the whole likewise; and, when an end has come, what had been said of it beside what came. They are journaled with the fact they
 * follow from, so that what was said stays said, whatever later versions would say.
 */
import { type Mark, markPassed, marks, type Spread } from '../forecast/correction.ts'
import type { Outlook } from '../forecast/serve.ts'
import type { VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { bytesToMove } from '../inventory/vm.ts'
import type { Migration } from '../migration/migration.ts'
import type { Command } from './command.ts'
import { type Evacuation, vmOf, withMigration } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { isForecast } from './on-forecast.ts'
import { type Flowing, markOf, outlookOf, underWay } from './outlook-of-evacuation.ts'
import { whyNoEnd } from './why-no-end.ts'

export interface Stepped {
  readonly before: Evacuation | undefined
  readonly after: Evacuation
  readonly event: Observed
  readonly commands: readonly Command[]
}

/** In the order in which they are to be folded. Nothing while the journal fails: its room is for what must be written. */
export function dueForecasts({ before, after, event, commands }: Stepped, now: Instant): readonly Observed[] {
  if (after.degraded !== undefined || isForecast(event)) return []
  return [
    ...judgedVm(before, after, event, now),
    ...started(after, commands, now),
    ...underway(after, event, now),
    ...whole(before, after, event, now),
    ...judgedWhole(before, after),
  ]
}

const isFlowing = (m: Migration | undefined): m is Flowing =>
  m?.phase === 'pre-copy' || m?.phase === 'switchover' || m?.phase === 'post-copy'

/** Whole milliseconds since the alarm. */
const sinceAlarm = ({ startedAt }: Evacuation, at: number): number => Math.round(at - startedAt)
const from = (state: Evacuation, now: Instant, { p50, p90 }: Spread): Spread => ({
  p50: sinceAlarm(state, now + p50),
  p90: sinceAlarm(state, now + p90),
})

function vmForecast(state: Evacuation, m: Flowing, mark: Mark, outlook: Outlook | undefined, now: Instant): Observed {
  const { end, predicted, rate } = outlook ?? {}
  return {
    kind: 'vm-forecast',
    vm: m.vm,
    attempt: m.attempt,
    mark,
    end: end === undefined ? undefined : from(state, now, end),
    predicted: end === undefined || predicted === undefined ? undefined : Math.round(predicted),
    rate: rate === undefined || !Number.isFinite(rate) ? undefined : Math.round(rate),
  }
}

/** Memory of these was just told to flow. */
function started(state: Evacuation, commands: readonly Command[], now: Instant): readonly Observed[] {
  const begun = commands.flatMap(({ kind, vm }) => {
    const m = kind === 'migrate' ? state.migrations.get(vm) : undefined
    return isFlowing(m) ? [m] : []
  })
  if (begun.length === 0) return []
  const outlooks = outlookOf(state, now, 'flowing')
  return begun.map(m => vmForecast(state, m, 0, outlooks.get(m.vm), now))
}

function underway(state: Evacuation, event: Observed, now: Instant): readonly Observed[] {
  if (event.kind !== 'progress') return []
  const m = state.migrations.get(event.vm)
  if (!isFlowing(m) || m.attempt !== event.attempt) return []
  const last = m.said.at(-1)?.mark
  // Found in the middle of its way by a controller that was restarted: nothing was said, and nothing is compared.
  if (last === undefined || last === marks.at(-1)) return []
  const mark = markOf(state, m, now)
  if (mark <= last) return []
  // Corrected by what forecasts at this mark were off by, not at the last one.
  const said = [...m.said, { mark, at: 0, end: undefined, predicted: undefined }]
  const there = withMigration(state, { ...m, said })
  return [vmForecast(state, m, mark, outlookOf(there, now, 'flowing').get(m.vm), now)]
}

/** An attempt has ended: its VM is home, or is back in the queue. */
function judgedVm(
  before: Evacuation | undefined,
  after: Evacuation,
  event: Observed,
  now: Instant,
): readonly Observed[] {
  if (before === undefined || !('vm' in event)) return []
  const was = before.migrations.get(event.vm)
  const is = after.migrations.get(event.vm)
  if (was === undefined || is === undefined || !('said' in was) || was.said.length === 0 || 'said' in is) return []
  const came = is.phase === 'landed' ? sinceAlarm(after, now) : undefined
  const { vm, attempt, said } = was
  return [{ kind: 'vm-forecast-judged', vm, attempt, began: sinceAlarm(after, was.startedAt), came, said }]
}

/** At the start, and when so much of all bytes is home; looked at when the paths are. */
function whole(before: Evacuation | undefined, after: Evacuation, event: Observed, now: Instant): readonly Observed[] {
  const { said, lookedAt } = after.forecasting
  const last = said.at(-1)?.mark
  if (after.endedAt !== undefined || last === marks.at(-1)) return []
  if (event.kind !== 'evacuation-started' && !isLookDue(after, before?.forecasting.lookedAt, lookedAt)) return []
  const mark = event.kind === 'evacuation-started' ? 0 : markPassed(shareHome(after, now))
  if (last !== undefined && mark <= last) return []
  const outlooks = outlookOf(after, now, 'all')
  const because = whyNoEnd(after, outlooks)
  return [{ kind: 'forecast', mark, end: because === undefined ? lastOf(after, outlooks, now) : undefined, because }]
}

/** With very many VMs not every second: each look goes through all of them. */
function isLookDue({ startedAt, vms }: Evacuation, before: number | undefined, lookedAt: number): boolean {
  if (before === undefined || before === lookedAt) return before !== lookedAt
  const every = Math.max(1, Math.floor(vms.size / 1_000)) * 1_000
  return every === 1_000 || Math.floor((before - startedAt) / every) !== Math.floor((lookedAt - startedAt) / every)
}

/** When the last of all will be home. @unit ms since the alarm */
export function lastOf(state: Evacuation, outlooks: ReadonlyMap<VmId, Outlook>, now: Instant): Spread | undefined {
  let [p50, p90] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { end } of outlooks.values()) {
    if (end === undefined) return undefined
    p50 = Math.max(p50, end.p50)
    p90 = Math.max(p90, end.p90)
  }
  return Number.isFinite(p50) ? from(state, now, { p50, p90 }) : undefined
}

/** Of the bytes of all that are to move, those that are home or have gone over. 0 … 1. */
function shareHome(state: Evacuation, now: Instant): number {
  let [all, home] = [0, 0]
  for (const m of state.migrations.values()) {
    if (m.phase === 'given-up') continue
    const needed = bytesToMove(vmOf(state, m.vm))
    all += needed
    if (m.phase === 'landed') home += needed
    else if (isFlowing(m)) home += Math.max(0, needed - Math.min(needed, underWay(state, m, now).pass.remaining))
  }
  return all === 0 ? 0 : home / all
}

function judgedWhole(before: Evacuation | undefined, after: Evacuation): readonly Observed[] {
  const { said } = after.forecasting
  if (before?.endedAt !== undefined || after.endedAt === undefined || said.length === 0) return []
  let came: number | undefined
  for (const m of after.migrations.in('landed')) came = Math.max(came ?? 0, sinceAlarm(after, m.switchedAt))
  return [{ kind: 'forecast-judged', came, said }]
}
