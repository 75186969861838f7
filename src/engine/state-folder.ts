/** Where evacuations lie on disk: `<stateDir>/evacuations/<id>/journal.db`, newest last by name. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type EvacuationId, evacuationId, isId, type SiteId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'

const folderOf = (stateDir: string): string => join(stateDir, 'evacuations')
export const journalOf = (stateDir: string, id: EvacuationId): string => join(folderOf(stateDir), id, 'journal.db')

/** `sendai-20261123-084512`; a number is added if that second has one already. Makes its folder. */
export function newEvacuation(stateDir: string, sites: readonly SiteId[], now: Instant): EvacuationId {
  const stamp = new Date(now).toISOString().replaceAll(/[-:]/g, '').replace('T', '-').slice(0, 15)
  const base = `${sites.join('+').replaceAll('+', '_').slice(0, 80)}-${stamp}`
  for (let n = 1; ; n += 1) {
    const id = evacuationId(n === 1 ? base : `${base}-${n}`)
    if (existsSync(join(folderOf(stateDir), id))) continue
    mkdirSync(join(folderOf(stateDir), id), { recursive: true })
    return id
  }
}

/** Ids in order of their start, oldest first. */
export function listEvacuations(stateDir: string): readonly EvacuationId[] {
  if (!existsSync(folderOf(stateDir))) return []
  const stampOf = (id: string): string => /-(\d{8}-\d{6}(?:-\d+)?)$/.exec(id)?.[1] ?? ''
  return readdirSync(folderOf(stateDir))
    .filter(name => isId(name) && existsSync(join(folderOf(stateDir), name, 'journal.db')))
    .sort((a, b) => (stampOf(a) < stampOf(b) ? -1 : 1))
    .map(evacuationId)
}
