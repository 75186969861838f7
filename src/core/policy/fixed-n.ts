/**
 * The baselines: a fixed number of migrations at a time. `sequential` is 1, `all-at-once` has no bound.
 *
 * A migration counts while memory flows. One more target than slots is made ready ahead of time, and the next one starts when a
 * guest stops for its switchover, so that the path does not wait for processes to start.
 */
import type { Instant } from '../instant.ts'
import { plainStart } from '../migration/start-options.ts'
import type { Tuning } from '../migration/migration.ts'
import { bytesPerSecond } from '../units.ts'
import type { Candidate, Intent, Policy, PolicyView } from './policy.ts'
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
  const { migrations, vmOf, now } = view
  const slots = Math.min(ownSlots, view.limits.maxParallel ?? Number.POSITIVE_INFINITY)
  const flowing = migrations.count('pre-copy', 'post-copy')
  const ready = [...migrations.in('preparing')].filter(m => m.ready)
  const starts = ready.slice(0, Math.max(0, slots - flowing))
  const share = shareOf(view, Math.max(1, flowing + starts.length))
  const intents: Intent[] = starts.map(({ vm }) => ({
    kind: 'start',
    vm,
    tuning: { rate: share, downtimeLimit: vmOf(vm).policy.maxDowntime },
  }))
  intents.push(...tend(view, share))

  const wanted = slots + readyAhead - flowing - migrations.count('preparing')
  if (wanted > 0 && migrations.count('queued') > 0)
    intents.push({ kind: 'prepare', candidates: waiting(view, now), atMost: wanted })
  return intents
}

/** As many as are looked at: those in front that find no place do not cost those behind them their turn. */
function* waiting({ migrations, vmOf }: PolicyView, now: Instant): Generator<Candidate> {
  for (const { vm, notBefore } of migrations.in('queued')) {
    if (notBefore !== undefined && notBefore > now) continue
    yield { vm, options: { ...plainStart, postCopy: vmOf(vm).policy.allow.includes('post-copy') } }
  }
}

function shareOf({ limits }: PolicyView, sharing: number): Tuning['rate'] {
  return limits.bandwidth === undefined ? undefined : bytesPerSecond(limits.bandwidth / sharing)
}

/** Keeps shares equal under the operator's bandwidth, and does not wait for ever on a guest that does not converge. */
function tend(view: PolicyView, share: Tuning['rate']): Intent[] {
  const intents: Intent[] = []
  for (const migration of view.migrations.in('pre-copy', 'post-copy')) {
    if (migration.phase === 'pre-copy' && migration.cancelling !== undefined) continue
    const vm = view.vmOf(migration.vm)
    const { tuning } = migration
    if (share !== undefined && Math.abs((tuning.rate ?? 0) - share) > share * worthAdjusting) {
      intents.push({
        kind: 'adjust',
        vm: vm.id,
        tuning: { ...tuning, rate: share },
        why: 'equal share of the bandwidth allowed',
      })
    }
    const why = migration.phase === 'pre-copy' ? stalled(vm, migration) : undefined
    if (why === undefined) continue
    intents.push(
      vm.policy.allow.includes('post-copy')
        ? { kind: 'post-copy', vm: vm.id, why }
        : { kind: 'cancel', vm: vm.id, why },
    )
  }
  return intents
}
