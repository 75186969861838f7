/**
 * One evacuation of a site at a time. The lock is one the kernel holds on an SQLite file and drops with the process, however it ends;
 * nothing has to be cleaned up after a `kill -9`. Beside it a note says who holds it, for the one who is refused.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { SiteId } from '../core/ids.ts'

export interface Holder {
  readonly evacuation: string
  readonly pid: number
  readonly by: string
  readonly since: string
}

/** Somebody evacuates this site already. */
export class SiteHeld extends Error {
  override readonly name = 'SiteHeld'
  readonly holder: Holder | undefined
  constructor(site: SiteId, holder: Holder | undefined) {
    const who =
      holder === undefined
        ? 'by another process'
        : `by ${holder.by} (process ${holder.pid}, since ${holder.since}, evacuation ${holder.evacuation})`
    super(
      `site ${site} is being evacuated already, ${who}\nlook at it: lifeboat watch ${site}    end it: lifeboat abort ${site}`,
    )
    this.holder = holder
  }
}

export interface SiteLock {
  /** Says who holds it; for others to read. */
  describe(holder: Holder): void
  release(): void
}

const sqliteBusy = 5

/** @throws SiteHeld */
export function lockSite(stateDir: string, site: SiteId): SiteLock {
  const folder = join(stateDir, 'locks')
  mkdirSync(folder, { recursive: true })
  const note = join(folder, `${site}.json`)
  const db = new DatabaseSync(join(folder, `${site}.lock`), { timeout: 0 })
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    if (error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy)
      throw new SiteHeld(site, readHolder(note))
    throw error
  }
  return {
    describe: holder => writeFileSync(note, JSON.stringify(holder)),
    release: () => db.close(),
  }
}

function readHolder(note: string): Holder | undefined {
  try {
    const raw: unknown = JSON.parse(readFileSync(note, 'utf8'))
    return typeof raw === 'object' && raw !== null && 'pid' in raw && 'by' in raw ? (raw as Holder) : undefined
  } catch (error) {
    // The note is a courtesy: one that is missing or half-written must not hide the refusal itself.
    if (error instanceof Error) return undefined
    throw error
  }
}
