import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { sparkline } from './sparkline.ts'
import { widthOf } from './table.ts'

describe('a small line', () => {
  test('rises from an empty to a full block', () => {
    assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 10), '▁▂▃▄▅▆▇█')
    assert.equal(sparkline([1, 2], 10, 8), '▂▃', 'against what fits, where that is known')
    assert.equal(sparkline([8, 16], 10, 8), '▅█', 'more than was thought to fit is the full block')
  })

  test('has a dot where nothing is known, and a low line where nothing flows', () => {
    assert.equal(sparkline([undefined, 0, Number.NaN], 10), '·▁·')
    assert.equal(sparkline([], 10), '')
    assert.equal(sparkline([0, 0], 10, 0), '▁▁')
  })

  test('that is too long keeps its peaks', () => {
    assert.equal(sparkline([0, 0, 7, 0, undefined, undefined], 3), '▁█·')
  })

  test('is never wider than asked', () => {
    const value = fc.option(fc.double({ min: 0 }), { nil: undefined })
    fc.assert(
      fc.property(fc.array(value, { maxLength: 200 }), fc.integer({ min: 1, max: 60 }), (values, width) => {
        assert.equal(widthOf(sparkline(values, width)), Math.min(width, values.length))
      }),
      runs(300),
    )
  })
})
