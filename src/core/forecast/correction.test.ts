import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { type Correction, factorsAt, markPassed, marks, quantile, uncorrected, withRatio } from './correction.ts'

const after = (...ratios: readonly number[]): Correction =>
  ratios.reduce((correction, ratio) => withRatio(correction, 0, ratio), uncorrected)

test('before anything was seen the forecast stands, and its p90 leaves some room', () => {
  for (const mark of marks) {
    const { p50, p90 } = factorsAt(uncorrected, mark)
    assert.ok(p50 > 0.95 && p50 < 1.1, `${p50}`)
    assert.ok(p90 >= 1.1 && p90 <= 1.5, `${p90}`)
  }
})

test('where all takes half as long again, the next forecast says so after some', () => {
  const always = after(...Array.from({ length: 12 }, () => 1.5))
  assert.equal(factorsAt(always, 0).p50, 1.5)
  assert.equal(factorsAt(always, 50).p50, factorsAt(uncorrected, 50).p50, 'each mark by itself')
})

test('one that went wrong moves p90, and hardly p50', () => {
  const before = factorsAt(after(...Array.from({ length: 9 }, () => 1)), 0)
  const { p50, p90 } = factorsAt(after(...Array.from({ length: 9 }, () => 1), 8, 8), 0)
  assert.ok(Math.abs(p50 - before.p50) < 0.05)
  assert.ok(p90 > before.p90 * 2)
})

test('of many the last 48 are kept; what was long ago is forgotten', () => {
  const { [0]: kept } = after(...Array.from({ length: 100 }, () => 3), ...Array.from({ length: 48 }, () => 1))
  assert.equal(kept.length, 48)
  assert.ok(kept.every(ratio => ratio === 1))
})

test('total: ratios that are no numbers teach nothing, and an outage does not unsettle everything', () => {
  for (const ratio of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0])
    assert.equal(withRatio(uncorrected, 10, ratio), uncorrected)
  assert.deepEqual(withRatio(uncorrected, 10, 1e9)[10], [20])
  assert.deepEqual(withRatio(uncorrected, 10, 1e-9)[10], [0.05])
})

test('p50 is never above p90, and nine in ten of what was seen often enough are within p90', () => {
  const arb = fc.array(fc.double({ min: 0.06, max: 19, noNaN: true }), { minLength: 48, maxLength: 48 })
  fc.assert(
    fc.property(arb, ratios => {
      const { p50, p90 } = factorsAt(after(...ratios), 0)
      assert.ok(p50 <= p90)
      assert.ok(ratios.filter(ratio => ratio <= p90).length >= 48 * 0.85)
    }),
    runs(300),
  )
})

test('a quantile lies between its ranks', () => {
  assert.equal(quantile([1, 2, 3], 0.5), 2)
  assert.equal(quantile([1, 2], 0.5), 1.5)
  assert.equal(quantile([7], 0.9), 7)
})

test('a mark is passed when so much is done', () => {
  assert.deepEqual([0, 0.09, 0.1, 0.49, 0.5, 0.9, 1, Number.NaN].map(markPassed), [0, 0, 10, 10, 50, 90, 90, 0])
})
