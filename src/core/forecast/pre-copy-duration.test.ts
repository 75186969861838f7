import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import type { DirtyModel } from '../inventory/vm.ts'
import { bytes, bytesPerSecond, ms } from '../units.ts'
import { preCopyDuration, preCopyRemaining } from './pre-copy-duration.ts'

const MB = 1_000_000
const limit = ms(300)

const dirtyOf = (hot: number, period: number, cold: number): DirtyModel => ({
  hot: bytes(Math.round(hot)),
  period: ms(period),
  cold: bytesPerSecond(cold),
})

/**
 * The same guest, sent round by round, in seconds: each round sends what the last one left dirty; meanwhile the hot set is rewritten
 * evenly once a period, and other pages are dirtied at the cold rate. When what is left fits into the downtime allowed, the guest
 * stops and that is sent too. Knows nothing of geometric series.
 */
function simulate(needed: number, dirty: DirtyModel, rate: number, maxDowntime: number): number {
  const period = dirty.period / 1000
  let left = needed
  let elapsed = 0
  for (let round = 0; round < 5_000; round += 1) {
    const took = left / rate
    elapsed += took
    left = Math.min(dirty.hot, (dirty.hot / period) * took) + Math.min(needed - dirty.hot, dirty.cold * took)
    if (left / rate <= maxDowntime / 1000) return (elapsed + left / rate) * 1000
  }
  return Number.POSITIVE_INFINITY
}

/** Guests as shares of what the path carries, so that each part of the range is met whatever the rate. */
const arbGuest = (hottest: number, coldest: number) =>
  fc
    .record({
      rate: fc.integer({ min: 2 * MB, max: 1_250 * MB }),
      firstPass: fc.double({ min: 5, max: 600, noNaN: true }),
      period: fc.integer({ min: 500, max: 120_000 }),
      hotShare: fc.double({ min: 0, max: hottest, noNaN: true }),
      coldShare: fc.double({ min: 0, max: coldest, noNaN: true }),
    })
    .map(({ rate, firstPass, period, hotShare, coldShare }) => {
      const needed = bytes(Math.round(rate * firstPass))
      const hot = Math.min(0.5 * needed, hotShare * rate * (period / 1000))
      return { needed, rate, dirty: dirtyOf(hot, period, coldShare * rate) }
    })

test('a guest that writes nothing takes its size over the rate', () => {
  assert.equal(preCopyDuration(bytes(100 * MB), undefined, bytesPerSecond(10 * MB), limit), 10_000)
  assert.equal(preCopyDuration(bytes(100 * MB), dirtyOf(0, 1_000, 0), bytesPerSecond(10 * MB), limit), 10_000)
})

test('nothing takes no time, something at rate 0 takes for ever', () => {
  const dirty = dirtyOf(10 * MB, 1_000, 0)
  assert.equal(preCopyDuration(bytes(0), undefined, bytesPerSecond(0), limit), 0)
  assert.equal(preCopyDuration(bytes(0), dirty, bytesPerSecond(0), limit), 0)
  assert.equal(preCopyDuration(bytes(1), undefined, bytesPerSecond(0), limit), Number.POSITIVE_INFINITY)
})

test('a hot set rewritten as fast as it is sent, and too large for the downtime, never ends', () => {
  const dirty = dirtyOf(10 * MB, 1_000, 0)
  assert.equal(preCopyDuration(bytes(100 * MB), dirty, 10 * MB, limit), Number.POSITIVE_INFINITY)
  assert.equal(preCopyDuration(bytes(100 * MB), dirty, 9 * MB, limit), Number.POSITIVE_INFINITY)
  assert.ok(Number.isFinite(preCopyDuration(bytes(100 * MB), dirty, 11 * MB, limit)))
})

test('a hot set that fits into the downtime does not keep a guest from moving, however fast it is rewritten', () => {
  const dirty = dirtyOf(2 * MB, 10, 0)
  const took = preCopyDuration(bytes(100 * MB), dirty, 10 * MB, limit)
  assert.ok(took >= 10_000 && took <= 10_000 + 2 * 200, `${took}`)
  assert.equal(preCopyDuration(bytes(100 * MB), dirty, 10 * MB, ms(100)), Number.POSITIVE_INFINITY)
})

test('a cold rate as high as the rate never ends', () => {
  for (const cold of [10 * MB, 11 * MB])
    assert.equal(preCopyDuration(bytes(100 * MB), dirtyOf(0, 1_000, cold), 10 * MB, limit), Number.POSITIVE_INFINITY)
})

test('a hot set and no cold writes: within 10 % of the simulation, round by round', () => {
  fc.assert(
    fc.property(arbGuest(0.5, 0), ({ needed, rate, dirty }) => {
      const simulated = simulate(needed, dirty, rate, limit)
      const forecast = preCopyDuration(needed, dirty, rate, limit)
      assert.ok(Math.abs(forecast / simulated - 1) < 0.1, `forecast ${forecast}, simulated ${simulated}`)
    }),
    runs(2_000),
  )
})

test('cold writes and no hot set: within 5 % of the simulation, whatever period stands beside a hot set of nothing', () => {
  const near = (needed: number, dirty: DirtyModel, rate: number): void => {
    const simulated = simulate(needed, dirty, rate, limit)
    const forecast = preCopyDuration(bytes(needed), dirty, rate, limit)
    assert.ok(Math.abs(forecast / simulated - 1) < 0.05, `forecast ${forecast}, simulated ${simulated}`)
  }
  // 500 MB at 10 MB/s while 8 MB/s are dirtied: 500 / (10 − 8) = 250 s, not 50.
  near(500 * MB, dirtyOf(0, 60_000, 8 * MB), 10 * MB)
  fc.assert(
    fc.property(arbGuest(0, 0.5), ({ needed, rate, dirty }) => near(needed, dirty, rate)),
    runs(2_000),
  )
})

test('a hot set and cold writes: within 20 % of the simulation', () => {
  fc.assert(
    fc.property(arbGuest(0.3, 0.2), ({ needed, rate, dirty }) => {
      const simulated = simulate(needed, dirty, rate, limit)
      const forecast = preCopyDuration(needed, dirty, rate, limit)
      assert.ok(Math.abs(forecast / simulated - 1) < 0.2, `forecast ${forecast}, simulated ${simulated}`)
    }),
    runs(2_000),
  )
})

const arbAny = fc.record({
  needed: fc.integer({ min: 0, max: 100_000 * MB }).map(bytes),
  hot: fc.integer({ min: 0, max: 2_000 * MB }),
  period: fc.integer({ min: 0, max: 120_000 }),
  cold: fc.integer({ min: 0, max: 100 * MB }),
  rate: fc.double({ min: 0, max: 1_250 * MB, noNaN: true }),
  maxDowntime: fc.integer({ min: 0, max: 10_000 }).map(ms),
})

test('the answer is never less than one pass over the guest, and never no number', () => {
  fc.assert(
    fc.property(arbAny, ({ needed, hot, period, cold, rate, maxDowntime }) => {
      const took = preCopyDuration(needed, dirtyOf(hot, period, cold), rate, maxDowntime)
      assert.ok(!Number.isNaN(took) && took >= 0, `${took}`)
      if (needed > 0) assert.ok(took >= (needed / rate) * 1000 * (1 - 1e-9), `${took}`)
    }),
    runs(2_000),
  )
})

test('more rate or a longer downtime is never slower, also where the hot set begins to fit into the downtime', () => {
  // A hot set of 30 MB fits into 300 ms from 100 MB/s on.
  const dirty = dirtyOf(30 * MB, 3_000, 0)
  const at = (rate: number): number => preCopyDuration(bytes(1_000 * MB), dirty, rate, limit)
  assert.ok(at(101 * MB) <= at(99 * MB), `${at(99 * MB)} ms at 99 MB/s, ${at(101 * MB)} ms at 101 MB/s`)
  fc.assert(
    fc.property(arbAny, fc.double({ min: 1, max: 3, noNaN: true }), (guest, faster) => {
      const { needed, hot, period, cold, rate, maxDowntime } = guest
      const model = dirtyOf(hot, period, cold)
      const slow = preCopyDuration(needed, model, rate, maxDowntime)
      const fast = preCopyDuration(needed, model, rate * faster, maxDowntime)
      assert.ok(fast <= slow * (1 + 1e-9), `${slow} at ${rate}, ${fast} at ${rate * faster}`)
      const patient = preCopyDuration(needed, model, rate, ms(maxDowntime * faster))
      assert.ok(
        patient <= slow * (1 + 1e-9),
        `${slow} with ${maxDowntime} ms, ${patient} with ${maxDowntime * faster} ms`,
      )
    }),
    runs(3_000),
  )
})

test('more to send, or more that is dirtied, is never faster', () => {
  fc.assert(
    fc.property(
      arbAny,
      fc.integer({ min: 0, max: 500 * MB }),
      ({ needed, hot, period, cold, rate, maxDowntime }, more) => {
        const took = preCopyDuration(needed, dirtyOf(hot, period, cold), rate, maxDowntime) * (1 - 1e-9)
        assert.ok(preCopyDuration(bytes(needed + more), dirtyOf(hot, period, cold), rate, maxDowntime) >= took)
        assert.ok(preCopyDuration(needed, dirtyOf(hot, period, cold + more), rate, maxDowntime) >= took)
      },
    ),
    runs(2_000),
  )
})

test('from the middle of a pass: what is left of it, and what was written since it began', () => {
  const dirty = dirtyOf(8 * MB, 2_000, 1 * MB)
  // From the beginning it is the whole.
  const whole = preCopyDuration(bytes(100 * MB), dirty, 10 * MB, limit)
  assert.equal(preCopyRemaining({ remaining: 100 * MB, since: 0, all: 100 * MB }, dirty, 10 * MB, limit), whole)
  // At a steady rate the end stays where it is, wherever in the first pass one looks.
  for (const gone of [1, 4, 9.9]) {
    const pass = { remaining: (10 - gone) * 10 * MB, since: gone * 1000, all: 100 * MB }
    const left = preCopyRemaining(pass, dirty, 10 * MB, limit)
    assert.ok(Math.abs(gone * 1000 + left - whole) < 1, `${gone} s gone, ${left} ms left of ${whole}`)
  }
})

test('a short rest of a long pass is not taken for a guest that does not converge', () => {
  const dirty = dirtyOf(8 * MB, 2_000, 0)
  const left = preCopyRemaining({ remaining: 1 * MB, since: 9_900, all: 100 * MB }, dirty, 10 * MB, limit)
  assert.ok(Number.isFinite(left) && left > 900, `${left}`)
})
