import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { instant } from '../instant.ts'
import { observe, type PathEstimate, type PathObservation, unobserved } from './path-capacity.ts'

type Look = readonly [at: number, goodput: number, greedy?: 'held back']

const observation = ([at, goodput, greedy]: Look): PathObservation => ({
  at: instant(at * 1000),
  goodput,
  flows: 1,
  fastest: goodput,
  greedy: greedy === undefined,
})
const after = (known: number | undefined, ...looks: readonly Look[]): PathEstimate =>
  looks.reduce((estimate, look) => observe(estimate, observation(look)), unobserved(known))
const capacity = (known: number | undefined, ...looks: readonly Look[]): number | undefined =>
  after(known, ...looks).capacity

/** A look each second at a path that a flow without a cap fills. */
const greedily = (from: number, lasts: number, rate: number): readonly Look[] =>
  Array.from({ length: lasts }, (_, n): Look => [from + n, rate])

const arbLooks = fc
  .array(
    fc.record({
      after: fc.constantFrom(0, 1, 1, 1, 2, 5, 15),
      goodput: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e10, noNaN: true })),
      greedy: fc.boolean(),
    }),
    { maxLength: 40 },
  )
  .map(steps => {
    let now = 0
    return steps.map((step): Look => {
      now += step.after
      return step.greedy ? [now, step.goodput] : [now, step.goodput, 'held back']
    })
  })
const arbKnown = fc.option(fc.double({ min: 0, max: 1e10, noNaN: true }), { nil: undefined })

describe('what a path is thought to carry', () => {
  test('before anything was seen, what the inventory says; where it says nothing, nothing', () => {
    assert.equal(unobserved(100).capacity, 100)
    assert.equal(unobserved(undefined).capacity, undefined)
  })

  test('what is known holds until it was contradicted twice in a row', () => {
    assert.equal(capacity(100, [0, 40]), 100)
    assert.equal(capacity(100, [0, 40], [1, 40]), 40)
    assert.equal(capacity(100, [0, 40], [1, 95], [2, 40]), 100)
    assert.equal(capacity(100, [0, 40], [1, 95], [2, 40], [3, 40]), 40)
  })

  test('of two shortfalls the better one is believed: rates lag behind a rise and behind a start', () => {
    assert.equal(capacity(100, [0, 30], [1, 60]), 60)
    assert.equal(capacity(100, [0, 60], [1, 30]), 60)
  })

  test('a little less than was thought is no shortfall: rates are averages', () => {
    assert.equal(capacity(100, ...greedily(0, 10, 86)), 100)
    assert.equal(capacity(100, ...greedily(0, 10, 84)), 84)
  })

  test('what our own caps hold back says nothing of the path, and takes back the first of two shortfalls', () => {
    assert.equal(capacity(100, [0, 5, 'held back'], [1, 5, 'held back'], [2, 5, 'held back']), 100)
    assert.equal(capacity(100, [0, 40], [1, 5, 'held back'], [2, 40]), 100)
  })

  test('more than was thought is believed at once, from whomever it comes', () => {
    assert.equal(capacity(100, [0, 130]), 130)
    assert.equal(capacity(100, [0, 130, 'held back']), 130)
    assert.equal(capacity(100, [0, 40], [1, 130]), 130)
  })

  test('where nothing is known, the most of the last ten seconds, once something flows that nothing of ours holds back', () => {
    assert.equal(capacity(undefined, [0, 70, 'held back']), undefined)
    assert.equal(capacity(undefined, [0, 70, 'held back'], [10, 50]), 70)
    assert.equal(capacity(undefined, [0, 70, 'held back'], [11, 50]), 50)
    assert.equal(capacity(undefined, [0, 0], [1, 0]), undefined)
  })

  test('nothing is remembered for longer than ten seconds, and looks without number do not pile up', () => {
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        const { seen } = after(known, ...looks)
        const last = seen.at(-1)?.at ?? 0
        for (const { at } of seen) assert.ok(last - at <= 10_000)
      }),
      runs(300),
    )
    assert.ok(after(100, ...greedily(0, 1_000, 100)).seen.length <= 11)
  })

  test('whatever is seen, a capacity is a number, is never below zero, and is either thought before or was seen', () => {
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const [n, look] of looks.entries()) {
          const before = estimate
          estimate = observe(before, observation(look))
          if (estimate.capacity === undefined) {
            assert.equal(before.capacity, undefined, 'what was known is not forgotten')
            continue
          }
          assert.ok(Number.isFinite(estimate.capacity) && estimate.capacity >= 0)
          const goodputs = looks.slice(0, n + 1).map(([, goodput]) => goodput)
          assert.ok(estimate.capacity === before.capacity || goodputs.includes(estimate.capacity))
          assert.ok(estimate.capacity >= look[1] || before.capacity === undefined || look[2] === undefined)
        }
      }),
      runs(500),
    )
  })

  test('it is never below what went through just now, where something is known', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e10, noNaN: true }), arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const look of looks) {
          estimate = observe(estimate, observation(look))
          assert.ok((estimate.capacity ?? 0) >= look[1], `${estimate.capacity} when ${look[1]} went through`)
        }
      }),
      runs(300),
    )
  })

  test('it falls only with the second of two looks at a flow without a cap', () => {
    let fallen = 0
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const [n, look] of looks.entries()) {
          const before = estimate
          estimate = observe(before, observation(look))
          if ((estimate.capacity ?? Infinity) >= (before.capacity ?? 0)) continue
          fallen += 1
          assert.ok(n > 0 && look[2] === undefined && looks[n - 1]?.[2] === undefined)
        }
      }),
      runs(300),
    )
    assert.ok(fallen > 50, `it fell ${fallen} times`)
  })

  test('after any step, down or up, two looks are enough; and after the next step again', () => {
    const arbRate = fc.double({ min: 1e3, max: 1e10, noNaN: true })
    fc.assert(
      fc.property(arbKnown, fc.array(arbRate, { minLength: 1, maxLength: 8 }), (known, capacities) => {
        let estimate = unobserved(known)
        for (const [n, each] of capacities.entries()) {
          for (const look of greedily(n * 30, 2, each)) estimate = observe(estimate, observation(look))
          const { capacity: thought = 0 } = estimate
          // Less than 15 % below is not told from the lag of an average.
          assert.ok(thought >= each && each >= thought * 0.85, `${thought} thought, ${each} there`)
        }
      }),
      runs(500),
    )
  })

  test('nothing at all through a path is seen like any drop, and its end at once', () => {
    assert.equal(capacity(100, [0, 100], [1, 0], [2, 0]), 0)
    assert.equal(capacity(100, [0, 100], [1, 0], [2, 0], [3, 0], [4, 1], [5, 80]), 80)
  })

  test('a look changes no estimate made before it', () => {
    const before = after(100, [0, 40])
    const copy = structuredClone(before)
    observe(before, observation([1, 30]))
    observe(before, observation([1, 300]))
    assert.deepEqual(before, copy)
  })
})
