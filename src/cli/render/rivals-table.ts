/** Policies side by side on one scenario: a row each; with several runs the mean and its 95 % interval. */
import type { Report, ReportSummary } from '../../core/report/report.ts'
import { showBytes, showTime } from '../../core/units.ts'
import { table } from './table.ts'

export interface Rival {
  readonly policy: string
  /** One a seed. */
  readonly reports: readonly Report[]
}

interface Measure {
  readonly title: string
  readonly of: (summary: ReportSummary) => number | null
  readonly show: (value: number) => string
}

const count = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(1))
const ratio = (value: number): string => value.toFixed(2)
const sentPerNeeded = ({ bytesSent, bytesNeeded }: ReportSummary): number | null =>
  bytesNeeded === 0 ? null : bytesSent / bytesNeeded

const measures: readonly Measure[] = [
  { title: 'safe', of: s => s.safe, show: count },
  { title: 'value', of: s => s.valueSafe, show: count },
  { title: 'makespan', of: s => s.makespanMs, show: showTime },
  { title: 'mean duration', of: s => s.meanDurationMs, show: showTime },
  { title: 'p95', of: s => s.p95DurationMs, show: showTime },
  { title: 'mean completion', of: s => s.meanCompletionMs, show: showTime },
  { title: 'J', of: s => s.j, show: ratio },
  { title: 'sent', of: s => s.bytesSent, show: showBytes },
  { title: 'per needed', of: sentPerNeeded, show: ratio },
  { title: 'max downtime', of: s => s.maxDowntimeMs, show: showTime },
]

export function rivalsLines(rivals: readonly Rival[]): readonly string[] {
  const columns = [{ title: 'policy' }, ...measures.map(({ title }) => ({ title, align: 'right' as const }))]
  return table(
    columns,
    rivals.map(({ policy, reports }) => [policy, ...measures.map(measure => cell(measure, reports))]),
  )
}

function cell({ of, show }: Measure, reports: readonly Report[]): string {
  const values = reports.map(({ summary }) => of(summary)).filter(value => value !== null)
  if (values.length === 0) return '–'
  const { mean, half } = interval(values)
  return half === undefined ? show(mean) : `${show(mean)} ± ${show(half)}`
}

/** Student's t at 97.5 % for 1 … 30 degrees of freedom; the normal distribution's beyond. */
const studentT = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
] as const
const normal = 1.96

/** The mean, and half the width of its 95 % confidence interval; undefined for a single value. */
export function interval(values: readonly number[]): { readonly mean: number; readonly half: number | undefined } {
  const n = values.length
  const mean = values.reduce((a, b) => a + b, 0) / n
  if (n < 2) return { mean, half: undefined }
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
  return { mean, half: (studentT[n - 2] ?? normal) * Math.sqrt(variance / n) }
}
