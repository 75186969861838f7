import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { deadAfter, firstTick, type Life, LifeJudge, type LifeReport } from './life-verdict.ts'

const tick = (n: number): string => `LB tick ${n} ${n}.25\r\n`
/** One text a second, from 1 s on. */
function judged(texts: readonly string[], tolerance = 500, silence = 0): LifeReport {
  const judge = new LifeJudge()
  texts.forEach((text, at) => judge.read(text, (at + 1) * 1_000))
  return judge.report(texts.length * 1_000 + silence, tolerance)
}
const range = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, k) => tick(from + k))

test('a guest that has ticked once a second is alive', () => {
  assert.deepEqual(judged(range(1, 10)), {
    ticks: 10,
    last: 10,
    lastAt: 10_000,
    verdict: 'alive',
    longestGap: { length: 0, afterTick: 1, at: 1_000 },
    missing: 0,
    repeated: 0,
    disks: new Map(),
    errors: [],
  })
})

test('a guest that was silent longer than is tolerated, and then went on, had a gap', () => {
  const report = judged([...range(1, 5), '', '', ...range(6, 8)])
  assert.equal(report.verdict, 'gap')
  assert.deepEqual(report.longestGap, { length: 2_000, afterTick: 5, at: 5_000 })
  assert.equal(judged([...range(1, 5), '', '', ...range(6, 8)], 2_000).verdict, 'alive', 'up to the tolerance is noise')
})

test('of several gaps the longest is told', () => {
  const report = judged([tick(1), '', tick(2), '', '', '', tick(3), '', tick(4)])
  assert.deepEqual(report.longestGap, { length: 3_000, afterTick: 2, at: 3_000 })
})

test('ticks that never came are missing, and a gap whatever the clock says', () => {
  const report = judged([...range(1, 3), tick(7)], 60_000)
  assert.deepEqual([report.missing, report.verdict], [3, 'gap'])
})

test('a reader that comes late does not miss what was before it', () => {
  const report = judged(range(100, 103))
  assert.deepEqual([report.missing, report.verdict], [0, 'alive'])
})

test('a tick that comes twice means that the guest ran twice, or was put back', () => {
  for (const texts of [
    [...range(1, 5), tick(5), tick(6)],
    [...range(1, 5), ...range(3, 6)],
  ]) {
    const report = judged(texts)
    assert.equal(report.verdict, 'repeated')
    assert.ok(report.repeated > 0)
  }
})

test('a guest that was restarted counts from one again: repeated, not alive', () => {
  const report = judged([...range(1, 5), ...range(1, 3)])
  assert.deepEqual([report.verdict, report.repeated, report.last], ['repeated', 3, 5])
})

test('a guest without a tick for 15 s is dead, one without any tick at all is too', () => {
  assert.equal(judged(range(1, 3), 500, deadAfter).verdict, 'alive')
  assert.equal(judged(range(1, 3), 500, deadAfter + 1).verdict, 'dead')
  assert.deepEqual(judged(['Linux version 6.1\r\n', 'LB ready 32 MiB\r\n']), {
    ticks: 0,
    last: 0,
    lastAt: undefined,
    verdict: 'dead',
    longestGap: undefined,
    missing: 0,
    repeated: 0,
    disks: new Map(),
    errors: [],
  })
})

test('a guest that ran twice is that first of all, also when it is dead now', () => {
  assert.equal(judged([...range(1, 5), tick(5)], 500, 60_000).verdict, 'repeated')
})

test('a guest that was thought dead and ticks again had a gap', () => {
  const judge = new LifeJudge()
  judge.read(tick(1), 0)
  assert.equal(judge.report(20_000, 500).verdict, 'dead')
  judge.read(tick(2), 21_000)
  assert.equal(judge.report(21_000, 500).verdict, 'gap')
})

test('gaps before a move can be forgotten; what repeats is not', () => {
  const judge = new LifeJudge()
  judge.read(tick(1), 0)
  judge.read(tick(2), 9_000)
  judge.read(tick(2), 9_100)
  judge.forgetGaps()
  const report = judge.report(9_200, 500)
  assert.deepEqual([report.longestGap, report.verdict], [undefined, 'repeated'])
})

test('other words on the console are no ticks, and a tick after a stray return, or half a line, is one', () => {
  const report = judged([
    'LB tick\r\n',
    'LB tick x 1.0\r\n',
    'LB tick 9 1.0 and more\r\n',
    'XLB tick 1 1.0\r\n',
    '\rLB tick 2 2.0\r\n',
    'LB tiLB tick 3 3.0\r\n',
    'LB tick 4 4.0\n',
  ])
  assert.deepEqual([report.ticks, report.last, report.missing], [4, 4, 0])
})

test('a tick counts when its line is whole, not before', () => {
  const judge = new LifeJudge()
  judge.read('LB tick 1', 1_000)
  judge.read('2 3.5', 2_000)
  assert.equal(judge.report(2_000, 500).ticks, 0)
  judge.read('0\r\n', 3_000)
  assert.deepEqual([judge.report(3_000, 500).last, judge.report(3_000, 500).lastAt], [12, 3_000])
})

test('a console without line ends does not fill the memory of who reads it, and does not hide what comes after', () => {
  const judge = new LifeJudge()
  for (let n = 0; n < 50; n += 1) judge.read('#'.repeat(10_000), n)
  judge.read(`\n${tick(1)}`, 60)
  assert.equal(judge.report(60, 500).ticks, 1)
})

/** Consoles as they are: ticks, some left out, some again, noise between. */
const arbConsole = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 2 }).map(step => ({ step })) },
      { weight: 1, arbitrary: fc.constantFrom('LB ready 32 MiB\r\n', '\r', '[  1.0] random: crng\r\n', 'LB ti', '\n') },
    ),
    { minLength: 1, maxLength: 40 },
  )
  .map(parts => {
    let n = 1
    return parts
      .map(part => {
        if (typeof part === 'string') return part
        n += part.step
        return tick(n)
      })
      .join('')
  })

test('wherever the text is cut between two reads, the verdict is the same', () => {
  fc.assert(
    fc.property(arbConsole, fc.array(fc.nat(), { maxLength: 12 }), (text, picks) => {
      const cuts = [...new Set(picks.map(pick => pick % (text.length + 1)))].sort((a, b) => a - b)
      const whole = new LifeJudge()
      whole.read(text, 1_000)
      const inParts = new LifeJudge()
      let from = 0
      for (const to of [...cuts, text.length]) {
        inParts.read(text.slice(from, to), 1_000)
        from = to
      }
      assert.deepEqual(inParts.report(1_500, 500), whole.report(1_500, 500))
    }),
    runs(1_000),
  )
})

test('also where it is cut after every single character', () => {
  const text = [...range(1, 3), 'LB ready\r\n', ...range(3, 6)].join('')
  const judge = new LifeJudge()
  for (const letter of text) judge.read(letter, 1_000)
  const report = judge.report(1_000, 500)
  assert.deepEqual([report.ticks, report.last, report.repeated, report.missing], [7, 6, 1, 0])
})

test('every tick is accounted for: first and last, what is missing, and what repeats', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 }), numbers => {
      const judge = new LifeJudge()
      for (const n of numbers) judge.read(tick(n), 1_000)
      const report = judge.report(1_000, 500)
      const highs = numbers.filter((n, at) => numbers.slice(0, at).every(before => before < n))
      assert.equal(report.ticks, numbers.length)
      assert.equal(report.repeated, numbers.length - highs.length)
      assert.equal(report.last, Math.max(...numbers))
      assert.equal(report.missing, Math.max(...numbers) - (numbers[0] ?? 0) + 1 - highs.length)
      const verdict: Life = report.repeated > 0 ? 'repeated' : report.missing > 0 ? 'gap' : 'alive'
      assert.equal(report.verdict, verdict)
    }),
    runs(500),
  )
})

test('the first whole tick of a text is found, whatever stands before it', () => {
  assert.equal(firstTick(`Linux\r\nLB tick\r\n${tick(7)}${tick(8)}`), 7)
  assert.equal(firstTick('34.5\r\nLB tiLB tick 12 3.0\r\n'), 12)
  assert.equal(firstTick('LB ready 1 MiB\r\n'), undefined)
  assert.equal(firstTick(''), undefined)
})

const sum = (digit: string): string => digit.repeat(64)

test('a disk that is read as the same each time is counted; one that is not, is damage', () => {
  const judge = new LifeJudge()
  judge.read(`LB disk vda ${sum('a')}\nLB disk vdb ${sum('b')}\n`, 0)
  judge.read(`LB tick 1 1.00\nLB disk vda ${sum('a')}\r\nLB written vda 7\n`, 1_000)
  const { verdict, disks, errors } = judge.report(1_000, 0)
  assert.equal(verdict, 'alive')
  assert.deepEqual(
    [...disks],
    [
      ['vda', { sha256: sum('a'), readings: 2, written: 7 }],
      ['vdb', { sha256: sum('b'), readings: 1, written: 0 }],
    ],
  )
  assert.deepEqual(errors, [])
  judge.read(`LB disk vdb ${sum('c')}\n`, 2_000)
  const after = judge.report(2_000, 0)
  assert.equal(after.verdict, 'damaged')
  assert.deepEqual(after.errors, ['vdb was read as bbbbbbbbbbbb before, and as cccccccccccc now'])
  assert.equal(after.disks.get('vdb')?.readings, 1)
})

test('what the guest itself reports as an error is damage; of many, a few are kept', () => {
  const judge = new LifeJudge()
  judge.read('LB tick 1 1.00\n' + 'LB error vda block 3 is not what was written\n'.repeat(50), 0)
  const { verdict, errors } = judge.report(0, 0)
  assert.equal(verdict, 'damaged')
  assert.equal(errors.length, 5)
  assert.equal(errors[0], 'vda block 3 is not what was written')
})
