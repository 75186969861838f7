import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aSnapshot, driven, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Observed } from '../control/observed.ts'
import { vmId } from '../ids.ts'
import { forecastErrorsOf } from './forecast-errors.ts'

type Timed = readonly [at: number, event: Observed]
const start: Timed = [0, startedFrom(aSnapshot({ vms: someVms(3) }))]
const judged = (vm: string, came: number | undefined, p50: number, p90: number): Timed => [
  10_000,
  {
    kind: 'vm-forecast-judged',
    vm: vmId(vm),
    attempt: 1,
    began: 1_000,
    came,
    said: [{ mark: 10, at: 2_000, end: { p50, p90 }, predicted: p50 - 2_000 }],
  },
]

test('errors are shares of the whole duration; p90 is kept or not', () => {
  const state = driven([
    start,
    judged('vm-1', 11_000, 10_000, 11_000),
    judged('vm-2', 11_000, 12_000, 13_000),
    judged('vm-3', 11_000, 6_000, 9_000),
  ])
  const { vms, neverCame } = forecastErrorsOf(state)
  // Off by 0.1, 0.1 and 0.5 of ten seconds.
  assert.deepEqual(vms[1], { progress: 10, judged: 3, medianError: 0.1, p90Error: 0.42, withinP90: 0.667 })
  assert.deepEqual(vms[0], { progress: 0, judged: 0, medianError: null, p90Error: null, withinP90: null })
  assert.equal(neverCame, 0)
})

test('an end that never came is counted, and no error is made of it', () => {
  const { vms, neverCame } = forecastErrorsOf(driven([start, judged('vm-1', undefined, 10_000, 11_000)]))
  assert.equal(vms[1]?.judged, 0)
  assert.equal(neverCame, 1)
})

test('where no end could be forecast there is no error, and it did not come by the p90', () => {
  const none: Timed = [
    10_000,
    {
      kind: 'vm-forecast-judged',
      vm: vmId('vm-1'),
      attempt: 1,
      began: 1_000,
      came: 11_000,
      said: [{ mark: 10, at: 2_000, end: undefined, predicted: undefined }],
    },
  ]
  const { vms } = forecastErrorsOf(driven([start, none]))
  assert.deepEqual(vms[1], { progress: 10, judged: 1, medianError: null, p90Error: null, withinP90: 0 })
})

test('the forecasts of the last switchover are told one by one, before it has come without an error', () => {
  const said: Timed = [500, { kind: 'forecast', mark: 0, end: { p50: 90_000, p90: 99_000 }, because: undefined }]
  const before = { progress: 0, atMs: 500, p50Ms: 90_000, p90Ms: 99_000, error: null, withinP90: null }
  assert.deepEqual(forecastErrorsOf(driven([start, said])).end, [before])
  const came: Timed = [100_000, { kind: 'forecast-judged', came: 100_000, said: [] }]
  assert.deepEqual(forecastErrorsOf(driven([start, said, came])).end, [{ ...before, error: 0.1, withinP90: false }])
})
