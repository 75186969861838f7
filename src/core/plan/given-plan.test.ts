import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm } from '../../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import { showFailure } from '../migration/failure.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { mebibytes, ms } from '../units.ts'
import { adoptPlan, type GivenPlan, showGap } from './given-plan.ts'
import type { PlanRequest } from './plan-evacuation.ts'

const request: PlanRequest = {
  snapshot: aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true })],
    hosts: [
      aHost('a-1', 'a'),
      aHost('a-2', 'a'),
      aHost('b-1', 'b', { memory: mebibytes(4096) }),
      aHost('b-2', 'b', { memory: mebibytes(4096) }),
    ],
    paths: [aPath('a', 'b')],
    vms: [
      aVm('web', 'a-1', { memory: mebibytes(2048) }),
      aVm('db', 'a-2', { memory: mebibytes(3072) }),
      aVm('small', 'a-1', { memory: mebibytes(512) }),
      aVm('rock', 'a-1', { policy: { ...defaultVmPolicy, action: 'stay' } }),
    ],
  }),
  endangered: [siteId('a')],
  targets: [siteId('b')],
  policy: 'finish-first',
  slots: 1,
  bandwidth: undefined,
  order: 'value-per-time',
}

const move = (vm: string, target: string, source?: string) => ({
  vm: vmId(vm),
  source: source === undefined ? undefined : hostId(source),
  target: hostId(target),
  start: undefined,
  end: undefined,
})
const given = (change: Partial<GivenPlan>): GivenPlan => ({
  policy: undefined,
  moves: [],
  stay: [],
  unplaced: [],
  ...change,
})
const whole = [move('db', 'b-1'), move('web', 'b-2'), move('small', 'b-2')]

test('order and targets are the plan’s, whatever the planner would have said; sources and times are found', () => {
  const { plan, broken, gaps } = adoptPlan(request, given({ moves: whole }))
  assert.deepEqual([broken, gaps], [[], []])
  assert.deepEqual(
    plan.moves.map(({ vm, source, target }) => [vm, source, target]),
    [
      ['db', 'a-2', 'b-1'],
      ['web', 'a-1', 'b-2'],
      ['small', 'a-1', 'b-2'],
    ],
  )
  assert.deepEqual(
    plan.unplaced.map(({ vm, failure }) => `${vm}: ${showFailure(failure)}`),
    ['rock: may-not-move: its policy says stay'],
  )
})

test('what a human deleted is named, with what to write', () => {
  const { plan, gaps } = adoptPlan(request, given({ moves: whole.slice(0, 2) }))
  assert.deepEqual(gaps, [{ gap: 'forgotten', vm: 'small', wouldGo: 'b-2' }])
  assert.match(
    gaps.map(showGap).join(),
    /^small: runs in a site that is being left.*put \{ vm: small, target: b-2 \} under moves:.*\{ vm: small, reason: "…" \} under stay:/,
  )
  // Let pass, it is left alone, and the report says why.
  assert.ok(plan.unplaced.some(({ vm, failure }) => vm === 'small' && /says nothing of it/.test(showFailure(failure))))
})

test('what stays on purpose is no gap, and keeps its reason', () => {
  const { plan, broken, gaps } = adoptPlan(
    request,
    given({ moves: whole.slice(0, 2), stay: [{ vm: vmId('small'), reason: 'its owner comes by' }] }),
  )
  assert.deepEqual([broken, gaps], [[], []])
  assert.match(plan.unplaced.map(({ failure }) => showFailure(failure)).join(), /its owner comes by/)
})

test('all broken rules are told at once, and the plan is judged as it is written', () => {
  const { broken } = adoptPlan(
    request,
    given({
      moves: [
        { ...move('db', 'b-1'), start: ms(9), end: ms(3) },
        move('web', 'b-1'),
        move('small', 'a-2'),
        move('rock', 'b-9', 'a-2'),
      ],
    }),
  )
  assert.deepEqual(broken.map(({ rule }) => rule).sort(), [
    'ends-before-start',
    'no-path',
    'over-memory',
    'target-endangered',
    'target-not-chosen',
    'unknown-host',
  ])
})

test('a VM that is gone is a gap of its own; nothing else is said of it', () => {
  const { plan, broken, gaps } = adoptPlan(
    request,
    given({ moves: [...whole, move('ghost', 'b-1', 'a-1')], stay: [{ vm: vmId('spirit'), reason: 'rests' }] }),
  )
  assert.deepEqual(broken, [])
  assert.deepEqual(
    gaps.map(gap => [gap.gap, gap.vm]),
    [
      ['gone', 'ghost'],
      ['gone', 'spirit'],
    ],
  )
  assert.ok(![...plan.moves, ...plan.unplaced].some(({ vm }) => vm === 'ghost' || vm === 'spirit'))
})

test('a VM that had no place is asked about again: reasons are of now, and a place that came free is offered', () => {
  const without = given({ moves: whole.slice(0, 2), unplaced: [vmId('small')] })
  const [gap] = adoptPlan(request, without).gaps
  assert.deepEqual(gap, { gap: 'has-a-place-now', vm: 'small', wouldGo: 'b-2' })
  assert.match(gap === undefined ? '' : showGap(gap), /b-2 would take it now; put \{ vm: small, target: b-2 \}/)
  const full = {
    ...request,
    snapshot: {
      ...request.snapshot,
      hosts: [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b', { memory: mebibytes(5121) })],
    },
  }
  const { plan, broken, gaps } = adoptPlan(
    full,
    given({ moves: [move('db', 'b-1'), move('web', 'b-1')], unplaced: [vmId('small')] }),
  )
  assert.deepEqual([broken, gaps], [[], []])
  assert.match(
    plan.unplaced.map(({ failure }) => showFailure(failure)).join(),
    /no target: b-1: needs 512 MiB of memory, 1.00 MiB free/,
  )
})

test('a VM twice in the plan is a broken rule, wherever it stands', () => {
  for (const twice of [
    given({ moves: [...whole, move('web', 'b-1')] }),
    given({ moves: whole, stay: [{ vm: vmId('web'), reason: 'r' }] }),
    given({ moves: whole, unplaced: [vmId('web')] }),
  ])
    assert.ok(adoptPlan(request, twice).broken.some(({ rule }) => rule === 'twice'))
})
