/**
 * Judges one guest by its ticks. Pure: text with the time it was seen goes in, a verdict comes out. Ticks are numbered, one a second;
 * a guest that went on has every number once, whichever host it ticked on.
 */
import { diskPattern, errorPattern, tickPattern, writtenPattern } from './guest-init.ts'

/** The guest prints one each. @unit ms */
export const tickPeriod = 1_000
/** A guest that has not ticked for this long is dead, unless it is seen again later. @unit ms */
export const deadAfter = 15_000

/** `damaged`: a disk was read as something else than before, or the guest itself reports an error. */
export type Life = 'alive' | 'gap' | 'repeated' | 'damaged' | 'dead'

export interface Gap {
  /** Between the two ticks, beyond the period. @unit ms */
  readonly length: number
  readonly afterTick: number
  /** When the tick before it was seen. @unit ms */
  readonly at: number
}

/** By the guest's own word. */
export interface DiskLife {
  /** Of what the guest does not write. */
  readonly sha256: string
  /** How often the whole was read, and was the same. */
  readonly readings: number
  /** Blocks that were written and read back. */
  readonly written: number
}

export interface LifeReport {
  readonly ticks: number
  readonly last: number
  /** When the last one was seen. @unit ms */
  readonly lastAt: number | undefined
  readonly verdict: Life
  readonly longestGap: Gap | undefined
  /** Numbers that never came. */
  readonly missing: number
  /** Numbers that came twice, or after a higher one: it ran in two places, or was put back in time. */
  readonly repeated: number
  readonly disks: ReadonlyMap<string, DiskLife>
  /** What the guest says is wrong, at most a few. */
  readonly errors: readonly string[]
}

const errorsKept = 5

/** Number of the first whole tick in a text; undefined when there is none. */
export function firstTick(text: string): number | undefined {
  for (const line of text.split('\n')) {
    const tick = tickPattern.exec(line.slice(Math.max(0, line.lastIndexOf('LB tick'))))
    if (tick !== null) return Number(tick[1])
  }
  return undefined
}

export class LifeJudge {
  #rest = ''
  #ticks = 0
  #last = 0
  #lastAt: number | undefined
  #longest: Gap | undefined
  #missing = 0
  #repeated = 0
  readonly #disks = new Map<string, DiskLife>()
  readonly #errors: string[] = []

  /** @param at when the text was seen; what is split between two calls is joined */
  read(text: string, at: number): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = (lines.pop() ?? '').slice(-200)
    for (const line of lines) {
      // A console may carry a stray return before the line.
      const said = line.slice(Math.max(0, line.lastIndexOf('LB ')))
      const tick = tickPattern.exec(said)
      if (tick === null) this.#onWord(said)
      else this.#onTick(Number(tick[1]), at)
    }
  }

  #onWord(said: string): void {
    const [, name = '', sha256 = ''] = diskPattern.exec(said) ?? []
    if (name !== '') this.#onReading(name, sha256)
    const [, writes = '', written] = writtenPattern.exec(said) ?? []
    const disk = this.#disks.get(writes)
    if (disk !== undefined) this.#disks.set(writes, { ...disk, written: Number(written) })
    const wrong = errorPattern.exec(said)?.[1]
    if (wrong !== undefined) this.#error(wrong)
  }

  #onReading(name: string, sha256: string): void {
    const before = this.#disks.get(name)
    if (before === undefined) this.#disks.set(name, { sha256, readings: 1, written: 0 })
    else if (before.sha256 === sha256) this.#disks.set(name, { ...before, readings: before.readings + 1 })
    else this.#error(`${name} was read as ${before.sha256.slice(0, 12)} before, and as ${sha256.slice(0, 12)} now`)
  }

  #error(what: string): void {
    if (this.#errors.length < errorsKept) this.#errors.push(what)
  }

  #onTick(number: number, at: number): void {
    this.#ticks += 1
    if (number <= this.#last) {
      this.#repeated += 1
      return
    }
    if (this.#last > 0) this.#missing += number - this.#last - 1
    if (this.#lastAt !== undefined) {
      const length = Math.max(0, at - this.#lastAt - tickPeriod)
      if (this.#longest === undefined || length > this.#longest.length)
        this.#longest = { length, afterTick: this.#last, at: this.#lastAt }
    }
    this.#last = number
    this.#lastAt = at
  }

  /** Forgets the gaps so far: what was before a move is not the move's. */
  forgetGaps(): void {
    this.#longest = undefined
  }

  /** @param tolerance a gap up to this is noise @unit ms */
  report(now: number, tolerance: number): LifeReport {
    const silent = this.#lastAt === undefined ? Number.POSITIVE_INFINITY : now - this.#lastAt
    const gap = (this.#longest?.length ?? 0) > tolerance || this.#missing > 0
    const damaged = this.#errors.length > 0
    const verdict: Life =
      this.#repeated > 0 ? 'repeated' : damaged ? 'damaged' : silent > deadAfter ? 'dead' : gap ? 'gap' : 'alive'
    return {
      ticks: this.#ticks,
      last: this.#last,
      lastAt: this.#lastAt,
      verdict,
      longestGap: this.#longest,
      missing: this.#missing,
      repeated: this.#repeated,
      disks: new Map(this.#disks),
      errors: [...this.#errors],
    }
  }
}
