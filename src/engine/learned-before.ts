/** What earlier evacuations with the same driver taught about forecasts: a run begins where the last ones ended. */
import type { Started } from '../core/control/observed.ts'
import { type Correction, uncorrected } from '../core/forecast/correction.ts'
import { correctedBy } from '../core/forecast/said.ts'
import type { EvacuationId } from '../core/ids.ts'
import { type JournalReader, JournalUnreadable } from '../journal/journal.ts'
import { readJournal } from '../journal/sqlite-journal.ts'
import { journalOf, listEvacuations } from './state-folder.ts'

/** The newest with that driver; older ones are of other hosts, other paths, another Lifeboat. */
const runsLearnedFrom = 5
/** Whose driver is asked for, to find those: opening a journal takes a moment. */
const runsLookedAt = 100
/** Of each: a correction keeps no more (core/forecast/correction.ts). */
const forecastsOfEach = 48

/** How one forecast turned out. */
type Judged = Parameters<typeof correctedBy>[1]

/** A journal that cannot be read teaches nothing, and stands in nobody's way. @returns undefined when nothing was learned before */
export function learnedBefore(stateDir: string, world: Started['world']): Correction | undefined {
  const newestFirst: (readonly Judged[])[] = []
  for (const id of listEvacuations(stateDir).slice(-runsLookedAt).reverse()) {
    if (newestFirst.length === runsLearnedFrom) break
    const judged = judgedIn(stateDir, id, world)
    if (judged.length > 0) newestFirst.push(judged)
  }
  const correction = newestFirst.reverse().flat().reduce(correctedBy, uncorrected)
  return correction === uncorrected ? undefined : correction
}

/** Oldest first; none of a run with another driver, or of one that cannot be read. */
function judgedIn(stateDir: string, id: EvacuationId, world: Started['world']): readonly Judged[] {
  let reader: JournalReader | undefined
  try {
    reader = readJournal(journalOf(stateDir, id))
    const [started] = reader.newest('evacuation-started', 1)
    if (started?.event.kind !== 'evacuation-started' || started.event.world !== world) return []
    return reader
      .newest('vm-forecast-judged', forecastsOfEach)
      .flatMap(({ event }) => (event.kind === 'vm-forecast-judged' ? [event] : []))
  } catch (error) {
    if (!(error instanceof JournalUnreadable)) throw error
    return []
  } finally {
    reader?.close()
  }
}
