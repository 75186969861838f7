import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aProgress, aSnapshot, driven, someVms, startedFrom } from '../../test/arbitraries.ts'
import type { Evacuation } from '../core/control/evacuation.ts'
import type { Observed } from '../core/control/observed.ts'
import { vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../core/units.ts'
import { LookingAhead } from './looking-ahead.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
/** Three of 8.4 s each: in 40 s all fit, unless the path falls to a half. */
const start = (deadline: number | undefined): readonly Timed[] => [
  [0, startedFrom(aSnapshot({ vms: someVms(3), deadline: deadline === undefined ? undefined : ms(deadline) }))],
  [1, { kind: 'target-ready', ...of }],
]
const slow = (second: number): Timed => [
  second * 1_000,
  {
    kind: 'progress',
    ...of,
    progress: aProgress({
      sent: mebibytes(second * 4),
      remaining: mebibytes(100 - second * 4),
      total: mebibytes(100),
      zero: bytes(0),
      rate: megabitsPerSecond(33),
    }),
  },
]
const until = (seconds: number, deadline: number | undefined): Evacuation =>
  driven([...start(deadline), ...Array.from({ length: seconds }, (_, n) => slow(n + 1))])

test('the verdict is told at once, again when it changes, and not in between', () => {
  const looking = new LookingAhead()
  assert.match(
    looking.news(until(0, 40_000), instant(1)) ?? '',
    /^on-track: 3 of 3 fit until \+40\.0 s \(the deadline\), last home in/,
  )
  assert.equal(looking.news(until(1, 40_000), instant(1_200)), undefined)
  // The path is seen to carry a third, twice: three of 25 s each.
  assert.match(
    looking.news(until(6, 40_000), instant(6_500)) ?? '',
    /^will-miss: 1 of 3 fit until .*these do not: vm-2 .*, vm-3 .*, because /,
  )
  assert.equal(looking.news(until(7, 40_000), instant(7_600)), undefined)
})

test('without a deadline there is no news', () => {
  assert.equal(new LookingAhead().news(until(6, undefined), instant(6_500)), undefined)
})

test('it is looked up at most once a second', () => {
  const looking = new LookingAhead()
  const first = looking.from(until(0, 40_000), instant(1))
  assert.equal(looking.from(until(1, 40_000), instant(900)), first)
  assert.notEqual(looking.from(until(1, 40_000), instant(1_100)), first)
})
