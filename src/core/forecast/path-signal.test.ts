import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { instant } from '../instant.ts'
import { fraction, ms } from '../units.ts'
import { fullness, losesMore, type PathSignal } from './path-signal.ts'

const signal = (queueing: number, at = 0, loss = 0): PathSignal => ({
  at: instant(at),
  queueing: ms(queueing),
  loss: fraction(loss),
})

test('packets that queue for as long as jitter does not explain say that a path is full, none that it is not', () => {
  assert.equal(fullness(signal(0), instant(0)), 'not full')
  assert.equal(fullness(signal(7.9), instant(0)), 'not full')
  assert.equal(fullness(signal(8), instant(0)), 'full')
  assert.equal(fullness(signal(3_000), instant(0)), 'full')
})

test('losses without a queue do not fill a path: they hold single streams back', () => {
  assert.equal(fullness(signal(0, 0, 0.02), instant(0)), 'not full')
})

test('what nobody looked at, or not in the last ten seconds, is not known', () => {
  assert.equal(fullness(undefined, instant(0)), 'unknown')
  assert.equal(fullness(signal(40, 5_000), instant(15_000)), 'full')
  assert.equal(fullness(signal(40, 5_000), instant(15_001)), 'unknown')
})

test('more is lost than is stated from two hundredths on, and only as long as the signal holds', () => {
  const loses = (loss: number, stated = 0, at = 0) => losesMore(signal(0, at, loss), stated, instant(5_000))
  assert.deepEqual([loses(0.019), loses(0.02), loses(0.05, 0.04), loses(0.07, 0.04)], [false, true, false, true])
  assert.deepEqual(
    [loses(1, 0, -5_001), loses(1, 0, 5_001), losesMore(undefined, 0, instant(0))],
    [false, false, false],
  )
})

test('a signal of a time that is yet to come says nothing: the clock was set back since', () => {
  assert.equal(fullness(signal(40, 5_001), instant(5_000)), 'unknown')
})

test('whatever a signal says, there is an answer, and an old one never says full or not', () => {
  const arbTime = fc.double({ min: -1e15, max: 1e15, noNaN: true })
  const arbQueueing = fc.oneof(
    fc.constantFrom(0, Number.MIN_VALUE, Number.MAX_VALUE),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
  )
  fc.assert(
    fc.property(
      arbTime,
      arbTime,
      arbQueueing,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (at, now, queueing, loss) => {
        const answer = fullness(signal(queueing, at, loss), instant(now))
        if (at > now || now - at > 10_000) assert.equal(answer, 'unknown')
        else assert.equal(answer, queueing >= 8 ? 'full' : 'not full')
      },
    ),
    runs(300),
  )
})
