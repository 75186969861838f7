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

test('how far forecasts were off is told for each point of progress, in percent of what was forecast', () => {
  const said = [
    { mark: 0, at: 0, end: { p50: 9_900, p90: 12_000 }, predicted: 9_900 },
    { mark: 50, at: 4_500, end: { p50: 8_955, p90: 8_990 }, predicted: 4_500 },
  ] as const
  const lines = linesAfter([
    [0, startedFrom(aSnapshot({ vms: [first] }))],
    [0, { kind: 'forecast', mark: 0, end: { p50: 9_900, p90: 12_000 }, because: undefined }],
    [4_500, { kind: 'forecast', mark: 50, end: undefined, because: 'nothing goes through' }],
    ...toSafety,
    [9_000, { kind: 'vm-forecast-judged', ...of, began: 0, came: 9_000, said }],
    [9_001, { kind: 'vm-forecast-judged', ...of, began: 0, came: undefined, said: [said[0]] }],
    [9_002, { kind: 'forecast-judged', came: 9_000, said }],
  ])
  assert.deepEqual(lines.slice(-8), [
    '',
    'forecasts, made when               0 % done  10 % done  50 % done  90 % done',
    'a VM’s end: off by (median)            10 %          –      0.5 %          –',
    'a VM’s end: off by (9 of 10 less)      10 %          –      0.5 %          –',
    'a VM’s end: came by the p90           100 %          –      0.0 %          –',
    'last switchover: off by                10 %          –          –          –',
    'last switchover: came by the p90        yes          –          –          –',
    '1 more were of attempts that failed: their end never came',
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
