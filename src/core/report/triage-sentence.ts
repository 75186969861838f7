/** Who fits until the deadline and who does not, in words: said before the start, and kept saying. */
import { showCrossing } from '../control/water-filling.ts'
import type { Arrival, Triage } from '../forecast/triage.ts'
import { showBytes, showRate } from '../units.ts'

/** A time since the alarm, for people: `14:32:07` where the wall clock is known, else `+12 min 30 s`. */
export type ClockText = (sinceAlarm: number) => string

export interface TriageText {
  /** `9 of 12 fit until 14:32:00 (the power of sendai)` */
  readonly fit: string
  /** Who may not, who does not, because of what, and who stays: a part of the sentence each; empty when all fit. */
  readonly others: readonly string[]
}

/** Names in one list. */
const namesShown = 6

export function triageText(
  { deadline, total, fit, atRisk, late, staying, crowded }: Triage,
  clock: ClockText,
): TriageText {
  const others: string[] = []
  if (atRisk.length > 0)
    others.push(`${atRisk.length === 1 ? 'this may' : 'these may'}: ${listed(atRisk, riskOf(clock))}`)
  if (late.length > 0) {
    const because = [
      ...crowded.map(
        ({ over, capacity, left, until }) =>
          `${showBytes(left)} are left for the ${showCrossing(over)}, which carries ${showBytes(until)} until then at ${showRate(capacity)}`,
      ),
      ...new Set(late.flatMap(({ end, why }) => (end === undefined && why !== undefined ? [why] : []))),
    ].slice(0, namesShown)
    others.push(`${late.length === 1 ? 'this does not' : 'these do not'}: ${listed(late, lateOf(clock))}`)
    others.push(`because ${because.join('; ')}`)
  }
  if (staying.length > 0)
    others.push(
      `${staying.length === 1 ? 'this stays' : 'these stay'}: ${listed(staying, ({ vm, why }) => `${vm} (${why})`)}`,
    )
  return { fit: `${fit} of ${total} fit until ${clock(deadline.at)} (${deadline.of})`, others }
}

/** As one line. */
export function showTriage(triage: Triage, clock: ClockText): string {
  const { fit, others } = triageText(triage, clock)
  return [fit, ...others].join(', ')
}

const riskOf =
  (clock: ClockText) =>
  ({ vm, end, why }: Arrival): string =>
    end === undefined ? `${vm} (${why ?? 'no end can be forecast'})` : `${vm} (${clock(end.p50)}, or ${clock(end.p90)})`

const lateOf =
  (clock: ClockText) =>
  ({ vm, end }: Arrival): string =>
    end === undefined ? `${vm} (no end)` : `${vm} (${clock(end.p50)})`

function listed<T>(all: readonly T[], show: (each: T) => string): string {
  const shown = all.slice(0, namesShown).map(show).join(', ')
  return all.length > namesShown ? `${shown} and ${all.length - namesShown} more` : shown
}
