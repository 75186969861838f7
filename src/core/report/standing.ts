/** How an evacuation stands, in one verdict and the lines that say why: what the live view has at its top and `status -o json` as an object. */
import type { Prognosis } from '../control/prognosis.ts'
import { showCrossing } from '../control/water-filling.ts'
import type { Spread } from '../forecast/correction.ts'
import type { Deadline } from '../forecast/deadline.ts'
import type { Outlook } from '../forecast/serve.ts'
import { type Verdict, verdictOn } from '../forecast/verdict.ts'
import type { VmId } from '../ids.ts'
import { showTime } from '../units.ts'
import { type ClockText, triageText } from './triage-sentence.ts'

export interface Standing {
  /** Undefined without a deadline, or when nobody is to come. */
  readonly verdict: Verdict | undefined
  /** In lines: who fits until when; when the last is home, and how much later or sooner than that; who does not fit, because of what. */
  readonly reasons: readonly string[]
}

/** @param now since the alarm @unit ms @returns undefined when nobody is to come */
export function standingOf(prognosis: Prognosis, now: number, clock: ClockText): Standing | undefined {
  const { end, because, outlooks, triage } = prognosis
  if (outlooks.size === 0) return undefined
  const last = end === undefined ? `no end can be forecast: ${because ?? 'not known why'}` : homeAt(end, now, clock)
  if (triage === undefined) return { verdict: undefined, reasons: [last] }
  const { verdict, deadline } = triage
  const { fit, others } = triageText(triage, clock)
  const spare = end === undefined ? '' : `, ${slack(end, deadline.at, verdict)}`
  return { verdict, reasons: [fit, `${last}${spare}`, ...others] }
}

/** For programs. Times are milliseconds since the alarm. */
export interface StandingFacts {
  readonly verdict: Verdict | null
  readonly deadlineMs: number | null
  readonly end: { readonly p50Ms: number; readonly p90Ms: number } | null
  readonly reasons: readonly string[]
  /** Home, or to be home by the deadline nine times in ten; `null` without a deadline. */
  readonly fit: number | null
  readonly atRisk: readonly VmId[]
  readonly willMiss: readonly VmId[]
  readonly vms: readonly VmStanding[]
}
export interface VmStanding {
  readonly vm: VmId
  readonly verdict: Verdict | null
  readonly end: { readonly p50Ms: number; readonly p90Ms: number } | null
  /** @unit bytes per second */
  readonly rate: number | null
  readonly over: string
  readonly after: VmId | null
}

export function standingFacts(prognosis: Prognosis, now: number, clock: ClockText): StandingFacts {
  const { end, outlooks, triage } = prognosis
  const standing = standingOf(prognosis, now, clock)
  return {
    verdict: standing?.verdict ?? null,
    deadlineMs: triage?.deadline.at ?? null,
    end: end === undefined ? null : wholeMs(end, 0),
    reasons: standing?.reasons ?? [],
    fit: triage?.fit ?? null,
    atRisk: triage?.atRisk.map(({ vm }) => vm) ?? [],
    willMiss: triage?.late.map(({ vm }) => vm) ?? [],
    vms: [...outlooks.values()].map(outlook => ({
      vm: outlook.vm,
      verdict: triage === undefined ? null : verdictOnVm(outlook, triage.deadline, now),
      end: outlook.end === undefined ? null : wholeMs(outlook.end, now),
      rate: Number.isFinite(outlook.rate) ? Math.round(outlook.rate) : null,
      over: showCrossing(outlook.over),
      after: outlook.after ?? null,
    })),
  }
}

/** @param now since the alarm @unit ms */
export const verdictOnVm = ({ end, rate }: Outlook, deadline: Deadline, now: number): Verdict =>
  verdictOn(
    end === undefined ? undefined : { p50: now + end.p50, p90: now + end.p90 },
    deadline,
    !Number.isFinite(rate),
  )

const wholeMs = ({ p50, p90 }: Spread, from: number) => ({
  p50Ms: Math.round(from + p50),
  p90Ms: Math.round(from + p90),
})

/** `last home in 4 min 05 s – 4 min 31 s (14:21:07 – 14:21:33)` */
const homeAt = ({ p50, p90 }: Spread, now: number, clock: ClockText): string =>
  `last home in ${showSpan({ p50: p50 - now, p90: p90 - now })} (${clock(p50)} – ${clock(p90)})`

function slack({ p50, p90 }: Spread, deadline: number, verdict: Verdict | undefined): string {
  switch (verdict) {
    case 'on-track':
    case undefined:
      return `${showTime(Math.max(0, deadline - p90))} to spare`
    case 'at-risk':
      return p90 > deadline ? `${showTime(p90 - deadline)} late if it goes badly` : 'if those without an end come'
    case 'will-miss':
      return p50 > deadline ? `${showTime(p50 - deadline)} late` : 'but not all have an end'
  }
}

/** `12.0 – 15.3 s`, `58.0 s – 1 min 04 s`; one time where both look the same. For tables there is {@link shortSpan}. */
export function showSpan({ p50, p90 }: Spread): string {
  const [early, late] = [showTime(Math.max(0, p50)), showTime(Math.max(0, p90))]
  if (early === late) return late
  const unit = / (?:ms|s)$/
  const same = unit.exec(early)?.[0] === unit.exec(late)?.[0] && !/min|h/.test(early + late)
  return `${same ? early.replace(unit, '') : early} – ${late}`
}

/** For columns: `3.1 – 3.6 s`, `46 – 54 s`, `6:03 – 7:03 min`, `1:05 – 1:12 h`, in the unit of the later. */
export function shortSpan({ p50, p90 }: Spread): string {
  const [early, late] = [Math.max(0, p50) / 1000, Math.max(0, p90) / 1000]
  const [show, unit] =
    late < 9.95
      ? [(s: number) => s.toFixed(1), 's']
      : late < 59.5
        ? [(s: number) => s.toFixed(0), 's']
        : late < 3_599.5
          ? [(s: number) => sixties(Math.round(s)), 'min']
          : [(s: number) => sixties(Math.round(s / 60)), 'h']
  const [from, to] = [show(early), show(late)]
  return from === to ? `${to} ${unit}` : `${from} – ${to} ${unit}`
}

const sixties = (n: number): string => `${Math.floor(n / 60)}:${String(n % 60).padStart(2, '0')}`
