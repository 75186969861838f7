import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbRequest, aSnapshot, aVm, runs, someVms } from '../../../test/arbitraries.ts'
import { siteId } from '../ids.ts'
import { vmsOfSite } from '../inventory/snapshot.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { showFailure } from '../migration/failure.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { checkPlan } from './check-plan.ts'
import { planEvacuation, type PlanRequest } from './plan-evacuation.ts'

const requestOf = (change: Partial<PlanRequest>): PlanRequest => ({
  snapshot: aSnapshot({ vms: someVms(3) }),
  endangered: [siteId('a')],
  targets: [siteId('b')],
  policy: 'sequential',
  slots: 1,
  bandwidth: undefined,
  ...change,
})

test('the planner never breaks a rule', () => {
  fc.assert(
    fc.property(arbRequest, request => assert.deepEqual(checkPlan(request, planEvacuation(request)), [])),
    runs(1_000),
  )
})

test('every VM of the endangered sites is moved or has a reason, and no other is mentioned', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const { moves, unplaced } = planEvacuation(request)
      const mentioned = [...moves, ...unplaced].map(({ vm }) => vm).sort()
      const leaving = request.endangered.flatMap(site => vmsOfSite(request.snapshot, site)).map(({ id }) => id)
      assert.deepEqual(mentioned, [...leaving].sort())
    }),
    runs(500),
  )
})

test('who stays has a refusal of every host that was asked, with numbers, or may not move', () => {
  let seen = 0
  fc.assert(
    fc.property(arbRequest, request => {
      const { snapshot, targets } = request
      const asked = snapshot.hosts.filter(({ site }) => targets.includes(site)).map(({ id }) => id)
      for (const { vm: id, failure } of planEvacuation(request).unplaced) {
        const vm = snapshot.vms.find(other => other.id === id)
        assert.ok(vm !== undefined)
        assert.doesNotMatch(showFailure(failure), /undefined|NaN/)
        if (failure.code === 'may-not-move') {
          assert.ok(vm.policy.action === 'stay' || vm.paused)
          continue
        }
        assert.ok(failure.code === 'no-target')
        assert.deepEqual(
          failure.refusals.map(([host]) => host),
          asked,
        )
        for (const [, refusal] of failure.refusals) {
          seen += 1
          if (refusal.why === 'memory') assert.ok(refusal.need === vm.memory && refusal.free < refusal.need)
          if (refusal.why === 'local-disk') assert.ok(vm.disks.some(disk => !disk.shared && disk.size === refusal.size))
        }
      }
    }),
    runs(500),
  )
  assert.ok(seen > 100, 'the generator makes VMs that do not fit')
})

test('no more moves run at once than there are slots', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const { moves } = planEvacuation(request)
      for (const { start } of moves) {
        if (start === undefined) continue
        const running = moves.filter(
          other => other.start !== undefined && other.start <= start && (other.end ?? Infinity) > start,
        )
        assert.ok(running.length <= request.slots, `${running.length} run at ${start}, slots ${request.slots}`)
      }
    }),
    runs(500),
  )
})

test('moves are in order of their start, those without one last', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const starts = planEvacuation(request).moves.map(({ start }) => start ?? Infinity)
      assert.deepEqual(
        starts,
        [...starts].sort((a, b) => (a === b ? 0 : a - b)),
      )
    }),
    runs(500),
  )
})

test('the same question has the same plan', () => {
  fc.assert(
    fc.property(arbRequest, request => assert.deepEqual(planEvacuation(request), planEvacuation(request))),
    runs(100),
  )
})

test('one after the other each VM has the whole path: three of 100 MiB over 100 Mbit/s', () => {
  const each = 8_388.608
  assert.deepEqual(
    planEvacuation(requestOf({})).moves.map(({ vm, target, start, end }) => ({ vm, target, start, end })),
    [
      { vm: 'vm-1', target: 'b-1', start: 0, end: each },
      { vm: 'vm-2', target: 'b-2', start: each, end: 2 * each },
      { vm: 'vm-3', target: 'b-1', start: 2 * each, end: 2 * each + each },
    ],
  )
})

test('all at once each VM has a third of the path, and all end together', () => {
  const ends = planEvacuation(requestOf({ slots: Number.POSITIVE_INFINITY })).moves.map(({ start, end }) => [
    start,
    end,
  ])
  for (const [start, end] of ends) {
    assert.equal(start, 0)
    assert.ok(end !== undefined && Math.abs(end - 3 * 8_388.608) < 1e-6)
  }
})

test('background traffic keeps its share of the path, and the operator’s bandwidth binds', () => {
  const paths = [aPath('a', 'b', { capacity: megabitsPerSecond(100), background: megabitsPerSecond(50) })]
  const first = (change: Partial<PlanRequest>): number | undefined => planEvacuation(requestOf(change)).moves[0]?.end
  assert.equal(first({ snapshot: aSnapshot({ vms: someVms(1), paths }) }), 16_777.216)
  assert.equal(first({ bandwidth: megabitsPerSecond(25) }), 33_554.432)
  assert.equal(first({ bandwidth: megabitsPerSecond(400) }), 8_388.608)
})

test('where no capacity is known there are no times, but the plan stands', () => {
  const { moves, unplaced } = planEvacuation(
    requestOf({ snapshot: aSnapshot({ vms: someVms(3), paths: [aPath('a', 'b')] }) }),
  )
  assert.deepEqual(
    moves.map(({ start, end }) => [start, end]),
    [
      [0, undefined],
      [undefined, undefined],
      [undefined, undefined],
    ],
  )
  assert.deepEqual(unplaced, [])
})

test('a VM that never ends by pre-copy has no end, and with one slot those after it no start', () => {
  const vms = someVms(2, {
    dirty: { hot: mebibytes(50), period: ms(1_000), cold: bytesPerSecond(0) },
    policy: { ...defaultVmPolicy, maxDowntime: ms(300) },
  })
  assert.deepEqual(
    planEvacuation(requestOf({ snapshot: aSnapshot({ vms }) })).moves.map(({ start, end }) => [start, end]),
    [
      [0, undefined],
      [undefined, undefined],
    ],
  )
})

test('VMs are spread over the hosts with the most room', () => {
  const snapshot = aSnapshot({
    hosts: [
      aHost('a-1', 'a'),
      aHost('b-1', 'b', { memory: mebibytes(2048) }),
      aHost('b-2', 'b', { memory: mebibytes(4096) }),
    ],
    vms: someVms(6),
  })
  const plan = planEvacuation(requestOf({ snapshot }))
  assert.deepEqual(
    plan.moves.map(({ target }) => target),
    ['b-2', 'b-2', 'b-1', 'b-2', 'b-1', 'b-2'],
  )
  assert.deepEqual(plan.unplaced, [])
})

test('what does not fit stays, and what is smaller still goes', () => {
  const snapshot = aSnapshot({
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b', { memory: mebibytes(1536) })],
    vms: [...someVms(2), aVm('small', 'a-1', { memory: mebibytes(512) })],
  })
  const plan = planEvacuation(requestOf({ snapshot }))
  assert.deepEqual(
    plan.moves.map(({ vm }) => vm),
    ['vm-1', 'small'],
  )
  assert.deepEqual(plan.unplaced, [
    {
      vm: 'vm-2',
      failure: {
        code: 'no-target',
        refusals: [['b-1', { why: 'memory', need: mebibytes(1024), free: mebibytes(512) }]],
      },
    },
  ])
})

test('where no site is chosen the reason says so', () => {
  const [stays] = planEvacuation(requestOf({ targets: [] })).unplaced
  assert.ok(stays !== undefined)
  assert.equal(showFailure(stays.failure), 'no target: no safe host is known')
})
