/** Admission by counting: what the baselines and most peers do. So many at a time, perhaps so many a host. */
import type { HostId } from '../ids.ts'
import type { Vm } from '../inventory/vm.ts'
import type { Phase, Tuning } from '../migration/migration.ts'
import type { StartOptions } from '../migration/start-options.ts'
import type { Candidate, Intent, PolicyView } from './policy.ts'

export interface Slots {
  /** Migrations at one time; `Infinity` for no bound. */
  readonly total: number
  /** … that leave one host. */
  readonly perSource: number
  /** Phases in which a migration has its slot. */
  readonly heldIn: readonly Phase[]
  /** Targets made ready beyond the slots, so that the path does not wait for processes to start. */
  readonly readyAhead: number
  readonly optionsFor: (vm: Vm) => StartOptions
  readonly tuningFor: (vm: Vm) => Tuning
  /** Where it would rather go than to its planned target. */
  readonly prefer?: (vm: Vm) => HostId | undefined
}

/**
 * A slot is taken with the first deed for a VM and given back with the last, as orchestrators count. Theirs have no word for doubt; a
 * VM nobody can ask about does not cost the others their turn.
 */
export const heldThroughout: readonly Phase[] = ['preparing', 'pre-copy', 'switchover', 'post-copy']

/** Starts what is ready and prepares what is next, in the plan's order. */
export function fillSlots(view: PolicyView, slots: Slots): Intent[] {
  const { migrations, vmOf } = view
  const total = Math.min(slots.total, view.limits.maxParallel ?? Number.POSITIVE_INFINITY)
  const bySource = new Map<HostId, number>()
  const take = (source: HostId): void => void bySource.set(source, (bySource.get(source) ?? 0) + 1)
  let taken = 0
  for (const { source } of migrations.in(...slots.heldIn)) {
    taken += 1
    take(source)
  }
  // Else what is ready gets its slot when it starts.
  const countsPreparing = slots.heldIn.includes('preparing')
  const intents: Intent[] = []
  for (const m of migrations.in('preparing')) {
    if (!m.ready) continue
    if (!countsPreparing) {
      if (taken >= total) break
      if ((bySource.get(m.source) ?? 0) >= slots.perSource) continue
      taken += 1
      take(m.source)
    }
    intents.push({ kind: 'start', vm: m.vm, tuning: slots.tuningFor(vmOf(m.vm)) })
  }
  const preparing = countsPreparing ? 0 : migrations.count('preparing') - intents.length
  const wanted = total + slots.readyAhead - taken - preparing
  if (wanted > 0 && migrations.count('queued') > 0)
    intents.push({ kind: 'prepare', candidates: waiting(view, slots, bySource), atMost: wanted })
  return intents
}

/** As many as are looked at: those in front that find no place do not cost those behind them their turn. */
function* waiting(
  { migrations, vmOf, now }: PolicyView,
  slots: Slots,
  taken: ReadonlyMap<HostId, number>,
): Generator<Candidate> {
  const bySource = new Map(taken)
  for (const { vm: id, source, notBefore } of migrations.in('queued')) {
    if (notBefore !== undefined && notBefore > now) continue
    if (slots.perSource !== Number.POSITIVE_INFINITY) {
      const there = bySource.get(source) ?? 0
      if (there >= slots.perSource + slots.readyAhead) continue
      bySource.set(source, there + 1)
    }
    const vm = vmOf(id)
    yield { vm: id, options: slots.optionsFor(vm), prefer: slots.prefer?.(vm) }
  }
}
