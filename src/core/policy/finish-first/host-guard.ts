/**
 * What an overloaded host is spared. Its guests still serve somebody, and a migration that gets no processor is no faster for company: no
 * more at a time are tried out of it, and nothing is squeezed that costs it much. What flows goes on, and what is known to be needed to
 * fill a path still starts: its guests are better off elsewhere, and each that leaves takes its load along.
 */
import { hostLoad } from '../../forecast/host-signal.ts'
import type { HostId } from '../../ids.ts'
import type { Queued } from '../../migration/migration.ts'
import type { Intent, PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'
import { type Circumstances, sparesProcessors } from './start-options-for.ts'
import { waysFrom } from './ways.ts'

export const isOverloadedNow = ({ hostLoads, now }: PolicyView, host: HostId): boolean =>
  hostLoad(hostLoads.get(host), now) === 'overloaded'

export const circumstancesOf = (
  view: PolicyView,
  lanes: Lanes,
  { source, attempts, postponed = 0 }: Queued,
): Circumstances => ({
  exact: waysOf(view, lanes, source).some(way => lanes.needsExactCaps(way)),
  again: attempts > postponed,
  overloaded: isOverloadedNow(view, source) && isSparedSomewhere(view, lanes, source),
})

/** Placement has the last word on the way it goes by: what would cost too much on one of them is not begun for any. */
const isSparedSomewhere = (view: PolicyView, lanes: Lanes, source: HostId): boolean =>
  waysOf(view, lanes, source).some(sparesProcessors)

const waysOf = (view: PolicyView, lanes: Lanes, source: HostId): readonly Lane[] =>
  waysFrom(view, source).flatMap(([first]) => (first === undefined ? [] : [lanes.lane(source, first)]))

/** Ready ones that were to be squeezed by a host that is overloaded since: they are made ready anew, plain. */
export function* unsuited(view: PolicyView, lanes: Lanes): Generator<Intent> {
  if (view.hostLoads.size === 0) return
  for (const { vm, source, target, ready, options } of view.migrations.in('preparing')) {
    if (!ready || options.compression === 'none' || !isOverloadedNow(view, source)) continue
    if (sparesProcessors(lanes.lane(source, target)))
      yield { kind: 'release', vm, why: `${source} is overloaded: it goes plain` }
  }
}
