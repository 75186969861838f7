/**
 * Step and journal, as one: what this returns is durable. When the journal cannot be written, the core is told first, nothing new is
 * admitted, and what runs is recorded in the room set aside; when that is gone too, only deeds that end what runs are let through.
 */
import type { Command } from '../core/control/command.ts'
import type { Evacuation } from '../core/control/evacuation.ts'
import { stepAndForecast } from '../core/control/step-and-forecast.ts'
import type { Instant } from '../core/instant.ts'
import { type Entry, type Journal, JournalBroken, JournalFull } from '../journal/journal.ts'
import type { Arrival } from './inbox.ts'

export interface Recorded {
  readonly entries: readonly Entry[]
  readonly state: Evacuation
}

/** Deeds that bring a running migration to its end; all are safe to do again by a controller that does not know they were done. */
const ending: ReadonlySet<Command['kind']> = new Set([
  'finish',
  'retire',
  'reconcile',
  'roll-back',
  'recover',
  'run-split',
  'follow',
  'cancel',
])

export class Recorder {
  readonly #journal: Journal
  /** Entries that could not be written any more. */
  unwritten = 0

  constructor(journal: Journal) {
    this.#journal = journal
  }

  record(state: Evacuation | undefined, arrivals: readonly Arrival[], now: Instant): Recorded {
    const first = fold(state, arrivals)
    try {
      this.#journal.append(first.entries)
      return first
    } catch (error) {
      // Before anything ran, a journal that cannot be written is a reason not to start.
      if (state === undefined || !(error instanceof JournalFull || error instanceof JournalBroken)) throw error
      return this.#degraded(state, arrivals, error, now)
    }
  }

  #degraded(state: Evacuation, arrivals: readonly Arrival[], cause: Error, now: Instant): Recorded {
    const failing: Arrival = {
      at: arrivals[0]?.at ?? now,
      event: { kind: 'journal-failing', why: `the journal cannot be written: ${cause.message}` },
    }
    // Samples would eat the reserve; the next one says as much.
    const needed = arrivals.filter(({ event }) => event.kind !== 'progress')
    const again = fold(state, state.degraded === undefined ? [failing, ...needed] : needed)
    if (again.entries.length === 0) return { entries: [], state }
    for (const attempt of ['as it is', 'with the reserve'] as const) {
      try {
        if (attempt === 'with the reserve' && !this.#journal.useReserve()) continue
        this.#journal.append(again.entries)
        return again
      } catch (error) {
        if (!(error instanceof JournalFull || error instanceof JournalBroken)) throw error
      }
    }
    this.unwritten += again.entries.length
    const entries = again.entries.map(entry => ({
      ...entry,
      commands: entry.commands.filter(({ kind }) => ending.has(kind)),
    }))
    return { entries, state: again.state }
  }
}

/** A tick that changed nothing is no history: it is left out, and the fold over what is written gives the same state. */
function fold(from: Evacuation | undefined, arrivals: readonly Arrival[]): Recorded {
  let state = from
  const entries: Entry[] = []
  for (const { at, event } of arrivals) {
    const { state: next, told } = stepAndForecast(state, event, at)
    const idle = event.kind === 'tick' && next === state && told.every(({ commands }) => commands.length === 0)
    if (!idle) entries.push(...told.map(each => ({ at, ...each })))
    state = next
  }
  if (state === undefined) throw new Error('nothing was observed')
  return { entries, state }
}
