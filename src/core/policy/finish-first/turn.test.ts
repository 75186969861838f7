import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSnapshot, aVm, driven, migrationOf, someVms } from '../../../../test/arbitraries.ts'
import {
  allowing,
  decide,
  eachSecond,
  flows,
  guests,
  hundred,
  inPhase,
  kinds,
  onePath,
  pathOf,
  paused,
  preCopyOf,
  progress,
  queueing,
  rates,
  ready,
  roomy,
  sentWhole,
  startOf,
  stopped,
  tended,
  tick,
  type Timed,
  twoWays,
  unlimited,
} from '../../../../test/finish-first-facts.ts'
import { change, flowing, lived, makespan, ours, watched } from '../../../../test/finish-first-worlds.ts'
import type { Evacuation } from '../../control/evacuation.ts'
import type { Limits } from '../../control/observed.ts'
import { hostId, siteId, vmId } from '../../ids.ts'
import type { Path, Snapshot } from '../../inventory/snapshot.ts'
import { beginRehearsal } from '../../sim/rehearse.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { floor } from './lanes.ts'

describe('one path', () => {
  test('one at a time, as fast as it gets; the others wait with targets ready', () => {
    const state = driven([onePath(5), [1, ready(1)], [2, ready(2)], [3, ready(3)], [1_000, tick]])
    assert.deepEqual(rates(state), { 'vm-1': undefined })
    assert.equal(inPhase(state, 'preparing').includes('vm-2'), true)
  })

  test('who is ready first goes first: the path does not wait for the plan', () => {
    assert.deepEqual(rates(driven([onePath(5), [1, ready(2)], [2, ready(1)]])), { 'vm-2': undefined })
  })

  const facts: readonly Timed[] = [onePath(5), [1, ready(1)], [2, ready(2)], [3, ready(3)]]

  test('while a guest stands still the next one warms up on half of the path, and nobody else', () => {
    const standing = driven([...facts, [8_000, stopped(1)]])
    assert.deepEqual(rates(standing), { 'vm-2': hundred / 2 })
    assert.deepEqual(inPhase(standing, 'switchover'), ['vm-1'])
    assert.deepEqual(rates(driven([...facts, [8_000, stopped(1)], [8_100, tick]])), { 'vm-2': hundred / 2 })
  })

  test('with its last byte sent a guest needs nothing of the path: the next has all of it', () => {
    assert.deepEqual(rates(driven([...facts, [8_000, stopped(1)], [8_150, sentWhole(1)]])), { 'vm-2': undefined })
  })

  test('a guest that is known to write much has the path for itself while it stands still', () => {
    const busy = { dirty: { hot: mebibytes(2), period: ms(1_000), cold: bytesPerSecond(0) } }
    const state = driven([onePath(3, busy), [1, ready(1)], [2, ready(2)], [8_000, stopped(1)]])
    assert.deepEqual(rates(state), { 'vm-2': floor })
  })

  test('who leads is not told twice; who waits is told nothing new', () => {
    const state = driven([onePath(5), [1, ready(1)], [2, ready(2)], [8_000, stopped(1)], [8_150, sentWhole(1)]])
    assert.deepEqual(tended(decide(state, 8_200)), [])
  })

  test('an earlier one that comes late leads, and who led waits: what is nearest to home is ahead in the plan', () => {
    const late: readonly Timed[] = [onePath(3), [1, ready(2)], [2, ready(1)], [3, ready(3)], [8_000, stopped(2)]]
    assert.deepEqual(rates(driven(late)), { 'vm-1': hundred / 2 })
    // It warms up beside vm-2, and has the path when that is through.
    assert.deepEqual(rates(driven([...late, [8_100, sentWhole(2)]])), { 'vm-1': undefined })
  })

  test('who waits behind another is not expected to converge', () => {
    const losing = progress(1, { sent: mebibytes(500), rate: hundred, dirtyRate: hundred })
    const waits = driven([
      onePath(2, allowing('post-copy')),
      [1, ready(2)],
      [2, ready(1)],
      [8_000, stopped(2)],
      [9_000, losing],
      [9_000, tick],
      [9_000, tick],
    ])
    assert.equal(preCopyOf(waits, 'vm-1').switching, false)
  })
})

describe('several at once', () => {
  const gigabit = megabitsPerSecond(1_000)

  test('where cards are the limit, as many as have a card and a share of the path', () => {
    const hosts = [1, 2, 3].map(n => aHost(`a-${n}`, 'a', { nic: megabitsPerSecond(400) }))
    const snapshot = aSnapshot({
      hosts: [...hosts, aHost('b-1', 'b', { memory: mebibytes(65_536) })],
      paths: [aPath('a', 'b', { capacity: gigabit })],
      vms: [1, 2, 3].map(n => aVm(`vm-${n}`, `a-${n}`)),
    })
    const state = driven([
      [0, startOf(snapshot)],
      [1, ready(1)],
      [2, ready(2)],
      [3, ready(3)],
      [4, tick],
    ])
    const [first, ...others] = Object.values(rates(state))
    assert.equal(first, undefined)
    const [second, third] = others.map(rate => Math.round(((rate ?? 0) / gigabit) * 1000))
    assert.deepEqual([second, third], [400, 200])
  })

  test('who allows post-copy has one stream, so several of them fill a path that one stream does not', () => {
    const state = driven([
      onePath(5, allowing('post-copy'), unlimited, { capacity: gigabit, perFlow: megabitsPerSecond(400) }),
      [1, ready(1)],
      [2, ready(2)],
      [3, ready(3)],
      [4, ready(4)],
      [5, tick],
    ])
    assert.deepEqual(Object.values(rates(state)), [undefined, megabitsPerSecond(400), megabitsPerSecond(200)])
  })

  test('one more for what is left, where that is a quarter of what it could get, or a tenth of the path', () => {
    const flowing = (perFlow: number, vms: number): number => {
      const start = onePath(vms, { ...allowing('post-copy'), memory: mebibytes(256) }, unlimited, {
        capacity: gigabit,
        perFlow: megabitsPerSecond(perFlow),
      })
      const told = Array.from({ length: vms }, (_, n): Timed => [n + 1, ready(n + 1)])
      return Object.keys(rates(driven([start, ...told, [100, tick]]))).length
    }
    // Five of 190 leave 50, of 192 leave 40; two of 450 leave 100, of 460 leave 80.
    assert.deepEqual([flowing(190, 8), flowing(192, 8), flowing(450, 8), flowing(460, 8)], [6, 5, 3, 2])
  })

  test('small ones that do little but shake hands: as many as fill the path by the share of their time in which they send', () => {
    const started = (used: number, rtt: number): number => {
      const snapshot = aSnapshot({
        vms: someVms(16, { memory: mebibytes(64), used: mebibytes(used) }),
        paths: [aPath('a', 'b', { capacity: hundred, rtt: ms(rtt) })],
      })
      const told = Array.from({ length: 16 }, (_, n): Timed => [n + 1, ready(n + 1)])
      return Object.keys(rates(driven([[0, startOf(snapshot)], ...told, [100, tick]]))).length
    }
    // 1 MiB takes 84 ms, and its handshakes 350: each takes a fifth of what those before it left, until less than a tenth is idle.
    assert.equal(started(1, 40), 11)
    // 6 MiB take half a second, beside the same.
    assert.equal(started(6, 0), 1)
  })

  test('two ways out are used at once', () => {
    const state = driven([
      [0, startOf(twoWays(100, 100, someVms(4)))],
      ...[1, 2, 3, 4].map((n): Timed => [n, ready(n)]),
    ])
    const targets = [...state.migrations.in('pre-copy')].map(({ target }) => target)
    assert.deepEqual([...targets].sort(), ['b-1', 'c-1'])
  })

  test('of a path nobody knows anything of, the first shows what it carries; the next waits until then', () => {
    const facts: readonly Timed[] = [
      onePath(3, {}, unlimited, { capacity: undefined }),
      [1, ready(1)],
      [2, ready(2)],
      ...eachSecond(1, 6, at => [[at, queueing(40)], flows(1, at, 100)]),
    ]
    assert.deepEqual(rates(driven(facts)), { 'vm-1': undefined })
    // What it carries is known now: the next one warms up on half of it.
    assert.deepEqual(rates(driven([...facts, [7_000, stopped(1)]])), { 'vm-2': hundred / 2 })
  })

  test('after a drop that was seen twice, what waits is offered shares of what is left', () => {
    const facts = [onePath(3), [1, ready(1)], [2, ready(2)], ...eachSecond(4, 7, at => [flows(1, at, 20)])] as const
    assert.deepEqual(rates(driven([...facts, [8_000, stopped(1)]])), { 'vm-2': hundred / 10 })
  })

  test('while a guest stands still those that wait for other cards have half of the path together, not each', () => {
    const hosts = [...[1, 2, 3, 4].map(n => roomy(`a-${n}`, 'a', 1_000)), roomy('b-1', 'b')]
    const snapshot = aSnapshot({ hosts, paths: [pathOf(4_000)], vms: guests(4, 4) })
    const facts: readonly Timed[] = [
      [0, startOf(snapshot)],
      ...[1, 2, 3, 4].map((n): Timed => [n, ready(n)]),
      [5, tick],
      [6, ready(3)],
      [7, ready(4)],
      // The path falls to 500 Mbit/s.
      ...eachSecond(4, 15, at => [1, 2, 3, 4].map(n => flows(n, at, n === 1 ? 500 : 0))),
    ]
    const state = driven([...facts, [16_000, stopped(1)]])
    const others = Object.values(rates(state)).reduce<number>((sum, rate) => sum + (rate ?? Infinity), 0)
    assert.ok(others <= megabitsPerSecond(260), `${(others * 8) / 1e6} Mbit/s of 500 are taken from it`)
  })

  test('in a world: nobody stands still for longer than their owner allows where a path falls under its cards', () => {
    const hosts = [1, 2, 3, 4].flatMap(n => [roomy(`a-${n}`, 'a', 1_000), roomy(`b-${n}`, 'b')])
    const world = aSnapshot({ hosts, paths: [pathOf(4_000)], vms: guests(16, 4) })
    const { state } = lived(world, [change(8_000, { capacity: megabitsPerSecond(500) })])
    assert.equal(state.migrations.count('landed'), 16)
    // Device state, two round trips, and the target seen to run; and over channels one that waits sends 5 MB/s of these 62 all the same.
    const most = 300 / (1 - 5.24 / 62.5) + 20 + 40 + 90
    for (const { vm, downtime } of state.migrations.in('landed'))
      assert.ok((downtime ?? 0) <= most, `${vm} stood still for ${downtime} ms`)
  })
})

describe('bounds', () => {
  test('while nothing is admitted nothing starts; what flows is tended', () => {
    const facts: readonly Timed[] = [onePath(4), [1, ready(1)], [2, ready(2)]]
    const through: readonly Timed[] = [
      [8_000, stopped(1)],
      [8_100, sentWhole(1)],
    ]
    assert.deepEqual(rates(driven([...facts, [3, paused], [4, ready(3)], ...through, [9_000, tick]])), {})
    // One that warmed up already gets the path all the same.
    const warm = driven([...facts, [8_000, stopped(1)], [8_001, paused], [8_100, sentWhole(1)]])
    assert.deepEqual(rates(warm), { 'vm-2': undefined })
  })

  test('no more at once than the operator allows, the one that stands still counted', () => {
    const one: Limits = { ...unlimited, maxParallel: 1 }
    const facts: readonly Timed[] = [onePath(4, {}, one), [1, ready(1)], [2, ready(2)]]
    assert.deepEqual(rates(driven([...facts, [8_000, stopped(1)]])), {})
    assert.deepEqual(rates(driven([...facts, [8_000, stopped(1)], [8_100, sentWhole(1)]])), { 'vm-2': undefined })
  })

  test('nor when nothing goes through: in an outage those that are silent count', () => {
    const snapshot = aSnapshot({
      hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')],
      paths: [pathOf(1_000)],
      vms: guests(12, 1),
    })
    const run = beginRehearsal({
      snapshot,
      timeline: [{ at: ms(5_000), jitter: ms(0), what: { kind: 'cut', path: [siteId('a'), siteId('b')] } }],
      policy: 'finish-first',
      limits: { ...unlimited, maxParallel: 1 },
      seed: 1,
    })
    while (run.now < 60_000) run.advance(1)
    assert.equal(run.soFar().state.migrations.count('pre-copy'), 1)
  })

  const bounded = (allowed: number, path: Partial<Path> = {}, used?: number): Timed =>
    onePath(
      4,
      used === undefined ? {} : { used: mebibytes(used) },
      { ...unlimited, bandwidth: megabitsPerSecond(allowed) },
      path,
    )

  test('where the operator bounds the bandwidth the first has all of it, as a cap, and the next waits', () => {
    const state = driven([bounded(60), [1, ready(1)], [2, ready(2)], [1_000, tick]])
    assert.deepEqual(rates(state), { 'vm-1': megabitsPerSecond(60) })
  })

  test('however little of the path the operator allows, whatever is known of it, however small a VM: somebody starts, and no more', () => {
    for (const [allowed, capacity, used] of [
      [60, hundred, 100],
      [9, hundred, 100],
      [1, megabitsPerSecond(10_000), 100],
      [60, undefined, 100],
      [60, hundred, 0.1],
      [60, hundred, 0],
    ] as const) {
      const state = driven([bounded(allowed, { capacity }, used), [1, ready(1)], [2, ready(2)], [1_000, tick]])
      const first = { 'vm-1': megabitsPerSecond(allowed) }
      assert.deepEqual(rates(state), first, `${allowed} Mbit/s of ${capacity}, ${used} MiB`)
    }
  })

  test('what warms up while a guest stands still comes not on top of what the operator allows: it has what keeps its connection alive', () => {
    const facts: readonly Timed[] = [bounded(11), [1, ready(1)], [2, ready(2)], [60_000, stopped(1)]]
    assert.deepEqual(rates(driven(facts)), { 'vm-2': floor })
    // Nor has the one that leads then a tenth more, as is let be elsewhere.
    const leads = driven([bounded(46), ...facts.slice(1), [60_100, sentWhole(1)], [61_000, tick]])
    assert.deepEqual(rates(leads), { 'vm-2': megabitsPerSecond(46) })
  })

  describe('of a hypervisor that keeps caps in steps', () => {
    const step = 1_048_576
    const inStepsOf = (snapshot: Snapshot): Snapshot => ({
      ...snapshot,
      hosts: snapshot.hosts.map(host => ({ ...host, rateStep: bytesPerSecond(step) })),
    })

    test('are whole steps, never more than is allowed, and told once', () => {
      const limits = { ...unlimited, bandwidth: megabitsPerSecond(60) }
      const snapshot = inStepsOf(aSnapshot({ paths: [pathOf(100)], vms: someVms(4) }))
      const first = driven([
        [0, startOf(snapshot, limits)],
        [1, ready(1)],
        [2, ready(2)],
        [1_000, tick],
      ])
      assert.deepEqual(rates(first), { 'vm-1': 7 * step })
      const flowed = driven([
        [0, startOf(snapshot, limits)],
        [1, ready(1)],
        [2, ready(2)],
        ...eachSecond(2, 30, at => [flows(1, at, 7.34 * 8)]),
      ])
      assert.deepEqual(tended(decide(flowed, 31_000)), [])
      // A guest stands still: who would warm up beside it has a whole step, which is not allowed on top.
      assert.deepEqual(
        rates(
          driven([
            [0, startOf(snapshot, limits)],
            [1, ready(1)],
            [2, ready(2)],
            [9_000, stopped(1)],
          ]),
        ),
        {},
      )
    })

    test('the first does not wait, though the least cap is all it has: what does not converge is helped', () => {
      const dirty = { hot: mebibytes(60), period: ms(2_000), cold: bytesPerSecond(0) }
      const writes = aVm('vm-1', 'a-1', { used: mebibytes(100), dirty, ...allowing('post-copy') })
      const snapshot = inStepsOf(aSnapshot({ paths: [pathOf(100)], vms: [writes] }))
      const { state } = lived(snapshot, [], { ...unlimited, bandwidth: megabitsPerSecond(12) })
      const [home] = [...state.migrations.in('landed')]
      assert.equal(home?.mode, 'post-copy')
    })

    test('a higher cap that brings no more than is known to be there is tried ever more seldom', () => {
      const path = pathOf(50, { background: megabitsPerSecond(25), rtt: ms(40) })
      const snapshot = inStepsOf(
        aSnapshot({ hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')], paths: [path], vms: guests(1, 1) }),
      )
      const caps: (number | undefined)[] = []
      watched({ ...ours, snapshot, timeline: [] }, state => {
        for (const { tuning } of flowing(state)) if (tuning.rate !== caps.at(-1)) caps.push(tuning.rate)
      })
      // The neighbours fill their half: 25 Mbit/s are there, of which the cap leaves 17.
      // For ever, every nine seconds, they would be more than a hundred.
      assert.ok(caps.length > 1 && caps.length <= 30, `${caps.length} caps`)
    })

    test('a cap that was rounded down is not taken for a path that carries less', () => {
      const path = pathOf(30, { background: megabitsPerSecond(5), rtt: ms(40) })
      const snapshot = inStepsOf(
        aSnapshot({ hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')], paths: [path], vms: guests(4, 1) }),
      )
      const { state } = lived(snapshot)
      assert.equal(state.migrations.count('landed'), 4)
      // 25 Mbit/s are 2.98 MiB/s, of which two are kept: 1.5 times as long as to the byte, and no longer.
      assert.ok(
        makespan(lived(snapshot)) <
          makespan(lived({ ...snapshot, hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')] })) * 1.55,
      )
    })
  })

  test('what one is given more is taken from the others to the byte, where the operator bounds all together', () => {
    const bound: Limits = { ...unlimited, bandwidth: megabitsPerSecond(400) }
    const start = startOf(twoWays(60, 1_000, someVms(2)), bound)
    const moves = start.plan.moves.map(move => ({ ...move, target: hostId(move.vm === 'vm-1' ? 'b-1' : 'c-1') }))
    const facts: readonly Timed[] = [
      [0, { ...start, plan: { ...start.plan, moves } }],
      [1, ready(1)],
      [2, ready(2)],
    ]
    const allowed = (state: Evacuation) => Object.values(rates(state)).map(rate => ((rate ?? Infinity) * 8) / 1e6)
    assert.deepEqual(allowed(driven(facts)), [60, 340])
    // The way to b carries more than is stated.
    const later = driven([...facts, ...eachSecond(4, 6, at => [flows(1, at, 70), flows(2, at, 340)])])
    assert.deepEqual(allowed(later), [70, 330])
  })

  const beside: Timed = onePath(4, {}, unlimited, { background: megabitsPerSecond(30) })

  test('other people’s traffic keeps its part: the first has what is left, as a cap', () => {
    const state = driven([beside, [1, ready(1)], [2, ready(2)], [1_000, tick]])
    assert.deepEqual(rates(state), { 'vm-1': megabitsPerSecond(70) })
  })

  test('… and beside a guest that stands still the next has no more than keeps its connection alive', () => {
    const state = driven([beside, [1, ready(1)], [2, ready(2)], [8_000, stopped(1)]])
    const standing = migrationOf(state, 'vm-1')
    assert.ok(standing.phase === 'switchover')
    const together = (standing.tuning.rate ?? Infinity) + (rates(state)['vm-2'] ?? 0)
    assert.ok(together <= megabitsPerSecond(70) + floor, `${together} of ${megabitsPerSecond(70)}`)
  })
})

describe('migrations through which nothing goes', () => {
  const two = aSnapshot({
    hosts: [
      aHost('a-1', 'a'),
      aHost('b-1', 'b', { memory: mebibytes(3000) }),
      aHost('b-2', 'b', { memory: mebibytes(2900) }),
    ],
    vms: someVms(4),
  })
  /** vm-1 is silent from the first second; the path lives if vm-2 gets on. */
  const story = (until: number, others: 'get on' | 'are silent too'): readonly Timed[] => [
    [0, startOf(two)],
    [1, ready(1)],
    [2, ready(2)],
    [900, progress(1, { sent: mebibytes(1) })],
    ...eachSecond(1, until, at => (others === 'get on' ? [flows(2, at, 100)] : [])),
  ]

  test('do not hold the path for the others after ten seconds: one of those finds out whether it is the target or the path', () => {
    assert.deepEqual(rates(driven(story(9, 'are silent too'))), { 'vm-1': undefined })
    const state = driven(story(12, 'are silent too'))
    assert.deepEqual(rates(state), { 'vm-1': undefined, 'vm-2': undefined })
  })

  test('wait for another way, while that is alive, three times as long as for nothing', () => {
    const start = startOf(twoWays(100, 100, someVms(12)))
    const target = (n: number) => hostId(n % 2 === 1 ? 'b-1' : 'c-1')
    const moves = start.plan.moves.map(move => ({ ...move, target: target(Number(move.vm.slice(3))) }))
    const inSilence = (until: number): boolean => {
      const state = driven([
        [0, { ...start, plan: { ...start.plan, moves } }],
        [1, ready(1)],
        [2, ready(2)],
        [3, ready(3)],
        [900, progress(1, { sent: mebibytes(1) })],
        ...eachSecond(1, until, at => [flows(2, at, 100)]),
      ])
      return inPhase(state, 'pre-copy').includes('vm-3')
    }
    assert.deepEqual([15, 30, 33].map(inSilence), [false, false, true])
  })

  test('the next who finds out waits twice as long, and the one after it twice as long again', () => {
    const flowing = (until: number): number =>
      driven([
        ...story(until, 'are silent too'),
        [until * 1_000, ready(3)],
        [until * 1_000, ready(4)],
      ]).migrations.count('pre-copy')
    assert.deepEqual([11, 13, 30, 33, 60].map(flowing), [1, 2, 2, 3, 3])
  })

  test('draw one more after them, however small those are that wait', () => {
    const tiny = aSnapshot({ vms: someVms(4).map((vm, n) => (n === 0 ? vm : { ...vm, used: mebibytes(n) })) })
    const later = driven([
      [0, startOf(tiny)],
      [1, ready(1)],
      [900, progress(1, { sent: mebibytes(1) })],
      ...eachSecond(1, 12, () => []),
      [12_100, ready(2)],
      [12_100, ready(3)],
      [12_100, ready(4)],
    ])
    assert.equal(later.migrations.count('pre-copy'), 2)
  })

  test('are not taken for guests that outrun their path: an outage is no reason for post-copy', () => {
    const lost = progress(1, {
      sent: mebibytes(3_000),
      rate: bytesPerSecond(hundred * 0.1),
      dirtyRate: bytesPerSecond(hundred * 0.6),
    })
    const started = onePath(1, { ...allowing('post-copy'), used: mebibytes(1_000) })
    const asked = (still: number): readonly string[] =>
      kinds(decide(driven([started, [1, ready(1)], [180_000, lost], [180_000, tick]]), 180_000 + still))
    assert.deepEqual(asked(1_000), ['post-copy'])
    assert.deepEqual(asked(4_000), [])
  })

  test('are called back, to try another target, when others on the path get on without them; not when the path is silent', () => {
    assert.equal(preCopyOf(driven(story(28, 'get on')), 'vm-1').cancelling, undefined)
    const lost = preCopyOf(driven(story(33, 'get on')), 'vm-1').cancelling
    // The silent target is passed over, as long as there is another.
    assert.equal(lost?.code, 'target-unreachable')
    assert.match(lost.detail, /while others on its path got on: b-\d is silent$/)
    assert.equal(preCopyOf(driven(story(90, 'are silent too')), 'vm-1').cancelling, undefined)
  })

  test('are not, when those that get on have the same target: it is not that', () => {
    const one = aSnapshot({ hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')], vms: someVms(4) })
    const facts: readonly Timed[] = [[0, startOf(one)], ...story(60, 'get on').slice(1)]
    const state = driven(facts)
    assert.ok(inPhase(state, 'pre-copy').includes('vm-2'))
    assert.equal(preCopyOf(state, 'vm-1').cancelling, undefined)
  })
})

test('what is called back is told nothing, and what switches modes is let be', () => {
  const state = driven([
    onePath(2),
    [1, ready(1)],
    [2, ready(2)],
    [3, { kind: 'operator', by: 'test', order: 'abort' }],
  ])
  assert.ok(migrationOf(state, 'vm-1').phase === 'pre-copy')
  assert.deepEqual(kinds(tended(decide(state, 9_000, { admitting: true }))), [])
  assert.equal(state.migrations.get(vmId('vm-2'))?.phase, 'preparing')
})
