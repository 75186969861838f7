/** Evacuations that were, or are, from their journals: what status, watch, report and explain read. No hypervisor is asked. */
import { existsSync } from 'node:fs'
import { loadConfig } from '../config/load-config.ts'
import type { Evacuation } from '../core/control/evacuation.ts'
import { type EvacuationId, isId } from '../core/ids.ts'
import { journalOf, listEvacuations } from '../engine/state-folder.ts'
import type { JournalReader, Row } from '../journal/journal.ts'
import { replay } from '../journal/replay.ts'
import { readJournal } from '../journal/sqlite-journal.ts'
import { usageError } from './exit.ts'

export interface Past {
  readonly id: EvacuationId
  readonly file: string
  readonly reader: JournalReader
  readonly rows: readonly Row[]
  readonly state: Evacuation
}

/**
 * The evacuation of that id, the newest of that site, the one whose journal that file is, or the newest of all.
 * @throws CliError when there is none
 */
export function findPast(config: string | undefined, which: string | undefined): Past {
  if (which?.includes('/') === true || which?.endsWith('.db') === true) return openFile(which)
  const { stateDir } = loadConfig(config, process.env)
  const ids = [...listEvacuations(stateDir)].reverse()
  for (const id of ids) {
    if (which !== undefined && id !== which && !isId(which)) continue
    if (which !== undefined && id !== which && !id.startsWith(`${which}-`) && !id.startsWith(`${which}_`)) continue
    const past = openPast(journalOf(stateDir, id))
    if (past === undefined) continue
    if (which === undefined || id === which || past.state.started.endangered.some(site => site === which)) return past
    past.reader.close()
  }
  const known =
    ids.length === 0
      ? `there is none in ${stateDir}`
      : `there are: ${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`
  throw usageError(which === undefined ? `no evacuation to show; ${known}` : `no evacuation of "${which}"; ${known}`)
}

function openFile(file: string): Past {
  if (!existsSync(file)) throw usageError(`there is no journal at ${file}`)
  const past = openPast(file)
  if (past === undefined) throw usageError(`${file} is the journal of an evacuation that never began`)
  return past
}

/** A journal that was made and never begun is nothing to show. */
export function openPast(file: string): Past | undefined {
  const reader = readJournal(file)
  const rows = reader.read(0)
  const state = replay(rows, undefined)
  if (state === undefined) {
    reader.close()
    return undefined
  }
  return { id: state.started.id, file, reader, rows, state }
}
