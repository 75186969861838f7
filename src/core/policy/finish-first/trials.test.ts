/** What finish-first tries to find out what a path has: more at a time, or a higher cap beside neighbours (turn.ts, finish-first.ts). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, driven } from '../../../../test/arbitraries.ts'
import {
  eachSecond,
  flows,
  guests,
  onePath,
  pathOf,
  queueing,
  rates,
  ready,
  roomy,
  stopped,
  tick,
  type Timed,
  unlimited,
} from '../../../../test/finish-first-facts.ts'
import { change, lived, makespan, noSlower } from '../../../../test/finish-first-worlds.ts'
import type { Observed } from '../../control/observed.ts'
import { hostId } from '../../ids.ts'
import { fraction, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { floor } from './lanes.ts'

describe('trials: whether more at a time bring more', () => {
  /** 40 of 100 Mbit/s go through, and the network shows a queue of so many milliseconds, or nobody looks. */
  const short = (until: number, queue: number | undefined, rate = 40): readonly Timed[] => [
    onePath(6),
    [1, ready(1)],
    [2, ready(2)],
    ...eachSecond(1, until, at => [
      ...(queue === undefined ? [] : [[at, queueing(queue)] as const]),
      flows(1, at, rate),
    ]),
  ]
  const began = (facts: readonly Timed[]): number => Object.keys(rates(driven(facts))).length

  test('begin where what flows falls short of what is stated for eight seconds, though nothing queues', () => {
    assert.deepEqual(
      [11, 12, 13].map(until => began(short(until, 0))),
      [1, 1, 2],
    )
    assert.deepEqual(rates(driven(short(13, 0))), { 'vm-1': undefined, 'vm-2': undefined })
  })

  test('not out of a host that is overloaded, until it is no more', () => {
    const load = (busy: number): Observed => ({
      kind: 'host-load',
      hosts: [{ host: hostId('a-1'), busy: fraction(busy), waiting: fraction(busy) }],
    })
    const [start, ...others] = short(40, 0)
    assert.ok(start !== undefined)
    assert.equal(began([start, [500, load(0.99)], ...others]), 1)
    assert.equal(began([start, [500, load(0.6)], ...others]), 2)
    const [until20, after20] = [others.filter(([at]) => at <= 20_000), others.filter(([at]) => at > 20_000)]
    assert.equal(began([start, [500, load(0.99)], ...until20, [20_000, load(0.5)], ...after20]), 2)
  })

  test('never where it queues: the path carries less', () => {
    assert.equal(began(short(120, 40)), 1)
  })

  test('after half a minute where nobody looks', () => {
    assert.deepEqual(
      [33, 34, 35].map(until => began(short(until, undefined))),
      [1, 1, 2],
    )
  })

  test('where what is stated is there only when nothing queues for a while all the same: then there is more', () => {
    assert.equal(began(short(60, 40, 95)), 1)
    assert.equal(began(short(60, undefined, 95)), 1)
    assert.deepEqual(
      [12, 13, 14].map(until => began(short(until, 0, 95))),
      [1, 1, 2],
    )
  })

  test('who was started for one is let be for its time; then it waits, or stays if it brought something', () => {
    const then = (first: number, second: number): readonly Timed[] => [
      ...short(13, 0),
      ...eachSecond(14, 18, at => [[at, queueing(0)], flows(1, at, first), flows(2, at, second)]),
    ]
    assert.deepEqual(rates(driven(then(20, 20).slice(0, -4))), { 'vm-1': undefined, 'vm-2': undefined })
    assert.deepEqual(rates(driven(then(20, 20))), { 'vm-1': undefined, 'vm-2': floor })
    // Each gets 40, give or take an average: vm-2 is one of two now.
    assert.deepEqual(rates(driven(then(40, 40))), { 'vm-1': undefined, 'vm-2': megabitsPerSecond(44) })
  })

  test('as many at a time as flow already, so that the number doubles', () => {
    const facts = [
      ...short(13, 0),
      ...eachSecond(14, 18, at => [[at, queueing(0)], flows(1, at, 20), flows(2, at, 20)]),
      [18_000, ready(3)],
      [18_000, ready(4)],
    ] as const
    const flowing = (until: number): number =>
      began([...facts, ...eachSecond(19, until, at => [[at, queueing(0)], flows(1, at, 40), flows(2, at, 0.5)])])
    assert.deepEqual([27, 28, 29].map(flowing), [2, 3, 3])
  })

  test('none while a guest stands still, nor where the operator bounds', () => {
    assert.equal(began([...short(12, 0), [12_900, stopped(1)], [13_000, tick]]), 1)
    const limits = { ...unlimited, bandwidth: megabitsPerSecond(90) }
    assert.equal(began([onePath(6, {}, limits), ...short(30, 0).slice(1)]), 1)
  })

  test('beside neighbours a higher cap is tried first; where that brings nothing and nothing queues, its stream is what holds one back', () => {
    const beside = onePath(6, {}, unlimited, { background: megabitsPerSecond(5) })
    const started = (until: number, queue: number): number => began([beside, ...short(until, queue).slice(1)])
    assert.equal(started(9, 0), 1)
    assert.equal(started(60, 40), 1)
    assert.equal(started(20, 0), 2)
  })

  test('in worlds: neither one stream nor one sending thread is taken for the path', () => {
    const hosts = [roomy('a-1', 'a'), roomy('a-2', 'a'), roomy('b-1', 'b')]
    // 10 Gbit/s is what one thread of QEMU sends (sim/physics/timings.ts, `streamMost`).
    noSlower(aSnapshot({ hosts, paths: [pathOf(100_000)], vms: guests(200, 2) }), 'fixed:16')
    noSlower(aSnapshot({ hosts, paths: [pathOf(1_000)], vms: guests(12, 1) }), 'fixed:4', [
      change(0, { perFlow: megabitsPerSecond(200) }),
    ])
  })
})

test('in worlds: however little one stream gets, and nobody said so, the path is filled before long', () => {
  for (const [perFlow, rival] of [
    [50, 'fixed:16'],
    [100, 'fixed:16'],
    [200, 'fixed:8'],
    [400, 'fixed:4'],
  ] as const) {
    const hosts = [roomy('a-1', 'a'), roomy('a-2', 'a'), roomy('b-1', 'b')]
    const timeline = [change(0, { perFlow: megabitsPerSecond(perFlow) })]
    for (const stated of [1_000, undefined]) {
      const real = [change(0, { capacity: megabitsPerSecond(1_000) }), ...timeline]
      noSlower(aSnapshot({ hosts, paths: [pathOf(stated)], vms: guests(24, 2) }), rival, real, 1.12)
    }
  }
})

describe('in worlds: what a stream was seen to get is not believed for ever', () => {
  const hosts = [roomy('a-1', 'a'), roomy('b-1', 'b')]

  test('when what held streams back is over, guests go one at a time and by one stream again', () => {
    const vms = guests(40, 1, { memory: mebibytes(512), used: mebibytes(256) })
    const snapshot = aSnapshot({ hosts, paths: [pathOf(100, { rtt: ms(40) })], vms })
    for (const [held, over] of [
      [{ perFlow: megabitsPerSecond(12) }, { perFlow: megabitsPerSecond(100_000) }],
      [{ loss: fraction(0.01) }, { loss: fraction(0) }],
    ] as const) {
      const { state } = lived(snapshot, [change(30_000, held), change(60_000, over)])
      const landed = [...state.migrations.in('landed')].sort((a, b) => a.switchedAt - b.switchedAt)
      assert.equal(landed.length, 40)
      for (const { vm, downtime, startedAt, switchedAt } of landed.slice(-10)) {
        assert.ok((downtime ?? Infinity) < 500, `${vm} stands still for ${downtime} ms`)
        // 256 MiB at 100 Mbit/s are 21 s.
        assert.ok(switchedAt - startedAt < 60_000, `${vm} is on its way for ${switchedAt - startedAt} ms`)
      }
    }
  })

  test('when streams get less than before, as many go as fill the path', () => {
    const vms = guests(60, 1, { memory: mebibytes(2_048), used: mebibytes(1_024) })
    const timeline = [
      change(0, { perFlow: megabitsPerSecond(200) }),
      change(60_000, { perFlow: megabitsPerSecond(30) }),
    ]
    const took = makespan(lived(aSnapshot({ hosts, paths: [pathOf(1_000)], vms }), timeline)) / 1000
    // All of it fills 1 Gbit/s for 515 s.
    assert.ok(took < 620, `${Math.round(took)} s`)
  })
})

test('in worlds: beside neighbours too', () => {
  const hosts = [roomy('a-1', 'a'), roomy('a-2', 'a'), roomy('b-1', 'b')]
  const paths = [pathOf(1_000, { background: megabitsPerSecond(300) })]
  // Of 1 Gbit/s 700 are ours; 32 at a time take more than that from the neighbours.
  const timeline = [change(0, { perFlow: megabitsPerSecond(100) })]
  noSlower(aSnapshot({ hosts, paths, vms: guests(24, 2) }), 'fixed:32', timeline, 1.25)
})

test('in worlds: losses that nobody spoke of are outlasted by more streams', () => {
  const hosts = [roomy('a-1', 'a'), roomy('a-2', 'a'), roomy('b-1', 'b')]
  for (const loss of [0.001, 0.01])
    noSlower(
      aSnapshot({ hosts, paths: [pathOf(1_000)], vms: guests(24, 2) }),
      'fixed:16',
      [change(0, { loss: fraction(loss) })],
      0.5,
    )
})

describe('a cap that spares the neighbours', () => {
  const beside: readonly Timed[] = [
    onePath(4, {}, unlimited, { background: megabitsPerSecond(30) }),
    [1, ready(1)],
    [2, ready(2)],
  ]
  const capAt = (until: number, queue: number, rate: (at: number) => number, loss = 0): number | undefined => {
    const facts = eachSecond(1, until, at => [[at, queueing(queue, 'b', loss)], flows(1, at, rate(at))])
    const cap = rates(driven([...beside, ...facts]))['vm-1']
    return cap === undefined ? undefined : Math.round((cap * 8) / 1e6)
  }

  test('is tried twice as high when it was reached for a while and nothing queues', () => {
    assert.deepEqual(
      [3, 4, 5].map(until => capAt(until, 0, () => 70)),
      [70, 70, 140],
    )
    assert.equal(
      capAt(60, 40, () => 70),
      70,
    )
    assert.equal(
      capAt(60, 0, () => 60),
      70,
    )
    // What is lost is somebody's queue that overflows.
    assert.equal(
      capAt(60, 0, () => 70, 0.03),
      70,
    )
  })

  test('comes down again when no more goes through, and is not tried again for a while', () => {
    const caps = Array.from({ length: 40 }, (_, n) => capAt(n + 1, 0, () => 70))
    const raised = caps.flatMap((cap, n) => (cap === 140 ? [n + 1] : []))
    // Five seconds each; ten from the first to the next, then twenty.
    assert.deepEqual(raised, [5, 6, 7, 8, 20, 21, 22, 23])
    assert.deepEqual([...new Set(caps)], [70, 140])
  })

  test('stays up when more goes through, and is tried higher still, until that brings nothing', () => {
    const cap = (until: number): number | undefined => capAt(until, 0, at => (at <= 5_000 ? 70 : 100))
    // What goes through in a trial is believed at once, and twice as much tried beside it.
    assert.deepEqual([4, 5, 8, 16].map(cap), [70, 140, 200, 100])
  })
})
