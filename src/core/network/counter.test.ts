import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { absurdRate, growth } from './counter.ts'

const gigabit = 1e9 / 8

describe('a counter', () => {
  test('grows', () => {
    assert.deepEqual(growth(100, 1_100, 1_000, gigabit), { kind: 'grew', by: 1_000, wrapped: undefined })
    assert.deepEqual(growth(5, 5, 1_000, undefined), { kind: 'grew', by: 0, wrapped: undefined })
  })

  test('of 32 bits wraps', () => {
    assert.deepEqual(growth(2 ** 32 - 1_000, 500, 1_000, undefined), { kind: 'grew', by: 1_500, wrapped: 32 })
  })

  test('of 64 bits wraps', () => {
    const near = 2 ** 64 - 4_096 * 1_000
    assert.deepEqual(growth(near, 4_096, 1_000, undefined), { kind: 'grew', by: 4_096 * 1_001, wrapped: 64 })
  })

  test('that begins again is not a wrap: the interval is lost, nothing is invented', () => {
    assert.deepEqual(growth(2 ** 31, 700, 1_000, gigabit), { kind: 'dropped', why: 'counter-reset' })
    assert.deepEqual(growth(8e12, 0, 1_000, undefined), { kind: 'dropped', why: 'counter-reset' })
  })

  test('faster than its link, or than any link, is not believed', () => {
    assert.deepEqual(growth(0, 2 * gigabit, 1_000, gigabit), { kind: 'dropped', why: 'absurd-rate' })
    assert.deepEqual(growth(0, 2 * absurdRate, 1_000, undefined), { kind: 'dropped', why: 'absurd-rate' })
    assert.equal(growth(0, 1.2 * gigabit, 1_000, gigabit).kind, 'grew', 'clock and counter are not read at one instant')
  })

  test('of a link whose driver calls its speed 0, less or nothing is one whose speed is not known', () => {
    for (const speed of [0, -1, Number.NaN])
      assert.deepEqual(growth(7, 8, 1_000, speed), { kind: 'grew', by: 1, wrapped: undefined })
  })

  test('whatever it holds, what comes out is a number of bytes that the link can carry, or a reason', () => {
    const anything = fc.oneof(
      fc.double(),
      fc.nat(),
      fc.constantFrom(2 ** 32, 2 ** 64, -1, Number.NaN, Number.POSITIVE_INFINITY),
    )
    fc.assert(
      fc.property(anything, anything, anything, fc.option(anything, { nil: undefined }), (before, now, span, speed) => {
        const found = growth(before, now, span, speed)
        if (found.kind === 'dropped') return
        assert.ok(Number.isFinite(found.by) && found.by >= 0)
        assert.ok((found.by / span) * 1000 <= 1.25001 * (speed !== undefined && speed > 0 ? speed : absurdRate))
      }),
      runs(2_000),
    )
  })
})
