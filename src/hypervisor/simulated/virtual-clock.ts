/**
 * A simulated world's time behind the port `Clock`: whoever sleeps on it lets the world go on. An hour passes as fast as its events can
 * be carried out; while nobody waits, time stands still.
 */
import { setImmediate as othersFirst } from 'node:timers/promises'
import type { Instant } from '../../core/instant.ts'
import type { Kernel } from '../../core/sim/kernel.ts'
import type { Milliseconds } from '../../core/units.ts'
import type { Clock } from '../../time/clock.ts'

export class VirtualClock implements Clock {
  readonly #kernel: Kernel
  #waiting = 0
  #pumping = false

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  now(): Instant {
    return this.#kernel.now
  }

  sleep(span: Milliseconds, signal: AbortSignal): Promise<void> {
    return this.until(signal, done => {
      const alarm = this.#kernel.after(span, done)
      return () => this.#kernel.cancel(alarm)
    })
  }

  /**
   * Waits for something that happens in the world.
   * @param arm told what to call when it has happened; returns how to stop waiting
   */
  until(signal: AbortSignal, arm: (done: () => void) => () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
      this.#waiting += 1
      const over = (): void => {
        this.#waiting -= 1
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        disarm()
        over()
        reject(signal.reason)
      }
      const disarm = arm(() => {
        over()
        resolve()
      })
      signal.addEventListener('abort', onAbort, { once: true })
      void this.#pump()
    })
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      // Those who were woken have their say before the next event, in which they may have a part.
      await othersFirst()
      while (this.#waiting > 0 && this.#kernel.step()) await othersFirst()
    } finally {
      this.#pumping = false
    }
  }
}
