import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { judgeProbe, type ProbeLimits, type ProbeSample } from './probe-judge.ts'

const limits: ProbeLimits = { time: 5_000, bytes: 64e6, restRtt: undefined }
const sample = (at: number, rtt: number, change: Partial<ProbeSample> = {}): ProbeSample => ({
  at,
  acked: at * 1_000,
  sent: at * 1_000,
  retransmitted: 0,
  rtt,
  minRtt: 40,
  deliveryRate: undefined,
  ...change,
})

describe('a probe', () => {
  test('goes on while round trips stay what they are', () => {
    assert.deepEqual(judgeProbe([], limits), { kind: 'go-on' })
    assert.deepEqual(
      judgeProbe(
        [0, 100, 200].map(at => sample(at, 44)),
        limits,
      ),
      { kind: 'go-on' },
    )
  })

  test('stops at a queue, but not at a hiccup of one look', () => {
    assert.equal(judgeProbe([sample(0, 41), sample(100, 90)], limits).kind, 'go-on')
    assert.equal(judgeProbe([sample(0, 41), sample(100, 90), sample(200, 42)], limits).kind, 'go-on')
    const verdict = judgeProbe([sample(0, 41), sample(100, 60), sample(200, 90)], limits)
    assert.ok(verdict.kind === 'stop' && verdict.stoppedBy === 'queueing' && verdict.bound === 'full')
    assert.equal(verdict.rate, 1e6, 'by acknowledgements where the kernel has no estimate')
  })

  test('takes the rate of the kernel at the end of the rise, for an average has the rise in it', () => {
    const samples = [
      sample(0, 41, { deliveryRate: 1e5 }),
      sample(100, 60, { deliveryRate: 16e5 }),
      sample(200, 90, { deliveryRate: 18e5 }),
    ]
    const verdict = judgeProbe(samples, limits)
    assert.ok(verdict.kind === 'stop')
    assert.equal(verdict.rate, 18e5)
  })

  test('that was looked at twice within one moment was looked at once', () => {
    const near = [sample(0, 90, { deliveryRate: 1e6 }), sample(10, 90, { deliveryRate: 1e6 })]
    assert.equal(judgeProbe(near, limits).kind, 'go-on')
    assert.equal(judgeProbe([...near, sample(100, 90, { deliveryRate: 1e6 })], limits).kind, 'stop')
  })

  test('of which nothing was acknowledged in between has the rate the kernel says', () => {
    const still = [0, 100].map(at => sample(at, 90, { acked: 5, deliveryRate: 1e6 }))
    const verdict = judgeProbe(still, limits)
    assert.ok(verdict.kind === 'stop' && verdict.rate === 1e6)
  })

  test('that still rises through a small queue is given two looks more, and none where the queue doubles the round trip', () => {
    const rising = (rtts: readonly number[]) =>
      rtts.map((rtt, n) => sample(n * 100, rtt, { deliveryRate: 1e5 * 1.5 ** n }))
    assert.equal(judgeProbe(rising([41, 60, 60]), limits).kind, 'go-on')
    assert.equal(judgeProbe(rising([41, 60, 60, 60]), limits).kind, 'go-on')
    assert.equal(judgeProbe(rising([41, 60, 60, 60, 60]), limits).kind, 'stop')
    assert.equal(judgeProbe(rising([41, 60, 81]), limits).kind, 'stop')
  })

  test('does not take the burst of a busy host for a rate', () => {
    const verdict = judgeProbe([sample(0, 41), sample(100, 60), sample(200, 90, { deliveryRate: 1e10 })], limits)
    assert.ok(verdict.kind === 'stop' && verdict.rate === 1e6)
    const slow = judgeProbe([sample(0, 41), sample(5_000, 41, { deliveryRate: 1e10 })], limits)
    assert.ok(slow.kind === 'stop' && slow.bound === 'at-least' && slow.rate === 1e6)
  })

  test('knows a queue that stood before it came, from the round trip at rest', () => {
    const crowded = [0, 100].map(at => sample(at, 91, { minRtt: 90 }))
    assert.equal(judgeProbe(crowded, limits).kind, 'go-on')
    assert.equal(judgeProbe(crowded, { ...limits, restRtt: 40 }).kind, 'stop')
  })

  test('stops at loss, without calling the path full', () => {
    const verdict = judgeProbe([sample(0, 40), sample(100, 40), sample(300, 40, { retransmitted: 30_000 })], limits)
    assert.ok(verdict.kind === 'stop' && verdict.stoppedBy === 'loss' && verdict.bound === 'at-least')
  })

  test('stops at its bytes and at its time', () => {
    const much = judgeProbe([sample(0, 40), sample(100, 40, { sent: 65e6 })], limits)
    assert.ok(much.kind === 'stop' && much.stoppedBy === 'byte-limit' && much.bound === 'at-least')
    const long = judgeProbe([sample(0, 40), sample(5_000, 40)], limits)
    assert.ok(long.kind === 'stop' && long.stoppedBy === 'time-limit')
  })

  test('ends for any samples at its limits, with a finite rate', () => {
    const n = fc.double({ min: 0, max: 1e12, noNaN: true })
    const maybe = fc.option(n, { nil: undefined })
    const any = fc.record({
      at: n,
      acked: n,
      sent: n,
      retransmitted: n,
      rtt: maybe,
      minRtt: maybe,
      deliveryRate: maybe,
    })
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 8 }), samples => {
        const verdict = judgeProbe(samples, { ...limits, bytes: 0 })
        assert.ok(verdict.kind === 'stop' && Number.isFinite(verdict.rate) && verdict.rate >= 0)
      }),
      runs(500),
    )
  })
})
