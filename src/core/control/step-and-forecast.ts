/** One fact, and the forecasts that follow from it: what is journaled together. The engine and the simulator both go through here. */
import type { Instant } from '../instant.ts'
import type { Command } from './command.ts'
import { dueForecasts } from './due-forecasts.ts'
import type { Evacuation } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { step } from './step.ts'

export interface Told {
  readonly event: Observed
  readonly commands: readonly Command[]
}

export interface Followed {
  readonly state: Evacuation
  /** The fact itself first. */
  readonly told: readonly Told[]
}

/** @throws what {@link step} throws */
export function stepAndForecast(before: Evacuation | undefined, event: Observed, now: Instant): Followed {
  const { state: after, commands } = step(before, event, now)
  const told: Told[] = [{ event, commands }]
  let state = after
  for (const due of dueForecasts({ before, after, event, commands }, now)) {
    const decision = step(state, due, now)
    state = decision.state
    told.push({ event: due, commands: decision.commands })
  }
  return { state, told }
}
