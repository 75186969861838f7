/** Where lifeboat.yaml says nothing of a path, what was measured of it in peace: the prior on the day. */
import type { Path, Snapshot } from '../core/inventory/snapshot.ts'
import type { Prior } from '../monitor/history.ts'

/** One stream that got less than this share of the path did not fill it. */
const oneFills = 0.8

/** @param priorOf what the history has of a path; undefined when it was never seen */
export function knownBefore(snapshot: Snapshot, priorOf: (path: Path) => Prior | undefined): Snapshot {
  const paths = snapshot.paths.map(path => {
    if (path.capacity !== undefined && path.rtt !== undefined) return path
    const prior = priorOf(path)
    return prior === undefined ? path : filled(path, prior)
  })
  return paths.every((path, at) => path === snapshot.paths[at]) ? snapshot : { ...snapshot, paths }
}

function filled(path: Path, prior: Prior): Path {
  // What went through while nothing stood in the way of more is no capacity.
  const full = prior.capacity?.bound === 'full' ? prior.capacity.rate : undefined
  const capacity = path.capacity ?? full
  const single = prior.perFlow
  const limits = single !== undefined && capacity !== undefined && single < capacity * oneFills
  return {
    ...path,
    capacity,
    rtt: path.rtt ?? prior.rtt,
    perFlow: path.perFlow ?? (limits && path.capacity === undefined ? single : undefined),
  }
}
