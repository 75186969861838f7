import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import type { Report, ReportSummary } from '../../core/report/report.ts'
import { noForecasts } from '../../core/report/forecast-errors.ts'
import { interval, rivalsLines } from './rivals-table.ts'

const near = (actual: number | undefined, expected: number, off = 1e-9): void =>
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= off * Math.max(1, Math.abs(expected)),
    `${actual} is not ${expected}`,
  )

/** Share of Student's distribution with `freedom` degrees between −t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
function shareWithin(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom))
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const odd = freedom % 2 === 1
  if (freedom === 1) return (2 * angle) / Math.PI
  let term = odd ? cosine : 1
  let sum = term
  for (let n = odd ? 3 : 2; n <= freedom - 2; n += 2) {
    term *= ((n - 1) / n) * cosine ** 2
    sum += term
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum
}

describe('the interval of a mean', () => {
  test('is what one computes by hand', () => {
    // Mean 2, variance 2, t(1) = 12.706: 12.706 · √(2/2)
    assert.deepEqual(interval([1, 3]), { mean: 2, half: 12.706 })
    // Mean 5, variance 32/7, t(7) = 2.365: 2.365 · √(32/7/8)
    const eight = interval([2, 4, 4, 4, 5, 5, 7, 9])
    assert.equal(eight.mean, 5)
    near(eight.half, 1.787_772, 1e-5)
    // Mean 10, variance 1, t(2) = 4.303: 4.303 / √3
    near(interval([9, 10, 11]).half, 2.484_338, 1e-5)
  })

  test('has no width for one value, and none at all where all are alike', () => {
    assert.deepEqual(interval([7]), { mean: 7, half: undefined })
    assert.deepEqual(interval([7, 7, 7]), { mean: 7, half: 0 })
  })

  for (let n = 2; n <= 31; n += 1) {
    test(`of ${n} values is wide enough for 95 % by Student's distribution`, () => {
      const values = Array.from({ length: n }, (_, at) => at)
      const { mean, half } = interval(values)
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
      near(shareWithin((half ?? 0) / Math.sqrt(variance / n), n - 1), 0.95, 1e-4)
    })
  }

  test('of many values is that of the normal distribution', () => {
    // 0 and 1, fifty of each: variance 25/99, 1.96 · √(25/99/100)
    near(interval(Array.from({ length: 100 }, (_, n) => n % 2)).half, 0.098_494, 1e-5)
  })

  test('moves with its values and grows with their unit', () => {
    const values = fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 2, maxLength: 40 })
    fc.assert(
      fc.property(
        values,
        fc.integer({ min: -1_000, max: 1_000 }),
        fc.integer({ min: 1, max: 100 }),
        (all, by, unit) => {
          const [plain, moved] = [interval(all), interval(all.map(value => value * unit + by))]
          near(moved.mean, plain.mean * unit + by, 1e-6)
          near(moved.half, (plain.half ?? 0) * unit, 1e-6)
        },
      ),
      runs(200),
    )
  })
})

describe('rivals side by side', () => {
  const summary: ReportSummary = {
    vms: 10,
    safe: 8,
    left: 2,
    saved: 0,
    stopped: 0,
    uncertain: 0,
    lost: 0,
    inDanger: 0,
    value: 30,
    valueSafe: 26,
    makespanMs: 185_000,
    meanDurationMs: 9_640,
    p95DurationMs: 21_000,
    meanCompletionMs: 93_000,
    maxDowntimeMs: 420,
    bytesSent: 3 * 2 ** 30,
    bytesNeeded: 2 * 2 ** 30,
    bounds: { makespanMs: 100_000, meanDurationMs: 5_000, meanCompletionMs: 50_000, maxSafe: 10 },
    j: 1.234,
  }
  const report = (change: Partial<ReportSummary> = {}): Report => ({
    evacuation: 'sim-1',
    policy: 'sequential',
    world: 'simulated',
    seed: 1,
    summary: { ...summary, ...change },
    vms: [],
    forecasts: noForecasts,
  })
  /** The cells of a row, by the titles of their columns: columns are two spaces apart, cells within never. */
  function cellsOf(reports: readonly Report[]): Readonly<Record<string, string>> {
    const [titles = '', row = ''] = rivalsLines([{ policy: 'p', reports }])
    const cells = row.split(/ {2,}/)
    return Object.fromEntries(titles.split(/ {2,}/).map((title, n) => [title, cells[n] ?? '']))
  }

  test('read like this', () => {
    assert.deepEqual(
      rivalsLines([
        { policy: 'sequential', reports: [report()] },
        {
          policy: 'oracle (bound)',
          reports: [report({ safe: 10, p95DurationMs: null, maxDowntimeMs: null, j: 1, bytesSent: 2 * 2 ** 30 })],
        },
      ]),
      [
        'policy          safe  value    makespan  mean duration     p95  mean completion     J      sent  per needed  max downtime',
        'sequential         8     26  3 min 05 s          9.6 s  21.0 s       1 min 33 s  1.23  3.00 GiB        1.50        420 ms',
        'oracle (bound)    10     26  3 min 05 s          9.6 s       –       1 min 33 s  1.00  2.00 GiB        1.00             –',
      ],
    )
  })

  test('of a single run are its own numbers, without an interval', () => {
    const cells = cellsOf([report()])
    assert.deepEqual(cells, {
      policy: 'p',
      safe: '8',
      value: '26',
      makespan: '3 min 05 s',
      'mean duration': '9.6 s',
      p95: '21.0 s',
      'mean completion': '1 min 33 s',
      J: '1.23',
      sent: '3.00 GiB',
      'per needed': '1.50',
      'max downtime': '420 ms',
    })
  })

  test('of several runs are the mean and its interval, each in its unit', () => {
    const cells = cellsOf([
      report({ safe: 8, makespanMs: 100_000, j: 1, bytesSent: 2 ** 31 }),
      report({ safe: 9, makespanMs: 110_000, j: 1.5, bytesSent: 2 ** 31 }),
      report({ safe: 9, makespanMs: 120_000, j: 2, bytesSent: 2 ** 31 }),
    ])
    // 26/3 ± 4.303 · √(1/9); 110 s ± 4.303 · 10 s / √3; 1.5 ± 4.303 · 0.5 / √3
    assert.equal(cells['safe'], '8.7 ± 1.4')
    assert.equal(cells['makespan'], '1 min 50 s ± 24.8 s')
    assert.equal(cells['J'], '1.50 ± 1.24')
    assert.equal(cells['sent'], '2.00 GiB ± 0 B')
    assert.equal(cells['value'], '26 ± 0')
  })

  test('have a dash for what no run has', () => {
    const nothing = {
      makespanMs: null,
      meanDurationMs: null,
      p95DurationMs: null,
      meanCompletionMs: null,
      maxDowntimeMs: null,
    }
    const none = report({ ...nothing, safe: 0, valueSafe: 0, j: null, bytesSent: 0, bytesNeeded: 0 })
    for (const reports of [[none], [none, none]]) {
      const cells = cellsOf(reports)
      for (const title of ['makespan', 'mean duration', 'p95', 'mean completion', 'J', 'per needed', 'max downtime'])
        assert.equal(cells[title], '–', title)
    }
    assert.equal(cellsOf([])['safe'], '–')
  })

  test('are means over the runs that have a value', () => {
    const cells = cellsOf([
      report({ makespanMs: 100_000 }),
      report({ makespanMs: null }),
      report({ makespanMs: 100_000 }),
    ])
    assert.equal(cells['makespan'], '1 min 40 s ± 0 ms')
  })

  test('that are nobody are the titles alone', () => {
    assert.equal(rivalsLines([]).length, 1)
  })

  test('never show what is no number, whatever the reports say', () => {
    const arbTime = fc.option(fc.nat({ max: 200_000_000 }))
    const arbReport = fc
      .record({
        safe: fc.nat({ max: 1_000 }),
        makespanMs: arbTime,
        meanDurationMs: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true })),
        p95DurationMs: arbTime,
        maxDowntimeMs: arbTime,
        bytesSent: fc.maxSafeInteger().map(Math.abs),
        bytesNeeded: fc.oneof(fc.constant(0), fc.integer({ min: 1 }).map(Math.abs)),
        j: fc.option(fc.double({ min: 1, max: 1_000, noNaN: true })),
      })
      .map(report)
    fc.assert(
      fc.property(fc.array(fc.array(arbReport, { maxLength: 40 }), { maxLength: 4 }), all => {
        const lines = rivalsLines(all.map((reports, n) => ({ policy: `policy-${n}`, reports })))
        assert.equal(lines.length, all.length + 1)
        assert.doesNotMatch(lines.join('\n'), /undefined|NaN|Infinity|null/)
      }),
      runs(100),
    )
  })
})
