/** A whole scenario, from its inventory to the report: who is endangered, the plan, the evacuation in virtual time. */
import type { Limits, Started } from '../control/observed.ts'
import { evacuationId, type SiteId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { planEvacuation } from '../plan/plan-evacuation.ts'
import { policyByName } from '../policy/policy-by-name.ts'
import { hours } from '../units.ts'
import { chanceOf } from './chance.ts'
import { realTimeline } from './real-timeline.ts'
import { begin, type Simulated, type Simulation, type SimulationRun } from './simulate.ts'
import type { Timeline } from './timeline.ts'

export interface Rehearsal {
  readonly snapshot: Snapshot
  readonly timeline: Timeline
  readonly policy: string
  readonly limits: Limits
  readonly seed: number
  readonly watch?: Pick<Simulation, 'onRow' | 'onHappening' | 'onRates'>
}

/** Whatever is still going on after so long has failed to end. */
const horizon = hours(48)

/** Every site that is not safe is left; every one that is receives. */
export const sidesOf = (
  snapshot: Snapshot,
): { readonly endangered: readonly SiteId[]; readonly targets: readonly SiteId[] } => ({
  endangered: snapshot.sites.filter(({ safe }) => !safe).map(({ id }) => id),
  targets: snapshot.sites.filter(({ safe }) => safe).map(({ id }) => id),
})

/** The world's luck on that seed. */
export const timelineOf = ({ snapshot, timeline, seed }: Pick<Rehearsal, 'snapshot' | 'timeline' | 'seed'>): Timeline =>
  realTimeline(snapshot, timeline, sidesOf(snapshot).endangered, chanceOf(seed))

/** @throws UnknownPolicy; RanTwice when the controller let a VM run on two hosts */
export function rehearse(rehearsal: Rehearsal): Simulated {
  const run = beginRehearsal(rehearsal)
  run.advance(Number.POSITIVE_INFINITY)
  return run.soFar()
}

/** @throws UnknownPolicy */
export function beginRehearsal(rehearsal: Rehearsal): SimulationRun {
  const { snapshot, policy, limits, seed, watch } = rehearsal
  const sides = sidesOf(snapshot)
  const { bandwidth } = limits
  const { slots, order = 'inventory' } = policyByName(policy)
  const plan = planEvacuation({ snapshot, ...sides, policy, slots, bandwidth, order })
  const started: Started = {
    kind: 'evacuation-started',
    id: evacuationId(`sim-${seed}`),
    snapshot,
    ...sides,
    policy,
    limits,
    plan,
    world: 'simulated',
    seed,
    by: 'lifeboat simulate',
  }
  return begin({ started, timeline: timelineOf(rehearsal), chance: chanceOf(seed), horizon, ...watch })
}
