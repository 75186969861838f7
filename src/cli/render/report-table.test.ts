import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import * as fc from 'fast-check'
import { aPath, arbStory, aSnapshot, driven, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Observed } from '../../core/control/observed.ts'
import { vmId } from '../../core/ids.ts'
import { defaultVmPolicy } from '../../core/inventory/vm.ts'
import { reportOf } from '../../core/report/report.ts'
import { mebibytes, ms } from '../../core/units.ts'
import { reportLines } from './report-table.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
const linesAfter = (facts: readonly Timed[]): readonly string[] =>
  reportLines(reportOf(driven(facts))).map(line => stripVTControlCharacters(line))

const [first, second] = someVms(2)
assert.ok(first !== undefined && second !== undefined)
const rock = { ...second, policy: { ...defaultVmPolicy, action: 'stay' as const } }
const toSafety: readonly Timed[] = [
  [1, { kind: 'target-ready', ...of }],
  [9_000, { kind: 'landed', ...of, downtime: ms(120), sent: mebibytes(101), needed: mebibytes(100) }],
  [9_001, { kind: 'source-ended', ...of }],
]

test('a report reads like this', () => {
  assert.deepEqual(linesAfter([[0, startedFrom(aSnapshot({ vms: [first, rock] }))], ...toSafety]), [
    'Evacuation a-1   policy sequential',
    '',
    'VM    outcome  from → to  mode      tries  started  duration  downtime     sent',
    'vm-1  safe     a-1 → b-1  pre-copy      1     1 ms     9.0 s    120 ms  101 MiB',
    'vm-2  left     a-1        –             0        –         –         –      0 B  may-not-move: its policy says stay',
    '',
    'safe 1 of 2   1 left',
    '                                       reached  physical limit',
    'makespan (alarm to last switchover)      9.0 s           8.4 s',
    'mean duration (start to switchover)      9.0 s           8.4 s',
    'mean completion (alarm to switchover)    9.0 s           8.4 s',
    'longest downtime                        120 ms',
    'bytes sent / needed                    101 MiB         100 MiB',
    'J 1.07 (1.00 is the limit)',
  ])
})

test('values are told where they differ from the count', () => {
  const valued = aSnapshot({
    vms: [
      { ...first, value: 20 },
      { ...rock, value: 5 },
    ],
  })
  assert.ok(linesAfter([[0, startedFrom(valued)], ...toSafety]).includes('safe 1 of 2   1 left   value safe 20 of 25'))
})

test('where no capacity is stated there is no J, and the reader is told why', () => {
  const unknown = aSnapshot({ vms: [first], paths: [aPath('a', 'b')] })
  const lines = linesAfter([[0, startedFrom(unknown)], ...toSafety])
  assert.match(lines.at(-1) ?? '', /^J: not known \(no capacity is stated for the paths\)$/)
  assert.match(lines.find(line => line.startsWith('makespan')) ?? '', /9\.0 s +–$/)
})

test('where nothing came out there is no J either, but not because of the paths', () => {
  const lines = linesAfter([[0, startedFrom(aSnapshot({ vms: [rock] }))]])
  assert.match(lines.at(-1) ?? '', /^J: not known/)
  assert.doesNotMatch(lines.at(-1) ?? '', /no capacity is stated/)
})

test('an evacuation of nobody says so', () => {
  const lines = linesAfter([[0, startedFrom(aSnapshot())]])
  assert.ok(lines.includes('no VMs'))
  assert.ok(lines.some(line => line.startsWith('safe 0 of 0')))
})

test('any report names every VM with its outcome and reason, and nothing that is no number', () => {
  fc.assert(
    fc.property(arbStory, ({ last }) => {
      const report = reportOf(last)
      const lines = reportLines(report).map(line => stripVTControlCharacters(line))
      for (const { vm, outcome, reason } of report.vms) {
        const line = lines.find(text => text.startsWith(`${vm} `))
        assert.ok(line?.includes(outcome) === true && line.endsWith(reason ?? ''), `${vm}: ${line}`)
      }
      assert.doesNotMatch(lines.join('\n'), /undefined|NaN|Infinity|null/)
    }),
    runs(300),
  )
})
