/** A plan for people: who goes where, in which order, when, over what and why; who does not, and why; who fits until when; the limits. */
import { showFailure } from '../../core/migration/failure.ts'
import { pathBetween, type Snapshot } from '../../core/inventory/snapshot.ts'
import { linkName } from '../../core/network/network-map.ts'
import { bytesToMove } from '../../core/inventory/vm.ts'
import type { Plan } from '../../core/plan/plan.ts'
import type { Bounds } from '../../core/report/bounds.ts'
import type { MoveForecast, PlanForecast } from '../../core/report/plan-forecast.ts'
import { shortSpan, showSpan } from '../../core/report/standing.ts'
import { type ClockText, triageText } from '../../core/report/triage-sentence.ts'
import { showBytes, showRate, showTime } from '../../core/units.ts'
import { paint } from './paint.ts'
import { table } from './table.ts'

export function planLines(plan: Plan, snapshot: Snapshot, forecast: PlanForecast, clock: ClockText): readonly string[] {
  return [
    `Plan by policy ${plan.policy}: ${plan.moves.length} VMs to move, ${plan.unplaced.length} stay`,
    '',
    ...(plan.moves.length === 0 ? [] : moveLines(plan, snapshot, forecast)),
    ...plan.unplaced.map(({ vm, failure }) => paint.bad(`  ${vm} stays: ${showFailure(failure)}`)),
    '',
    ...endLines(forecast),
    ...triageLines(forecast, clock),
  ]
}

/** What is the same for all is said once, below. */
function moveLines(plan: Plan, snapshot: Snapshot, { moves, order }: PlanForecast): readonly string[] {
  const vms = new Map(snapshot.vms.map(vm => [vm.id, vm]))
  const forecasts = new Map(moves.map(move => [move.vm, move]))
  const right = 'right' as const
  const overs = new Set(moves.map(overOf))
  const whys = new Set(moves.map(({ why }) => why))
  const columns = [
    { title: '#', align: right },
    { title: 'VM' },
    { title: 'from → to' },
    { title: 'to send', align: right },
    { title: 'starts after', align: right },
    { title: 'home after', align: right },
    ...(overs.size > 1 ? [{ title: 'over' }] : []),
    ...(whys.size > 1 ? [{ title: 'why here' }] : []),
  ]
  const rows = plan.moves.map((move, at) => {
    const vm = vms.get(move.vm)
    const found = forecasts.get(move.vm)
    return [
      String(at + 1),
      move.vm,
      `${move.source} → ${move.target}`,
      vm === undefined ? '' : showBytes(bytesToMove(vm)),
      found?.over === undefined ? '–' : found.start.p90 === 0 ? 'at once' : shortSpan(found.start),
      found?.end === undefined ? '–' : shortSpan(found.end),
      ...(overs.size > 1 ? [found === undefined ? '' : overOf(found)] : []),
      ...(whys.size > 1 ? [found?.why ?? ''] : []),
    ]
  })
  const [over] = overs
  const [why] = whys
  return [
    ...table(columns, rows),
    ...(overs.size === 1 && over !== undefined && over !== '' ? [paint.dim(`  all over ${over}`)] : []),
    ...measuredLines(plan, snapshot),
    paint.dim(`  in this order: ${order}${whys.size === 1 && why !== undefined && why !== '' ? `; all ${why}` : ''}`),
  ]
}

/** Whose word the times are forecast by, where it is not the operator's. */
function measuredLines({ moves }: Plan, snapshot: Snapshot): readonly string[] {
  const paths = new Set(moves.map(({ source, target }) => pathBetween(snapshot, source, target)))
  const measured = [...paths].flatMap(path =>
    path?.capacityFrom === 'before' && path.capacity !== undefined
      ? [`${linkName(path)} ${showRate(path.capacity)}`]
      : [],
  )
  if (measured.length === 0) return []
  return [paint.dim(`  not stated in lifeboat.yaml, but measured before (lifeboat links): ${measured.join(', ')}`)]
}

const overOf = ({ over, rate }: MoveForecast): string =>
  over === undefined ? '' : `${over.replace(/^path /, '')}, ${rate === undefined ? '–' : showRate(rate)}`

function endLines({ moves, end, bounds }: PlanForecast): readonly string[] {
  if (moves.length === 0) return []
  const limits = limitsText(bounds)
  if (end !== undefined)
    return [`All home after ${showSpan(end)} (p50 – p90: as likely as not, nine times in ten)`, ...limits]
  const unknown = moves.filter(({ over }) => over === undefined)
  if (unknown.length > 0)
    return [
      'No capacity is stated for the paths (lifeboat.yaml, paths) or known from before (lifeboat links --probe), so no times can be forecast.',
      ...limits,
    ]
  const endless = moves.filter(move => move.end === undefined).map(({ vm }) => vm)
  return [
    `No end can be forecast: ${endless.join(', ')} will not end by pre-copy: memory is written as fast as what is free of the path carries it.`,
    ...limits,
  ]
}

const limitsText = ({ makespan, meanDuration, meanCompletion }: Bounds): readonly string[] =>
  makespan === undefined || meanDuration === undefined || meanCompletion === undefined
    ? []
    : [
        `Physical limits: makespan ${showTime(makespan)}, mean completion ${showTime(meanCompletion)}, mean duration ${showTime(meanDuration)}`,
      ]

function triageLines({ triage }: PlanForecast, clock: ClockText): readonly string[] {
  if (triage === undefined) return []
  const { fit, others } = triageText(triage, clock)
  const tint = triage.verdict === 'will-miss' ? paint.bad : triage.verdict === 'at-risk' ? paint.warn : paint.good
  const named = triage.verdict === undefined ? fit : `${triage.verdict}: ${fit}`
  return [tint(named), ...others.map(line => `  ${line}`)]
}
