import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aPath, aSnapshot } from '../../test/arbitraries.ts'
import { instant } from '../core/instant.ts'
import { megabitsPerSecond, ms } from '../core/units.ts'
import type { Prior } from '../monitor/history.ts'
import { knownBefore } from './known-before.ts'

const unknown = { capacity: undefined, rtt: undefined, perFlow: undefined } as const
const prior = (change: Partial<Prior> = {}): Prior => ({
  capacity: { rate: megabitsPerSecond(90), bound: 'full' },
  rtt: ms(41),
  loss: undefined,
  bestFlow: undefined,
  perFlow: undefined,
  background: undefined,
  until: instant(0),
  ...change,
})
const filled = (path: Parameters<typeof aPath>[2], before: Prior | undefined) => {
  const [found] = knownBefore(aSnapshot({ paths: [aPath('a', 'b', path)] }), () => before).paths
  assert.ok(found !== undefined)
  return [found.capacity, found.rtt, found.perFlow]
}

test('what is stated stays; what is not is as it was measured', () => {
  assert.deepEqual(filled(unknown, prior()), [megabitsPerSecond(90), 41, undefined])
  assert.deepEqual(filled({ ...unknown, capacity: megabitsPerSecond(50) }, prior()), [
    megabitsPerSecond(50),
    41,
    undefined,
  ])
  assert.deepEqual(filled(unknown, undefined), [undefined, undefined, undefined])
})

test('what went through with nothing in the way of more is no capacity', () => {
  const atLeast = prior({ capacity: { rate: megabitsPerSecond(90), bound: 'at-least' } })
  assert.deepEqual(filled(unknown, atLeast), [undefined, 41, undefined])
})

test('what one stream got is its limit only where it did not fill the path', () => {
  assert.equal(filled(unknown, prior({ perFlow: megabitsPerSecond(30) }))[2], megabitsPerSecond(30))
  assert.equal(filled(unknown, prior({ perFlow: megabitsPerSecond(85) }))[2], undefined)
})

test('a snapshot of which all is stated is the same', () => {
  const snapshot = aSnapshot({ paths: [aPath('a', 'b', { capacity: megabitsPerSecond(1), rtt: ms(1) })] })
  assert.equal(
    knownBefore(snapshot, () => prior()),
    snapshot,
  )
})
