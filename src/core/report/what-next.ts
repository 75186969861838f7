/** What comes next for a VM, as far as the controller knows: whom it waits for, where, how long; and when it will be home. */
import type { Evacuation } from '../control/evacuation.ts'
import type { Prognosis } from '../control/prognosis.ts'
import { showCrossing } from '../control/water-filling.ts'
import type { Outlook } from '../forecast/serve.ts'
import { between, type Instant } from '../instant.ts'
import type { Migration } from '../migration/migration.ts'
import { showPresence } from '../migration/presence.ts'
import { showBytes, showRate, showTime } from '../units.ts'
import { showSpan, verdictOnVm } from './standing.ts'
import type { ClockText } from './triage-sentence.ts'

/** Lines; the first begins with what happens next, others with what a human can do. */
export function whatNext(
  state: Evacuation,
  m: Migration,
  prognosis: Prognosis,
  now: Instant,
  clock: ClockText,
): readonly string[] {
  if (state.endedAt !== undefined && m.phase !== 'uncertain') return ['the evacuation has ended']
  switch (m.phase) {
    case 'queued':
      return [queued(state, m, prognosis, now), ...homeLine(state, m, prognosis, now, clock)]
    case 'preparing':
      return [
        `next: ${m.ready ? `${m.target} is ready for it` : `${m.target} is made ready for it`}${waitsFor(m, prognosis)}`,
        ...homeLine(state, m, prognosis, now, clock),
      ]
    case 'pre-copy':
      return [flowing(m, prognosis), ...homeLine(state, m, prognosis, now, clock)]
    case 'switchover':
      return [
        `next: it stands still for its last part; ${m.target} is told to run it when all has arrived`,
        ...homeLine(state, m, prognosis, now, clock),
      ]
    case 'post-copy':
      return [
        m.broken
          ? `next: it waits at ${m.target} for memory that is still at ${m.source}; both halves are joined again when the path is back`
          : `next: it runs at ${m.target}, the rest of its memory follows`,
        ...homeLine(state, m, prognosis, now, clock),
      ]
    case 'uncertain': {
      const asked =
        m.whereabouts === undefined
          ? []
          : [
              `  source ${m.source}: ${showPresence(m.whereabouts.source)}`,
              `  target ${m.target}: ${showPresence(m.whereabouts.target)}`,
            ]
      const site = state.started.endangered[0] ?? ''
      return [
        'next: both sides are asked again',
        ...asked,
        `if you know where it runs: lifeboat resolve ${m.vm} --runs-at source|target --site ${site}`,
      ]
    }
    case 'landed':
      return [m.sourceEnded ? 'safe' : `safe; its stopped copy at ${m.source} is still to be ended`]
    case 'given-up':
      return ['it stays; nothing more is tried in this evacuation']
  }
}

function queued(
  state: Evacuation,
  m: Extract<Migration, { phase: 'queued' }>,
  prognosis: Prognosis,
  now: Instant,
): string {
  if (state.intent === 'paused') return 'next: nothing, the evacuation is paused (lifeboat resume)'
  if (m.notBefore !== undefined && m.notBefore > now)
    return `next: tried again in ${showTime(between(now, m.notBefore))}, attempt ${m.attempts + 1}`
  const target = state.planned.get(m.vm)
  const where = target === undefined ? '' : ` to go to ${target}`
  return `next: waits${where}${waitsFor(m, prognosis)}`
}

/** `; waits for db-2, 3.1 s from home on the path a – b; then 12.0 s (p50) to 15.0 s (p90)` */
function waitsFor({ vm }: Migration, { outlooks }: Prognosis): string {
  const outlook = outlooks.get(vm)
  if (outlook === undefined) return ''
  const { after, over } = outlook
  const first = after === undefined ? undefined : outlooks.get(after)
  const waits =
    first?.end === undefined
      ? ''
      : `; waits for ${after}, ${showTime(first.end.p50)} from home on the ${showCrossing(over)}`
  return `${waits}${takes(outlook)}`
}

function takes({ start, end, rate }: Outlook): string {
  if (end === undefined)
    return Number.isFinite(rate)
      ? `; then no end can be forecast at ${showRate(rate)}`
      : '; what its path carries is not known yet'
  const own = Math.max(0, end.p50 - start.p50)
  const unsure = end.p50 > 0 ? end.p90 / end.p50 : 1
  return `; then ${showTime(own)} (p50) to ${showTime(own * unsure)} (p90) at ${showRate(rate)}`
}

function flowing(m: Extract<Migration, { phase: 'pre-copy' }>, prognosis: Prognosis): string {
  if (m.cancelling !== undefined) return 'next: it is called back, and stays at home'
  const { progress, learner } = m
  const left = progress === undefined ? '' : `: ${showBytes(progress.remaining)} of pass ${progress.round} left`
  const { model, throttle } = learner
  const writes =
    model === undefined || (model.hot === 0 && model.cold === 0)
      ? ''
      : `; it writes ${showBytes(model.hot)} every ${showTime(model.period)} and ${showRate(model.cold)} beside${throttle > 0 ? `, slowed by ${Math.round(throttle * 100)} %` : ''}`
  const after = prognosis.outlooks.get(m.vm)?.after
  const first = after === undefined ? undefined : prognosis.outlooks.get(after)
  const waits = first?.end === undefined ? '' : `; ${after} is first, ${showTime(first.end.p50)} from home`
  return `next: it is followed to ${m.target}${left}${writes}${waits}`
}

function homeLine(
  state: Evacuation,
  m: Migration,
  { outlooks, triage }: Prognosis,
  now: Instant,
  clock: ClockText,
): readonly string[] {
  const outlook = outlooks.get(m.vm)
  if (outlook?.end === undefined) return []
  const since = between(state.startedAt, now)
  const { p50, p90 } = outlook.end
  const verdict =
    triage === undefined
      ? ''
      : `; ${verdictOnVm(outlook, triage.deadline, since)}: ${triage.deadline.of} is at ${clock(triage.deadline.at)}`
  return [`home in ${showSpan(outlook.end)} (${clock(since + p50)} – ${clock(since + p90)})${verdict}`]
}
