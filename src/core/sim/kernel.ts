/**
 * The clock of a simulated world: events in order of time, then of their making. No wall clock: an hour passes as fast as its events
 * can be carried out, and the same events in the same order each time.
 */
import { type Instant, instant } from '../instant.ts'

/** A promise that something happens; {@link Kernel.cancel} takes it back. */
export interface Alarm {
  readonly at: number
  readonly seq: number
  readonly act: () => void
  cancelled: boolean
}

export class Kernel {
  #now: number
  #seq = 0
  /** A binary heap: the soonest first. */
  readonly #heap: Alarm[] = []
  #live = 0

  constructor(start: Instant = instant(0)) {
    this.#now = start
  }

  get now(): Instant {
    return instant(this.#now)
  }

  /** Events that will still happen. */
  get waiting(): number {
    return this.#live
  }

  /** @param at in the past counts as now */
  at(at: number, act: () => void): Alarm {
    const alarm: Alarm = { at: Math.max(this.#now, at), seq: (this.#seq += 1), act, cancelled: false }
    this.#heap.push(alarm)
    this.#up(this.#heap.length - 1)
    this.#live += 1
    return alarm
  }

  /** @param span from now @unit ms */
  after(span: number, act: () => void): Alarm {
    return this.at(this.#now + span, act)
  }

  cancel(alarm: Alarm | undefined): void {
    if (alarm === undefined || alarm.cancelled) return
    alarm.cancelled = true
    this.#live -= 1
  }

  /** Carries out the next event. @returns false when there is none */
  step(): boolean {
    for (;;) {
      const next = this.#pop()
      if (next === undefined) return false
      if (next.cancelled) continue
      next.cancelled = true
      this.#live -= 1
      this.#now = next.at
      next.act()
      return true
    }
  }

  #pop(): Alarm | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined) return undefined
    if (heap.length > 0) {
      heap[0] = last
      this.#down(0)
    }
    return first
  }

  #up(from: number): void {
    const heap = this.#heap
    let at = from
    const moving = heap[at]
    if (moving === undefined) return
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !sooner(moving, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = moving
  }

  #down(from: number): void {
    const heap = this.#heap
    let at = from
    const moving = heap[at]
    if (moving === undefined) return
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      if (left === undefined) break
      const child = right !== undefined && sooner(right, left) ? right : left
      if (!sooner(child, moving)) break
      heap[at] = child
      at = child === left ? 2 * at + 1 : 2 * at + 2
    }
    heap[at] = moving
  }
}

const sooner = (a: Alarm, b: Alarm): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq)
