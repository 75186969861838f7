import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostId } from '../ids.ts'
import { instant } from '../instant.ts'
import { fraction } from '../units.ts'
import { hostLoad, HostLoadsTold, isOverloaded, type SeenOfHost } from './host-signal.ts'

const seen = (busy: number, waiting?: number, host = 'a-1'): SeenOfHost => ({
  host: hostId(host),
  busy: fraction(busy),
  waiting: waiting === undefined ? undefined : fraction(waiting),
})

test('overloaded is who is busy all the time, and whose tasks wait half of it; where nobody counts that, busy is enough', () => {
  const cases = [
    [seen(0.95, 0.5), true],
    [seen(0.94, 1), false],
    [seen(1, 0.49), false],
    [seen(0.95), true],
    [seen(0.94), false],
    [seen(0, 0), false],
  ] as const
  for (const [each, expected] of cases) assert.equal(isOverloaded(each), expected, JSON.stringify(each))
})

test('what was seen a minute ago, or in a future that was set back, says nothing', () => {
  const signal = { ...seen(1, 1), at: instant(100_000) }
  assert.equal(hostLoad(undefined, instant(0)), 'unknown')
  assert.equal(hostLoad(signal, instant(99_999)), 'unknown')
  assert.equal(hostLoad(signal, instant(160_000)), 'overloaded')
  assert.equal(hostLoad(signal, instant(160_001)), 'unknown')
  assert.equal(hostLoad({ ...signal, busy: fraction(0.5) }, instant(100_000)), 'not overloaded')
})

test('told is that one becomes overloaded, that it still is, and that it is no more; of those that never were, nothing', () => {
  const loads = new HostLoadsTold()
  const told = Array.from({ length: 100 }, (_, n) => {
    const busy = n >= 10 && n < 80 ? 0.99 : 0.5
    return loads
      .worthTelling([seen(busy, busy), seen(0.3, 0.1, 'a-2')], instant(n * 1_000))
      .map(({ host }) => [n, host])
  }).flat()
  assert.deepEqual(
    told,
    [10, 40, 70, 80].map(n => [n, 'a-1']),
  )
})
