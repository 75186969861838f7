/**
 * The baselines: a fixed number of migrations at a time. `sequential` is 1, `all-at-once` has no bound.
 *
 * A migration counts while memory flows. One more target than slots is made ready ahead of time, and the next one starts when a
 * guest stops for its switchover, so that the path does not wait for processes to start.
 */
import { plainStart } from '../migration/start-options.ts'
import type { Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots } from './slots.ts'
import { stalled } from './stall.ts'

/** Targets made ready ahead of need. */
const readyAhead = 1

/** @param slots 1 … Infinity */
export function fixedN(name: string, slots: number): Policy {
  const policy: Policy = {
    name,
    slots,
    decide: view => ({ intents: shareBandwidth(view, [...tend(view), ...admissions(view, slots)]), next: policy }),
  }
  return policy
}

const admissions = (view: PolicyView, slots: number): Intent[] =>
  fillSlots(view, {
    total: slots,
    perSource: Number.POSITIVE_INFINITY,
    heldIn: ['pre-copy', 'post-copy'],
    readyAhead,
    optionsFor: vm => ({ ...plainStart, postCopy: vm.policy.allow.includes('post-copy') }),
    tuningFor: vm => ({ rate: undefined, downtimeLimit: vm.policy.maxDowntime }),
  })

/** Does not wait for ever on a guest that does not converge. */
function tend(view: PolicyView): Intent[] {
  const intents: Intent[] = []
  for (const migration of view.migrations.in('pre-copy')) {
    if (migration.cancelling !== undefined) continue
    const vm = view.vmOf(migration.vm)
    const why = stalled(vm, migration)
    if (why === undefined) continue
    intents.push(
      vm.policy.allow.includes('post-copy')
        ? { kind: 'post-copy', vm: vm.id, why }
        : { kind: 'cancel', vm: vm.id, why, again: false },
    )
  }
  return intents
}
