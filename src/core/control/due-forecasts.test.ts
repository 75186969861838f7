import assert from 'node:assert/strict'
import { allJudged } from '../forecast/forecasting.ts'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aProgress, arbStory, aSnapshot, migrationOf, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Mark } from '../forecast/correction.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Progress } from '../migration/progress.ts'
import { bytes, mebibytes, megabitsPerSecond } from '../units.ts'
import type { Evacuation } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { isForecast } from './on-forecast.ts'
import { step } from './step.ts'
import { stepAndForecast, type Told } from './step-and-forecast.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
/** 100 MiB at 100 Mbit/s: 8.4 s each, one after the other. */
const start: Timed = [0, startedFrom(aSnapshot({ vms: someVms(2) }))]
const ready: Timed = [300, { kind: 'target-ready', ...of }]
const landed: Timed = [
  9_000,
  { kind: 'landed', ...of, downtime: undefined, sent: mebibytes(100), needed: mebibytes(100) },
]

const at = (done: number, change: Partial<Progress> = {}): Progress =>
  aProgress({
    sent: mebibytes(done),
    total: mebibytes(100),
    remaining: mebibytes(100 - done),
    zero: bytes(0),
    rate: megabitsPerSecond(100),
    ...change,
  })
const progress = (ms: number, done: number): Timed => [ms, { kind: 'progress', ...of, progress: at(done) }]

function journalOf(facts: readonly Timed[]): {
  readonly state: Evacuation
  readonly rows: readonly (Told & { at: number })[]
} {
  let state: Evacuation | undefined
  const rows: (Told & { at: number })[] = []
  for (const [when, event] of facts) {
    const followed = stepAndForecast(state, event, instant(when))
    state = followed.state
    rows.push(...followed.told.map(told => ({ ...told, at: when })))
  }
  if (state === undefined) throw new Error('no fact')
  return { state, rows }
}
const forecastsIn = (facts: readonly Timed[]) =>
  journalOf(facts).rows.flatMap(({ event }) => (isForecast(event) ? [event] : []))
const marksOf = (facts: readonly Timed[], vm: string): readonly Mark[] =>
  forecastsIn(facts).flatMap(event => (event.kind === 'vm-forecast' && event.vm === vm ? [event.mark] : []))

test('the end of the whole is forecast before anything moves, and that of a VM when its memory begins to flow', () => {
  const [whole, ...others] = forecastsIn([start, ready])
  assert.ok(whole?.kind === 'forecast' && whole.mark === 0 && whole.end !== undefined)
  // Two times 8.39 s and what handshakes cost.
  assert.ok(Math.abs(whole.end.p50 - 17_400) < 500 && whole.end.p90 > whole.end.p50, JSON.stringify(whole.end))
  const [vm] = others
  assert.ok(vm?.kind === 'vm-forecast' && vm.mark === 0 && vm.end !== undefined)
  assert.ok(Math.abs(vm.end.p50 - 9_000) < 400, `since the alarm, not since the start: ${vm.end.p50}`)
  assert.equal(others.length, 1)
})

test('at 10, 50 and 90 % of its way it is forecast anew, once each; marks passed between two samples are left out', () => {
  const way = [1, 5, 11, 12, 49, 51, 89, 92, 99].map((done, n) => progress(1_300 + n * 800, done))
  assert.deepEqual(marksOf([start, ready, ...way], 'vm-1'), [0, 10, 50, 90])
  assert.deepEqual(marksOf([start, ready, progress(6_000, 70), progress(8_000, 95)], 'vm-1'), [0, 50, 90])
})

test('when it is home, what was said stands in the journal beside what came', () => {
  const facts = [start, ready, progress(1_300, 12), progress(5_300, 60), landed]
  const judged = forecastsIn(facts).find(event => event.kind === 'vm-forecast-judged')
  assert.ok(judged?.kind === 'vm-forecast-judged')
  const { vm, began, came, said } = judged
  assert.deepEqual([vm, began, came], ['vm-1', 300, 9_000])
  assert.deepEqual(
    said.map(({ mark, at: when }) => [mark, when]),
    [
      [0, 300],
      [10, 1_300],
      [50, 5_300],
    ],
  )
  const { forecasting } = journalOf(facts).state
  assert.deepEqual(
    allJudged(forecasting.judged).map(({ mark }) => mark),
    [0, 10, 50],
  )
  assert.ok(allJudged(forecasting.judged).every(({ error }) => error !== undefined && error < 0.1))
  assert.equal(forecasting.correction[50].length, 1, 'and corrects what is said next')
})

test('an attempt that failed has an end that never came, and teaches nothing', () => {
  const failed: Timed = [2_000, { kind: 'attempt-failed', ...of, failure: { code: 'path-lost', detail: 'cut' } }]
  const { state } = journalOf([start, ready, progress(1_300, 12), failed])
  assert.equal(state.forecasting.neverCame, 2)
  assert.deepEqual(allJudged(state.forecasting.judged), [])
  assert.ok(migrationOf(state, 'vm-1').phase === 'queued')
})

test('when all is over, the end of the whole is judged by the last switchover', () => {
  const second = { vm: vmId('vm-2'), attempt: 1 } as const
  const facts: readonly Timed[] = [
    start,
    ready,
    landed,
    [9_100, { kind: 'source-ended', ...of }],
    [9_200, { kind: 'target-ready', ...second }],
    [18_000, { kind: 'landed', ...second, downtime: undefined, sent: mebibytes(100), needed: undefined }],
    [18_400, { kind: 'source-ended', ...second }],
  ]
  const { state, rows } = journalOf(facts)
  const last = rows.at(-1)?.event
  assert.ok(last?.kind === 'forecast-judged')
  assert.equal(last.came, 18_000)
  assert.equal(state.forecasting.cameAt, 18_000)
})

test('where no capacity is known nothing is invented, and the reason is said', () => {
  const unknown: Timed = [0, startedFrom(aSnapshot({ vms: someVms(1), paths: [] }))]
  const [whole, vm] = forecastsIn([unknown, ready])
  assert.ok(whole?.kind === 'forecast' && whole.end === undefined)
  assert.match(whole.because ?? '', /lifeboat\.yaml, paths/)
  assert.ok(vm?.kind === 'vm-forecast' && vm.end === undefined && vm.predicted === undefined)
})

test('while the journal fails its room is kept for what must be written', () => {
  const failing: Timed = [1_000, { kind: 'journal-failing', why: 'the disk is full' }]
  assert.deepEqual(marksOf([start, ready, failing, progress(1_300, 12), landed], 'vm-1'), [0])
})

test('a fold over what was journaled gives the state that was: no forecast is made twice', () => {
  fc.assert(
    fc.property(arbStory, ({ facts }) => {
      const { state, rows } = journalOf(facts)
      let folded: Evacuation | undefined
      for (const { event, at: when } of rows) folded = step(folded, event, instant(when)).state
      // A policy is a function with a memory; the same facts make the same, but not the same object.
      const { policy: _p, migrations, ...rest } = state
      const { policy: _q, migrations: again, ...others } = folded ?? assert.fail()
      assert.deepEqual(others, rest)
      assert.deepEqual([...again.values()], [...migrations.values()])
    }),
    runs(200),
  )
})

test('in any story: each VM is forecast at rising marks, p50 before p90, in whole milliseconds, and no command follows from it', () => {
  fc.assert(
    fc.property(arbStory, ({ facts }) => {
      const last = new Map<string, number>()
      for (const { event, commands } of journalOf(facts).rows) {
        if (!isForecast(event)) continue
        assert.deepEqual(commands, [])
        if (event.kind === 'vm-forecast') {
          const key = `${event.vm} ${event.attempt}`
          assert.ok(event.mark > (last.get(key) ?? -1), `${key}: ${event.mark} after ${last.get(key)}`)
          last.set(key, event.mark)
        }
        if (event.kind !== 'vm-forecast' && event.kind !== 'forecast') continue
        if (event.end === undefined) continue
        const { p50, p90 } = event.end
        assert.ok(Number.isInteger(p50) && Number.isInteger(p90) && p50 <= p90, JSON.stringify(event))
      }
    }),
    runs(300),
  )
})
