import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import * as fc from 'fast-check'
import { aHost, aPath, aSite, arbRequest, aSnapshot, runs, someVms } from '../../../test/arbitraries.ts'
import { siteId } from '../../core/ids.ts'
import type { Snapshot } from '../../core/inventory/snapshot.ts'
import { defaultVmPolicy } from '../../core/inventory/vm.ts'
import { planEvacuation, type PlanRequest } from '../../core/plan/plan-evacuation.ts'
import { forecastPlan } from '../../core/report/plan-forecast.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../core/units.ts'
import { planLines } from './plan-table.ts'

function linesFor(snapshot: Snapshot, change: Partial<PlanRequest> = {}): readonly string[] {
  const request = {
    snapshot,
    endangered: [siteId('a')],
    targets: [siteId('b')],
    policy: 'sequential',
    slots: 1,
    bandwidth: undefined,
    ...change,
  }
  const plan = planEvacuation(request)
  const limits = { maxParallel: undefined, bandwidth: request.bandwidth }
  const forecast = forecastPlan({ ...request, limits }, plan)
  return planLines(plan, snapshot, forecast, at => `+${Math.round(at)} ms`).map(line => stripVTControlCharacters(line))
}

test('a plan reads like this', () => {
  const [first, second] = someVms(2)
  assert.ok(first !== undefined && second !== undefined)
  const rock = { ...second, policy: { ...defaultVmPolicy, action: 'stay' as const } }
  assert.deepEqual(linesFor(aSnapshot({ vms: [first, rock] })), [
    'Plan by policy sequential: 1 VMs to move, 1 stay',
    '',
    '#  VM    from → to  to send  starts after  home after',
    '1  vm-1  a-1 → b-1  100 MiB       at once    9 – 11 s',
    '  all over a – b, 100 Mbit/s',
    '  in this order: as listed',
    '  vm-2 stays: may-not-move: its policy says stay',
    '',
    'All home after 8.8 – 10.5 s (p50 – p90: as likely as not, nine times in ten)',
    'Physical limits: makespan 8.4 s, mean completion 8.4 s, mean duration 8.4 s',
  ])
})

test('who stays is told with every host’s reason and its numbers', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(1, { memory: mebibytes(16_384) }) }))
  const refusal = 'needs 16.0 GiB of memory, 8.00 GiB free (short by 8.00 GiB)'
  assert.ok(lines.includes(`  vm-1 stays: no target: b-1: ${refusal}; b-2: ${refusal}`), lines.join('\n'))
})

test('where no capacity is known no time is invented, and the reader is told what to add', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(2), paths: [aPath('a', 'b')] }))
  assert.match(lines[3] ?? '', /^1 {2}vm-1 .* – +–$/)
  assert.match(lines[4] ?? '', /^2 {2}vm-2 .* – +–$/)
  assert.match(lines.at(-1) ?? '', /^No capacity is stated for the paths \(lifeboat\.yaml, paths\)/)
})

test('a capacity that nobody states is said to be one that was measured', () => {
  const measured = aPath('a', 'b', { capacity: megabitsPerSecond(30), capacityFrom: 'before' })
  const lines = linesFor(aSnapshot({ vms: someVms(2), paths: [measured] }))
  assert.deepEqual(lines.slice(5, 7), [
    '  all over a – b, 30.0 Mbit/s',
    '  not stated in lifeboat.yaml, but measured before (lifeboat links): a → b 30.0 Mbit/s',
  ])
  assert.doesNotMatch(linesFor(aSnapshot({ vms: someVms(2) })).join('\n'), /measured/)
})

test('a VM that will not end by pre-copy is not blamed on a capacity that is stated', () => {
  const hot = { hot: mebibytes(90), period: ms(1_000), cold: bytesPerSecond(0) }
  const lines = linesFor(aSnapshot({ vms: someVms(2, { dirty: hot }) }))
  assert.doesNotMatch(lines.join('\n'), /No capacity is stated/)
})

test('what differs from VM to VM has a column: over what, and why in this order', () => {
  const [first, second] = someVms(2)
  assert.ok(first !== undefined && second !== undefined)
  const two = aSnapshot({
    vms: [
      { ...first, value: 5, used: mebibytes(200) },
      { ...second, value: 1 },
    ],
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c')],
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    paths: [
      aPath('a', 'b', { capacity: megabitsPerSecond(100) }),
      aPath('a', 'c', { capacity: megabitsPerSecond(50) }),
    ],
  })
  const lines = linesFor(two, { policy: 'finish-first', order: 'value-per-time', targets: [siteId('b'), siteId('c')] })
  assert.match(lines[3] ?? '', /^1 {2}vm-1 .* a – b, 100 Mbit\/s +value 5 in 16\.9 s: 0\.30\/s$/)
  assert.match(lines[4] ?? '', /^2 {2}vm-2 .* a – c, 50\.0 Mbit\/s +value 1 in 16\.9 s: 0\.059\/s$/)
  assert.equal(lines[5], '  in this order: most value for each second first')
})

test('with a deadline it says before the start who fits, who does not, and because of what', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(3), deadline: ms(15_000) }))
  assert.deepEqual(lines.slice(-3), [
    'will-miss: 1 of 3 fit until +15000 ms (the deadline)',
    '  these do not: vm-2 (+17612 ms), vm-3 (+26417 ms)',
    '  because 300 MiB are left for the path a – b, which carries 179 MiB until then at 100 Mbit/s',
  ])
})

test('a plan of no moves promises no makespan', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(1, { memory: mebibytes(16_384) }) }))
  assert.match(lines[0] ?? '', /: 0 VMs to move, 1 stay$/)
  assert.doesNotMatch(lines.join('\n'), /makespan 0 ms/)
})

test('any plan is told whole: each move and each that stays by name, and nothing that is no number', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const lines = linesFor(request.snapshot, request)
      const { moves, unplaced } = planEvacuation(request)
      for (const { vm, source, target } of moves)
        assert.ok(lines.some(line => line.includes(` ${vm} `) && line.includes(`${source} → ${target}`)))
      for (const { vm } of unplaced) assert.ok(lines.some(line => line.startsWith(`  ${vm} stays: `)))
      assert.doesNotMatch(lines.join('\n'), /undefined|NaN|Infinity|null/)
    }),
    runs(300),
  )
})
