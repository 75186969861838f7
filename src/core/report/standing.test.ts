import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  aProgress,
  arbStory,
  aSnapshot,
  driven,
  migrationOf,
  runs,
  someVms,
  startedFrom,
} from '../../../test/arbitraries.ts'
import type { Observed } from '../control/observed.ts'
import { prognosisOf } from '../control/prognosis.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { bytes, mebibytes, megabitsPerSecond, ms, showTime } from '../units.ts'
import { shortSpan, showSpan, standingFacts, standingOf } from './standing.ts'
import { type ClockText, showTriage } from './triage-sentence.ts'
import { whatNext } from './what-next.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
const clock: ClockText = since => `+${showTime(since)}`
/** 100 MiB each at 100 Mbit/s: 8.4 s, one after the other. */
const begun = (deadline: number | undefined, n = 3): readonly Timed[] => [
  [10_000, startedFrom(aSnapshot({ vms: someVms(n), deadline: deadline === undefined ? undefined : ms(deadline) }))],
  [10_300, { kind: 'target-ready', ...of }],
]
const halfway: Timed = [
  14_500,
  {
    kind: 'progress',
    ...of,
    progress: aProgress({
      sent: mebibytes(50),
      remaining: mebibytes(50),
      total: mebibytes(100),
      zero: bytes(0),
      rate: megabitsPerSecond(100),
    }),
  },
]
const standing = (facts: readonly Timed[], at: number) => {
  const state = driven(facts)
  return standingOf(prognosisOf(state, instant(at)), at - state.startedAt, clock)
}

test('without a deadline there is no verdict, but an end', () => {
  const found = standing([...begun(undefined), halfway], 14_500)
  assert.equal(found?.verdict, undefined)
  assert.match(found?.reasons[0] ?? '', /^last home in 2[12]\.\d – 2\d\.\d s \(\+26\.\d s – \+\d\d\.\d s\)$/)
  assert.equal(found?.reasons.length, 1)
})

test('with one, who fits, by how much, and who does not, because of what', () => {
  assert.deepEqual(
    [60_000, 28_000, 20_000].map(deadline => standing([...begun(deadline), halfway], 14_500)?.verdict),
    ['on-track', 'at-risk', 'will-miss'],
  )
  const [fit, end, late, because] = standing([...begun(20_000), halfway], 14_500)?.reasons ?? []
  assert.equal(fit, '2 of 3 fit until +20.0 s (the deadline)')
  assert.match(end ?? '', /, 6\.\d s late$/)
  assert.match(late ?? '', /^this does not: vm-3 \(\+26\.\d s\)$/)
  assert.equal(because, 'because 250 MiB are left for the path a – b, which carries 185 MiB until then at 100 Mbit/s')
})

test('when all have an outcome there is nothing to say', () => {
  const facts: readonly Timed[] = [
    ...begun(60_000, 1),
    [19_000, { kind: 'landed', ...of, downtime: undefined, sent: mebibytes(100), needed: undefined }],
    [19_100, { kind: 'source-ended', ...of }],
  ]
  assert.equal(standing(facts, 20_000), undefined)
})

test('for programs: the verdict, the deadline, and each VM with its end and whom it waits for', () => {
  const state = driven([...begun(20_000), halfway])
  const facts = standingFacts(prognosisOf(state, instant(14_500)), 4_500, clock)
  assert.deepEqual([facts.verdict, facts.deadlineMs, facts.fit], ['will-miss', 20_000, 2])
  assert.deepEqual(facts.willMiss, [vmId('vm-3')])
  assert.deepEqual(
    facts.vms.map(({ vm, verdict, after, over }) => [vm, verdict, after, over]),
    [
      ['vm-1', 'on-track', null, 'path a – b'],
      ['vm-2', 'on-track', 'vm-1', 'path a – b'],
      ['vm-3', 'will-miss', 'vm-2', 'path a – b'],
    ],
  )
  const p50 = facts.vms[0]?.end?.p50Ms ?? 0
  assert.ok(Math.abs(p50 - 9_000) < 300, `since the alarm: ${p50}`)
})

test('what comes next for a VM: whom it waits for, how long that one has still to go, and how long it takes itself', () => {
  const state = driven([...begun(20_000), halfway])
  const now = instant(14_500)
  const next = (vm: string): readonly string[] =>
    whatNext(state, migrationOf(state, vm), prognosisOf(state, now), now, clock)
  assert.match(
    next('vm-3').join('\n'),
    /^next: waits to go to b-[12]; waits for vm-2, 13\.\d s from home on the path a – b; then 8\.\d s \(p50\) to \d+\.\d s \(p90\) at 100 Mbit\/s\nhome in 2\d\.\d – 2\d\.\d s \(\+26\.\d s – .*\); will-miss: the deadline is at \+20\.0 s$/,
  )
  assert.match(next('vm-1')[0] ?? '', /^next: it is followed to b-[12]: 50\.0 MiB of pass 1 left$/)
  assert.match(next('vm-1')[1] ?? '', /^home in 4\.\d – 5\.\d s/)
})

test('a span is said once in one unit, and short in tables', () => {
  assert.equal(showSpan({ p50: 12_000, p90: 15_300 }), '12.0 – 15.3 s')
  assert.equal(showSpan({ p50: 58_000, p90: 64_000 }), '58.0 s – 1 min 04 s')
  assert.equal(showSpan({ p50: 12_000, p90: 12_010 }), '12.0 s')
  assert.deepEqual(
    [
      { p50: 3_100, p90: 3_600 },
      { p50: 46_000, p90: 54_000 },
      { p50: 59_000, p90: 71_000 },
      { p50: 3_900_000, p90: 4_320_000 },
      { p50: -5, p90: 0 },
    ].map(shortSpan),
    ['3.1 – 3.6 s', '46 – 54 s', '0:59 – 1:11 min', '1:05 – 1:12 h', '0.0 s'],
  )
})

test('in any story: lines, numbers that are some, names of VMs that are still to come', () => {
  fc.assert(
    fc.property(arbStory, ({ last, now }) => {
      const prognosis = prognosisOf(last, now)
      const found = standingOf(prognosis, now - last.startedAt, clock)
      const told = [
        ...(found?.reasons ?? []),
        ...(prognosis.triage === undefined ? [] : [showTriage(prognosis.triage, clock)]),
        ...[...last.migrations.values()].flatMap(m => whatNext(last, m, prognosis, now, clock)),
      ]
      for (const line of told) assert.doesNotMatch(line, /undefined|NaN|Infinity|null|\n/, line)
      const facts = standingFacts(prognosis, now - last.startedAt, clock)
      assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts, 'JSON keeps all of it')
      for (const { vm } of facts.vms) assert.ok(!['landed', 'given-up'].includes(migrationOf(last, vm).phase))
    }),
    runs(300),
  )
})
