import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm, driven, migrationOf, someVms } from '../../../../test/arbitraries.ts'
import {
  decide,
  gib,
  guests,
  hundred,
  onePath,
  pathOf,
  paused,
  ready,
  roomy,
  startOf,
  tick,
  type Timed,
  twoWays,
  viewOf,
} from '../../../../test/finish-first-facts.ts'
import { lived, makespan } from '../../../../test/finish-first-worlds.ts'
import type { Evacuation } from '../../control/evacuation.ts'
import type { Observed } from '../../control/observed.ts'
import { hostId, siteId, vmId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { MigrationFailure } from '../../migration/failure.ts'
import type { Timeline } from '../../sim/timeline.ts'
import { mebibytes, ms } from '../../units.ts'
import type { Intent } from '../policy.ts'
import { preparations } from './ahead.ts'
import { type Lane, Lanes } from './lanes.ts'
import { Lateness } from './lateness.ts'
import { counted } from './queues.ts'

const preparing = (state: Evacuation): number => state.migrations.count('preparing')
const failed = (n: number, code: Exclude<MigrationFailure['code'], 'no-target'>): Observed => ({
  kind: 'attempt-failed',
  vm: vmId(`vm-${n}`),
  attempt: 1,
  failure: { code, detail: 'told by the test' },
})
/** Who would be made ready now, and where they would rather go. */
const wanted = (intents: readonly Intent[]): readonly (readonly [string, string | undefined])[] =>
  intents.flatMap(each =>
    each.kind === 'prepare' ? [...each.candidates].map(({ vm, prefer }) => [vm, prefer] as const) : [],
  )

describe('how many are made ready before their turn', () => {
  test('two where each keeps the path busy for long, and no more: they hold memory', () => {
    assert.equal(preparing(driven([onePath(6)])), 2)
    assert.equal(preparing(driven([onePath(6), [1, ready(1)], [1_000, tick]])), 2)
  })

  test('more where they are through in less time than a process takes to start, and never more than sixteen', () => {
    const small = (used: number): number =>
      preparing(
        driven([[0, startOf(aSnapshot({ vms: someVms(40, { memory: mebibytes(64), used: mebibytes(used) }) }))]]),
      )
    assert.equal(small(6), 2)
    assert.equal(small(3), 4)
    assert.equal(small(0), 16)
  })

  test('what waits for its pause is passed over, to the millisecond', () => {
    const state = driven([onePath(2), [0, paused], [5_000, failed(1, 'path-lost')]])
    assert.deepEqual(wanted(decide(state, 5_999, { admitting: true })), [])
    assert.deepEqual(
      wanted(decide(state, 6_000, { admitting: true })).map(([vm]) => vm),
      ['vm-1'],
    )
  })

  test('nobody while nothing is admitted; nobody to bring out, nothing to decide', () => {
    assert.deepEqual(decide(driven([onePath(6), [0, paused]]), 1_000), [])
    const none = driven([[0, startOf(aSnapshot())]])
    assert.deepEqual(decide(none, 1_000), [])
    assert.equal(none.endedAt, 0)
  })
})

describe('each way has its own', () => {
  test('a way that is busy does not cost another its turn', () => {
    const state = driven([[0, startOf(twoWays(100, 100, someVms(8)))]])
    const there = [...state.migrations.in('preparing')].map(({ target }) => target)
    assert.deepEqual([...there].sort(), ['b-1', 'b-1', 'c-1', 'c-1'])
  })

  test('those that wait for their own card leave other cards’ turn to others', () => {
    const snapshot = aSnapshot({
      hosts: [roomy('a-1', 'a', 1_000), roomy('a-2', 'a', 1_000), roomy('b-1', 'b')],
      paths: [pathOf(10_000)],
      vms: [
        ...[1, 2, 3, 4].map(n => aVm(`vm-${n}`, 'a-1', { used: gib(1) })),
        aVm('vm-5', 'a-2', { used: mebibytes(1100) }),
      ],
    })
    const facts: readonly Timed[] = [
      [0, startOf(snapshot)],
      [1, ready(1)],
      [2, ready(2)],
      [3, ready(3)],
      [1_000, tick],
      [2_000, tick],
    ]
    assert.notEqual(migrationOf(driven(facts), 'vm-5').phase, 'queued')
  })

  test('however many wait for a fast way, the first of a slow one are made ready too', () => {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('far'), aSite('b', { safe: true })],
      hosts: [roomy('a-1', 'a'), roomy('far-1', 'far'), roomy('b-1', 'b')],
      paths: [pathOf(1_000), { ...pathOf(100), from: siteId('far') }],
      vms: [
        ...Array.from({ length: 120 }, (_, n) => aVm(`fast-${n}`, 'a-1')),
        ...Array.from({ length: 5 }, (_, n) => aVm(`slow-${n}`, 'far-1')),
      ],
    })
    const sources = [...driven([[0, startOf(snapshot)]]).migrations.in('preparing')].map(({ source }) => source)
    assert.ok(sources.includes(hostId('a-1')) && sources.includes(hostId('far-1')), sources.join(', '))
  })

  test('nobody is made ready for a way on which nothing moves, unless there is no other', () => {
    const prepared = (silent: readonly string[]): readonly string[] => {
      const state = driven([
        [0, startOf(twoWays(100, 100, someVms(12)))],
        [0, paused],
      ])
      const view = viewOf(state, instant(1_000), { admitting: true })
      const lanes = new Lanes(view.snapshot, new Map(), undefined)
      const isSilent = ({ key }: Lane): boolean => silent.includes(key)
      const late = new Lateness(view, lanes, undefined)
      const intents = preparations(view, lanes, counted(undefined, view, lanes), new Map(), isSilent, late)
      return intents.flatMap(each => (each.kind === 'prepare' ? ([...each.candidates][0]?.prefer ?? []) : []))
    }
    assert.deepEqual(prepared([]), ['b-1', 'c-1'])
    assert.deepEqual(prepared(['path a c']), ['b-1'])
    assert.deepEqual(prepared(['path a b', 'path a c']), ['b-1', 'c-1'])
  })
})

describe('those that find no place', () => {
  test('are passed over: who is behind them does not wait for them', () => {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('far'), aSite('b', { safe: true })],
      hosts: [roomy('a-1', 'a'), roomy('far-1', 'far'), roomy('b-1', 'b')],
      paths: [pathOf(1_000), { ...pathOf(10), from: siteId('far') }],
      vms: [
        ...[1, 2].map(n => aVm(`bad-${n}`, 'a-1', { used: mebibytes(500) })),
        ...guests(6, 1),
        aVm('slow', 'far-1', { memory: gib(4), used: gib(2) }),
      ],
    })
    const timeline: Timeline = [1, 2].map(n => ({
      at: ms(0),
      jitter: ms(0),
      what: { kind: 'fail', vm: vmId(`bad-${n}`), how: 'target-out-of-memory', times: Infinity },
    }))
    const { state } = lived(snapshot, timeline)
    const near = [...state.migrations.in('landed')].filter(({ source }) => source === hostId('a-1'))
    const last = Math.max(...near.map(({ switchedAt }) => switchedAt))
    assert.equal(near.length, 6)
    assert.ok(last < 150_000, `six VMs of 17 s each were through after ${Math.round(last / 1000)} s`)
  })
})

describe('one that was refused where it was to go', () => {
  const refusedAt = (b: number, c: number): readonly (readonly [string, string | undefined])[] => {
    const facts: readonly Timed[] = [
      [0, startOf(twoWays(b, c, someVms(1)))],
      [0, paused],
      [5_000, failed(1, 'target-refused')],
    ]
    return wanted(decide(driven(facts), 40_000, { admitting: true }))
  }

  test('goes where it is home soonest: another way if that is about as fast, else the same host is asked again', () => {
    assert.deepEqual(refusedAt(1_000, 900), [['vm-1', 'c-1']])
    // 100 MiB take 84 s at 10 Mbit/s: a host that refused may do so again, which is taken to cost a minute.
    assert.deepEqual(refusedAt(1_000, 10), [['vm-1', 'b-1']])
    assert.deepEqual(refusedAt(1_000, 20), [['vm-1', 'c-1']])
  })

  test('is not sent by a way that takes an hour because of one refusal', () => {
    const timeline: Timeline = [
      { at: ms(0), jitter: ms(0), what: { kind: 'fail', vm: vmId('vm-1'), how: 'target-refused', times: 1 } },
    ]
    const took = makespan(lived(twoWays(1_000, 10, guests(4, 1)), timeline))
    assert.ok(took < 600_000, `${Math.round(took / 1000)} s`)
  })

  test('goes where there is room', () => {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c', { memory: mebibytes(512) })],
      paths: [aPath('a', 'b', { capacity: hundred }), aPath('a', 'c', { capacity: hundred })],
      vms: someVms(1),
    })
    const state = driven([
      [0, startOf(snapshot)],
      [0, paused],
      [5_000, failed(1, 'target-refused')],
    ])
    assert.deepEqual(wanted(decide(state, 40_000, { admitting: true })), [['vm-1', 'b-1']])
  })
})
