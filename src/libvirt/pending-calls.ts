/**
 * Calls that were sent and not answered, by serial. Bounded: what its caller gave up is unanswered still and counts, or a silent daemon
 * would be asked without bound. Calls under one signal share one listener: a signal looks through all it has to add another.
 */
import { LibvirtInterrupted } from './errors.ts'
import type { Header } from './frame.ts'

export interface PendingCall {
  readonly name: string
  readonly procedure: number
  readonly signal: AbortSignal
  /** Tells the caller what the daemon answered. Never throws. */
  readonly settle: (header: Header, body: Buffer) => void
  readonly reject: (error: unknown) => void
}

interface Watched {
  readonly serials: Set<number>
  readonly onAbort: () => void
}

const serialMost = 2 ** 32 - 1

export class PendingCalls {
  readonly #calls = new Map<number, PendingCall>()
  readonly #givenUp = new Set<number>()
  readonly #bySignal = new Map<AbortSignal, Watched>()
  #serial = 0

  get unanswered(): number {
    return this.#calls.size + this.#givenUp.size
  }

  /** @returns its serial */
  add(call: PendingCall): number {
    do this.#serial = this.#serial >= serialMost ? 1 : this.#serial + 1
    while (this.#calls.has(this.#serial) || this.#givenUp.has(this.#serial))
    this.#calls.set(this.#serial, call)
    this.#watch(call.signal, this.#serial)
    return this.#serial
  }

  /** A call that was not answered, and no longer waits. */
  take(serial: number): PendingCall | undefined {
    const call = this.#calls.get(serial)
    if (call === undefined) return undefined
    this.#calls.delete(serial)
    const watched = this.#bySignal.get(call.signal)
    watched?.serials.delete(serial)
    if (watched?.serials.size === 0) {
      call.signal.removeEventListener('abort', watched.onAbort)
      this.#bySignal.delete(call.signal)
    }
    return call
  }

  /** Whether that call was given up before; forgets it. */
  wasGivenUp(serial: number): boolean {
    return this.#givenUp.delete(serial)
  }

  /** The outcome of all of them is unknown. */
  interrupt(reason: Error): void {
    for (const serial of this.#calls.keys()) {
      const call = this.take(serial)
      call?.reject(new LibvirtInterrupted(call.name, reason))
    }
    this.#givenUp.clear()
  }

  #watch(signal: AbortSignal, serial: number): void {
    const watched = this.#bySignal.get(signal)
    if (watched !== undefined) {
      watched.serials.add(serial)
      return
    }
    const serials = new Set([serial])
    const onAbort = (): void => {
      this.#bySignal.delete(signal)
      for (const each of serials) {
        const call = this.#calls.get(each)
        this.#calls.delete(each)
        this.#givenUp.add(each) // its reply may still come, and is then no surprise
        call?.reject(signal.reason)
      }
    }
    this.#bySignal.set(signal, { serials, onAbort })
    signal.addEventListener('abort', onAbort, { once: true })
  }
}
