/**
 * Facts on their way to the core, in order, stamped when they arrived. Bounded: ticks and samples that were not read yet are
 * replaced by newer ones; of the rest there is at most a handful for each migration in flight.
 */
import type { Observed } from '../core/control/observed.ts'
import type { Instant } from '../core/instant.ts'
import type { Clock } from '../time/clock.ts'

export interface Arrival {
  readonly at: Instant
  readonly event: Observed
}

/** Beyond this something is wrong with whoever posts; an evacuation of 10 000 VMs stays far below. */
const limit = 100_000

export class Inbox {
  readonly #clock: Clock
  readonly #replaceable = new Map<string, Arrival>()
  #waiting: Arrival[] = []
  #wake: (() => void) | undefined
  /** Samples and ticks that a newer one replaced before they were read. */
  replaced = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  post(event: Observed): void {
    const arrival = { at: this.#clock.now(), event }
    const key = event.kind === 'tick' ? 'tick' : event.kind === 'progress' ? `progress ${event.vm}` : undefined
    if (key !== undefined) {
      const old = this.#replaceable.get(key)
      if (old !== undefined) {
        this.#waiting.splice(this.#waiting.indexOf(old), 1)
        this.replaced += 1
      }
      this.#replaceable.set(key, arrival)
    }
    if (this.#waiting.length >= limit) throw new Error(`more than ${limit} facts wait for the core`)
    this.#waiting.push(arrival)
    this.#wake?.()
  }

  /** Everything that waits; waits for the first. @throws the signal's reason */
  async take(signal: AbortSignal): Promise<readonly Arrival[]> {
    signal.throwIfAborted()
    if (this.#waiting.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => reject(signal.reason as Error)
        signal.addEventListener('abort', onAbort, { once: true })
        this.#wake = () => {
          signal.removeEventListener('abort', onAbort)
          this.#wake = undefined
          resolve()
        }
      })
    }
    const taken = this.#waiting
    this.#waiting = []
    this.#replaceable.clear()
    return taken
  }
}
