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
  if (!view.admitting) return []
  const total = Math.min(slots.total, view.limits.maxParallel ?? Number.POSITIVE_INFINITY)
  const held = new Map<HostId, number>()
  let taken = 0
  for (const { source } of migrations.in(...slots.heldIn)) {
    taken += 1
    count(held, source)
  }
  // Else what is ready gets its slot when it starts.
  const countsPreparing = slots.heldIn.includes('preparing')
  const intents: Intent[] = []
  const leaving = new Map(held)
  let ahead = 0
  for (const { vm, source, ready } of migrations.in('preparing')) {
    const hasSlot = countsPreparing || (ready && taken < total && (held.get(source) ?? 0) < slots.perSource)
    if (!countsPreparing) {
      count(leaving, source)
      if (hasSlot) {
        taken += 1
        count(held, source)
      } else ahead += 1
    }
    if (hasSlot && ready) intents.push({ kind: 'start', vm, tuning: slots.tuningFor(vmOf(vm)) })
  }
  const atMost = total + slots.readyAhead - taken - ahead
  if (atMost > 0 && migrations.count('queued') > 0) {
    const perSource = { atMost: slots.perSource + slots.readyAhead, leaving }
    intents.push({ kind: 'prepare', candidates: waiting(view, slots), atMost, perSource })
  }
  return intents
}

const count = (by: Map<HostId, number>, source: HostId): void => void by.set(source, (by.get(source) ?? 0) + 1)

/** As many as are looked at: those in front that find no place do not cost those behind them their turn. */
function* waiting({ migrations, vmOf, now }: PolicyView, slots: Slots): Generator<Candidate> {
  for (const { vm: id, notBefore } of migrations.in('queued')) {
    if (notBefore !== undefined && notBefore > now) continue
    const vm = vmOf(id)
    yield { vm: id, options: slots.optionsFor(vm), prefer: slots.prefer?.(vm) }
  }
}
