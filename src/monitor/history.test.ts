/** Real files: what is kept for how long, what it says of a path, and files that are not what they should be. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, test } from 'node:test'
import { siteId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { unknownPath } from '../core/inventory/snapshot.ts'
import type { LinkState } from '../core/network/link-state.ts'
import type { StoppedBy } from '../core/network/reading.ts'
import { bytes, bytesPerSecond, ms } from '../core/units.ts'
import { type HistoryPoint, HistoryUnusable, openHistory } from './history.ts'
import { HistoryRecorder } from './history-recorder.ts'

let dir = ''
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-history-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))
let files = 0
const newFile = (): string => join(dir, `h${(files += 1)}`, 'network.db')

const path = { from: siteId('a'), to: siteId('b') }
const noon = Date.UTC(2026, 0, 5, 12)
const at = (seconds: number) => instant(noon + seconds * 1000)
const point = (change: Partial<HistoryPoint>): HistoryPoint => ({
  path: 'a → b',
  inUse: undefined,
  byUs: undefined,
  byOthers: undefined,
  rtt: undefined,
  minRtt: undefined,
  loss: undefined,
  bestFlow: undefined,
  loneFlow: undefined,
  fullRate: undefined,
  leastRate: undefined,
  ...change,
})
const spans = (file: string): Readonly<Record<string, number>> => {
  const db = new DatabaseSync(file, { readOnly: true })
  const rows = db.prepare('SELECT span, count(*) AS n FROM points GROUP BY span').all()
  db.close()
  return Object.fromEntries(rows.map(row => [String(row['span']), Number(row['n'])]))
}

describe('the history of a path', () => {
  test('is seconds for an hour, minutes for a week, hours after that', () => {
    const file = newFile()
    const history = openHistory(file, at(0))
    for (let second = 0; second < 7_200; second += 1) history.record([point({ inUse: second })], at(second))
    const { 1: seconds, 60: minutes, 3600: hours } = spans(file)
    assert.ok(seconds !== undefined && seconds >= 3_600 && seconds <= 3_661, String(seconds))
    assert.deepEqual([minutes, hours], [119, 1], 'what is not over is not joined')
    history.record([], at(8 * 24 * 3_600))
    assert.deepEqual(spans(file), { 3600: 2 })
    history.close()
  })

  test('joins means to means, leasts to leasts, mosts to mosts, and keeps what is not known out of them', () => {
    const file = newFile()
    const history = openHistory(file, at(0))
    history.record([point({ inUse: 100, minRtt: 40, fullRate: 9, loss: 0 })], at(0))
    history.record([point({ inUse: 300, minRtt: 50, fullRate: 7 })], at(1))
    history.record([point({})], at(2))
    history.record([], at(7_300))
    const prior = history.priorOf(path, at(7_300))
    assert.deepEqual(
      history.minutesOf(path, 122, at(7_300)).filter(each => each !== undefined),
      [200],
    )
    assert.deepEqual(prior, {
      capacity: { rate: 9, bound: 'full' },
      rtt: 40,
      loss: 0,
      bestFlow: undefined,
      perFlow: undefined,
      background: undefined,
      until: at(0),
    })
    history.close()
  })

  test('is the prior: the middle of what filled the path of late, the best of single flows, nothing where nothing was measured', () => {
    const history = openHistory(newFile(), at(0))
    assert.equal(history.priorOf(path, at(0)), undefined)
    for (const [hour, fullRate] of [100, 12, 11, 10, 13, 12, 11, 10, 12, 12, 11, 13].entries())
      history.record([point({ fullRate, bestFlow: hour, loneFlow: hour / 2, byOthers: 4 })], at(hour * 3_600))
    const prior = history.priorOf(path, at(12 * 3_600))
    assert.deepEqual(prior?.capacity, { rate: 12, bound: 'full' }, 'the 100 of long ago is forgotten')
    assert.deepEqual([prior?.bestFlow, prior?.perFlow], [11, 5.5])
    assert.equal(prior?.background, 4)
    assert.equal(history.priorOf({ from: 'b', to: 'a' }, at(12 * 3_600)), undefined, 'each direction has its own')
    history.close()
  })

  test('more than it was thought to carry counts as at least that', () => {
    const history = openHistory(newFile(), at(0))
    history.record([point({ fullRate: 10 })], at(0))
    history.record([point({ leastRate: 30 })], at(60))
    assert.deepEqual(history.priorOf(path, at(61))?.capacity, { rate: 30, bound: 'at-least' })
    history.close()
  })

  test('values that are no numbers are not kept, and one row that is there twice is the newer', () => {
    const history = openHistory(newFile(), at(0))
    history.record([point({ minRtt: Number.NaN, byOthers: Number.POSITIVE_INFINITY, bestFlow: 1 })], at(0))
    history.record([point({ bestFlow: 2 })], at(0))
    const prior = history.priorOf(path, at(1))
    assert.deepEqual([prior?.rtt, prior?.background, prior?.bestFlow], [undefined, undefined, 2])
    history.close()
  })

  test('a clock that was set back leaves rows of the future, which are not looked at', () => {
    const history = openHistory(newFile(), at(0))
    history.record([point({ minRtt: 99 })], at(86_400 * 365))
    assert.equal(history.priorOf(path, at(0)), undefined)
    history.record([point({ minRtt: 40 })], at(0))
    assert.equal(history.priorOf(path, at(1))?.rtt, 40)
    history.close()
  })

  test('two processes write side by side', () => {
    const file = newFile()
    const [one, two] = [openHistory(file, at(0)), openHistory(file, at(0))]
    one.record([point({ inUse: 1 })], at(1))
    two.record([point({ inUse: 2 })], at(2))
    assert.equal(spans(file)['1'], 2)
    one.close()
    two.close()
  })
})

const unknown = { why: 'no' }
const state = (change: Partial<LinkState> = {}): LinkState => ({
  link: { name: 'a → b', path: unknownPath(path.from, path.to), sources: [], targets: [] },
  inUse: bytesPerSecond(5),
  byUs: unknown,
  byOthers: unknown,
  flows: 0,
  rtt: unknown,
  minRtt: unknown,
  queueingDelay: unknown,
  standingDelay: unknown,
  loss: unknown,
  bestFlow: unknown,
  loneFlow: unknown,
  measured: unknown,
  trend: [],
  lastProbe: undefined,
  remarks: [],
  ...change,
})

test('what a probe found is kept at once, and not again as something new', () => {
  const file = newFile()
  const recorder = new HistoryRecorder(file, message => assert.fail(message))
  const probed = state({ measured: { rate: bytesPerSecond(70), bound: 'full', at: at(0), how: 'probe' } })
  recorder.record(() => [state()], at(0))
  recorder.record(() => assert.fail('once a second'), at(0.4))
  recorder.recordNow([probed], at(0.5))
  for (let second = 1; second < 300; second += 1) recorder.record(() => [probed], at(second))
  const prior = recorder.priorOf(path, at(300))
  assert.deepEqual([prior?.capacity?.rate, prior?.perFlow], [70, 70])
  recorder.close()
  const db = new DatabaseSync(file, { readOnly: true })
  const rows = db.prepare('SELECT at, in_use, full_rate FROM points WHERE span = 1 AND full_rate IS NOT NULL').all()
  db.close()
  assert.deepEqual(
    rows.map(row => [row['at'], row['in_use'], row['full_rate']]),
    [[noon / 1000, 5, 70]],
  )
})

describe('what one stream gets', () => {
  const priorAfter = (states: readonly LinkState[]) => {
    const recorder = new HistoryRecorder(newFile(), message => assert.fail(message))
    for (const [second, each] of states.entries()) recorder.record(() => [each], at(second))
    const prior = recorder.priorOf(path, at(states.length))
    recorder.close()
    return prior
  }
  const full = { rate: bytesPerSecond(100), bound: 'full', at: at(0), how: 'in-use' } as const
  const shared = state({ flows: 4, bestFlow: bytesPerSecond(26), measured: full })

  test('is not the share of one of several', () => {
    const prior = priorAfter([shared, shared])
    assert.deepEqual([prior?.capacity?.rate, prior?.bestFlow, prior?.perFlow], [100, 26, undefined])
  })

  test('is what one got that had the path alone, whatever was before and after', () => {
    const alone = state({ flows: 1, bestFlow: bytesPerSecond(60), loneFlow: bytesPerSecond(40) })
    const prior = priorAfter([shared, alone, shared])
    assert.deepEqual([prior?.bestFlow, prior?.perFlow], [60, 40])
  })

  test('is what a probe got, unless that may still have risen when it was ended', () => {
    const probed = (bound: 'full' | 'at-least', stoppedBy: StoppedBy) =>
      state({
        measured: { rate: bytesPerSecond(20), bound, at: at(0), how: 'probe' },
        lastProbe: { stoppedBy, sent: bytes(1), took: ms(1) },
      })
    const gets = (each: LinkState) => priorAfter([each])?.perFlow
    assert.equal(gets(probed('full', 'queueing')), 20)
    assert.equal(gets(probed('at-least', 'time-limit')), 20)
    assert.equal(gets(probed('at-least', 'byte-limit')), undefined)
    assert.equal(gets(probed('at-least', 'loss')), undefined)
  })
})

describe('a file of layout 1', () => {
  /** As Lifeboat wrote it before `lone_flow`. */
  const oldFile = (): string => {
    const file = newFile()
    mkdirSync(dirname(file))
    const db = new DatabaseSync(file)
    const rates = ['in_use', 'by_us', 'by_others', 'rtt', 'min_rtt', 'loss', 'best_flow', 'full_rate', 'least_rate']
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA application_id = 1279413809; PRAGMA user_version = 1;
      CREATE TABLE points (
        path TEXT NOT NULL, span INTEGER NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL,
        ${rates.map(name => `${name} REAL`).join(', ')},
        PRIMARY KEY (path, span, at)) STRICT, WITHOUT ROWID;
      CREATE INDEX by_age ON points (span, at);
      INSERT INTO points (path, span, at, n, min_rtt, best_flow, full_rate) VALUES ('a → b', 1, ${noon / 1000}, 1, 40, 25, 100)`)
    db.close()
    return file
  }

  test('is read on, but what it says of single flows is not believed: they may have been several', () => {
    const file = oldFile()
    const history = openHistory(file, at(1))
    const old = history.priorOf(path, at(1))
    assert.deepEqual([old?.capacity, old?.rtt, old?.bestFlow], [{ rate: 100, bound: 'full' }, 40, 25])
    assert.equal(old?.perFlow, undefined)
    history.record([point({ loneFlow: 90 })], at(2))
    history.record([], at(7_300))
    assert.equal(history.priorOf(path, at(7_300))?.perFlow, 90, 'new rows are joined with old ones')
    history.close()
    openHistory(file, at(7_301)).close()
  })

  test('is taken over while a process of before still writes', () => {
    const file = oldFile()
    const before = new DatabaseSync(file)
    const insert = before.prepare("INSERT INTO points (path, span, at, n, best_flow) VALUES ('a → b', 1, ?, 1, 30)")
    const [one, two] = [openHistory(file, at(1)), openHistory(file, at(1))]
    insert.run(noon / 1000 + 5)
    assert.deepEqual([one.priorOf(path, at(6))?.bestFlow, two.priorOf(path, at(6))?.perFlow], [30, undefined])
    for (const each of [before, one, two]) each.close()
  })
})

describe('a file that cannot be used', () => {
  const refuses = (file: string, says: RegExp): void => {
    assert.throws(
      () => openHistory(file, at(0)),
      (error: unknown) => {
        assert.ok(error instanceof HistoryUnusable)
        assert.match(error.message, says)
        assert.ok(error.message.includes(file), 'names the file')
        return true
      },
    )
  }

  test('no database, somebody else’s, or one of a newer Lifeboat: said, and left as it is', () => {
    const noise = join(dir, 'noise.db')
    writeFileSync(noise, 'these are my notes, and there are many of them. '.repeat(40))
    refuses(noise, /not a database; move it away/)
    assert.match(readFileSync(noise, 'utf8'), /^these are my notes/)
    const other = join(dir, 'other.db')
    new DatabaseSync(other).exec('CREATE TABLE mine (x)')
    refuses(other, /not a history of Lifeboat/)
    const newer = newFile()
    openHistory(newer, at(0)).close()
    new DatabaseSync(newer).exec('PRAGMA user_version = 99')
    refuses(newer, /has layout 99, this Lifeboat knows 2/)
  })

  test('a damaged one: an error that names it, from opening or from the first use', () => {
    const file = newFile()
    const history = openHistory(file, at(0))
    for (let second = 0; second < 400; second += 1) history.record([point({ inUse: second })], at(second))
    history.close()
    truncateSync(file, Math.floor(statSync(file).size / 2))
    assert.throws(() => {
      const again = openHistory(file, at(500))
      again.record([point({})], at(501))
      again.priorOf(path, at(501))
    }, HistoryUnusable)
  })

  test('a folder that cannot be made', () => {
    const notAFolder = join(dir, 'file')
    writeFileSync(notAFolder, '')
    refuses(join(notAFolder, 'network.db'), /cannot be used/)
  })

  test('stops nobody: the recorder says it once and goes on, and takes it up again when it is mended', () => {
    const file = join(dir, 'recorded', 'network.db')
    openHistory(file, at(0)).close()
    writeFileSync(file, 'x'.repeat(5_000))
    rmSync(`${file}-wal`, { force: true })
    const said: string[] = []
    const recorder = new HistoryRecorder(file, message => said.push(message))
    for (let second = 0; second < 200; second += 1) recorder.record(() => [], at(second))
    assert.equal(recorder.priorOf(path, at(201)), undefined)
    assert.equal(said.length, 1)
    rmSync(file)
    recorder.record(() => [], at(400))
    assert.ok(existsSync(file))
    recorder.close()
    assert.equal(said.length, 1)
  })
})
