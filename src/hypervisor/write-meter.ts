import { type BytesPerSecond, bytesPerSecond } from '../core/units.ts'

/** A copy takes up what a guest wrote in gulps, some seconds apart. @unit ms */
const memory = 10_000

/** How fast a guest dirties blocks that were copied before, over some seconds: by the growth of what is to be copied in all. */
export class WriteMeter {
  #at: number | undefined
  #total = 0
  #rate = 0

  get rate(): BytesPerSecond {
    return bytesPerSecond(Math.round(this.#rate))
  }

  /** @param total bytes of all disks so far, with those that became dirty again @param now @unit ms */
  read(total: number, now: number): void {
    if (this.#at !== undefined && now > this.#at && total >= this.#total) {
      const span = now - this.#at
      const rate = ((total - this.#total) / span) * 1000
      this.#rate += (rate - this.#rate) * (1 - Math.exp(-span / memory))
    }
    this.#at = now
    this.#total = total
  }
}
