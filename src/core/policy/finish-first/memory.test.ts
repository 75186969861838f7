import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aProgress, aSnapshot, aVm, driven } from '../../../../test/arbitraries.ts'
import {
  guests,
  hundred,
  onePath,
  pathOf,
  progress,
  rates,
  ready,
  roomy,
  sentWhole,
  startOf,
  stopped,
  tick,
  type Timed,
  unlimited,
  viewOf,
} from '../../../../test/finish-first-facts.ts'
import { change, noSlower } from '../../../../test/finish-first-worlds.ts'
import { MigrationTable } from '../../control/migration-table.ts'
import type { PathObservation } from '../../forecast/path-capacity.ts'
import { unlearned } from '../../forecast/dirty-model.ts'
import { hostId, vmId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Path } from '../../inventory/snapshot.ts'
import type { PreCopy, Switchover } from '../../migration/migration.ts'
import { beginRehearsal } from '../../sim/rehearse.ts'
import { bytes, bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { blank, look, type Memory, silentFor } from './memory.ts'

interface Seen {
  /** @unit Mbit/s */
  readonly rate: number
  readonly sent: number
  /** @unit Mbit/s */
  readonly cap?: number
  readonly startedAt?: number
  readonly attempt?: number
}
const flow = (n: number, { rate, sent, cap, startedAt = 0, attempt = 1 }: Seen): PreCopy => ({
  phase: 'pre-copy',
  vm: vmId(`vm-${n}`),
  source: hostId('a-1'),
  target: hostId('b-1'),
  attempt,
  excluded: [],
  wasted: 0,
  startedAt: instant(startedAt),
  progress: aProgress({ rate: megabitsPerSecond(rate), sent: bytes(sent) }),
  tuning: { rate: cap === undefined ? undefined : megabitsPerSecond(cap), downtimeLimit: ms(300) },
  streams: 1,
  compression: 'none',
  learner: unlearned(undefined, instant(0)),
  said: [],
  mode: 'pre-copy',
  cancelling: undefined,
  switching: false,
})
const standing = (n: number, seen: Seen, finishing: boolean): Switchover => {
  const { cancelling: _c, switching: _s, ...moving } = flow(n, seen)
  return { ...moving, phase: 'switchover', since: instant(0), finishing }
}
/** What is remembered when these flow on a path. */
const after = (
  before: Memory,
  at: number,
  flows: readonly (PreCopy | Switchover)[],
  path: Partial<Path> = {},
): Memory => {
  const state = driven([onePath(9, {}, unlimited, path)])
  return look(before, { ...viewOf(state, instant(at)), migrations: MigrationTable.of(flows) })
}
const last = ({ paths }: Memory): PathObservation | undefined => paths.get('path a b')?.seen.at(-1)

describe('what goes through a path', () => {
  test('is all of ours together, how many flow, and the fastest of those whose rate is told by now', () => {
    const flows = [
      flow(1, { rate: 60, sent: 10 }),
      flow(2, { rate: 20, sent: 10, startedAt: 8_000 }),
      flow(3, { rate: 0.5, sent: 10, cap: 0.524_288 }),
    ]
    const seen = last(after(blank, 10_000, flows))
    assert.ok(seen !== undefined)
    const { goodput, flows: count, fastest, greedy } = seen
    assert.deepEqual([goodput, count, fastest, greedy], [megabitsPerSecond(80.5), 2, megabitsPerSecond(60), true])
  })

  test('a stream of one is what it gets divided by its streams; those of one that waits do not count', () => {
    const flows = [
      { ...flow(1, { rate: 60, sent: 10 }), streams: 4 },
      { ...flow(2, { rate: 20, sent: 10 }), streams: 1 },
      { ...flow(3, { rate: 0.5, sent: 10, cap: 0.524_288 }), streams: 8 },
    ]
    const seen = last(after(blank, 10_000, flows))
    assert.deepEqual([seen?.streams, seen?.fastest], [5, megabitsPerSecond(20)])
  })

  test('is looked at once a second at most', () => {
    const first = after(blank, 10_000, [flow(1, { rate: 60, sent: 10 })])
    assert.equal(after(first, 10_999, [flow(1, { rate: 70, sent: 11 })]), first)
    assert.equal(last(after(first, 11_000, [flow(1, { rate: 70, sent: 11 })]))?.goodput, megabitsPerSecond(70))
  })

  test('is not what one whose last byte was sent had: that is the next one’s already', () => {
    const [stands, through] = [false, true].map(finishing =>
      last(after(blank, 10_000, [standing(1, { rate: 90, sent: 10 }, finishing), flow(2, { rate: 50, sent: 10 })])),
    )
    assert.equal(stands?.goodput, megabitsPerSecond(140))
    assert.equal(through?.goodput, megabitsPerSecond(50))
  })

  test('a target that takes a second to be seen running does not make the path twice as wide', () => {
    const vms = [1, 1, 2, 2].map((host, n) => aVm(`vm-${n + 1}`, `a-${host}`))
    const hosts = [roomy('a-1', 'a', 100), roomy('a-2', 'a', 100), roomy('b-1', 'b')]
    const facts: readonly Timed[] = [
      [0, startOf(aSnapshot({ hosts, vms, paths: [pathOf(100)] }))],
      [1, ready(1)],
      [2, ready(2)],
      [2, tick],
      [3, ready(3)],
      [7_000, progress(1, { rate: hundred })],
      [8_000, stopped(1)],
      [8_200, sentWhole(1)],
      [9_500, progress(2, { rate: hundred, sent: mebibytes(12) })],
      [9_500, tick],
    ]
    assert.deepEqual(Object.keys(rates(driven(facts))), ['vm-2'])
  })
})

describe('something takes what there is', () => {
  const isGreedy = (flows: readonly PreCopy[], path: Partial<Path> = {}): boolean | undefined =>
    last(after(blank, 10_000, flows, path))?.greedy

  test('where one without a cap falls short of what is known to bound it', () => {
    assert.equal(isGreedy([flow(1, { rate: 60, sent: 1 })]), true)
    assert.equal(isGreedy([flow(1, { rate: 60, sent: 1, cap: 61 })]), false)
    assert.equal(isGreedy([flow(1, { rate: 60, sent: 1 })], { perFlow: megabitsPerSecond(60) }), false)
    assert.equal(isGreedy([flow(1, { rate: 50, sent: 1 })], { perFlow: megabitsPerSecond(60) }), true)
  })

  test('where there are neighbours also one that does not reach its cap, which it always has, unless it waits', () => {
    const beside = { background: megabitsPerSecond(30) }
    assert.equal(isGreedy([flow(1, { rate: 50, sent: 1, cap: 70 })], beside), true)
    assert.equal(isGreedy([flow(1, { rate: 65, sent: 1, cap: 70 })], beside), false)
    assert.equal(isGreedy([flow(1, { rate: 0.1, sent: 1, cap: 0.524_288 })], beside), false)
  })

  test('not in the first seconds of a flow, nor in those after its cap was changed: its rate is an average', () => {
    assert.equal(isGreedy([flow(1, { rate: 60, sent: 1, startedAt: 7_001 })]), false)
    assert.equal(isGreedy([flow(1, { rate: 60, sent: 1, startedAt: 7_000 })]), true)
    let memory = after(blank, 10_000, [flow(1, { rate: 0.5, sent: 1, cap: 0.524_288 })])
    for (const [at, greedy] of [
      [11_000, false],
      [12_000, false],
      // Once is not believed, and a second later the average is the flow's own.
      [13_000, true],
    ] as const) {
      memory = after(memory, at, [flow(1, { rate: 20, sent: at })])
      assert.equal(last(memory)?.greedy, greedy, `at ${at}`)
      assert.equal(memory.paths.get('path a b')?.capacity, hundred)
    }
    assert.equal(after(memory, 14_000, [flow(1, { rate: 95, sent: 99_000 })]).paths.get('path a b')?.capacity, hundred)
  })

  test('another attempt begins anew', () => {
    const first = after(blank, 10_000, [flow(1, { rate: 60, sent: 1 })])
    const again = flow(1, { rate: 60, sent: 1, attempt: 2, startedAt: 10_500 })
    assert.equal(last(after(first, 12_000, [again]))?.greedy, false)
  })
})

describe('silence', () => {
  const still = flow(1, { rate: 0, sent: 5 })
  const moves = (at: number) => flow(2, { rate: 50, sent: at })
  const silence = (memory: Memory, at: number): number => silentFor(memory.moved, still, instant(at))

  test('is counted from when bytes were last seen to move, and of this attempt only', () => {
    const first = after(blank, 10_000, [still])
    assert.equal(silence(blank, 10_000), 0)
    assert.equal(silence(first, 10_000), 0)
    assert.equal(silence(after(first, 14_000, [still]), 16_000), 6_000)
    assert.equal(silence(after(first, 14_000, [flow(1, { rate: 0, sent: 6 })]), 16_000), 2_000)
    assert.equal(silentFor(first.moved, { ...still, attempt: 2 }, instant(50_000)), 0)
  })

  test('a cap that is changed meanwhile does not break it', () => {
    const first = after(blank, 10_000, [still])
    const capped = after(first, 14_000, [flow(1, { rate: 0, sent: 5, cap: 1 })])
    assert.equal(silence(capped, 16_000), 6_000)
  })

  test('one through which nothing goes for ten seconds says nothing of what the path carries', () => {
    const first = after(blank, 10_000, [still])
    assert.equal(last(after(first, 19_999, [still]))?.at, 19_999)
    assert.equal(last(after(first, 20_000, [still]))?.at, 10_000)
    assert.equal(last(after(first, 20_000, [still, moves(9)]))?.flows, 1)
  })

  test('a path on which all are silent is mute, until something goes through it again, or two minutes after it was left', () => {
    const first = after(blank, 10_000, [still])
    assert.equal(after(first, 19_999, [still]).mute.size, 0)
    const mute = after(first, 20_000, [still])
    assert.deepEqual([...mute.mute], [['path a b', 20_000]])
    assert.equal(after(first, 20_000, [still, moves(9)]).mute.size, 0, 'another gets on')
    assert.equal(after(mute, 21_000, [flow(1, { rate: 1, sent: 6 })]).mute.size, 0)
    // One that has just begun says nothing either way.
    const begun = flow(2, { rate: 0, sent: 0, startedAt: 21_000 })
    assert.equal(after(mute, 21_000, [begun]).mute.size, 1)
    assert.equal(after(mute, 139_999, []).mute.size, 1)
    assert.equal(after(mute, 140_000, []).mute.size, 0)
  })

  test('of those that ended nothing is remembered', () => {
    const first = after(blank, 10_000, [still, moves(1)])
    assert.deepEqual([...after(first, 11_000, [moves(2)]).moved.keys()], ['vm-2'])
  })
})

test('where nothing flows nothing is learned, and nothing forgotten', () => {
  const first = after(blank, 10_000, [flow(1, { rate: 60, sent: 10 })])
  assert.equal(after(first, 20_000, []), first)
})

describe('with neighbours on the path', () => {
  const hosts = [roomy('a-1', 'a'), roomy('b-1', 'b')]
  const beside = (capacity: number | undefined) =>
    aSnapshot({ hosts, paths: [pathOf(capacity, { background: megabitsPerSecond(300) })], vms: guests(8, 1) })

  test('a rise of its capacity is found, by a higher cap now and then', () => {
    noSlower(beside(500), 'sequential', [change(20_000, { capacity: megabitsPerSecond(1_000) })])
  })

  test('after a fall they are spared: what is left beside them is learned like any fall', () => {
    const run = beginRehearsal({
      snapshot: beside(1_000),
      timeline: [change(20_000, { capacity: megabitsPerSecond(500) })],
      policy: 'finish-first',
      limits: unlimited,
      seed: 1,
    })
    while (run.now < 45_000) run.advance(1)
    const caps = Object.values(rates(run.soFar().state))
    assert.ok(caps.length > 0)
    for (const cap of caps)
      assert.ok((cap ?? Infinity) <= megabitsPerSecond(200) * 1.2, `${cap} where ${megabitsPerSecond(200)} are left`)
  })

  test('where the capacity is not known, what we got beside them is ours: their part is not taken off it once more', () => {
    noSlower(beside(undefined), 'sequential', [change(0, { capacity: megabitsPerSecond(1_000) })])
  })
})

test('rates in bytes: a path of nothing known is taken for what went through it', () => {
  const memory = after(blank, 10_000, [flow(1, { rate: 40, sent: 1 })], { capacity: undefined })
  assert.equal(memory.paths.get('path a b')?.capacity, bytesPerSecond(5_000_000))
})
