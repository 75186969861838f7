import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import * as fc from 'fast-check'
import { aPath, arbRequest, aSnapshot, runs, someVms } from '../../../test/arbitraries.ts'
import { siteId } from '../../core/ids.ts'
import type { Snapshot } from '../../core/inventory/snapshot.ts'
import { defaultVmPolicy } from '../../core/inventory/vm.ts'
import { planEvacuation, type PlanRequest } from '../../core/plan/plan-evacuation.ts'
import { planBounds } from '../../core/report/bounds.ts'
import { bytesPerSecond, mebibytes, ms } from '../../core/units.ts'
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
  return planLines(plan, snapshot, planBounds(snapshot, request, plan)).map(line => stripVTControlCharacters(line))
}

test('a plan reads like this', () => {
  const [first, second] = someVms(2)
  assert.ok(first !== undefined && second !== undefined)
  const rock = { ...second, policy: { ...defaultVmPolicy, action: 'stay' as const } }
  assert.deepEqual(linesFor(aSnapshot({ vms: [first, rock] })), [
    'Plan by policy sequential: 1 VMs to move, 1 stay',
    '',
    '#  VM    from → to    memory  to send  start    end',
    '1  vm-1  a-1 → b-1  1.00 GiB  100 MiB   0 ms  8.4 s',
    '  vm-2 stays: may-not-move: its policy says stay',
    '',
    'Forecast makespan 8.4 s, physical limit 8.4 s',
  ])
})

test('who stays is told with every host’s reason and its numbers', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(1, { memory: mebibytes(16_384) }) }))
  const refusal = 'needs 16.0 GiB of memory, 8.00 GiB free (short by 8.00 GiB)'
  assert.ok(lines.includes(`  vm-1 stays: no target: b-1: ${refusal}; b-2: ${refusal}`), lines.join('\n'))
})

test('where no capacity is known no time is invented, and the reader is told what to add', () => {
  const lines = linesFor(aSnapshot({ vms: someVms(2), paths: [aPath('a', 'b')] }))
  assert.match(lines[3] ?? '', /^1 {2}vm-1 .* 0 ms +–$/)
  assert.match(lines[4] ?? '', /^2 {2}vm-2 .* – +–$/)
  assert.match(lines.at(-1) ?? '', /^No capacity is stated for the paths \(lifeboat\.yaml, paths\)/)
})

test('a VM that will not end by pre-copy is not blamed on a capacity that is stated', () => {
  const hot = { hot: mebibytes(90), period: ms(1_000), cold: bytesPerSecond(0) }
  const lines = linesFor(aSnapshot({ vms: someVms(2, { dirty: hot }) }))
  assert.doesNotMatch(lines.join('\n'), /No capacity is stated/)
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
