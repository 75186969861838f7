/** How an evacuation stands: when the last will be home, whether that is in time, and of each VM the same. From its state alone. */
import type { Spread } from '../forecast/correction.ts'
import { type Deadline, deadlineOf } from '../forecast/deadline.ts'
import type { Outlook } from '../forecast/serve.ts'
import { type Arrival, type Staying, type Triage, triage } from '../forecast/triage.ts'
import type { VmId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { reasonOf } from '../migration/outcome.ts'
import { lastOf } from './due-forecasts.ts'
import type { Evacuation } from './evacuation.ts'
import { outlookOf } from './outlook-of-evacuation.ts'
import { whyNoEnd, whyThatOne } from './why-no-end.ts'

export interface Prognosis {
  /** Of the last that is still to come, since the alarm; undefined when it cannot be said, or nobody is to come. */
  readonly end: Spread | undefined
  /** Why it cannot be said. */
  readonly because: string | undefined
  readonly outlooks: ReadonlyMap<VmId, Outlook>
  /** Undefined when no deadline is known. */
  readonly triage: Triage | undefined
}

export function prognosisOf(state: Evacuation, now: Instant): Prognosis {
  const outlooks = outlookOf(state, now, 'all')
  const because = whyNoEnd(state, outlooks)
  const deadline = deadlineOf(state.started.snapshot, state.started.endangered)
  return {
    end: because === undefined ? lastOf(state, outlooks, now) : undefined,
    because,
    outlooks,
    triage: deadline === undefined ? undefined : triageOf(state, outlooks, deadline, now),
  }
}

function triageOf(
  state: Evacuation,
  outlooks: ReadonlyMap<VmId, Outlook>,
  deadline: Deadline,
  now: Instant,
): Triage | undefined {
  const since = now - state.startedAt
  const arrivals: Arrival[] = []
  const staying: Staying[] = []
  let home = 0
  for (const m of state.migrations.values()) {
    if (m.phase === 'landed') {
      home += 1
      continue
    }
    const outlook = outlooks.get(m.vm)
    if (outlook === undefined) {
      staying.push({ vm: m.vm, why: reasonOf(m) ?? m.phase })
      continue
    }
    const { end, over, capacity, load, rate } = outlook
    arrivals.push({
      vm: m.vm,
      end: end === undefined ? undefined : { p50: since + end.p50, p90: since + end.p90 },
      why: end === undefined ? whyThatOne(state, m.vm, rate, over) : undefined,
      unknown: !Number.isFinite(rate),
      over,
      capacity,
      load,
    })
  }
  return triage({ deadline, now: since, home, arrivals, staying })
}
