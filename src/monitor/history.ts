/**
 * What paths did before, in SQLite: seconds for an hour, minutes for a week, hours for years. What was measured in peace is the prior on
 * the day: {@link History.priorOf} says what a path has been, for whoever has no newer word (take-snapshot, `lifeboat links`).
 *
 * Worth little enough to be lost: no reserve, no sync for each row. A file that cannot be used is a {@link HistoryUnusable} that names
 * it; history-recorder.ts turns that into a remark, and nothing waits for it.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Instant, instant } from '../core/instant.ts'
import { linkName } from '../core/network/network-map.ts'
import { type BytesPerSecond, bytesPerSecond, type Fraction, fraction, type Milliseconds, ms } from '../core/units.ts'

/** One span of one path. `undefined`: not known in that span. Rates in bytes per second, times in ms. */
export interface HistoryPoint {
  /** As {@link linkName} has it. */
  readonly path: string
  readonly inUse: number | undefined
  readonly byUs: number | undefined
  readonly byOthers: number | undefined
  readonly rtt: number | undefined
  readonly minRtt: number | undefined
  readonly loss: number | undefined
  readonly bestFlow: number | undefined
  /** The same of seconds in which it was the only connection of ours. */
  readonly loneFlow: number | undefined
  /** What went through while a queue stood: all there is. */
  readonly fullRate: number | undefined
  /** What went through while nothing stood in the way of more. */
  readonly leastRate: number | undefined
}

/** What a path has been. `undefined`: never measured. */
export interface Prior {
  readonly capacity: { readonly rate: BytesPerSecond; readonly bound: 'full' | 'at-least' } | undefined
  readonly rtt: Milliseconds | undefined
  readonly loss: Fraction | undefined
  /** The most that one of our connections got, whoever was beside it. */
  readonly bestFlow: BytesPerSecond | undefined
  /** What one gets that has the path alone. */
  readonly perFlow: BytesPerSecond | undefined
  readonly background: BytesPerSecond | undefined
  /** When something was last recorded of it. */
  readonly until: Instant
}

/** The file cannot be read or written; the message names it and says what to do. Migrations do not need it. */
export class HistoryUnusable extends Error {
  override readonly name = 'HistoryUnusable'
}

/** Marks the file (SQLite `application_id`): "LBN1". */
const applicationId = 0x4c_42_4e_31
/**
 * SQLite `user_version`. 1 had no `lone_flow`: what one stream gets was taken from `best_flow`, which is a share where several were on the
 * path. Such rows stay, and say nothing of one stream.
 */
const layoutVersion = 2
const minute = 60
const hour = 3_600
/** @unit s */
const secondsKept = hour
const minutesKept = 7 * 24 * hour
/** Ten years of twelve paths: some hundred MiB. */
const mostHours = 1_000_000
/** A path is what it was of late: of older weeks only what nothing newer says. */
const rowsAsked = 7 * 24
/** Of things that are seldom measured. */
const fewRows = 11
/** Wall clocks are set: rows from the future are not looked at. @unit s */
const mayBeAhead = 60

export const historyFile = (stateDir: string): string => join(stateDir, 'network.db')

const columns = [
  'in_use',
  'by_us',
  'by_others',
  'rtt',
  'min_rtt',
  'loss',
  'best_flow',
  'lone_flow',
  'full_rate',
  'least_rate',
] as const
type Metric = (typeof columns)[number]
/** How spans are joined: means, but for what is a least or a most by its nature. */
const joined: Readonly<Record<Metric, string>> = {
  in_use: 'avg',
  by_us: 'avg',
  by_others: 'avg',
  rtt: 'avg',
  min_rtt: 'min',
  loss: 'avg',
  best_flow: 'max',
  lone_flow: 'max',
  full_rate: 'max',
  least_rate: 'max',
}

export interface History {
  /** One row a path, for this second; of one that is there, what is known now takes the place of what was; none of which nothing is known. @throws HistoryUnusable */
  record(points: readonly HistoryPoint[], now: Instant): void
  /** Undefined when nothing was ever recorded of it. @throws HistoryUnusable */
  priorOf(path: { readonly from: string; readonly to: string }, now: Instant): Prior | undefined
  /** In use, a number a minute, oldest first. @throws HistoryUnusable */
  minutesOf(
    path: { readonly from: string; readonly to: string },
    minutes: number,
    now: Instant,
  ): readonly (number | undefined)[]
  close(): void
}

/** Makes the file where there is none. @throws HistoryUnusable */
export function openHistory(file: string, now: Instant): History {
  let db: DatabaseSync | undefined
  try {
    mkdirSync(dirname(file), { recursive: true })
    db = new DatabaseSync(file, { timeout: 500 })
    prepare(db, file)
    const history = new SqliteHistory(db, file)
    history.thin(now)
    return history
  } catch (error) {
    if (db?.isOpen === true) db.close()
    throw unusable(error, file)
  }
}

function prepare(db: DatabaseSync, file: string): void {
  const pragma = (name: string): unknown => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]
  const tables = Number(Object.values(db.prepare('SELECT count(*) FROM sqlite_schema').get() ?? {})[0])
  if (tables === 0) {
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${layoutVersion}`,
    )
  } else if (pragma('application_id') !== applicationId) {
    throw new HistoryUnusable(`${file} is not a history of Lifeboat: move it away, a new one is begun`)
  } else if (pragma('user_version') === 1) {
    upgrade(db)
  } else if (pragma('user_version') !== layoutVersion) {
    throw new HistoryUnusable(
      `${file} has layout ${String(pragma('user_version'))}, this Lifeboat knows ${layoutVersion}: use the one that wrote it, or move the file away`,
    )
  }
  db.exec(`PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS points (
      path TEXT NOT NULL, span INTEGER NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL,
      ${columns.map(name => `${name} REAL`).join(', ')},
      PRIMARY KEY (path, span, at)) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS by_age ON points (span, at)`)
}

/** From layout 1. Of two processes that come to it at once, the second finds it done. */
function upgrade(db: DatabaseSync): void {
  db.exec('BEGIN IMMEDIATE')
  if (Object.values(db.prepare('PRAGMA user_version').get() ?? {})[0] === 1)
    db.exec(`ALTER TABLE points ADD COLUMN lone_flow REAL; PRAGMA user_version = ${layoutVersion}`)
  db.exec('COMMIT')
}

function unusable(error: unknown, file: string): HistoryUnusable {
  if (error instanceof HistoryUnusable) return error
  const said = error instanceof Error ? error.message : String(error)
  const damaged = /malformed|not a database|corrupt/i.test(said)
  return new HistoryUnusable(
    `${file} cannot be used: ${said}${damaged ? '; move it away, a new one is begun' : ''}. Measurements are not kept; migrations do not need them`,
    { cause: error },
  )
}

class SqliteHistory implements History {
  readonly #db: DatabaseSync
  readonly #file: string
  #thinned: number | undefined

  constructor(db: DatabaseSync, file: string) {
    this.#db = db
    this.#file = file
  }

  record(points: readonly HistoryPoint[], now: Instant): void {
    const at = Math.floor(now / 1000)
    this.#within(() => {
      const insert = this.#db.prepare(
        `INSERT INTO points (path, span, at, n, ${columns.join(', ')}) VALUES (?, 1, ?, 1, ${columns.map(() => '?').join(', ')})
         ON CONFLICT DO UPDATE SET ${columns.map(name => `${name} = coalesce(excluded.${name}, ${name})`).join(', ')}`,
      )
      for (const point of points) {
        const values = valuesOf(point)
        if (values.some(value => value !== null)) insert.run(point.path, at, ...values)
      }
    })
    if (this.#thinned !== Math.floor(at / minute)) this.thin(now)
  }

  /** Joins what is over to minutes and hours, and lets go of what is old. */
  thin(now: Instant): void {
    const at = Math.floor(now / 1000)
    this.#within(() => {
      this.#join(1, minute, at)
      this.#join(minute, hour, at)
      const forget = this.#db.prepare('DELETE FROM points WHERE span = ? AND at < ?')
      forget.run(1, at - secondsKept)
      forget.run(minute, at - minutesKept)
      this.#db
        .prepare(
          'DELETE FROM points WHERE span = ? AND at < (SELECT at FROM points WHERE span = ? ORDER BY at DESC LIMIT 1 OFFSET ?)',
        )
        .run(hour, hour, mostHours)
    })
    this.#thinned = Math.floor(at / minute)
  }

  #join(from: number, to: number, now: number): void {
    const aggregates = columns.map(name => `${joined[name]}(${name})`).join(', ')
    this.#db
      .prepare(
        `INSERT INTO points (path, span, at, n, ${columns.join(', ')})
         SELECT path, ${to}, at / ${to} * ${to}, sum(n), ${aggregates} FROM points AS fine
         WHERE span = ${from} AND at < ? AND NOT EXISTS
           (SELECT 1 FROM points AS coarse WHERE coarse.path = fine.path AND coarse.span = ${to} AND coarse.at = fine.at / ${to} * ${to})
         GROUP BY path, at / ${to}`,
      )
      .run(Math.floor(now / to) * to)
  }

  priorOf(path: { readonly from: string; readonly to: string }, now: Instant): Prior | undefined {
    const name = linkName(path)
    const at = Math.floor(now / 1000)
    const last = this.#read(() =>
      this.#db.prepare('SELECT max(at) AS at FROM points WHERE path = ? AND at <= ?').get(name, at + mayBeAhead),
    )?.['at']
    if (typeof last !== 'number') return undefined
    const full = median(this.#values(name, 'full_rate', at, fewRows))
    const least = median(this.#values(name, 'least_rate', at, fewRows))
    const rtt = median(this.#values(name, 'min_rtt', at, rowsAsked))
    const loss = mean(this.#values(name, 'loss', at, rowsAsked))
    // A best is a most by its nature; seconds with the rise of a stream in them would drag a median down.
    const best = (metric: 'best_flow' | 'lone_flow'): BytesPerSecond | undefined => {
      const flows = this.#values(name, metric, at, fewRows)
      return flows.length === 0 ? undefined : bytesPerSecond(Math.max(...flows))
    }
    const others = mean(this.#values(name, 'by_others', at, rowsAsked))
    return {
      capacity:
        full !== undefined && full >= (least ?? 0)
          ? { rate: bytesPerSecond(full), bound: 'full' }
          : least === undefined
            ? undefined
            : { rate: bytesPerSecond(least), bound: 'at-least' },
      rtt: rtt === undefined ? undefined : ms(rtt),
      loss: loss === undefined ? undefined : fraction(Math.min(1, loss)),
      bestFlow: best('best_flow'),
      perFlow: best('lone_flow'),
      background: others === undefined ? undefined : bytesPerSecond(others),
      until: instant(Math.min(now, last * 1000)),
    }
  }

  /** The newest values; of each time the coarsest span there is, so nothing counts twice. */
  #values(path: string, metric: Metric, now: number, most: number): readonly number[] {
    const joinedTo = (span: number): string =>
      `EXISTS (SELECT 1 FROM points AS coarse WHERE coarse.path = fine.path AND coarse.span = ${span} AND coarse.at = fine.at / ${span} * ${span})`
    const rows = this.#read(() =>
      this.#db
        .prepare(
          `SELECT ${metric} AS value FROM points AS fine WHERE path = ? AND ${metric} IS NOT NULL AND at <= ?
           AND (span = ${hour} OR NOT ${joinedTo(hour)}) AND (span >= ${minute} OR NOT ${joinedTo(minute)})
           ORDER BY at DESC LIMIT ?`,
        )
        .all(path, now + mayBeAhead, most),
    )
    return rows.flatMap(({ value }) =>
      typeof value === 'number' && Number.isFinite(value) && value >= 0 ? [value] : [],
    )
  }

  minutesOf(
    path: { readonly from: string; readonly to: string },
    minutes: number,
    now: Instant,
  ): readonly (number | undefined)[] {
    const end = Math.floor(now / 1000 / minute)
    const rows = this.#read(() =>
      this.#db
        .prepare('SELECT at, in_use FROM points WHERE path = ? AND span = 60 AND at >= ? AND at < ?')
        .all(linkName(path), (end - minutes) * minute, end * minute),
    )
    const known = new Map(rows.map(row => [Number(row['at']) / minute, row['in_use']]))
    return Array.from({ length: minutes }, (_, n) => {
      const value = known.get(end - minutes + n)
      return typeof value === 'number' ? value : undefined
    })
  }

  close(): void {
    this.#db.close()
  }

  #read<T>(question: () => T): T {
    try {
      return question()
    } catch (error) {
      throw unusable(error, this.#file)
    }
  }

  #within(work: () => void): void {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      work()
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw unusable(error, this.#file)
    }
  }
}

/** SQLite stores what is finite; anything else is not known. */
const valuesOf = (point: HistoryPoint): readonly (number | null)[] =>
  [
    point.inUse,
    point.byUs,
    point.byOthers,
    point.rtt,
    point.minRtt,
    point.loss,
    point.bestFlow,
    point.loneFlow,
    point.fullRate,
    point.leastRate,
  ].map(value => (value !== undefined && Number.isFinite(value) ? value : null))

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]
}
const mean = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
