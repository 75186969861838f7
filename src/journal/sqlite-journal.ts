/**
 * The journal in SQLite: WAL, synchronous=FULL, so that a committed row survives the process and the machine.
 *
 * Beside it lies a reserve file of some MiB. When the disk is full the reserve is removed, and what runs can still be
 * recorded to its end; nothing new is admitted then (core: `journal-failing`).
 */
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { ObservedKind } from '../core/control/observed.ts'
import { type Bytes, mebibytes, showBytes } from '../core/units.ts'
import {
  type Entry,
  type Journal,
  JournalBroken,
  JournalFull,
  type JournalReader,
  JournalUnreadable,
  type Row,
} from './journal.ts'
import { fromStored, type StoredRow, toStored } from './stored-event.ts'

/** Marks the file as a Lifeboat journal (SQLite `application_id`): "LBJ1". */
const applicationId = 0x4c_42_4a_31
/** Of the table, not of what it holds (SQLite `user_version`). */
const layoutVersion = 1
/** Refuses to start with less: an evacuation of a hundred VMs writes a few MiB. */
export const roomToStart: Bytes = mebibytes(16)
/** SQLite's own codes (sqlite.org/rescode.html). */
const sqliteFull = 13
const sqliteIoError = 10
/** A page of the write-ahead log for each fact, until it is first checkpointed: enough for some thousand. */
export const reserveSize: Bytes = mebibytes(4)

const reserveOf = (file: string): string => `${file}.reserve`

/** Creates a new journal. @throws JournalFull with the numbers when there is too little room; JournalBroken when it cannot be made */
export function createJournal(file: string): Journal {
  const free = freeBeside(file)
  if (free < roomToStart) {
    throw new JournalFull(
      `only ${showBytes(free)} free in ${dirname(file)}, the journal needs ${showBytes(roomToStart)}: free some, or set another stateDir`,
    )
  }
  if (existsSync(file)) throw new JournalBroken(`${file} exists already`)
  try {
    writeFileSync(reserveOf(file), Buffer.alloc(reserveSize, 0x4c))
    const db = new DatabaseSync(file)
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${layoutVersion}`)
    tune(db)
    db.exec(
      'CREATE TABLE events (seq INTEGER PRIMARY KEY, v INTEGER NOT NULL, type TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL) STRICT',
    )
    db.exec(forecastsView)
    return new SqliteJournal(db, file)
  } catch (error) {
    throw translate(error, file)
  }
}

/**
 * For readers with sqlite3: each forecast beside what came, in milliseconds since the alarm. `vm` is empty for the last switchover of all,
 * `came` for an end that did not come.
 */
const forecastsView = `
  CREATE VIEW forecasts AS
  SELECT json_extract(events.body, '$.event.vm') AS vm, json_extract(events.body, '$.event.attempt') AS attempt,
    json_extract(said.value, '$.mark') AS progress, CAST(json_extract(said.value, '$.at') AS INTEGER) AS said_at,
    json_extract(said.value, '$.end.p50') AS p50, json_extract(said.value, '$.end.p90') AS p90,
    json_extract(events.body, '$.event.came') AS came
  FROM events, json_each(events.body, '$.event.said') AS said
  WHERE events.type IN ('vm-forecast-judged', 'forecast-judged')
  ORDER BY seq, progress`

/** @throws JournalBroken when the folder is not there @unit bytes */
function freeBeside(file: string): number {
  try {
    const { bavail, bsize } = statfsSync(dirname(file))
    return bavail * bsize
  } catch (error) {
    throw translate(error, file)
  }
}

/** Opens an existing journal to go on writing. The caller holds the site's lock. @throws JournalUnreadable, JournalBroken */
export function openJournal(file: string): Journal {
  const db = openChecked(file, false)
  tune(db)
  return new SqliteJournal(db, file)
}

/** Opens an existing journal to read while somebody else may be writing. @throws JournalUnreadable */
export const readJournal = (file: string): JournalReader => new SqliteJournal(openChecked(file, true), file)

function tune(db: DatabaseSync): void {
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000; PRAGMA wal_autocheckpoint = 256',
  )
}

function openChecked(file: string, readOnly: boolean): DatabaseSync {
  if (!existsSync(file)) throw new JournalUnreadable(`${file} does not exist`)
  try {
    const db = new DatabaseSync(file, { readOnly, timeout: 2000 })
    const found = db.prepare('PRAGMA application_id').get()?.['application_id']
    if (found !== applicationId) throw new JournalUnreadable(`${file} is not a journal of Lifeboat`)
    const layout = db.prepare('PRAGMA user_version').get()?.['user_version']
    if (layout !== layoutVersion)
      throw new JournalUnreadable(
        `${file} has layout ${String(layout)}, this Lifeboat knows ${layoutVersion}: use the one that wrote it`,
      )
    // A journal whose making was cut short has no table yet.
    db.prepare('SELECT seq FROM events LIMIT 0')
    return db
  } catch (error) {
    throw unreadable(error, file, 'opened')
  }
}

const unreadable = (error: unknown, file: string, what: 'opened' | 'read'): JournalUnreadable =>
  error instanceof JournalUnreadable
    ? error
    : new JournalUnreadable(`${file} cannot be ${what}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })

function translate(error: unknown, file: string): Error {
  const code =
    error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
  const noRoom = error instanceof Error && 'code' in error && error.code === 'ENOSPC'
  const message = `${file}: ${error instanceof Error ? error.message : String(error)}`
  // A full disk shows as FULL, or as an I/O error when the write-ahead log cannot grow.
  if (noRoom || code === sqliteFull || code === sqliteIoError) return new JournalFull(message, { cause: error })
  return new JournalBroken(message, { cause: error })
}

class SqliteJournal implements Journal {
  readonly #db: DatabaseSync
  readonly #file: string
  readonly #select: StatementSync
  #insert: StatementSync | undefined

  constructor(db: DatabaseSync, file: string) {
    this.#db = db
    this.#file = file
    this.#select = db.prepare('SELECT seq, v, type, at, body FROM events WHERE seq > ? ORDER BY seq')
  }

  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    try {
      this.#insert ??= this.#db.prepare('INSERT INTO events (v, type, at, body) VALUES (?, ?, ?, ?)')
      this.#db.exec('BEGIN IMMEDIATE')
      for (const entry of entries) {
        const { v, type, at, body } = toStored(entry)
        this.#insert.run(v, type, at, body)
      }
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw translate(error, this.#file)
    }
  }

  read(afterSeq: number): readonly Row[] {
    try {
      return this.#select.all(afterSeq).map(row => fromStored(row as unknown as StoredRow))
    } catch (error) {
      throw unreadable(error, this.#file, 'read')
    }
  }

  newest(kind: ObservedKind, atMost: number): readonly Row[] {
    try {
      const rows = this.#db
        .prepare('SELECT seq, v, type, at, body FROM events WHERE type = ? ORDER BY seq DESC LIMIT ?')
        .all(kind, atMost)
      return rows.map(row => fromStored(row as unknown as StoredRow)).reverse()
    } catch (error) {
      throw unreadable(error, this.#file, 'read')
    }
  }

  useReserve(): boolean {
    const reserve = reserveOf(this.#file)
    if (!existsSync(reserve)) return false
    rmSync(reserve)
    return true
  }

  close(): void {
    this.#db.close()
  }
}
