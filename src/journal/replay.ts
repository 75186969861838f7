/** State is a fold over the journal: restart, report, status and watch are all this. */
import type { Evacuation } from '../core/control/evacuation.ts'
import { step } from '../core/control/step.ts'
import type { Row } from './journal.ts'

/** Continues the fold. @returns undefined as long as there was no first fact */
export function replay(rows: Iterable<Row>, from: Evacuation | undefined): Evacuation | undefined {
  let state = from
  for (const { event, at } of rows) state = step(state, event, at).state
  return state
}
