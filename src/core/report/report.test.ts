import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  aHost,
  aPath,
  aProgress,
  arbStory,
  aSnapshot,
  aVm,
  driven,
  runs,
  someVms,
  startedFrom,
} from '../../../test/arbitraries.ts'
import type { Observed } from '../control/observed.ts'
import { marks } from '../forecast/correction.ts'
import { vmId } from '../ids.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { outcomes } from '../migration/outcome.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { type Report, reportOf } from './report.ts'

type Timed = readonly [at: number, event: Observed]

const snapshot = aSnapshot({
  vms: [
    aVm('web', 'a-1', { value: 3 }),
    aVm('db', 'a-1', { value: 5 }),
    aVm('rock', 'a-1', { value: 2, policy: { ...defaultVmPolicy, action: 'stay' } }),
  ],
})
const attempt = 1
const of = (vm: string) => ({ vm: vmId(vm), attempt })
/** Alarm at 10 000. */
const toTheFirst: readonly Timed[] = [
  [10_000, startedFrom(snapshot)],
  [10_100, { kind: 'target-ready', ...of('web') }],
  [12_000, { kind: 'progress', ...of('web'), progress: aProgress({ sent: mebibytes(90) }) }],
  [18_400, { kind: 'guest-stopped', ...of('web') }],
  [18_450, { kind: 'sent-whole', ...of('web') }],
  [18_520, { kind: 'landed', ...of('web'), downtime: ms(7), sent: mebibytes(101), needed: mebibytes(100) }],
]

test('the report has the shape of the contract, key by key', () => {
  const report = reportOf(
    driven([
      ...toTheFirst,
      [18_530, { kind: 'source-ended', ...of('web') }],
      [18_600, { kind: 'target-ready', ...of('db') }],
      [19_000, { kind: 'progress', ...of('db'), progress: aProgress({ sent: mebibytes(30) }) }],
      [20_000, { kind: 'attempt-unclear', ...of('db'), why: 'the link broke' }],
    ]),
  )
  const expected: Report = {
    evacuation: 'a-1',
    policy: 'sequential',
    world: 'simulated',
    seed: 1,
    summary: {
      vms: 3,
      safe: 1,
      left: 1,
      saved: 0,
      stopped: 0,
      uncertain: 1,
      lost: 0,
      inDanger: 0,
      value: 10,
      valueSafe: 3,
      makespanMs: 8_520,
      meanDurationMs: 8_420,
      p95DurationMs: 8_420,
      meanCompletionMs: 8_520,
      maxDowntimeMs: 120,
      bytesSent: mebibytes(131),
      bytesNeeded: mebibytes(100),
      bounds: { makespanMs: 8_389, meanDurationMs: 8_389, meanCompletionMs: 8_389, maxSafe: 3 },
      j: 1.01,
    },
    vms: [
      {
        vm: vmId('web'),
        outcome: 'safe',
        source: snapshot.vms[0]?.host ?? assert.fail(),
        target: report.vms[0]?.target ?? assert.fail(),
        mode: 'pre-copy',
        compression: 'none',
        attempts: 1,
        startedMs: 100,
        switchedMs: 8_520,
        downtimeMs: 120,
        bytesSent: mebibytes(101),
        reason: null,
      },
      {
        vm: vmId('db'),
        outcome: 'uncertain',
        source: snapshot.vms[1]?.host ?? assert.fail(),
        target: report.vms[1]?.target ?? assert.fail(),
        mode: null,
        compression: null,
        attempts: 1,
        startedMs: 8_600,
        switchedMs: null,
        downtimeMs: null,
        bytesSent: mebibytes(30),
        reason: 'the link broke',
      },
      {
        vm: vmId('rock'),
        outcome: 'left',
        source: snapshot.vms[2]?.host ?? assert.fail(),
        target: null,
        mode: null,
        compression: null,
        attempts: 0,
        startedMs: null,
        switchedMs: null,
        downtimeMs: null,
        bytesSent: 0,
        reason: 'may-not-move: its policy says stay',
      },
    ],
    forecasts: {
      vms: marks.map(progress => ({ progress, judged: 0, medianError: null, p90Error: null, withinP90: null })),
      end: [],
      neverCame: 0,
    },
  }
  // As text, so that the order of the keys counts as well.
  assert.equal(JSON.stringify(report, undefined, 1), JSON.stringify(expected, undefined, 1))
  assert.match(`${report.vms[0]?.target} ${report.vms[1]?.target}`, /^b-[12] b-[12]$/)
})

test('a VM that is safe while its copy at home has not been ended says so', () => {
  const [web] = reportOf(driven(toTheFirst)).vms
  assert.equal(web?.outcome, 'safe')
  assert.equal(web?.reason, 'safe, but its stopped copy at a-1 has not been ended')
})

test('where the guest was seen to stop, that counts as its downtime; else the hypervisor’s word', () => {
  const unseen = toTheFirst.filter(([, { kind }]) => kind !== 'guest-stopped' && kind !== 'sent-whole')
  assert.equal(reportOf(driven(toTheFirst)).summary.maxDowntimeMs, 120)
  assert.equal(reportOf(driven(unseen)).summary.maxDowntimeMs, 7)
})

test('J is the root of makespan over its bound times mean duration over its bound', () => {
  // 100 MiB over 100 Mbit/s: 8388.608 ms. Started 1000 ms after the alarm, through at twice that bound plus 1000 ms.
  const bound = 8_388.608
  const report = reportOf(
    driven([
      [0, startedFrom(aSnapshot({ vms: someVms(1) }))],
      [1_000, { kind: 'target-ready', ...of('vm-1') }],
      [
        1_000 + 2 * bound,
        { kind: 'landed', ...of('vm-1'), downtime: undefined, sent: mebibytes(100), needed: undefined },
      ],
    ]),
  )
  const byHand = Math.sqrt(((1_000 + 2 * bound) / bound) * ((2 * bound) / bound))
  assert.equal(report.summary.j, Math.round(byHand * 1000) / 1000)
  assert.equal(report.summary.meanDurationMs, Math.round(2 * bound))
  assert.equal(report.summary.meanCompletionMs, Math.round(1_000 + 2 * bound))
  assert.equal(report.summary.bytesNeeded, mebibytes(100), 'where the hypervisor does not say, the inventory does')
})

/** One after the other, each a second apart from ready to landed; durations as given. */
function landedAfter(durations: readonly number[], paths = [aPath('a', 'b')]): Report {
  const vms = someVms(durations.length)
  const facts: Timed[] = [
    [
      0,
      startedFrom(
        aSnapshot({ vms, paths, hosts: [aHost('a-1', 'a'), aHost('b-1', 'b', { memory: mebibytes(65_536) })] }),
        { policy: 'all-at-once' },
      ),
    ],
    ...vms.map(({ id }): Timed => [1, { kind: 'target-ready', vm: id, attempt }]),
    ...vms
      .map(({ id }, v): Timed => {
        const at = 1 + (durations[v] ?? 0)
        return [at, { kind: 'landed', vm: id, attempt, downtime: undefined, sent: bytes(0), needed: bytes(0) }]
      })
      .sort(([a], [b]) => a - b),
  ]
  return reportOf(driven(facts))
}

test('the 95th percentile is the nearest rank: of 20 the 19th, of 21 the 20th, of one that one', () => {
  const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, k) => (n - k) * 100)
  assert.equal(landedAfter(upTo(20)).summary.p95DurationMs, 1_900)
  assert.equal(landedAfter(upTo(21)).summary.p95DurationMs, 2_000)
  assert.equal(landedAfter(upTo(1)).summary.p95DurationMs, 100)
  assert.equal(landedAfter(upTo(2)).summary.p95DurationMs, 200)
  assert.equal(landedAfter(upTo(20)).summary.meanDurationMs, 1_050)
})

test('where nothing landed there is nothing to measure, and where no capacity is known nothing to compare with', () => {
  const nothing = reportOf(driven([[0, startedFrom(snapshot)]])).summary
  for (const key of [
    'makespanMs',
    'meanDurationMs',
    'p95DurationMs',
    'meanCompletionMs',
    'maxDowntimeMs',
    'j',
  ] as const)
    assert.equal(nothing[key], null, key)
  const { summary } = landedAfter([100, 200])
  assert.equal(summary.makespanMs, 201)
  assert.deepEqual(summary.bounds, { makespanMs: null, meanDurationMs: null, meanCompletionMs: null, maxSafe: 2 })
  assert.equal(summary.j, null)
})

test('the most that could have been safe by the deadline counts everybody, not only who got out', () => {
  const late = aSnapshot({
    vms: someVms(5),
    paths: [aPath('a', 'b', { capacity: megabitsPerSecond(100) })],
    deadline: ms(26_000),
  })
  assert.equal(reportOf(driven([[0, startedFrom(late)]])).summary.bounds.maxSafe, 3)
})

test('bytes of attempts in vain are counted as sent, for those who got out and those who did not', () => {
  const failed: Timed[] = [
    [0, startedFrom(aSnapshot({ vms: someVms(1) }))],
    [1, { kind: 'target-ready', ...of('vm-1') }],
    [2, { kind: 'progress', ...of('vm-1'), progress: aProgress({ sent: mebibytes(40) }) }],
    [3, { kind: 'attempt-failed', ...of('vm-1'), failure: { code: 'path-lost', detail: 'cut' } }],
  ]
  const [left] = reportOf(driven(failed)).vms
  assert.deepEqual(
    [left?.outcome, left?.bytesSent, left?.attempts, left?.reason],
    ['left', mebibytes(40), 1, 'path-lost: cut'],
  )
  const second = { vm: vmId('vm-1'), attempt: 2 }
  const again = driven([
    ...failed,
    [5_000, { kind: 'tick' }],
    [5_001, { kind: 'target-ready', ...second }],
    [5_002, { kind: 'landed', ...second, downtime: undefined, sent: mebibytes(100), needed: undefined }],
  ])
  const [safe] = reportOf(again).vms
  assert.deepEqual([safe?.outcome, safe?.bytesSent, safe?.attempts], ['safe', mebibytes(140), 2])
  assert.equal(safe?.startedMs, 5_001, 'the duration is that of the attempt that got through')
})

test('whatever happened, outcomes add up, nobody safe lacks a switchover, nobody else lacks a reason', () => {
  fc.assert(
    fc.property(arbStory, ({ last }) => {
      const report = reportOf(last)
      const { summary, vms } = report
      assert.equal(
        outcomes.reduce((total, outcome) => total + summary[outcome], 0),
        summary.vms,
      )
      for (const outcome of outcomes) assert.equal(vms.filter(vm => vm.outcome === outcome).length, summary[outcome])
      for (const vm of vms) {
        if (vm.outcome !== 'safe') assert.ok(vm.reason !== null && vm.reason !== '', vm.vm)
        assert.equal(vm.outcome === 'safe', vm.switchedMs !== null)
        if (vm.switchedMs !== null)
          assert.ok(vm.startedMs !== null && vm.target !== null && vm.startedMs <= vm.switchedMs)
      }
      assert.ok(summary.valueSafe <= summary.value && summary.bounds.maxSafe <= summary.vms)
      assert.equal(
        summary.bytesSent,
        vms.reduce((total, vm) => total + vm.bytesSent, 0),
      )
      if (summary.makespanMs !== null) assert.equal(summary.makespanMs, Math.max(...vms.map(vm => vm.switchedMs ?? 0)))
      // JSON keeps all of it: no undefined, NaN or Infinity anywhere.
      assert.deepEqual(JSON.parse(JSON.stringify(report)), report)
    }),
    runs(500),
  )
})
