import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { around, chanceOf } from './chance.ts'

const many = 20_000
const drawsOf = (draw: (n: number) => number): readonly number[] => Array.from({ length: many }, (_, n) => draw(n))
const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length

/** Pearson's chi-squared against an even spread over 16 bins: beyond 44.3 for 1 of 10 000 honest sources (15 degrees of freedom). */
function assertEven(values: readonly number[], what: string): void {
  const bins = Array.from({ length: 16 }, () => 0)
  for (const value of values) bins[Math.floor(value * 16)] = (bins[Math.floor(value * 16)] ?? 0) + 1
  const expected = values.length / 16
  const chiSquared = bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  assert.ok(chiSquared < 44.3, `${what}: chi-squared ${chiSquared}, bins ${bins.join(' ')}`)
}
/** Four standard errors of the correlation of two sources that have nothing to do with each other. */
function assertUnrelated(a: readonly number[], b: readonly number[], what: string): void {
  const [meanA, meanB] = [meanOf(a), meanOf(b)]
  const covariance = meanOf(a.map((value, n) => (value - meanA) * ((b[n] ?? 0) - meanB)))
  const spread = (values: readonly number[], mean: number): number =>
    Math.sqrt(meanOf(values.map(v => (v - mean) ** 2)))
  const correlation = covariance / (spread(a, meanA) * spread(b, meanB))
  assert.ok(Math.abs(correlation) < 4 / Math.sqrt(many), `${what}: correlation ${correlation}`)
}

const arbNames = fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 5 })

describe('chance', () => {
  test('lies from 0 to below 1, for every seed and whatever the names', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), arbNames, (seed, names) => {
        const drawn = chanceOf(seed)(...names)
        assert.ok(drawn >= 0 && drawn < 1, String(drawn))
      }),
      runs(1_000),
    )
  })

  test('is spread evenly over many names that hardly differ, and over many seeds', () => {
    const chance = chanceOf(7)
    assertEven(
      drawsOf(n => chance('used', `vm-${n}`)),
      'names at the end',
    )
    assertEven(
      drawsOf(n => chance(n, 'prepare')),
      'numbers at the beginning',
    )
    assertEven(
      drawsOf(n => chance('timeline', n)),
      'numbers at the end',
    )
    assertEven(
      drawsOf(n => chance('vm-1', Math.floor(n / 100), n % 100)),
      'attempts and deeds',
    )
    assertEven(
      drawsOf(seed => chanceOf(seed)('used', 'vm-1')),
      'seeds',
    )
  })

  test('of one name says nothing of its neighbour, of another deed, or of the same name on another seed', () => {
    const [one, two] = [chanceOf(1), chanceOf(2)]
    const used = drawsOf(n => one('used', `vm-${n}`))
    assertUnrelated(
      used,
      drawsOf(n => one('used', `vm-${n + 1}`)),
      'the next VM',
    )
    assertUnrelated(
      used,
      drawsOf(n => one('value', `vm-${n}`)),
      'another property',
    )
    assertUnrelated(
      drawsOf(n => one('memory', `vm-${n}`)),
      drawsOf(n => one('memory too', `vm-${n}`)),
      'the two draws of a normal one',
    )
    assertUnrelated(
      used,
      drawsOf(n => two('used', `vm-${n}`)),
      'the next seed',
    )
    assertUnrelated(
      drawsOf(seed => chanceOf(seed)('used', 'vm-1')),
      drawsOf(seed => chanceOf(seed + 1)('used', 'vm-1')),
      'one seed and the next',
    )
  })

  test('does not depend on what was drawn before', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(arbNames, { minLength: 1, maxLength: 8 }), (seed, draws) => {
        const [first, second] = [chanceOf(seed), chanceOf(seed)]
        const forwards = draws.map(names => first(...names))
        const backwards = draws.toReversed().map(names => second(...names))
        assert.deepEqual(backwards.toReversed(), forwards)
        assert.deepEqual(
          draws.map(names => first(...names)),
          forwards,
        )
      }),
      runs(200),
    )
  })

  test('knows where one name ends and the next begins, and which comes first', () => {
    const chance = chanceOf(1)
    const draws = [chance('ab', 'c'), chance('a', 'bc'), chance('abc'), chance('c', 'ab'), chance('abc', ''), chance()]
    assert.equal(new Set(draws).size, draws.length)
    assert.equal(chance('attempt', 2), chance('attempt', '2'))
  })

  test('is another on another seed', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (a, b) => {
        fc.pre(a !== b)
        const names = Array.from({ length: 8 }, (_, n) => `vm-${n}`)
        assert.notDeepEqual(
          names.map(name => chanceOf(a)(name)),
          names.map(name => chanceOf(b)(name)),
        )
      }),
      runs(200),
    )
  })

  test('stays what it is: journals of simulations are compared to the letter', () => {
    const chance = chanceOf(1)
    assert.deepEqual(
      [chance(), chance('vm-1'), chance('vm-1', 2), chanceOf(0)('vm-1'), chanceOf(-1)('Tür')].map(x => x * 2 ** 32),
      [2388540327, 2165848687, 2294223779, 4149503007, 1320256548],
    )
  })
})

test('around one: half a chance is one itself, the ends lie the spread away, evenly in between', () => {
  assert.equal(around(0.5, 0.2), 1)
  assert.equal(around(0, 0.2), 0.8)
  assert.equal(around(1, 0.2), 1.2)
  assert.equal(around(0.3, 0), 1)
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (chance, spread) => {
        const factor = around(chance, spread)
        assert.ok(factor >= 1 - spread && factor <= 1 + spread)
      },
    ),
    runs(300),
  )
  const chance = chanceOf(1)
  assertEven(
    drawsOf(n => (around(chance(n), 0.2) - 0.8) / 0.4),
    'around',
  )
})
