import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { between, instant, latest, plus } from './instant.ts'
import { ms } from './units.ts'

const arbInstant = fc.integer({ min: -(2 ** 50), max: 2 ** 50 }).map(instant)
const arbSpan = fc.integer({ min: 0, max: 2 ** 50 }).map(ms)

test('the time between an instant and a later one is what was added', () => {
  fc.assert(
    fc.property(arbInstant, arbSpan, (at, span) => assert.equal(between(at, plus(at, span)), span)),
    runs(500),
  )
})

test('the time between two instants the wrong way round is none, never negative', () => {
  fc.assert(
    fc.property(arbInstant, arbInstant, (a, b) => {
      assert.equal(between(a, b), Math.max(0, b - a))
      assert.equal(Math.min(between(a, b), between(b, a)), 0)
    }),
    runs(500),
  )
})

test('the latest of two instants is not before either', () => {
  fc.assert(
    fc.property(arbInstant, arbInstant, (a, b) => {
      const last = latest(a, b)
      assert.ok(last >= a && last >= b && (last === a || last === b))
    }),
    runs(500),
  )
})

test('an instant may be before the epoch and fractional, but is finite', () => {
  assert.equal(instant(-1.5), -1.5)
  for (const n of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    assert.throws(() => instant(n), RangeError)
})
