/**
 * What a host's processors say of it: whether anything more may be asked of them. Busy alone is no sign (a host that is used well is
 * busy), nor is waiting alone (on few cores some task nearly always waits a moment): both together are.
 */
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import type { Fraction } from '../units.ts'

export interface SeenOfHost {
  readonly host: HostId
  /** Of all its processors together, in the last second or so. */
  readonly busy: Fraction
  /** Of the last ten seconds, in which some task waited for a processor (Linux PSI, `some avg10`); undefined where nobody counts it. */
  readonly waiting: Fraction | undefined
}

export interface HostSignal extends Pick<SeenOfHost, 'busy' | 'waiting'> {
  readonly at: Instant
}

export type HostLoad = 'overloaded' | 'not overloaded' | 'unknown'

/** An older one says nothing of now: it is told anew while it lasts. @unit ms */
const validFor = 60_000
const busyFrom = 0.95
const waitingFrom = 0.5
/** It is no more when one of the two is clearly less. */
const busyUntil = 0.85
const waitingUntil = 0.35

export const isOverloaded = ({ busy, waiting }: Pick<SeenOfHost, 'busy' | 'waiting'>): boolean =>
  busy >= busyFrom && (waiting === undefined || waiting >= waitingFrom)

export function hostLoad(signal: HostSignal | undefined, now: Instant): HostLoad {
  if (signal === undefined || signal.at > now || now - signal.at > validFor) return 'unknown'
  return isOverloaded(signal) ? 'overloaded' : 'not overloaded'
}

const isRelieved = ({ busy, waiting }: SeenOfHost): boolean =>
  busy < busyUntil || (waiting !== undefined && waiting < waitingUntil)

/** Told again so often while it lasts. @unit ms */
const toldEvery = 30_000

/** Which of what is seen each second is worth a fact: each is journaled. */
export class HostLoadsTold {
  /** By host that is overloaded, when that was told. */
  readonly #overloaded = new Map<HostId, Instant>()

  worthTelling(seen: readonly SeenOfHost[], now: Instant): readonly SeenOfHost[] {
    return seen.filter(each => {
      const since = this.#overloaded.get(each.host)
      // In between it is as it was, and that is not told again: then nobody knows after a minute.
      if (!isOverloaded(each)) return isRelieved(each) && this.#overloaded.delete(each.host)
      if (since !== undefined && now - since < toldEvery) return false
      this.#overloaded.set(each.host, now)
      return true
    })
  }
}
