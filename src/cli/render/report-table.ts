/** The report for people: a line a VM, then what it comes to, beside what physics would have allowed. */
import type { ForecastErrors } from '../../core/report/forecast-errors.ts'
import type { Report } from '../../core/report/report.ts'
import { showBytes, showTime } from '../../core/units.ts'
import { paint } from './paint.ts'
import { table } from './table.ts'

const time = (value: number | null): string => (value === null ? '–' : showTime(value))

export function reportLines(report: Report): readonly string[] {
  const { summary: s } = report
  const rows = report.vms.map(vm => [
    vm.vm,
    vm.outcome === 'safe' ? paint.good(vm.outcome) : paint.bad(vm.outcome),
    `${vm.source}${vm.target === null ? '' : ` → ${vm.target}`}`,
    vm.mode ?? '–',
    String(vm.attempts),
    time(vm.startedMs),
    vm.startedMs === null || vm.switchedMs === null ? '–' : showTime(vm.switchedMs - vm.startedMs),
    time(vm.downtimeMs),
    showBytes(vm.bytesSent),
    vm.reason ?? '',
  ])
  const columns = [
    { title: 'VM' },
    { title: 'outcome' },
    { title: 'from → to' },
    { title: 'mode' },
    { title: 'tries', align: 'right' },
    { title: 'started', align: 'right' },
    { title: 'duration', align: 'right' },
    { title: 'downtime', align: 'right' },
    { title: 'sent', align: 'right' },
    { title: '' },
  ] as const
  const others = (['left', 'saved', 'stopped', 'uncertain', 'lost'] as const).flatMap(outcome =>
    s[outcome] === 0 ? [] : [`${s[outcome]} ${outcome}`],
  )
  const danger = s.inDanger === 0 ? '' : paint.bad(`, ${s.inDanger} of them in danger again`)
  const value = s.value === s.vms ? '' : `   value safe ${s.valueSafe} of ${s.value}`
  return [
    `Evacuation ${report.evacuation}   policy ${report.policy}`,
    '',
    ...(report.vms.length === 0 ? ['no VMs'] : table(columns, rows)),
    '',
    `${(s.safe === s.vms ? paint.good : paint.bad)(`safe ${s.safe} of ${s.vms}`)}${danger}${others.length === 0 ? '' : `   ${others.join('   ')}`}${value}`,
    ...table(
      [{ title: '' }, { title: 'reached', align: 'right' }, { title: 'physical limit', align: 'right' }],
      [
        ['makespan (alarm to last switchover)', time(s.makespanMs), time(s.bounds.makespanMs)],
        ['mean duration (start to switchover)', time(s.meanDurationMs), time(s.bounds.meanDurationMs)],
        ['mean completion (alarm to switchover)', time(s.meanCompletionMs), time(s.bounds.meanCompletionMs)],
        ['longest downtime', time(s.maxDowntimeMs), ''],
        ['bytes sent / needed', showBytes(s.bytesSent), showBytes(s.bytesNeeded)],
      ],
    ),
    s.j === null
      ? `J: not known (${s.safe === 0 ? 'nothing came out' : 'no capacity is stated for the paths'})`
      : `J ${s.j.toFixed(2)} (${limitOf(report)})`,
    ...forecastLines(report.forecasts),
  ]
}

/** What went squeezed may be faster than plain memory can be. */
function limitOf({ vms }: Report): string {
  const squeezed = vms.filter(({ compression }) => compression !== null && compression !== 'none').length
  if (squeezed === 0) return '1.00 is the limit'
  return `1.00 is the limit for plain memory; ${squeezed} of ${vms.length} went squeezed`
}

const percent = (share: number | null): string =>
  share === null ? '–' : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`

/** Nothing where nothing was forecast that has come. */
function forecastLines({ vms, end, neverCame }: ForecastErrors): readonly string[] {
  if (vms.every(({ judged }) => judged === 0)) return []
  const right = 'right' as const
  const ofEnd = (progress: number) => end.find(each => each.progress === progress)
  const kept = (progress: number): string => {
    const within = ofEnd(progress)?.withinP90 ?? null
    return within === null ? '–' : within ? 'yes' : 'no'
  }
  const never = neverCame === 0 ? [] : [`${neverCame} more were of attempts that failed: their end never came`]
  return [
    '',
    ...table(
      [
        { title: 'forecasts, made when' },
        ...vms.map(({ progress }) => ({ title: `${progress} % done`, align: right })),
      ],
      [
        ['a VM’s end: off by (median)', ...vms.map(({ medianError }) => percent(medianError))],
        ['a VM’s end: off by (9 of 10 less)', ...vms.map(({ p90Error }) => percent(p90Error))],
        ['a VM’s end: came by the p90', ...vms.map(({ withinP90 }) => percent(withinP90))],
        ['last switchover: off by', ...vms.map(({ progress }) => percent(ofEnd(progress)?.error ?? null))],
        ['last switchover: came by the p90', ...vms.map(({ progress }) => kept(progress))],
      ],
    ),
    ...never,
  ]
}
