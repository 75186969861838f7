import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { vmId } from '../ids.ts'
import { lookAhead, type Queueing } from './outlook.ts'
import type { Errand, Outlook } from './serve.ts'

const exact = { p50: 1, p90: 1 }
const serial: Queueing = { slots: 1, fills: true }
/** So many bytes over ways of such capacities, for a guest that writes nothing. */
const errand = (
  name: string,
  size: number,
  ways: Readonly<Record<string, number>>,
  change: Partial<Errand> = {},
): Errand => ({
  vm: vmId(name),
  crosses: Object.entries(ways).map(([key, capacity]) => ({ key, capacity })),
  most: Number.POSITIVE_INFINITY,
  load: size,
  lasts: rate => (rate > 0 ? (size / rate) * 1000 : Number.POSITIVE_INFINITY),
  factors: exact,
  flows: false,
  ...change,
})
const of = (outlooks: ReadonlyMap<unknown, Outlook>, name: string): Outlook =>
  outlooks.get(vmId(name)) ?? assert.fail(`no outlook for ${name}`)
const ends = (errands: readonly Errand[], queueing: Queueing): readonly (number | undefined)[] => {
  const outlooks = lookAhead(errands, queueing)
  return errands.map(({ vm }) => {
    const end = of(outlooks, vm).end?.p50
    return end === undefined ? undefined : Math.round(end)
  })
}

describe('against closed forms', () => {
  test('one at a time: the sum of all before, and who waits for whom', () => {
    const three = [100, 200, 300].map((size, n) => errand(`v${n}`, size, { p: 100 }))
    const outlooks = lookAhead(three, serial)
    assert.deepEqual(ends(three, serial), [1_000, 3_000, 6_000])
    assert.deepEqual(
      [0, 1, 2].map(n => of(outlooks, `v${n}`).start.p50),
      [0, 1_000, 3_000],
    )
    assert.deepEqual(
      [0, 1, 2].map(n => of(outlooks, `v${n}`).after),
      [undefined, vmId('v0'), vmId('v1')],
    )
  })

  test('all at once: n alike end together, after n times as long; of others the k-th after Σ min(b, bₖ)/B', () => {
    assert.deepEqual(
      ends(
        [1, 2, 3, 4].map(n => errand(`v${n}`, 100, { p: 100 })),
        { slots: Number.POSITIVE_INFINITY, fills: false },
      ),
      [4_000, 4_000, 4_000, 4_000],
    )
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 30 }), sizes => {
        const found = ends(
          sizes.map((size, n) => errand(`v${n}`, size, { p: 100 })),
          { slots: Number.POSITIVE_INFINITY, fills: false },
        )
        for (const [n, size] of sizes.entries()) {
          const shared = sizes.reduce((sum, other) => sum + Math.min(other, size), 0)
          assert.ok(Math.abs((found[n] ?? 0) - shared * 10) <= 1, `${found[n]} for ${shared * 10}`)
        }
      }),
      runs(300),
    )
  })

  test('whatever the order and the number at a time, a full path is empty after all bytes over its capacity', () => {
    const arb = fc.tuple(
      fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 50 }),
      fc.boolean(),
    )
    fc.assert(
      fc.property(arb, ([sizes, slots, fills]) => {
        const found = ends(
          sizes.map((size, n) => errand(`v${n}`, size, { p: 100 })),
          { slots, fills },
        )
        const all = sizes.reduce((a, b) => a + b, 0)
        assert.ok(Math.abs(Math.max(...found.map(end => end ?? 0)) - all * 10) <= 1)
      }),
      runs(300),
    )
  })

  test('a guest that cannot use the whole path leaves room for others, where the policy fills it', () => {
    const four = [1, 2, 3, 4].map(n => errand(`v${n}`, 100, { p: 100 }, { most: 50 }))
    assert.deepEqual(ends(four, serial), [2_000, 2_000, 4_000, 4_000])
    assert.deepEqual(ends(four, { slots: 1, fills: false }), [2_000, 4_000, 6_000, 8_000])
  })
})

describe('where they wait', () => {
  test('two paths are used side by side; an uplink that both share makes one line of them', () => {
    const apart = [errand('a', 100, { left: 100 }), errand('b', 100, { right: 100 })]
    assert.deepEqual(ends(apart, serial), [1_000, 1_000])
    const joined = [errand('a', 100, { up: 100, left: 100 }), errand('b', 100, { up: 100, right: 100 })]
    assert.deepEqual(ends(joined, serial), [1_000, 2_000])
    assert.equal(of(lookAhead(joined, serial), 'b').over, 'up')
  })

  test('slow cards of many hosts are what is waited at, not the wide path behind them', () => {
    const cards = ['a', 'b', 'c'].map(host => errand(host, 100, { [`out of ${host}`]: 100, p: 1_000 }))
    assert.deepEqual(ends(cards, serial), [1_000, 1_000, 1_000])
  })

  test('one at a time over two paths takes turns, each with its path to itself', () => {
    const two = [errand('a', 100, { left: 100 }), errand('b', 100, { right: 50 })]
    assert.deepEqual(ends(two, { slots: 1, fills: false }), [1_000, 3_000])
  })

  test('those that come as soon as there is a slot keep the parts small', () => {
    const two = [errand('a', 100, { p: 100 }), errand('b', 200, { p: 100 })]
    assert.deepEqual(ends(two, { slots: 2, fills: false }), [2_000, 3_000])
    assert.deepEqual(ends(two, { slots: 2, fills: false, coming: 9 }), [2_000, 4_000])
    assert.deepEqual(ends([errand('a', 100, { p: 100 })], { slots: 4, fills: false, coming: 9 }), [4_000])
  })
})

describe('what cannot be said', () => {
  test('over a way of which nothing is known, or through which nothing goes, there is no end', () => {
    for (const capacity of [Number.POSITIVE_INFINITY, 0])
      assert.deepEqual(ends([errand('a', 100, { p: capacity })], serial), [undefined])
    assert.deepEqual(ends([errand('a', 100, {})], serial), [undefined])
  })

  test('one that never ends does not keep the others from their end', () => {
    const never = errand('hot', 100, { p: 100 }, { lasts: () => Number.POSITIVE_INFINITY })
    assert.deepEqual(ends([never, errand('b', 100, { p: 100 })], serial), [undefined, 1_000])
  })

  test('one that needs more than its part ends when others have', () => {
    const needsAll = (rate: number): number => (rate < 100 ? Number.POSITIVE_INFINITY : 5_000)
    const found = ends([errand('a', 100, { p: 100 }), errand('hot', 500, { p: 100 }, { lasts: needsAll })], {
      slots: 2,
      fills: false,
    })
    assert.deepEqual(found, [2_000, 6_000])
  })
})

describe('how sure', () => {
  const unsure = { p50: 1.1, p90: 1.43 }

  test('one alone has the spread that the past has shown; and what is predicted is uncorrected', () => {
    const { end, predicted } = of(lookAhead([errand('a', 100, { p: 100 }, { factors: unsure })], serial), 'a')
    assert.ok(end !== undefined)
    assert.equal(Math.round(end.p50), 1_100)
    assert.ok(Math.abs(end.p90 / end.p50 - 1.3) < 0.01, `${end.p90}`)
    assert.equal(Math.round(predicted), 1_000)
  })

  test('of many in a row the single errors partly even out, what they share does not', () => {
    const many = Array.from({ length: 50 }, (_, n) => errand(`v${n}`, 100, { p: 100 }, { factors: unsure }))
    const { end } = of(lookAhead(many, serial), 'v49')
    assert.ok(end !== undefined)
    const relative = end.p90 / end.p50 - 1
    assert.ok(relative > 0.3 * Math.SQRT1_2 && relative < 0.3, `${relative}`)
  })

  test('p50 before p90, ends after starts, later ones no sooner, and no number that is none', () => {
    const arbErrand = fc.record({
      size: fc.integer({ min: 0, max: 1e9 }),
      way: fc.constantFrom('left', 'right'),
      most: fc.constantFrom(1e5, 1e7, Number.POSITIVE_INFINITY),
      flows: fc.boolean(),
      p90: fc.double({ min: 1, max: 3, noNaN: true }),
    })
    const capacities: Readonly<Record<string, number>> = { left: 1e7, right: 1e6 }
    fc.assert(
      fc.property(
        fc.array(arbErrand, { maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        (all, slots, fills) => {
          const outlooks = lookAhead(
            all.map(({ size, way, most, flows, p90 }, n) =>
              errand(
                `v${n}`,
                size,
                { [way]: capacities[way] ?? 0, up: 5e6 },
                { most, flows, factors: { p50: 1, p90 } },
              ),
            ),
            { slots, fills },
          )
          assert.equal(outlooks.size, all.length)
          for (const { start, end, predicted, rate } of outlooks.values()) {
            assert.ok(end !== undefined && Number.isFinite(predicted) && rate > 0)
            assert.ok(
              start.p50 <= start.p90 && end.p50 <= end.p90 && start.p50 <= end.p50,
              JSON.stringify({ start, end }),
            )
          }
        },
      ),
      runs(500),
    )
  })
})
