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
import { giveUpStalled } from './stall.ts'

/** Targets made ready ahead of need. */
const readyAhead = 1

/** @param slots 1 … Infinity */
export function fixedN(name: string, slots: number): Policy {
  const policy: Policy = {
    name,
    slots,
    decide: view => ({
      intents: shareBandwidth(view, [...giveUpStalled(view), ...admissions(view, slots)]),
      next: policy,
    }),
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
