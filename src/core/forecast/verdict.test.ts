import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aSnapshot, runs } from '../../../test/arbitraries.ts'
import { siteId, vmId } from '../ids.ts'
import { ms } from '../units.ts'
import type { Spread } from './correction.ts'
import { deadlineOf } from './deadline.ts'
import { type Arrival, triage } from './triage.ts'
import { verdictOn, worst } from './verdict.ts'

const deadline = { at: ms(100), of: 'the deadline' }

describe('a verdict', () => {
  test('is on-track when p90 comes in time, at-risk when only p50 does, will-miss when neither does', () => {
    assert.equal(verdictOn({ p50: 80, p90: 100 }, deadline), 'on-track')
    assert.equal(verdictOn({ p50: 100, p90: 101 }, deadline), 'at-risk')
    assert.equal(verdictOn({ p50: 101, p90: 200 }, deadline), 'will-miss')
  })

  test('without an end is a miss; with a way of which nothing is known yet it is a risk', () => {
    assert.equal(verdictOn(undefined, deadline), 'will-miss')
    assert.equal(verdictOn(undefined, deadline, true), 'at-risk')
  })

  test('of the whole is the worst of all', () => {
    assert.equal(worst(['on-track', 'at-risk', 'on-track']), 'at-risk')
    assert.equal(worst(['on-track', 'will-miss', 'at-risk']), 'will-miss')
    assert.equal(worst([]), undefined)
  })
})

describe('the deadline', () => {
  const a = siteId('a')
  test('is the earliest of what is known and what the power rooms of endangered sites say', () => {
    const power = [
      { site: siteId('b'), runtime: ms(1) },
      { site: a, runtime: ms(60_000) },
    ]
    assert.deepEqual(deadlineOf(aSnapshot({ power }), [a]), { at: 60_000, of: 'the power of a' })
    assert.deepEqual(deadlineOf(aSnapshot({ power, deadline: ms(5_000) }), [a]), { at: 5_000, of: 'the deadline' })
    assert.deepEqual(deadlineOf(aSnapshot({ power, deadline: ms(90_000) }), [a])?.of, 'the power of a')
    assert.equal(deadlineOf(aSnapshot(), [a]), undefined)
  })
})

describe('triage', () => {
  const arrival = (name: string, end: Spread | undefined, change: Partial<Arrival> = {}): Arrival => ({
    vm: vmId(name),
    end,
    why: end === undefined ? 'it writes too fast' : undefined,
    unknown: false,
    over: 'path a b',
    capacity: 1_000,
    load: 50,
    ...change,
  })

  test('counts who is home and who will be, names who may and who will not, and what stands in the way', () => {
    const found = triage({
      deadline,
      now: 40,
      home: 2,
      arrivals: [
        arrival('sure', { p50: 60, p90: 70 }),
        arrival('maybe', { p50: 90, p90: 120 }),
        arrival('later', { p50: 150, p90: 190 }),
        arrival('late', { p50: 130, p90: 170 }),
        arrival('never', undefined),
      ],
      staying: [{ vm: vmId('rock'), why: 'its policy says stay' }],
    })
    assert.deepEqual([found.total, found.fit, found.verdict], [8, 3, 'will-miss'])
    assert.deepEqual(
      found.atRisk.map(({ vm }) => vm),
      ['maybe'],
    )
    assert.deepEqual(
      found.late.map(({ vm }) => vm),
      ['late', 'later', 'never'],
      'in the order of their coming',
    )
    // 60 ms are left at 1000 B/s.
    assert.deepEqual(found.crowded, [{ over: 'path a b', capacity: 1_000, left: 250, until: 60 }])
  })

  test('has no verdict when nobody is still to come', () => {
    const found = triage({ deadline, now: 40, home: 2, arrivals: [], staying: [] })
    assert.deepEqual([found.total, found.fit, found.verdict], [2, 2, undefined])
  })

  test('everybody is in exactly one part, and a later deadline never fits fewer', () => {
    const arbArrival = fc.option(
      fc.record({ p50: fc.integer({ min: 0, max: 1_000 }), late: fc.integer({ min: 0, max: 500 }) }),
      { nil: undefined },
    )
    fc.assert(
      fc.property(fc.array(arbArrival, { maxLength: 20 }), fc.nat(20), fc.nat(1_000), (ends, home, at) => {
        const arrivals = ends.map((end, n) =>
          arrival(`v${n}`, end === undefined ? undefined : { p50: end.p50, p90: end.p50 + end.late }),
        )
        const by = (when: number) =>
          triage({ deadline: { at: ms(when), of: 'the deadline' }, now: 0, home, arrivals, staying: [] })
        const found = by(at)
        assert.equal(found.fit + found.atRisk.length + found.late.length, found.total)
        assert.ok(by(at + 100).fit >= found.fit)
        assert.ok(by(at + 100).late.length <= found.late.length)
      }),
      runs(300),
    )
  })
})
