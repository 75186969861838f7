/** Deadlines for things that wait. Clean-up after an abort runs under its own deadline, never under the aborted signal. */
import { type Milliseconds, showTime } from '../core/units.ts'
import type { Clock } from './clock.ts'

/** Something took longer than it was given. What it was doing may or may not have happened. */
export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded'
  readonly limit: Milliseconds
  constructor(limit: Milliseconds, what: string) {
    super(`no answer within ${showTime(limit)}: ${what}`)
    this.limit = limit
  }
}

/** A signal for clean-up work, which must run although its cause was aborted. */
export const neverAborts: AbortSignal = new AbortController().signal

/**
 * Runs `op` with a signal that aborts when `outer` does, or after `limit`.
 * @throws DeadlineExceeded when the limit passed first (as the signal's reason, if `op` rejects with it)
 */
export async function withDeadline<T>(
  clock: Clock,
  limit: Milliseconds,
  what: string,
  outer: AbortSignal,
  op: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted()
  const own = new AbortController()
  const timer = new AbortController()
  const forward = (): void => own.abort(outer.reason)
  outer.addEventListener('abort', forward, { once: true })
  clock.sleep(limit, timer.signal).then(
    () => own.abort(new DeadlineExceeded(limit, what)),
    () => undefined,
  )
  try {
    return await op(own.signal)
  } finally {
    outer.removeEventListener('abort', forward)
    timer.abort()
  }
}

/**
 * Asks `probe` again and again until it returns something else than `undefined`.
 * @throws the signal's reason when it aborts: an unbounded wait needs {@link withDeadline} around it
 */
export async function poll<T>(
  clock: Clock,
  every: Milliseconds,
  signal: AbortSignal,
  probe: (signal: AbortSignal) => Promise<T | undefined>,
): Promise<T> {
  for (;;) {
    signal.throwIfAborted()
    const found = await probe(signal)
    if (found !== undefined) return found
    await clock.sleep(every, signal)
  }
}
