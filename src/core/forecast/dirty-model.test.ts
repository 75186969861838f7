import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { instant } from '../instant.ts'
import type { DirtyModel } from '../inventory/vm.ts'
import { dirtiedWithin } from '../sim/physics/guest-memory.ts'
import { bytes, bytesPerSecond, ms } from '../units.ts'
import { dirtiedAfter, type DirtyLearner, learn, type PassSample, unlearned } from './dirty-model.ts'

const MiB = 1_048_576
const model = (hotMiB: number, period: number, cold: number): DirtyModel => ({
  hot: bytes(Math.round(hotMiB * MiB)),
  period: ms(period),
  cold: bytesPerSecond(cold),
})
const aSample = (change: Partial<PassSample> = {}): PassSample => ({
  round: 1,
  sent: 0,
  remaining: 1024 * MiB,
  total: 1024 * MiB,
  zero: 0,
  dirtyRate: undefined,
  throttle: 0,
  ...change,
})

interface Guest {
  readonly dirty: DirtyModel
  readonly used: number
  readonly rate: number
  readonly throttle?: number
}

/** The simulator's guest, sent pass by pass, as its hypervisor would tell of it: at each end of a pass, and never in between. */
function watched({ dirty, used, rate, throttle = 0 }: Guest, prior: DirtyModel | undefined, passes = 6): DirtyLearner {
  let learner = unlearned(prior, instant(0))
  let now = 0
  let remaining = used
  const tell = (round: number, dirtyRate: number | undefined): void => {
    learner = learn(learner, aSample({ round, remaining, total: used, dirtyRate, throttle }), instant(now))
  }
  tell(1, undefined)
  for (let round = 1; round <= passes && remaining > 0; round += 1) {
    const lasts = (remaining / rate) * 1000
    now += lasts
    remaining = dirtiedWithin({ dirty, used, diskUsed: 0, diskWrites: 0, throttle }, lasts)
    tell(round + 1, lasts > 0 ? (remaining / lasts) * 1000 : 0)
  }
  return learner
}

/** Guests write whole pages. */
const fewPages = 64 * 1024
const near = (found: number, truth: number, share: number, what: string): void =>
  assert.ok(Math.abs(found - truth) <= Math.max(share * truth, fewPages), `${what}: ${found}, in truth ${truth}`)

test('before a pass has ended, what was measured or stated before stands', () => {
  const prior = model(16, 2_000, 100_000)
  assert.deepEqual(unlearned(prior, instant(0)).model, prior)
  const learner = learn(unlearned(prior, instant(0)), aSample(), instant(1_000))
  assert.deepEqual(learner.model, prior)
  assert.equal(learn(unlearned(undefined, instant(0)), aSample(), instant(1_000)).model, undefined)
})

test('a hot set of 16 MiB every 5 s is found from passes of both sides of 5 s', () => {
  const { model: found } = watched({ dirty: model(16, 5_000, 0), used: 1024 * MiB, rate: 12 * MiB }, undefined)
  assert.ok(found !== undefined)
  near(found.hot, 16 * MiB, 0.1, 'hot')
  near(found.period, 5_000, 0.25, 'period')
  near(found.cold, 0, 0.1, 'cold')
})

test('a guest that only writes cold is not taken for one with a hot set: longer passes leave more', () => {
  const { model: found } = watched({ dirty: model(0, 1_000, 2 * MiB), used: 1024 * MiB, rate: 12 * MiB }, undefined)
  assert.ok(found !== undefined)
  for (const after of [1, 10, 80]) near(dirtiedAfter(found, after), 2 * MiB * after, 0.1, `after ${after} s`)
})

test('what passes cannot show is taken from what was thought before', () => {
  // One pass of 80 s: a hot set of 16 MiB is seen, how fast it is rewritten is not.
  const { model: found } = watched(
    { dirty: model(16, 5_000, 0), used: 1024 * MiB, rate: 12 * MiB },
    model(8, 5_000, 0),
    1,
  )
  assert.ok(found !== undefined)
  near(found.period, 5_000, 0.3, 'period')
  near(dirtiedAfter(found, 85), 16 * MiB, 0.1, 'after 85 s')
})

test('a throttled guest is learned as it would be awake', () => {
  const dirty = model(64, 4_000, 1 * MiB)
  const { model: found } = watched({ dirty, used: 1024 * MiB, rate: 40 * MiB, throttle: 0.5 }, undefined)
  assert.ok(found !== undefined)
  near(dirtiedAfter(found, 2), dirtiedAfter(dirty, 2), 0.15, 'after 2 s awake')
})

test('a guest that changes is followed: passes long ago count less', () => {
  let learner = watched({ dirty: model(4, 1_000, 0), used: 1024 * MiB, rate: 12 * MiB }, undefined, 3)
  let now = 200_000
  for (let round = 5; round < 15; round += 1) {
    now += 4_000
    const rate = 32 * MiB
    learner = learn(learner, aSample({ round, remaining: rate * 4, dirtyRate: rate }), instant(now))
  }
  assert.ok(learner.model !== undefined)
  near(dirtiedAfter(learner.model, 4), 128 * MiB, 0.2, 'after 4 s')
})

test('where passes have been, what is learned says within 10 % what the simulated guest does, whatever was thought before', () => {
  const arbGuest = fc
    .record({
      used: fc.integer({ min: 64, max: 16_384 }),
      firstPass: fc.double({ min: 8, max: 600, noNaN: true }),
      period: fc.integer({ min: 500, max: 30_000 }),
      hotShare: fc.double({ min: 0.01, max: 0.4, noNaN: true }),
      coldShare: fc.double({ min: 0, max: 0.2, noNaN: true }),
      wrong: fc.option(fc.constantFrom(0.2, 1, 5), { nil: undefined }),
    })
    .map(({ used, firstPass, period, hotShare, coldShare, wrong }) => {
      const rate = (used * MiB) / firstPass
      const hot = Math.min(used * 0.4, (hotShare * rate * period) / 1000 / MiB)
      const dirty = model(hot, period, coldShare * rate)
      const prior =
        wrong === undefined ? undefined : model(Math.min(used, hot * wrong), period, coldShare * rate * wrong)
      return { guest: { dirty, used: used * MiB, rate }, prior }
    })
  fc.assert(
    fc.property(arbGuest, ({ guest, prior }) => {
      const learner = watched(guest, prior, 5)
      const { model: found } = learner
      assert.ok(found !== undefined)
      for (const { awake, dirtied } of learner.passes.slice(-3))
        near(dirtiedAfter(found, awake), dirtied, 0.1, `after ${awake} s`)
    }),
    runs(500),
  )
})

const hostile = fc.oneof(
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 0, 1e308, 5e-324),
  fc.double(),
  fc.integer(),
)

test('total: whatever a hypervisor says, there is a model or none, and never a number that is none', () => {
  const arbSample = fc.record({
    round: fc.oneof(fc.integer({ min: 0, max: 40 }), hostile),
    sent: hostile,
    remaining: hostile,
    total: fc.oneof(fc.constant(1024 * MiB), hostile),
    zero: hostile,
    dirtyRate: fc.oneof(fc.constant(undefined), hostile),
    throttle: fc.oneof(fc.constantFrom(0, 0.2, 0.99), hostile),
  })
  fc.assert(
    fc.property(fc.array(fc.tuple(arbSample, fc.integer({ min: 0, max: 1e7 })), { maxLength: 30 }), samples => {
      let learner = unlearned(undefined, instant(0))
      let now = 0
      for (const [sample, after] of samples) {
        now += after
        learner = learn(learner, sample, instant(now))
        assert.ok(learner.passes.length <= 12)
        assert.ok(learner.wire >= 0.05 && learner.wire <= 1.5)
        const { model: found } = learner
        if (found === undefined) continue
        for (const part of [found.hot, found.period, found.cold]) assert.ok(Number.isFinite(part) && part >= 0)
      }
    }),
    runs(1_000),
  )
})

test('a pass backwards, and a sample of the same pass, change nothing that was learned', () => {
  const learner = watched({ dirty: model(16, 5_000, 0), used: 1024 * MiB, rate: 12 * MiB }, undefined)
  assert.equal(learn(learner, aSample({ round: 1 }), instant(9e6)), learner)
  assert.equal(learn(learner, aSample({ round: learner.round }), instant(9e6)), learner)
})

test('the first pass tells how many bytes on the wire one of memory takes: compression, and zero pages that cost nothing', () => {
  const began = unlearned(undefined, instant(0))
  const half = aSample({ sent: 63 * MiB, remaining: 512 * MiB, zero: 412 * MiB })
  assert.equal(Number(learn(began, half, instant(1_000)).wire.toFixed(2)), 0.63)
  assert.equal(learn(began, aSample({ sent: 3 * MiB, remaining: 1022 * MiB }), instant(1_000)).wire, 1, 'too little')
})
