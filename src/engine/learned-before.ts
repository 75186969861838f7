/** What earlier evacuations with the same driver taught about forecasts: a run begins where the last ones ended. */
import type { Started } from '../core/control/observed.ts'
import { type Correction, uncorrected } from '../core/forecast/correction.ts'
import { correctedBy } from '../core/forecast/said.ts'
import { type JournalReader, JournalUnreadable } from '../journal/journal.ts'
import { readJournal } from '../journal/sqlite-journal.ts'
import { journalOf, listEvacuations } from './state-folder.ts'

/** Of the newest runs; older ones are of other hosts, other paths, another Lifeboat. */
const runsLookedAt = 5
/** Of each: a correction keeps no more (core/forecast/correction.ts). */
const forecastsOfEach = 48

/** A journal that cannot be read teaches nothing, and stands in nobody's way. @returns undefined when nothing was learned before */
export function learnedBefore(stateDir: string, world: Started['world']): Correction | undefined {
  let correction = uncorrected
  for (const id of listEvacuations(stateDir).slice(-runsLookedAt)) {
    let reader: JournalReader | undefined
    try {
      reader = readJournal(journalOf(stateDir, id))
      const [started] = reader.newest('evacuation-started', 1)
      if (started?.event.kind !== 'evacuation-started' || started.event.world !== world) continue
      for (const { event } of reader.newest('vm-forecast-judged', forecastsOfEach))
        if (event.kind === 'vm-forecast-judged') correction = correctedBy(correction, event)
    } catch (error) {
      if (!(error instanceof JournalUnreadable)) throw error
    } finally {
      reader?.close()
    }
  }
  return correction === uncorrected ? undefined : correction
}
