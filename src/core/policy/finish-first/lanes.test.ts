import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm, driven, someVms } from '../../../../test/arbitraries.ts'
import {
  guests,
  hundred,
  onePath,
  pathOf,
  rates,
  ready,
  roomy,
  startOf,
  tick,
  twoWays,
  viewOf,
} from '../../../../test/finish-first-facts.ts'
import { change, noSlower } from '../../../../test/finish-first-worlds.ts'
import { beginTrial, type PathEstimate, unobserved } from '../../forecast/path-capacity.ts'
import { hostId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Path, Snapshot } from '../../inventory/snapshot.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { finishFirst } from '../finish-first.ts'
import { declaredFor, floor, type Lane, Lanes, mostOf } from './lanes.ts'

const [a, b] = [hostId('a-1'), hostId('b-1')]
/** @param nic of the source, in Mbit/s */
const worldOf = (path: Partial<Path>, nic?: number, into?: number): Snapshot =>
  aSnapshot({
    hosts: [roomy('a-1', 'a', nic), roomy('a-2', 'a', nic), roomy('b-1', 'b', into)],
    paths: [aPath('a', 'b', path)],
  })
const estimates = (change: Partial<PathEstimate> = {}): ReadonlyMap<string, PathEstimate> =>
  new Map([['path a b', { ...unobserved(hundred), ...change }]])
const laneOf = (snapshot: Snapshot, known: ReadonlyMap<string, PathEstimate> = new Map()): Lane =>
  new Lanes(snapshot, known, undefined).lane(a, b)

describe('what a migration crosses', () => {
  test('what is stated of the path, less other people’s part, until something else was seen', () => {
    const snapshot = worldOf({ capacity: hundred, background: megabitsPerSecond(30) })
    assert.equal(laneOf(snapshot).narrowest, megabitsPerSecond(70))
    const seen = laneOf(snapshot, estimates({ capacity: 5_000_000 }))
    assert.deepEqual([seen.narrowest, seen.usual], [5_000_000, megabitsPerSecond(70)])
  })

  test('where neighbours are said to take all of it a tenth is ours; where nothing goes through, connections live all the same', () => {
    const path = aPath('a', 'b', { capacity: hundred, background: megabitsPerSecond(300) })
    assert.equal(declaredFor(path), hundred / 10)
    assert.equal(laneOf(worldOf({ capacity: hundred }), estimates({ capacity: 0 })).narrowest, floor)
    assert.equal(declaredFor(aPath('a', 'b', { background: megabitsPerSecond(300) })), undefined)
  })

  test('no more than cards let through; of what nobody knows there is no bound', () => {
    const { narrowest, own } = laneOf(worldOf({ capacity: hundred }, 40))
    assert.deepEqual([narrowest, own], [megabitsPerSecond(40), megabitsPerSecond(40)])
    const unknown = laneOf(worldOf({}))
    assert.deepEqual([unknown.narrowest, unknown.own, unknown.usual], [Infinity, Infinity, Infinity])
  })

  test('what one stream was seen to get bounds each of them, with a little more, for that was an average', () => {
    const lane = laneOf(
      worldOf({ capacity: hundred, perFlow: megabitsPerSecond(20) }),
      estimates({ single: 2_000_000 }),
    )
    assert.ok(Math.abs(lane.perStream - 2_200_000) < 1)
    assert.deepEqual(
      [mostOf(lane, 1), mostOf(lane, 2), mostOf(lane, 0)].map(Math.round),
      [2_200_000, 4_400_000, 2_200_000],
    )
  })

  test('twice as much while a higher cap is tried', () => {
    const trial = beginTrial({ ...unobserved(hundred), capacity: 8_000_000 }, 'higher-cap', instant(0))
    assert.equal(laneOf(worldOf({ capacity: hundred }), new Map([['path a b', trial]])).narrowest, 16_000_000)
  })

  test('a way that nobody declared is one of which nothing is known, the same for all of those sites', () => {
    const lanes = new Lanes({ ...worldOf({}), paths: [] }, new Map(), undefined)
    assert.equal(lanes.lane(a, b).key, lanes.lane(hostId('a-2'), b).key)
    assert.equal(lanes.lane(a, b).narrowest, Infinity)
    assert.notEqual(lanes.lane(a, hostId('a-2')).key, lanes.lane(a, b).key)
  })
})

describe('who waits for what', () => {
  test('all for the path; where a card is narrower, those of that host for the card', () => {
    const queueOf = (nic: number | undefined, from: string): string =>
      new Lanes(worldOf({ capacity: hundred }, nic), new Map(), undefined).lane(hostId(from), b).queue
    assert.equal(queueOf(undefined, 'a-1'), queueOf(undefined, 'a-2'))
    assert.equal(queueOf(1_000, 'a-1'), queueOf(1_000, 'a-2'))
    assert.notEqual(queueOf(40, 'a-1'), queueOf(40, 'a-2'))
  })

  test('while one leads whose card is the limit, others’ cards do not stand idle', () => {
    const hosts = [
      ...[1, 2, 3, 4].map(n => roomy(`a-${n}`, 'a', 1_000)),
      ...[1, 2, 3, 4].map(n => roomy(`b-${n}`, 'b')),
    ]
    // All of the first host leave first.
    const vms = guests(24, 4).map((vm, n) => ({ ...vm, used: mebibytes(2048 + (n % 4) * 64) }))
    noSlower(aSnapshot({ hosts, paths: [pathOf(10_000)], vms }), 'fixed:4')
  })

  test('each of two ways has a leader without a cap, whatever cards and uplinks nobody knows the bound of', () => {
    const state = driven([
      [0, startOf(twoWays(100, 100, someVms(2)))],
      [1, ready(1)],
      [2, ready(2)],
      [3, tick],
    ])
    assert.deepEqual(Object.values(rates(state)), [undefined, undefined])
  })
})

describe('the share of a stream is known, the capacity of the path is not', () => {
  test('as many set out as fill it, and they are not held at the floor for it', () => {
    const dirty = { hot: mebibytes(8), period: ms(2_000), cold: bytesPerSecond(512 * 1024) }
    const snapshot = aSnapshot({
      hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')],
      paths: [pathOf(undefined, { perFlow: hundred })],
      vms: guests(16, 1, { dirty }),
    })
    noSlower(snapshot, 'sequential', [change(0, { capacity: megabitsPerSecond(1_000) })], 1.05)
  })
})

describe('promises to others', () => {
  test('are kept where neighbours are on the path and their part is known, and where the operator bounds all together', () => {
    const isBounded = (path: Partial<Path>, bandwidth?: number): boolean => {
      const lanes = new Lanes(worldOf(path), new Map(), bandwidth)
      return lanes.isBounded(lanes.lane(a, b))
    }
    const background = megabitsPerSecond(30)
    assert.equal(isBounded({ capacity: hundred }), false)
    assert.equal(isBounded({ capacity: hundred, background }), true)
    assert.equal(isBounded({ background }), false, 'nobody knows what to leave them')
    assert.equal(isBounded({ capacity: hundred, background: bytesPerSecond(0) }), false)
    assert.equal(isBounded({ capacity: hundred }, 1_000_000), true)
  })

  test('who is first takes all it gets, but where promises are kept', () => {
    for (const [background, free] of [
      [undefined, true],
      [megabitsPerSecond(30), false],
    ] as const) {
      const lanes = new Lanes(worldOf({ capacity: hundred, background }), new Map(), undefined)
      const lane = lanes.lane(a, b)
      assert.equal(lanes.isShared(lane.key), !free)
      assert.equal(lanes.isFree(lane, lanes.take(lane, 1)), free)
      assert.equal(lanes.isFree(lane, lanes.take(lane, 1)), false)
    }
  })
})

test('what was asked of one world is no answer in another', () => {
  const policy = finishFirst()
  const answers = [100, 50].map(capacity => {
    const facts = [
      onePath(3, { dirty: { hot: mebibytes(0), period: ms(1_000), cold: megabitsPerSecond(60) } }, undefined, {
        capacity: megabitsPerSecond(capacity),
      }),
      [1, ready(1)],
      [2, { kind: 'operator', by: 'test', order: 'pause' }],
      [
        3,
        { kind: 'attempt-failed', vm: aVm('vm-2', 'a-1').id, attempt: 1, failure: { code: 'postponed', detail: '' } },
      ],
    ] as const
    const state = driven(facts)
    const answerOf = (asked: typeof policy) =>
      asked
        .decide(viewOf(state, instant(10_000), { admitting: true }))
        .intents.map(each => (each.kind === 'prepare' ? { ...each, candidates: [...each.candidates] } : each))
    assert.deepEqual(answerOf(policy), answerOf(finishFirst()), `${capacity} Mbit/s`)
    return answerOf(policy)
  })
  assert.notDeepEqual(answers[0], answers[1], 'the worlds differ in what is decided')
})

test('hosts without a site are no reason to fail: their way is their own', () => {
  const lanes = new Lanes(worldOf({ capacity: hundred }), new Map(), undefined)
  const lane = lanes.lane(hostId('nowhere'), b)
  assert.deepEqual([lane.path, lane.narrowest, lane.shared], [undefined, Infinity, false])
})

test('uplinks count where they are known', () => {
  const snapshot = { ...worldOf({ capacity: hundred }), sites: [aSite('a', { uplink: hundred }), aSite('b')] }
  const hosts = [aHost('a-1', 'a'), aHost('b-1', 'b')]
  const lanes = new Lanes({ ...snapshot, hosts, paths: [] }, new Map(), undefined)
  assert.equal(lanes.lane(a, b).narrowest, hundred)
})
