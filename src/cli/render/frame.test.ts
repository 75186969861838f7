import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import * as fc from 'fast-check'
import { aPath, aProgress, arbStory, aSnapshot, driven, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Evacuation } from '../../core/control/evacuation.ts'
import type { Observed } from '../../core/control/observed.ts'
import { vmId } from '../../core/ids.ts'
import { instant } from '../../core/instant.ts'
import { mebibytes, megabitsPerSecond, ms } from '../../core/units.ts'
import { frame } from './frame.ts'
import { widthOf } from './table.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
const wide = { columns: 160, rows: 40 }
const arbSize = fc.record({ columns: fc.integer({ min: 20, max: 200 }), rows: fc.integer({ min: 5, max: 60 }) })

/** Runs with colours as on a terminal, whatever this test's output is. */
function onTerminal<T>(look: () => T): T {
  const stream: { isTTY?: boolean } = process.stdout
  const before = { isTTY: stream.isTTY, noColor: process.env['NO_COLOR'], term: process.env['TERM'] }
  stream.isTTY = true
  delete process.env['NO_COLOR']
  process.env['TERM'] = 'xterm'
  try {
    return look()
  } finally {
    stream.isTTY = before.isTTY ?? false
    if (before.noColor !== undefined) process.env['NO_COLOR'] = before.noColor
    if (before.term === undefined) delete process.env['TERM']
    else process.env['TERM'] = before.term
  }
}
const plain = (state: Evacuation, at: number, size = wide): readonly string[] =>
  frame(state, instant(at), size).map(line => stripVTControlCharacters(line))
const lineOf = (lines: readonly string[], vm: string): string =>
  lines.find(line => line.trimStart().startsWith(`${vm} `)) ?? assert.fail(`no line for ${vm}:\n${lines.join('\n')}`)

test('a frame is never wider than the terminal, and has no line in a line', () => {
  fc.assert(
    fc.property(arbStory, arbSize, ({ last, now }, size) => {
      for (const line of onTerminal(() => frame(last, now, size))) {
        assert.ok(widthOf(line) < size.columns, `${widthOf(line)} of ${size.columns}: ${line}`)
        assert.doesNotMatch(line, /[\r\n]/)
      }
    }),
    runs(400),
  )
})

test('a frame is never higher than a terminal of 12 lines or more', () => {
  fc.assert(
    fc.property(arbStory, arbSize, ({ last, now }, size) => {
      fc.pre(size.rows >= 12)
      assert.ok(frame(last, now, size).length <= size.rows)
    }),
    runs(400),
  )
})

test('nor than a smaller one: a frame of 5 lines still says what is the matter', () => {
  const state = driven([[0, startedFrom(aSnapshot({ vms: someVms(8) }))]])
  for (let rows = 5; rows <= 12; rows += 1) {
    const lines = plain(state, 1_000, { columns: 80, rows })
    assert.ok(lines.length <= rows, `${lines.length} lines on a terminal of ${rows}`)
    assert.match(lines.join('\n'), /safe 0 of 8/)
  }
})

test('a reason of several lines takes one line of the frame', () => {
  const why = 'cannot forward /run/a.sock\r\nmux_client_forward: forwarding request failed'
  for (const facts of [
    [[2, { kind: 'attempt-unclear', ...of, why }]],
    [[2, { kind: 'journal-failing', why }]],
    [[2, { kind: 'attempt-failed', ...of, failure: { code: 'cancelled', detail: why } }]],
  ] as const satisfies readonly (readonly Timed[])[]) {
    const state = driven([[0, startedFrom(aSnapshot({ vms: someVms(2) }))], ...facts])
    for (const line of plain(state, 5)) assert.doesNotMatch(line, /[\r\n]/, JSON.stringify(line))
  }
})

test('colours change nothing but the colour', () => {
  fc.assert(
    fc.property(arbStory, arbSize, ({ last, now }, size) => {
      const coloured = onTerminal(() => frame(last, now, size))
      assert.deepEqual(
        coloured.map(line => stripVTControlCharacters(line)),
        plain(last, now, size),
      )
    }),
    runs(100),
  )
})

test('no frame says undefined, NaN or Infinity', () => {
  fc.assert(
    fc.property(arbStory, ({ last, now }) => {
      assert.doesNotMatch(plain(last, now, { columns: 400, rows: 60 }).join('\n'), /undefined|NaN|Infinity|null/)
    }),
    runs(400),
  )
})

test('every VM is shown or counted', () => {
  fc.assert(
    fc.property(arbStory, fc.integer({ min: 9, max: 60 }), ({ last, now }, rows) => {
      const lines = plain(last, now, { columns: 300, rows })
      const shown = [...last.migrations.keys()].filter(vm => lines.some(line => line.startsWith(`  ${vm} `))).length
      const hidden = [...(lines.find(line => line.startsWith('  … and ')) ?? '').matchAll(/(\d+) [a-z]/g)]
      const counted = hidden.reduce((total, [, n]) => total + Number(n), 0)
      assert.equal(shown + counted, last.migrations.size, lines.join('\n'))
    }),
    runs(300),
  )
})

test('the head says what is evacuated where, how, since when, and how far it is', () => {
  const facts: readonly Timed[] = [
    [0, startedFrom(aSnapshot({ vms: someVms(3) }))],
    [1, { kind: 'target-ready', ...of }],
    [2_000, { kind: 'progress', ...of, progress: aProgress({ sent: mebibytes(40), rate: megabitsPerSecond(93) }) }],
  ]
  assert.deepEqual(plain(driven(facts), 103_000).slice(0, 3), [
    'Evacuating a to b   policy sequential   elapsed 1 min 43 s',
    'safe 0 of 3   sent 40.0 MiB   link 93.0 Mbit/s of 100 Mbit/s',
    'last home in 19.0 – 22.1 s (+2 min 02 s – +2 min 05 s)',
  ])
  const landed: Timed = [
    9_000,
    { kind: 'landed', ...of, downtime: ms(120), sent: mebibytes(101), needed: mebibytes(100) },
  ]
  assert.match(plain(driven([...facts, landed]), 10_000)[1] ?? '', /^safe 1 of 3 {3}sent 101 MiB {3}link 0 bit\/s/)
})

test('with a deadline the verdict is at the top, with its reason: who fits, when the last is home, who does not', () => {
  // Three of 8.4 s each, one after the other.
  const top = (deadline: number, size = wide): readonly string[] =>
    plain(driven([[0, startedFrom(aSnapshot({ vms: someVms(3), deadline: ms(deadline) }))]]), 0, size)
  assert.deepEqual(top(60_000).slice(2, 5), [
    'ON-TRACK   3 of 3 fit until +1 min 00 s (the deadline)',
    'last home in 26.4 – 30.6 s (+26.4 s – +30.6 s), 29.4 s to spare',
    '',
  ])
  assert.match(top(28_000)[2] ?? '', /^AT-RISK {3}2 of 3 fit until \+28\.0 s/)
  assert.deepEqual(top(15_000).slice(2, 7), [
    'WILL-MISS   1 of 3 fit until +15.0 s (the deadline)',
    'last home in 26.4 – 30.6 s (+26.4 s – +30.6 s), 11.4 s late',
    'these do not: vm-2 (+17.6 s), vm-3 (+26.4 s)',
    'because 300 MiB are left for the path a – b, which carries 179 MiB until then at 100 Mbit/s',
    '',
  ])
  // On a low terminal one line is enough, and on-track is none.
  assert.match(top(15_000, { columns: 80, rows: 9 })[2] ?? '', /^WILL-MISS/)
  assert.equal(top(60_000, { columns: 80, rows: 9 })[2], '')
})

test('on 80 columns everything is there, down to the target', () => {
  const seen = aProgress({ rate: megabitsPerSecond(100), dirtyRate: megabitsPerSecond(20), round: 3 })
  const state = driven([
    [0, startedFrom(aSnapshot({ vms: someVms(3) }))],
    [1, { kind: 'target-ready', ...of }],
    [2, { kind: 'progress', ...of, progress: seen }],
  ])
  const lines = plain(state, 5_000, { columns: 80, rows: 24 })
  assert.match(lineOf(lines, 'vm-1'), /pre-copy 3 +█{8} +50\.0 MiB +100 Mbit\/s +\d\.\d – \d\.\d s +b-[12]$/)
})

test('a pause, an abort and a failing journal are said at the top', () => {
  const start: Timed = [0, startedFrom(aSnapshot({ vms: someVms(1) }))]
  const head = (event: Observed): string =>
    plain(driven([start, [1, event]]), 5)
      .slice(0, 3)
      .join('\n')
  assert.match(head({ kind: 'operator', by: 'test', order: 'pause' }), / {2}PAUSED$/m)
  assert.match(head({ kind: 'operator', by: 'test', order: 'abort' }), / {2}ABORTING$/m)
  assert.match(
    head({ kind: 'journal-failing', why: 'the disk is full' }),
    / {2}NOTHING NEW ADMITTED\n.*\nthe disk is full/,
  )
  assert.doesNotMatch(head({ kind: 'tick' }), /PAUSED|ABORTING|NOTHING/)
})

test('each phase has its line', () => {
  const ready: Timed = [1, { kind: 'target-ready', ...of }]
  const start: Timed = [0, startedFrom(aSnapshot({ vms: someVms(3) }))]
  const seen = aProgress({
    remaining: mebibytes(256),
    rate: megabitsPerSecond(100),
    dirtyRate: megabitsPerSecond(20),
    round: 3,
  })
  const moving: readonly Timed[] = [start, ready, [2, { kind: 'progress', ...of, progress: seen }]]
  const line = (facts: readonly Timed[], vm = 'vm-1'): string => lineOf(plain(driven(facts), 5_000), vm)
  // 100 MiB each at 100 Mbit/s.
  assert.match(line([start]), /^ {2}vm-1 +preparing +9 – 1\d s +b-[12]$/)
  assert.match(line([start], 'vm-3'), /^ {2}vm-3 +queued +26 – 3\d s +b-[12]$/)
  assert.match(line([start, ready]), /^ {2}vm-1 +pre-copy +░{16} +9 – 1\d s +b-[12]$/)
  // 256 MiB at a net 80 Mbit/s: 26.8 s. Three quarters of 1 GiB are through.
  assert.match(
    line(moving),
    /^ {2}vm-1 +pre-copy 3 +█{12}░{4} +256 MiB +100 Mbit\/s \/ 20\.0 Mbit\/s +28 – 3\d s +b-[12]$/,
  )
  const disk = { copied: mebibytes(10), remaining: mebibytes(54), total: mebibytes(64) }
  const disksFirst = { ...seen, round: 0, disk }
  assert.match(line([start, ready, [2, { kind: 'progress', ...of, progress: disksFirst }]]), /^ {2}vm-1 +disks +█/)
  assert.match(line([...moving, [3, { kind: 'guest-stopped', ...of }]]), /^ {2}vm-1 +switchover .* b-[12]$/)
  assert.match(line([...moving, [3, { kind: 'post-copy-began', ...of }]]), /^ {2}vm-1 +post-copy .* b-[12]$/)
  assert.match(
    line([...moving, [3, { kind: 'attempt-unclear', ...of, why: 'no answer from a-1' }]]),
    /^ {2}vm-1 +uncertain +no answer from a-1$/,
  )
  assert.match(
    line([...moving, [8_390, { kind: 'landed', ...of, downtime: ms(120), sent: mebibytes(101), needed: undefined }]]),
    /^ {2}vm-1 +safe +█{16} +took 8\.4 s, down 120 ms +b-[12]$/,
  )
  assert.match(
    line([...moving, [3, { kind: 'attempt-failed', ...of, failure: { code: 'vm-died', detail: 'no process' } }]]),
    /^ {2}vm-1 +lost +vm-died: no process$/,
  )
  assert.match(
    line([...moving, [3, { kind: 'attempt-failed', ...of, failure: { code: 'path-lost', detail: 'cut' } }]]),
    /^ {2}vm-1 +queued, attempt 2 /,
  )
  assert.match(line([...moving, [3, { kind: 'operator', by: 'test', order: 'abort' }]]), /^ {2}vm-1 +calling back /)
})

test('a guest that dirties faster than it is sent has no time of arrival', () => {
  const hopeless = aProgress({ sent: mebibytes(74), rate: megabitsPerSecond(50), dirtyRate: megabitsPerSecond(60) })
  const state = driven([
    [0, startedFrom(aSnapshot({ vms: someVms(1), paths: [aPath('a', 'b', { capacity: megabitsPerSecond(50) })] }))],
    [1, { kind: 'target-ready', ...of }],
    [2, { kind: 'progress', ...of, progress: hopeless }],
  ])
  assert.match(lineOf(plain(state, 5), 'vm-1'), /50\.0 Mbit\/s \/ 60\.0 Mbit\/s +b-[12]$/)
})

test('where not all fit, those in trouble and on their way are shown, those that wait are counted', () => {
  const state = driven([
    [0, startedFrom(aSnapshot({ vms: someVms(8), paths: [] }), { policy: 'fixed:2' })],
    [1, { kind: 'target-ready', ...of }],
    [2, { kind: 'target-ready', vm: vmId('vm-2'), attempt: 1 }],
    [3, { kind: 'attempt-unclear', vm: vmId('vm-2'), attempt: 1, why: 'no answer' }],
  ])
  const lines = plain(state, 5, { columns: 120, rows: 9 })
  assert.ok(lines.length <= 9)
  assert.match(lineOf(lines, 'vm-1'), /pre-copy/)
  assert.match(lineOf(lines, 'vm-2'), /uncertain/)
  assert.match(lines.at(-1) ?? '', /^ {2}… and \d .*queued$/)
})

test('when it has ended, the clock stands still', () => {
  const state = driven([
    [0, startedFrom(aSnapshot({ vms: someVms(1) }))],
    [1, { kind: 'target-ready', ...of }],
    [9_000, { kind: 'landed', ...of, downtime: undefined, sent: mebibytes(101), needed: undefined }],
    [9_600, { kind: 'source-ended', ...of }],
  ])
  assert.equal(state.endedAt, 9_600)
  assert.match(plain(state, 3_600_000)[0] ?? '', /elapsed 9\.6 s$/)
})
