/** The real clock: the machine's wall time at start, carried on by the monotonic counter, so that it never runs backwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Instant, instant } from '../core/instant.ts'
import type { Clock } from '../time/clock.ts'

/** @param notBefore the last instant a journal holds: a wall clock that was set back must not reorder history */
export function realClock(notBefore: Instant = instant(0)): Clock {
  const origin = Math.max(performance.timeOrigin + performance.now(), notBefore) - performance.now()
  return {
    now: () => instant(origin + performance.now()),
    sleep: async (span, signal) => {
      try {
        await sleep(span, undefined, { signal })
      } catch (error) {
        // Node wraps the reason in an AbortError; who aborted wants to see why.
        throw signal.aborted ? signal.reason : error
      }
    },
  }
}
