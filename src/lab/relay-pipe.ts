/**
 * One direction of a WAN link, as arithmetic: a packet that comes in is dropped, or leaves at a computed time. Serialises at a rate
 * behind a drop-tail queue, then delays, and loses at random. Pure: time and chance are passed in.
 */

export interface PipeSettings {
  /** @unit bytes per second */
  readonly rate: number
  /** One way. @unit ms */
  readonly delay: number
  /** 0 … 1 */
  readonly loss: number
  readonly cut: boolean
}

/** A queue holds what the link carries in this time, but never less than a few large packets. @unit ms */
const queueTime = 100
/** @unit bytes */
const leastQueue = 128 * 1024

export class RelayPipe {
  #settings: PipeSettings
  /** When the last byte that was accepted has been put on the wire. @unit ms */
  #busyUntil = 0
  /** Packets leave in the order in which they came, also when the delay shrinks. @unit ms */
  #lastArrival = 0
  carriedBytes = 0
  carriedPackets = 0
  droppedPackets = 0

  constructor(settings: PipeSettings) {
    this.#settings = settings
  }

  get settings(): PipeSettings {
    return this.#settings
  }

  /** Takes effect for packets to come; what waits is still sent at the pace it was accepted with, at most one queue's time. */
  change(to: Partial<PipeSettings>, now: number): void {
    const before = this.#settings
    this.#settings = { ...before, ...to }
    const waiting = Math.max(0, this.#busyUntil - now)
    if (to.rate !== undefined && to.rate > 0) this.#busyUntil = now + waiting * (before.rate / to.rate)
  }

  /** @unit bytes */
  queued(now: number): number {
    return (Math.max(0, this.#busyUntil - now) / 1000) * this.#settings.rate
  }

  /**
   * @param chance a random number in 0 … 1
   * @returns when the packet arrives at the other end, or undefined when it never does
   */
  accept(size: number, now: number, chance: number): number | undefined {
    const { rate, delay, loss, cut } = this.#settings
    const room = Math.max(leastQueue, (rate * queueTime) / 1000)
    if (cut || rate <= 0 || chance < loss || this.queued(now) + size > room) {
      this.droppedPackets += 1
      return undefined
    }
    this.#busyUntil = Math.max(now, this.#busyUntil) + (size / rate) * 1000
    this.carriedBytes += size
    this.carriedPackets += 1
    this.#lastArrival = Math.max(this.#lastArrival, this.#busyUntil + delay)
    return this.#lastArrival
  }
}
