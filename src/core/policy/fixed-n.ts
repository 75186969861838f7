/**
 * The baselines: a fixed number of migrations at a time. `sequential` is 1, `all-at-once` has no bound.
 *
 * A migration counts while memory flows. One more target than slots is made ready ahead of time, and the next one starts when a
 * guest stops for its switchover, so that the path does not wait for processes to start.
 */
import { plainStart } from '../migration/start-options.ts'
import type { Tuning } from '../migration/migration.ts'
import { bytesPerSecond } from '../units.ts'
import type { Intent, Policy, PolicyView } from './policy.ts'
import { stalled } from './stall.ts'

/** Targets made ready ahead of need. */
const readyAhead = 1
/** A rate is changed in flight only for more than this. */
const worthAdjusting = 0.01

/** @param slots 1 … Infinity */
export function fixedN(name: string, slots: number): Policy {
  const policy: Policy = { name, slots, decide: view => ({ intents: decide(view, slots), next: policy }) }
  return policy
}

function decide(view: PolicyView, ownSlots: number): Intent[] {
  const slots = Math.min(ownSlots, view.limits.maxParallel ?? Number.POSITIVE_INFINITY)
  const intents: Intent[] = []
  let flowing = 0
  let warm = 0
  for (const { migration } of view.migrations) {
    if (migration.phase === 'pre-copy' || migration.phase === 'post-copy') flowing += 1
    if (migration.phase === 'preparing') warm += 1
  }
  const starts = view.migrations
    .filter(({ migration }) => migration.phase === 'preparing' && migration.ready)
    .slice(0, Math.max(0, slots - flowing))
  const share = shareOf(view, Math.max(1, flowing + starts.length))
  for (const { vm } of starts)
    intents.push({ kind: 'start', vm: vm.id, tuning: { rate: share, downtimeLimit: vm.policy.maxDowntime } })
  intents.push(...tend(view, share))

  const wanted = slots + readyAhead - flowing - warm
  const waiting = view.migrations.filter(
    ({ migration }) =>
      migration.phase === 'queued' && (migration.notBefore === undefined || migration.notBefore <= view.now),
  )
  if (wanted > 0 && waiting.length > 0) {
    const candidates = waiting.map(({ vm }) => ({
      vm: vm.id,
      options: { ...plainStart, postCopy: vm.policy.allow.includes('post-copy') },
    }))
    intents.push({ kind: 'prepare', candidates, atMost: wanted })
  }
  return intents
}

function shareOf({ limits }: PolicyView, sharing: number): Tuning['rate'] {
  return limits.bandwidth === undefined ? undefined : bytesPerSecond(limits.bandwidth / sharing)
}

/** Keeps shares equal under the operator's bandwidth, and does not wait for ever on a guest that does not converge. */
function tend(view: PolicyView, share: Tuning['rate']): Intent[] {
  const intents: Intent[] = []
  for (const { vm, migration } of view.migrations) {
    if (migration.phase !== 'pre-copy' || migration.cancelling !== undefined) continue
    const { tuning } = migration
    if (share !== undefined && Math.abs((tuning.rate ?? 0) - share) > share * worthAdjusting) {
      intents.push({
        kind: 'adjust',
        vm: vm.id,
        tuning: { ...tuning, rate: share },
        why: 'equal share of the bandwidth allowed',
      })
    }
    const why = stalled(vm, migration)
    if (why === undefined) continue
    intents.push(
      vm.policy.allow.includes('post-copy')
        ? { kind: 'post-copy', vm: vm.id, why }
        : { kind: 'cancel', vm: vm.id, why },
    )
  }
  return intents
}
