/** Whether an end comes in time: on-track when nine times in ten, at-risk when as likely as not, will-miss when it is not even that. */
import type { Spread } from './correction.ts'
import type { Deadline } from './deadline.ts'

export const verdicts = ['on-track', 'at-risk', 'will-miss'] as const
export type Verdict = (typeof verdicts)[number]

/**
 * @param end since the alarm; undefined when none can be forecast
 * @param unknown nothing is known of the way yet: that is a risk, and no more
 */
export function verdictOn(end: Spread | undefined, { at }: Deadline, unknown = false): Verdict {
  if (end === undefined) return unknown ? 'at-risk' : 'will-miss'
  if (end.p90 <= at) return 'on-track'
  return end.p50 <= at ? 'at-risk' : 'will-miss'
}

export const worst = (all: Iterable<Verdict>): Verdict | undefined => {
  let found = -1
  for (const verdict of all) found = Math.max(found, verdicts.indexOf(verdict))
  return verdicts[found]
}
