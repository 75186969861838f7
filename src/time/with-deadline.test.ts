import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, test } from 'node:test'
import { type Instant, instant } from '../core/instant.ts'
import { type Milliseconds, ms } from '../core/units.ts'
import type { Clock } from './clock.ts'
import { DeadlineExceeded, neverAborts, poll, withDeadline } from './with-deadline.ts'

/** Time that passes when the test says so. */
class HandClock implements Clock {
  #now = 0
  #sleepers: { readonly until: number; readonly wake: () => void }[] = []

  now(): Instant {
    return instant(this.#now)
  }
  get sleeping(): number {
    return this.#sleepers.length
  }
  sleep(span: Milliseconds, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const sleeper = { until: this.#now + span, wake: resolve }
      this.#sleepers.push(sleeper)
      signal.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter(each => each !== sleeper)
        reject(signal.reason)
      })
    })
  }
  /** Lets time pass, and everything that was waiting for it happen. */
  async pass(span: number): Promise<void> {
    await new Promise(resolve => setImmediate(resolve)) // whoever is about to sleep sleeps from now
    this.#now += span
    const due = this.#sleepers.filter(({ until }) => until <= this.#now)
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#now)
    for (const { wake } of due) wake()
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** Waits for nothing but its signal. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

describe('a deadline', () => {
  test('what is done in time is the result, and neither timer nor listener is left', async () => {
    const clock = new HandClock()
    const { signal: outer } = new AbortController()
    assert.equal(await withDeadline(clock, ms(100), 'an answer', outer, async () => 42), 42)
    assert.equal(clock.sleeping, 0)
    assert.equal(listeners(outer), 0)
  })

  test('what takes longer is told to stop, with the limit and what was awaited', async () => {
    const clock = new HandClock()
    const { signal: outer } = new AbortController()
    let told: unknown
    const late = withDeadline(clock, ms(3_000), 'a greeting from qmp.sock', outer, signal => {
      signal.addEventListener('abort', () => (told = signal.reason))
      return untilAborted(signal)
    })
    const failed = assert.rejects(late, (error: unknown) => {
      assert.ok(error instanceof DeadlineExceeded)
      assert.equal(error.message, 'no answer within 3.0 s: a greeting from qmp.sock')
      assert.equal(error.limit, 3_000)
      assert.equal(error, told)
      return true
    })
    await clock.pass(2_999)
    assert.equal(told, undefined)
    await clock.pass(1)
    await failed
    assert.equal(listeners(outer), 0)
    assert.equal(outer.aborted, false)
  })

  test('an abort from outside goes through with its own reason', async () => {
    const clock = new HandClock()
    const outer = new AbortController()
    const reason = new Error('the operator left')
    const failed = assert.rejects(
      withDeadline(clock, ms(100), 'x', outer.signal, untilAborted),
      (error: unknown) => error === reason,
    )
    outer.abort(reason)
    await failed
    assert.equal(clock.sleeping, 0)
    assert.equal(listeners(outer.signal), 0)
  })

  test('under a signal that was aborted before nothing is begun', async () => {
    const clock = new HandClock()
    let begun = false
    const reason = new Error('the operator left')
    const call = withDeadline(clock, ms(100), 'x', AbortSignal.abort(reason), async () => (begun = true))
    await assert.rejects(call, (error: unknown) => error === reason)
    assert.equal(begun, false)
    assert.equal(clock.sleeping, 0)
  })

  test('a failure in time is the failure, and the timer is stopped', async () => {
    const clock = new HandClock()
    const failure = new Error('refused')
    const call = withDeadline(clock, ms(100), 'x', neverAborts, () => Promise.reject(failure))
    await assert.rejects(call, (error: unknown) => error === failure)
    assert.equal(clock.sleeping, 0)
  })

  test('a throw before the first wait is the failure too, and the timer is stopped', async () => {
    const clock = new HandClock()
    const call = withDeadline(clock, ms(100), 'x', neverAborts, () => {
      throw new RangeError('at once')
    })
    await assert.rejects(call, RangeError)
    assert.equal(clock.sleeping, 0)
  })

  test('an answer that comes although the limit has passed is still an answer', async () => {
    const clock = new HandClock()
    const call = withDeadline(clock, ms(100), 'x', neverAborts, async signal => {
      await assert.rejects(untilAborted(signal), DeadlineExceeded)
      return 'cleaned up'
    })
    await clock.pass(100)
    assert.equal(await call, 'cleaned up')
  })

  test('of two, one in the other, the shorter one counts', async () => {
    const clock = new HandClock()
    const call = withDeadline(clock, ms(100), 'all of it', neverAborts, outer =>
      withDeadline(clock, ms(500), 'a part', outer, untilAborted),
    )
    const failed = assert.rejects(call, /within 100 ms: all of it/)
    await clock.pass(100)
    await failed
    assert.equal(clock.sleeping, 0)
  })
})

describe('polling', () => {
  test('asks at once, then every so often, until there is an answer', async () => {
    const clock = new HandClock()
    const asked: Instant[] = []
    const found = poll(clock, ms(50), neverAborts, async () => {
      asked.push(clock.now())
      return asked.length === 3 ? 'here' : undefined
    })
    for (let n = 0; n < 4; n += 1) await clock.pass(50)
    assert.equal(await found, 'here')
    assert.deepEqual(asked, [0, 50, 100])
    assert.equal(clock.sleeping, 0)
  })

  test('an answer that is false, null or 0 is an answer', async () => {
    const clock = new HandClock()
    for (const answer of [false, null, 0, ''])
      assert.equal(await poll(clock, ms(50), neverAborts, async () => answer), answer)
  })

  test('a failing question ends it', async () => {
    const clock = new HandClock()
    await assert.rejects(
      poll(clock, ms(50), neverAborts, () => Promise.reject(new RangeError('no'))),
      RangeError,
    )
  })

  test('an abort ends it while it sleeps, with the reason, and asks no more', async () => {
    const clock = new HandClock()
    const enough = new AbortController()
    const reason = new Error('enough')
    let asked = 0
    const failed = assert.rejects(
      poll(clock, ms(50), enough.signal, async () => void (asked += 1)),
      (error: unknown) => error === reason,
    )
    await clock.pass(50)
    enough.abort(reason)
    await failed
    await clock.pass(500)
    assert.equal(asked, 2)
    await assert.rejects(poll(clock, ms(50), enough.signal, async () => void (asked += 1)))
    assert.equal(asked, 2, 'it is not even asked once under an aborted signal')
  })
})
