/**
 * What the monitor sees, as facts for the core: of each path that migrations use, what queues on it and what is lost, and of each host how
 * busy it is. Paths are told anew every few seconds, and at once when one becomes full or ceases to be: each fact is journaled.
 */
import { type Fullness, fullness, type SeenOnPath } from '../core/forecast/path-signal.ts'
import type { Instant } from '../core/instant.ts'
import type { SeenOfHost } from '../core/forecast/host-signal.ts'
import type { HostState, LinkState } from '../core/network/link-state.ts'
import { isKnown } from '../core/network/reading.ts'
import { fraction } from '../core/units.ts'

/** A signal is believed for 10 s (core/forecast/path-signal.ts). @unit ms */
const toldEvery = 5_000

interface Told {
  readonly at: Instant
  readonly fullness: Fullness
}

export class NetworkFacts {
  readonly #told = new Map<string, Told>()

  /** Of those that are worth telling now. */
  worthTelling(links: readonly LinkState[], now: Instant): readonly SeenOnPath[] {
    return links.flatMap(state => {
      const seen = seenOn(state)
      if (seen === undefined) return []
      const is = fullness({ at: now, queueing: seen.queueing, loss: seen.loss }, now)
      const before = this.#told.get(state.link.name)
      if (before !== undefined && before.fullness === is && now - before.at < toldEvery) return []
      this.#told.set(state.link.name, { at: now, fullness: is })
      return [seen]
    })
  }
}

/** Undefined where none of our migrations flows, or nobody can see its queue. */
function seenOn({ link, flows, queueingDelay, standingDelay, loss }: LinkState): SeenOnPath | undefined {
  if (flows === 0 || !isKnown(queueingDelay)) return undefined
  const lost = 'share' in loss ? loss.share : fraction(0)
  // Beside others all of ours are capped, and QEMU sends in bursts: their own queue is no full path, and without an echo nobody knows.
  const queueing = (link.path.background ?? 0) > 0 ? standingDelay : queueingDelay
  return isKnown(queueing) ? { from: link.path.from, to: link.path.to, queueing, loss: lost } : undefined
}

/** Of hosts whose processors can be seen. */
export const seenOfHosts = (hosts: readonly HostState[]): readonly SeenOfHost[] =>
  hosts.flatMap(({ host, cpuBusy, pressure }) => {
    if (!isKnown(cpuBusy)) return []
    return [{ host, busy: cpuBusy, waiting: isKnown(pressure) ? pressure.cpu : undefined }]
  })
