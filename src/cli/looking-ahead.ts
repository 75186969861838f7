/** The prognosis of a run for views: looked up at most once a second, and told anew when it changes. */
import type { Evacuation } from '../core/control/evacuation.ts'
import { type Prognosis, prognosisOf } from '../core/control/prognosis.ts'
import { between, type Instant } from '../core/instant.ts'
import { standingOf } from '../core/report/standing.ts'
import { clockOf } from './render/clock.ts'

/** With thousands of VMs looking ahead is work. @unit ms */
const looksEvery = 1_000

export class LookingAhead {
  #last: { readonly at: Instant; readonly prognosis: Prognosis; readonly ended: boolean } | undefined
  #told = ''

  from(state: Evacuation, at: Instant): Prognosis {
    const ended = state.endedAt !== undefined
    if (this.#last === undefined || at - this.#last.at >= looksEvery || ended !== this.#last.ended)
      this.#last = { at, prognosis: prognosisOf(state, at), ended }
    return this.#last.prognosis
  }

  /** `at-risk: 8 of 10 fit until 14:32:00 …`, when the verdict is another, or who does not fit. Without a deadline, nothing. */
  news(state: Evacuation, at: Instant): string | undefined {
    if (state.endedAt !== undefined) return undefined
    const prognosis = this.from(state, at)
    const { triage } = prognosis
    const key =
      triage === undefined
        ? ''
        : [triage.verdict, ...triage.late.map(({ vm }) => vm), '|', ...triage.atRisk.map(({ vm }) => vm)].join(' ')
    if (key === this.#told) return undefined
    this.#told = key
    const standing = standingOf(prognosis, between(state.startedAt, at), clockOf(state))
    return standing?.verdict === undefined ? undefined : `${standing.verdict}: ${standing.reasons.join(', ')}`
  }
}
