import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSite, aSnapshot, aVm, driven, migrationOf, someVms } from '../../../../test/arbitraries.ts'
import {
  decide,
  eachSecond,
  flows,
  gib,
  guests,
  hundred,
  inPhase,
  pathOf,
  progress,
  ready,
  roomy,
  startOf,
  tended,
  tick,
  type Timed,
  twoWays,
} from '../../../../test/finish-first-facts.ts'
import { change, lived, makespan } from '../../../../test/finish-first-worlds.ts'
import type { Evacuation } from '../../control/evacuation.ts'
import type { Started } from '../../control/observed.ts'
import { step } from '../../control/step.ts'
import { hostId, siteId, vmId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import { defaultVmPolicy, type Vm } from '../../inventory/vm.ts'
import type { Timeline } from '../../sim/timeline.ts'
import { megabitsPerSecond, mebibytes, ms } from '../../units.ts'

/** The plan has all of them go to b. */
function allToB(snapshot: Snapshot): Started {
  const { plan, ...start } = startOf(snapshot)
  return { ...start, plan: { ...plan, moves: plan.moves.map(move => ({ ...move, target: hostId('b-1') })) } }
}

describe('a way that nobody waits for', () => {
  const towardsC = (capacity: number): readonly string[] => {
    const facts: Timed[] = [
      [0, allToB(twoWays(100, capacity, someVms(8)))],
      [1, ready(1)],
      [2, ready(2)],
      [1_000, tick],
    ]
    const by = [...driven(facts).migrations.in('preparing', 'pre-copy')].filter(
      ({ target }) => target === hostId('c-1'),
    )
    return by.map(({ vm }) => vm).sort()
  }

  test('takes over from the front of another queue, until it has two of its own', () => {
    // vm-1 is home by b before vm-2 could begin; vm-3 and vm-4 were made ready for b meanwhile.
    assert.deepEqual(towardsC(100), ['vm-2', 'vm-5'])
  })

  test('only what is home sooner by it than the other queue ends', () => {
    // Eight of 8.4 s each by b; one takes 42 s at 20 Mbit/s, 84 s at 10.
    assert.deepEqual(towardsC(20), ['vm-3'])
    assert.deepEqual(towardsC(10), [])
  })

  test('but not what would be home later, however idle it is', () => {
    const took = makespan(lived(twoWays(1_000, 10, guests(12, 1))))
    assert.ok(took < 300_000, `${Math.round(took / 1000)} s; all by the fast way take 206 s`)
  })

  test('nothing for a site that no path leads to', () => {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
      hosts: [roomy('a-1', 'a'), roomy('b-1', 'b'), roomy('c-1', 'c')],
      paths: [pathOf(1_000)],
      vms: someVms(40),
    })
    const facts: Timed[] = [[0, startOf(snapshot)], ...Array.from({ length: 30 }, (_, n): Timed => [n, tick])]
    const ahead = driven(facts).migrations.count('preparing')
    assert.ok(ahead <= 3, `${ahead} hold memory`)
  })
})

/** `vm-1` flows to b, through which nothing goes after its first bytes; c has nobody, and is as fast where nothing else is said. */
const silentWay = (
  vms: readonly Vm[],
  until: number,
  change: Partial<Snapshot> = {},
  others: readonly Timed[] = [],
  toC = 100,
): Evacuation => {
  const facts: Timed[] = [
    [0, allToB({ ...twoWays(100, toC, vms), ...change })],
    [1, ready(1)],
    ...others,
    [900, progress(1, { sent: mebibytes(1) })],
  ]
  for (let at = 1_000; at <= until; at += 1_000) facts.push([at, tick])
  return driven(facts)
}
describe('what is ready for a way that has become slow', () => {
  /** Both are ready for b, which carries so much of its 100 Mbit/s; c has 50, and nobody. */
  const after = (seconds: number, rate: number): Evacuation =>
    driven([
      [0, allToB(twoWays(100, 50, someVms(2)))],
      [1, ready(1)],
      [2, ready(2)],
      ...eachSecond(1, seconds, at => [flows(1, at, rate)]),
    ])

  test('is let go, for a way that is idle and brings it home sooner, with the times by both', () => {
    assert.deepEqual(tended(decide(after(3, 95), 4_000)), [])
    const [released, ...others] = tended(decide(after(4, 5), 5_000))
    assert.deepEqual(others, [])
    assert.ok(released?.kind === 'release' && released.vm === 'vm-2')
    assert.match(released.why, /^the way to c-1 is idle: home in 16\.8 s by it, in \d min \d\d s by the way to b-1$/)
  })

  test('stays where the rules of placement, or a plan that was handed in, do not let it go elsewhere', () => {
    const onlyB: Partial<Vm> = { policy: { ...defaultVmPolicy, targets: [siteId('b')] } }
    const apart: Partial<Vm> = { policy: { ...defaultVmPolicy, antiAffinity: 'db' } }
    const [first, ...others] = guests(3, 1)
    assert.ok(first !== undefined)
    const equal = (vms: readonly Vm[]): Snapshot => twoWays(200, 200, vms)
    const worlds: readonly Snapshot[] = [
      equal(guests(4, 1, onlyB)),
      equal([first, ...others.map(vm => ({ ...vm, ...apart })), aVm('db', 'c-1', apart)]),
      { ...equal(guests(4, 1)), unreachable: [{ host: hostId('c-1'), why: 'no route to host' }] },
    ]
    for (const world of worlds) {
      const landed = [...lived(world).state.migrations.in('landed')]
      assert.ok(landed.length >= 2)
      for (const { vm, target, attempt } of landed)
        if (target === hostId('b-1')) assert.equal(attempt, 1, `${vm} was made ready ${attempt} times`)
    }
    const { plan, ...given } = allToB(equal(someVms(4)))
    const by = driven([
      [0, { ...given, plan, planFile: 'plan.json' }],
      [1, ready(1)],
      [2, ready(2)],
      [2_000, tick],
      [4_000, tick],
    ])
    assert.deepEqual(tended(decide(by, 5_000)), [])
  })

  test('is no failure: as many attempts are left as before', () => {
    const before = after(4, 5)
    const released = step(before, tick, instant(5_000))
    const [command] = released.commands.filter(({ kind }) => kind === 'roll-back')
    assert.ok(command?.kind === 'roll-back')
    const { attempt, failure } = command
    const { state } = step(released.state, { kind: 'attempt-failed', vm: command.vm, attempt, failure }, instant(5_500))
    const m = migrationOf(state, command.vm)
    assert.ok(m.phase === 'queued' || m.phase === 'preparing', m.phase)
    assert.equal(m.postponed, 1)
  })

  test('in worlds: it goes by the other way once and for all', () => {
    const timeline = [change(5_000, { capacity: megabitsPerSecond(5) })]
    const { state } = lived(twoWays(1_000, 200, guests(3, 1)), timeline)
    assert.equal(state.migrations.count('landed'), 3)
    const attempts = [...state.migrations.in('landed')].map(({ attempt }) => attempt)
    assert.ok(Math.max(...attempts) <= 2, `${Math.max(...attempts)} attempts`)
    assert.ok(
      [...state.migrations.in('landed')].some(({ attempt, target }) => attempt === 2 && target === hostId('c-1')),
    )
  })
})

describe('a way on which nothing moves', () => {
  test('in worlds: what it was to carry goes by the other one, and all come out', () => {
    const timeline: Timeline = [
      { at: ms(20_000), jitter: ms(0), what: { kind: 'cut', path: [siteId('a'), siteId('b')] } },
    ]
    const { state } = lived(twoWays(1_000, 1_000, guests(12, 1)), timeline)
    assert.equal(state.migrations.count('landed'), 12)
    const last = Math.max(...[...state.migrations.in('landed')].map(({ switchedAt }) => switchedAt))
    // 12 × 17 s by one way, a minute until the one that was stuck is called back, and a start anew.
    assert.ok(last < 320_000, `${Math.round(last / 1000)} s`)
    const later = [...state.migrations.in('landed')].filter(({ startedAt }) => startedAt > 60_000)
    for (const { vm, target } of later) assert.equal(target, hostId('c-1'), vm)
  })

  test('ready ones that wait for it are let go, the largest first, and one of them finds out whether it is the path', () => {
    const sizes = [100, 5, 6, 7]
    const vms = sizes.map((used, n) => aVm(`vm-${n + 1}`, 'a-1', { used: mebibytes(used), value: n === 0 ? 100 : 1 }))
    const all: readonly Timed[] = [2, 4].map(n => [n, ready(n)])
    const before = silentWay(vms, 10_000, {}, all, 10.8)
    // vm-3 is being made ready at c, which it will have left in half a second.
    assert.deepEqual(inPhase(before, 'preparing'), ['vm-2', 'vm-3', 'vm-4'])
    assert.deepEqual(tended(decide(before, 11_000)), [])
    const intents = tended(decide(silentWay(vms, 11_000, {}, all, 10.8), 12_000))
    assert.deepEqual(
      intents.map(each => ('vm' in each ? [each.kind, each.vm] : [])),
      [
        ['start', 'vm-2'],
        ['release', 'vm-4'],
      ],
    )
    // Its target is taken down, and it is made ready at the other.
    const [rolledBack] = step(silentWay(vms, 11_000, {}, all, 10.8), tick, instant(12_000)).commands.filter(
      ({ kind }) => kind === 'roll-back',
    )
    assert.ok(rolledBack?.kind === 'roll-back' && rolledBack.vm === vmId('vm-4'))
    assert.equal(rolledBack.failure.code, 'postponed')
    const failed = { kind: 'attempt-failed', vm: vmId('vm-4'), attempt: 1, failure: rolledBack.failure } as const
    const state = step(
      step(silentWay(vms, 11_000, {}, all, 10.8), tick, instant(12_000)).state,
      failed,
      instant(12_300),
    ).state
    const m = migrationOf(state, 'vm-4')
    assert.ok(m.phase === 'preparing' && m.target === hostId('c-1'), m.phase)
  })

  test('one through which nothing went for a minute is called back, to go another way; what was sent of it is lost, so not before', () => {
    const vms = [aVm('vm-1', 'a-1')]
    assert.equal(called(silentWay(vms, 59_000)), undefined)
    const cause = called(silentWay(vms, 62_000))
    assert.equal(cause?.code, 'target-unreachable')
    assert.match(cause.detail, /^nothing went through for [\d.]+ (s|min.*), and another way is idle$/)
  })

  test('it is not where no other way leads out', () => {
    const vms = [aVm('vm-1', 'a-1')]
    assert.equal(called(silentWay(vms, 120_000, { paths: [pathOf(100)] })), undefined)
  })

  /** `vm-2` flows to c meanwhile: `gotOn` of it each second, so much still to go. */
  const beside = (gotOn: number, remaining: number): Evacuation => {
    const vms = [aVm('vm-1', 'a-1'), aVm('vm-2', 'a-1', { used: gib(8), memory: gib(8) })]
    const start = startOf(twoWays(100, 100, vms))
    const to = (vm: string) => hostId(vm === 'vm-1' ? 'b-1' : 'c-1')
    const moves = start.plan.moves.map(move => ({ ...move, target: to(move.vm) }))
    const facts: Timed[] = [
      [0, { ...start, plan: { ...start.plan, moves } }],
      [1, ready(1)],
      [2, ready(2)],
      [900, progress(1, { sent: mebibytes(1) })],
    ]
    for (let at = 1_000; at <= 90_000; at += 1_000) {
      const sent = mebibytes(1 + (gotOn * at) / 1_000)
      facts.push([at, progress(2, { sent, remaining: mebibytes(remaining), total: gib(8), rate: hundred })], [at, tick])
    }
    return driven(facts)
  }

  test('nor where the other one is busy for longer than five seconds, or is silent as well', () => {
    // 12 MiB a second go through.
    assert.equal(called(beside(12, 40))?.code, 'target-unreachable')
    assert.equal(called(beside(12, 80)), undefined)
    assert.equal(called(beside(0, 40)), undefined)
  })
})

function called(state: Evacuation) {
  const m = migrationOf(state, 'vm-1')
  return m.phase === 'pre-copy' ? m.cancelling : undefined
}
