import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { vmId } from '../ids.ts'
import { megabitsPerSecond } from '../units.ts'
import { type AdjustedFacts, whyAdjusted } from './why-adjusted.ts'

const facts = (change: Partial<AdjustedFacts> = {}): AdjustedFacts => ({
  vm: vmId('db-1'),
  over: 'path a b',
  capacity: megabitsPerSecond(100),
  taken: megabitsPerSecond(96),
  first: vmId('db-2'),
  timeToHome: 3_100,
  firstTimeToHome: 3_120,
  waits: false,
  ...change,
})

test('a cap says how full the path is, who is first, and how far both are from home', () => {
  assert.equal(whyAdjusted(facts()), 'path a – b 96.0 of 100 Mbit/s, db-2 first, both 3.1 s from home')
  assert.equal(
    whyAdjusted(facts({ firstTimeToHome: 1_200 })),
    'path a – b 96.0 of 100 Mbit/s, db-2 first, db-2 1.2 s from home, db-1 3.1 s',
  )
  assert.equal(
    whyAdjusted(facts({ capacity: megabitsPerSecond(1_000), timeToHome: undefined })),
    'path a – b 96.0 Mbit/s of 1.00 Gbit/s, db-2 first, db-2 3.1 s from home',
  )
})

test('one that waits says so', () => {
  const waits = facts({ waits: true, taken: megabitsPerSecond(100), timeToHome: 9_000 })
  assert.equal(
    whyAdjusted(waits),
    'path a – b 100 of 100 Mbit/s, db-2 first, it waits, db-2 3.1 s from home, db-1 9.0 s',
  )
})

test('the first says that it is, and how far it is from home', () => {
  const first = facts({ first: undefined, taken: megabitsPerSecond(100) })
  assert.equal(whyAdjusted(first), 'path a – b 100 of 100 Mbit/s, first on its way, 3.1 s from home')
})

test('what is not known is not said', () => {
  const blind = { capacity: Number.POSITIVE_INFINITY, timeToHome: Number.POSITIVE_INFINITY, firstTimeToHome: undefined }
  assert.equal(whyAdjusted(facts(blind)), 'path a – b, of unknown capacity, db-2 first')
  assert.equal(whyAdjusted(facts({ over: 'uplink a', ...blind })), 'uplink of a, of unknown capacity, db-2 first')
})

test('whatever the numbers, one line without a number that is none', () => {
  const arbNumber = fc.oneof(
    fc.double({ min: 0, max: 1e12, noNaN: true }),
    fc.constantFrom(0, Number.POSITIVE_INFINITY, Number.NaN),
  )
  const arbTime = fc.option(arbNumber, { nil: undefined })
  fc.assert(
    fc.property(
      fc.record({
        capacity: arbNumber,
        taken: arbNumber,
        rate: arbTime,
        timeToHome: arbTime,
        firstTimeToHome: arbTime,
      }),
      fc.boolean(),
      fc.boolean(),
      (numbers, waits, isFirst) => {
        const line = whyAdjusted(facts({ ...numbers, waits, first: isFirst ? undefined : vmId('db-2') }))
        assert.doesNotMatch(line, /NaN|Infinity|undefined|\n/)
        assert.ok(line.includes('path a – b'))
      },
    ),
    runs(500),
  )
})
