/**
 * Where lifeboat.yaml says nothing of a path, what was measured of it in peace: the prior on the day. Where it declares no path at all,
 * every site reaches every other, and that stays so: as soon as something is known of one pair, each pair has its path.
 */
import { type Path, type Snapshot, unknownPath } from '../core/inventory/snapshot.ts'
import type { Prior } from '../monitor/history.ts'

/** One stream that got less than this share of the path did not fill it. */
const oneFills = 0.8

/** @param priorOf what the history has of a path; undefined when it was never seen */
export function knownBefore(snapshot: Snapshot, priorOf: (path: Path) => Prior | undefined): Snapshot {
  const ways = snapshot.paths.length > 0 ? snapshot.paths : everyPair(snapshot)
  const paths = ways.map(path => {
    if (path.capacity !== undefined && path.rtt !== undefined) return path
    const prior = priorOf(path)
    return prior === undefined ? path : filled(path, prior)
  })
  return paths.every((path, at) => path === ways[at]) ? snapshot : { ...snapshot, paths }
}

/** In each direction. One left out would not exist beside those that are there (core/plan/placement.ts). */
const everyPair = ({ sites }: Snapshot): readonly Path[] =>
  sites.flatMap(from => sites.flatMap(to => (from === to ? [] : [unknownPath(from.id, to.id)])))

function filled(path: Path, prior: Prior): Path {
  // What went through while nothing stood in the way of more is no capacity.
  const full = prior.capacity?.bound === 'full' ? prior.capacity.rate : undefined
  const capacity = path.capacity === undefined ? full : undefined
  const rtt = path.rtt === undefined ? prior.rtt : undefined
  const single = prior.perFlow
  const limits = single !== undefined && capacity !== undefined && single < capacity * oneFills
  if (capacity === undefined && rtt === undefined) return path
  return {
    ...path,
    ...(capacity === undefined ? {} : { capacity, capacityFrom: 'before' }),
    rtt: path.rtt ?? rtt,
    perFlow: path.perFlow ?? (limits ? single : undefined),
  }
}
