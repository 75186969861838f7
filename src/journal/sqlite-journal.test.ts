/** The journal on a real disk, and on one that is full. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, beforeEach, describe, test } from 'node:test'
import { vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { type Entry, JournalBroken, JournalFull, type JournalReader, JournalUnreadable } from './journal.ts'
import { createJournal, openJournal, readJournal, reserveSize, roomToStart } from './sqlite-journal.ts'

const entry = (n: number, why = `fact ${n}`): Entry => ({
  at: instant(1_700_000_000_000 + n / 8),
  event: { kind: 'journal-failing', why },
  commands: [],
})
const upTo = (n: number): readonly Entry[] => Array.from({ length: n }, (_, k) => entry(k + 1))
const seqs = (journal: JournalReader, afterSeq = 0): readonly number[] => journal.read(afterSeq).map(({ seq }) => seq)
const oneTo = (n: number): readonly number[] => Array.from({ length: n }, (_, k) => k + 1)
/** An entry that cannot be written down. */
const unspeakable: Entry = {
  at: instant(0),
  event: Object.assign({ kind: 'tick' } as const, {
    toJSON: (): never => {
      throw new RangeError('cannot be said')
    },
  }),
  commands: [],
}

let dir = ''
let file = ''
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-journal-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(() => {
  for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
  file = join(dir, 'a.journal')
})

describe('a journal', () => {
  test('shows each forecast beside what came to whoever opens it with sqlite3', () => {
    const journal = createJournal(file)
    const said = [
      { mark: 0, at: 300, end: { p50: 9_000, p90: 11_000 }, predicted: 8_700 },
      { mark: 50, at: 4_700, end: undefined, predicted: undefined },
    ] as const
    const facts = [
      { kind: 'vm-forecast-judged', vm: vmId('web'), attempt: 2, began: 300, came: 9_500, said },
      { kind: 'vm-forecast-judged', vm: vmId('db'), attempt: 1, began: 300, came: undefined, said: [said[0]] },
      { kind: 'forecast-judged', came: 9_500, said: [said[0]] },
    ] as const
    journal.append([entry(1), ...facts.map(event => ({ at: instant(9_500), event, commands: [] }))])
    journal.close()
    const db = new DatabaseSync(file, { readOnly: true })
    const rows = db.prepare('SELECT vm, attempt, progress, said_at, p50, p90, came FROM forecasts').all()
    db.close()
    assert.deepEqual(
      rows.map(row => Object.values(row)),
      [
        ['web', 2, 0, 300, 9_000, 11_000, 9_500],
        ['web', 2, 50, 4_700, null, null, 9_500],
        ['db', 1, 0, 300, 9_000, 11_000, null],
        [null, null, 0, 300, 9_000, 11_000, 9_500],
      ],
    )
  })

  test('gives back what was appended, numbered from 1, in order, with the time to the last bit', () => {
    const journal = createJournal(file)
    assert.deepEqual(journal.read(0), [])
    const first: Entry = {
      at: instant(1_700_000_000_123.456),
      event: { kind: 'source-ended', vm: vmId('web-1'), attempt: 1 },
      commands: [],
    }
    journal.append([first, entry(2)])
    journal.append([])
    journal.append([entry(3)])
    assert.deepEqual(journal.read(0), [
      { seq: 1, ...first },
      { seq: 2, ...entry(2) },
      { seq: 3, ...entry(3) },
    ])
    assert.deepEqual(seqs(journal, 2), [3])
    assert.deepEqual(seqs(journal, 3), [])
    journal.close()
  })

  test('is the same when it is opened again, and goes on where it ended', () => {
    const first = createJournal(file)
    first.append(upTo(3))
    first.close()
    const second = openJournal(file)
    second.append([entry(4)])
    assert.deepEqual(seqs(second), oneTo(4))
    second.close()
    const third = readJournal(file)
    assert.deepEqual(
      third.read(0),
      upTo(4).map((each, k) => ({ seq: k + 1, ...each })),
    )
    third.close()
  })

  test('what was appended by a process that was killed at once is there', () => {
    const writer = `
      import { createJournal } from ${JSON.stringify(join(import.meta.dirname, 'sqlite-journal.ts'))}
      const journal = createJournal(${JSON.stringify(file)})
      journal.append([${JSON.stringify(entry(1))}, ${JSON.stringify(entry(2))}])
      process.kill(process.pid, 'SIGKILL')
    `
    const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', writer], { timeout: 10_000 })
    assert.equal(signal, 'SIGKILL', stderr.toString())
    const journal = openJournal(file)
    assert.deepEqual(seqs(journal), [1, 2])
    journal.append([entry(3)])
    assert.deepEqual(seqs(journal), [1, 2, 3])
    journal.close()
  })

  test('a batch with an entry that cannot be written leaves none of it, and no gap', () => {
    const journal = createJournal(file)
    journal.append([entry(1)])
    assert.throws(() => journal.append([entry(2), entry(3), unspeakable]), JournalBroken)
    assert.deepEqual(seqs(journal), [1])
    journal.append([entry(2)])
    assert.deepEqual(journal.read(0), [
      { seq: 1, ...entry(1) },
      { seq: 2, ...entry(2) },
    ])
    journal.close()
  })

  test('a reader sees each batch as soon as it is written, and can not write', () => {
    const writer = createJournal(file)
    const reader = readJournal(file)
    let last = 0
    for (let n = 1; n <= 50; n += 1) {
      writer.append([entry(2 * n - 1), entry(2 * n)])
      const rows = reader.read(last)
      assert.deepEqual(
        rows.map(({ seq }) => seq),
        [2 * n - 1, 2 * n],
      )
      last = 2 * n
    }
    // Its type has no way to write; should somebody find one, SQLite refuses.
    assert.ok('append' in reader && typeof reader.append === 'function')
    const { append } = reader
    assert.throws(() => append.call(reader, [entry(0)]), /readonly/)
    reader.close()
    writer.append([entry(101)])
    assert.deepEqual(seqs(writer), oneTo(101))
    writer.close()
  })

  test('a second writer waits for no lock that is not held: both batches are there', () => {
    const one = createJournal(file)
    const other = openJournal(file)
    one.append([entry(1)])
    other.append([entry(2)])
    one.append([entry(3)])
    assert.deepEqual(seqs(other), [1, 2, 3])
    one.close()
    other.close()
  })

  test('after its end it can not be used, and nothing is added', () => {
    const journal = createJournal(file)
    journal.close()
    assert.throws(() => journal.append([entry(1)]))
    const still = readJournal(file)
    assert.deepEqual(still.read(0), [])
    still.close()
  })
})

describe('a journal to be created', () => {
  test('where a file is already is refused, and the file is not touched', () => {
    const first = createJournal(file)
    first.append([entry(1)])
    first.close()
    assert.throws(
      () => createJournal(file),
      (error: unknown) => {
        assert.ok(error instanceof JournalBroken)
        assert.equal(error.message, `${file} exists already`)
        return true
      },
    )
    const still = readJournal(file)
    assert.deepEqual(seqs(still), [1])
    still.close()
  })

  test('in a folder that does not exist is refused as one of the journal’s own errors', () => {
    assert.throws(() => createJournal(join(dir, 'none', 'a.journal')), JournalBroken)
  })

  test('sets some room aside, which is given up once', () => {
    const journal = createJournal(file)
    assert.equal(statSync(`${file}.reserve`).size, reserveSize)
    assert.equal(journal.useReserve(), true)
    assert.equal(existsSync(`${file}.reserve`), false)
    assert.equal(journal.useReserve(), false)
    journal.append([entry(1)])
    assert.deepEqual(seqs(journal), [1])
    journal.close()
  })
})

describe('what is no journal', () => {
  const unreadable = (message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof JournalUnreadable, String(error))
    assert.match(error.message, message)
    return true
  }
  const both = (message: RegExp): void => {
    assert.throws(() => openJournal(file), unreadable(message))
    assert.throws(() => {
      const journal = readJournal(file)
      try {
        journal.read(0)
      } finally {
        journal.close()
      }
    }, unreadable(message))
  }

  test('a file that is not there is said to be not there, and is not made', () => {
    both(/a\.journal does not exist$/)
    assert.equal(existsSync(file), false)
  })

  test('a text is no journal', () => {
    writeFileSync(file, 'sites: []\n'.repeat(200))
    both(/a\.journal cannot be opened: .*not a database/)
  })

  test('an empty file is no journal', () => {
    writeFileSync(file, '')
    both(/is not a journal of Lifeboat$/)
  })

  test('a folder is no journal', () => {
    mkdirSync(file)
    both(/a\.journal cannot be opened/)
  })

  test('a database of somebody else is no journal', () => {
    const db = new DatabaseSync(file)
    db.exec('CREATE TABLE events (seq INTEGER PRIMARY KEY)')
    db.close()
    both(/is not a journal of Lifeboat$/)
  })

  test('a journal whose making was cut short is unreadable', () => {
    const db = new DatabaseSync(file)
    db.exec('PRAGMA application_id = 0x4c424a31')
    db.close()
    both(/a\.journal/)
  })

  test('a journal of a newer Lifeboat is unreadable', () => {
    createJournal(file).close()
    const db = new DatabaseSync(file)
    db.exec("INSERT INTO events (v, type, at, body) VALUES (99, 'tick', 0, '{}')")
    db.close()
    const journal = readJournal(file)
    assert.throws(() => journal.read(0), unreadable(/row 1 \(tick\) is version 99/))
    journal.close()
  })

  test('a journal with damaged pages is unreadable', () => {
    const journal = createJournal(file)
    journal.append(Array.from({ length: 500 }, (_, n) => entry(n, 'x'.repeat(200))))
    journal.close()
    const { size } = statSync(file)
    const raw = openSync(file, 'r+')
    writeSync(raw, Buffer.alloc(size - 8_192, 0xff), 0, size - 8_192, 8_192)
    closeSync(raw)
    const damaged = readJournal(file)
    assert.throws(() => damaged.read(0), unreadable(/a\.journal/))
    damaged.close()
  })
})

/** Why no small disk can be mounted here; the mount is undone at once. */
function whyNoTmpfs(): string | false {
  if (process.getuid?.() !== 0) return 'only root may mount a small disk'
  const probe = mkdtempSync(join(tmpdir(), 'lifeboat-mount-'))
  try {
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], {
      encoding: 'utf8',
    })
    if (status !== 0) return `no small disk can be mounted here: ${(stderr ?? '').trim()}`
    spawnSync('umount', [probe])
    return false
  } finally {
    rmSync(probe, { recursive: true, force: true })
  }
}

describe('on a small disk', { skip: whyNoTmpfs() }, () => {
  let disk = ''
  beforeEach(() => {
    disk = join(dir, 'disk')
    mkdirSync(disk)
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', disk], {
      encoding: 'utf8',
    })
    assert.equal(status, 0, stderr)
    file = join(disk, 'a.journal')
  })
  /** Lazily: a journal that a failed test left open must not keep the disk. */
  const unmount = (): void => {
    const { status, stderr } = spawnSync('umount', ['-l', disk], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  }
  const free = (): number => {
    const { bavail, bsize } = statfsSync(disk)
    return bavail * bsize
  }
  /** Writes until no block is free but `leave`. */
  function fill(leave: number): void {
    const ballast = openSync(join(disk, 'ballast'), 'a')
    const block = Buffer.alloc(4_096, 1)
    try {
      while (free() > leave) writeSync(ballast, block)
    } finally {
      closeSync(ballast)
    }
  }
  /** Appends until it fails. @returns how many batches were written, and the failure */
  function appendUntilFull(journal: ReturnType<typeof createJournal>, from: number): [number, unknown] {
    for (let n = from; ; n += 1) {
      assert.ok(n < 10_000, 'the disk is never full')
      try {
        journal.append([entry(n, 'y'.repeat(2_000)), entry(n, 'z'.repeat(2_000))])
      } catch (error) {
        return [n, error]
      }
    }
  }

  test('a full one is JournalFull and nothing of the batch is there; the reserve carries it on, once', t => {
    t.after(unmount)
    const journal = createJournal(file)
    journal.append([entry(1)])
    fill(0)
    const [written, error] = appendUntilFull(journal, 0)
    assert.ok(error instanceof JournalFull, String(error))
    assert.ok(error.message.startsWith(`${file}: `), error.message)
    assert.deepEqual(seqs(journal), oneTo(1 + 2 * written))
    assert.throws(() => journal.append([entry(2)]), JournalFull)

    assert.equal(journal.useReserve(), true)
    journal.append([entry(2)])
    const [more, again] = appendUntilFull(journal, 0)
    assert.ok(more >= 20, `the reserve was good for ${more} batches only`)
    assert.ok(again instanceof JournalFull, String(again))
    assert.equal(journal.useReserve(), false)
    assert.deepEqual(seqs(journal), oneTo(2 + 2 * written + 2 * more))
    journal.close()

    rmSync(join(disk, 'ballast'))
    const later = openJournal(file)
    later.append([entry(3)])
    assert.deepEqual(seqs(later), oneTo(3 + 2 * written + 2 * more))
    later.close()
  })

  test('one with too little room is refused with the numbers, and nothing is made', t => {
    t.after(unmount)
    fill(roomToStart - 1)
    assert.throws(
      () => createJournal(file),
      (error: unknown) => {
        assert.ok(error instanceof JournalFull)
        assert.equal(
          error.message,
          `only 16.0 MiB free in ${disk}, the journal needs 16.0 MiB: free some, or set another stateDir`,
        )
        return true
      },
    )
    fill(10 * 1_048_576)
    assert.throws(() => createJournal(file), /only 10\.0 MiB free in .*, the journal needs 16\.0 MiB/)
    assert.deepEqual(readdirSync(disk), ['ballast'])
  })

  test('one with just enough room will do', t => {
    t.after(unmount)
    fill(roomToStart)
    const journal = createJournal(file)
    journal.append([entry(1)])
    assert.deepEqual(seqs(journal), [1])
    journal.close()
  })
})
