/** A throughput probe of one path of a running monitor: which hosts, with which limits, or why not. Never throws for a path's trouble. */
import type { Link } from '../core/network/network-map.ts'
import { leastRtt, linkMemory } from '../core/network/network-memory.ts'
import { isKnown, type ThroughputReading } from '../core/network/reading.ts'
import type { Bytes, Milliseconds } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import type { Monitor } from './monitor.ts'
import { probeThroughput } from './throughput-probe.ts'

export type ProbeOutcome =
  | { readonly link: string; readonly reading: ThroughputReading }
  | { readonly link: string; readonly why: string }

/** @throws the signal's reason when it aborts, nothing else */
export async function probeLink(
  monitor: Monitor,
  link: Link,
  most: { readonly bytes: Bytes; readonly time: Milliseconds },
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const flows = monitor.links().find(state => state.link === link)?.flows ?? 0
  if (flows > 0) return { link: link.name, why: `${flows} migrations use it: what they get is the measurement` }
  const pair = monitor.pairFor(link)
  if (pair === undefined) return { link: link.name, why: 'no host at its beginning answers' }
  const { from, to } = pair
  if (!isKnown(from.remote)) return { link: link.name, why: `${from.host}: ${from.remote.why}` }
  if (!isKnown(to.remote)) return { link: link.name, why: `${to.host}: ${to.remote.why}` }
  try {
    const reading = await probeThroughput(
      {
        from: { host: from.host, remote: from.remote },
        to: { host: to.host, remote: to.remote, address: to.address },
        most,
        restRtt: leastRtt(linkMemory(monitor.state, link), clock.now()),
        clock,
      },
      signal,
    )
    monitor.observe(reading)
    return { link: link.name, reading }
  } catch (error) {
    signal.throwIfAborted()
    return { link: link.name, why: error instanceof Error ? error.message : String(error) }
  }
}
