/** The operator's bound on all migrations together, for policies that do not divide it themselves: equal shares. */
import type { VmId } from '../ids.ts'
import type { Vm } from '../inventory/vm.ts'
import type { Tuning } from '../migration/migration.ts'
import { bytesPerSecond, slowest } from '../units.ts'
import type { Intent, PolicyView } from './policy.ts'
import { inSteps, rateStepOf } from './rate-step.ts'

/** A rate is changed in flight only for more than this. */
const worthAdjusting = 0.01

/**
 * What the policy wants, with rates that stay within the bandwidth allowed; the same where none is set.
 * @param ownCap what the policy itself allows a VM at most
 */
export function shareBandwidth(
  view: PolicyView,
  intents: readonly Intent[],
  ownCap: (vm: Vm) => Tuning['rate'] = () => undefined,
): readonly Intent[] {
  const { bandwidth } = view.limits
  if (bandwidth === undefined) return intents
  const flowing = view.migrations.count('pre-copy', 'post-copy')
  const wanted = startsThatFit(view, intents, flowing, bandwidth)
  const starts = wanted.filter(intent => intent.kind === 'start').length
  const share = bytesPerSecond(bandwidth / Math.max(1, flowing + starts))
  const kept = (vm: VmId, rate: number): Tuning['rate'] => {
    const source = view.migrations.get(vm)?.source
    return bytesPerSecond(source === undefined ? rate : inSteps(rate, rateStepOf(view.snapshot, source)))
  }
  const within = (vm: VmId, tuning: Tuning): Tuning => ({ ...tuning, rate: kept(vm, slowest(tuning.rate, share)) })
  const settled = new Set<VmId>()
  const bounded = wanted.map((intent): Intent => {
    if (intent.kind === 'adjust' || intent.kind === 'cancel') settled.add(intent.vm)
    return intent.kind === 'start' || intent.kind === 'adjust'
      ? { ...intent, tuning: within(intent.vm, intent.tuning) }
      : intent
  })
  for (const m of view.migrations.in('pre-copy', 'post-copy')) {
    if (settled.has(m.vm) || (m.phase === 'pre-copy' && m.cancelling !== undefined)) continue
    const rate = kept(m.vm, slowest(share, ownCap(view.vmOf(m.vm))))
    if (rate === undefined || Math.abs((m.tuning.rate ?? 0) - rate) <= rate * worthAdjusting) continue
    bounded.push({
      kind: 'adjust',
      vm: m.vm,
      tuning: { ...m.tuning, rate },
      why: 'equal share of the bandwidth allowed',
    })
  }
  return bounded
}

/** Each that flows has one step at least: no more of them than the bandwidth has room for. Who does not fit stays ready. */
function startsThatFit(
  { migrations, snapshot }: PolicyView,
  intents: readonly Intent[],
  flowing: number,
  bandwidth: number,
): readonly Intent[] {
  let left = Number.POSITIVE_INFINITY
  return intents.filter(intent => {
    if (intent.kind !== 'start') return true
    const source = migrations.get(intent.vm)?.source
    const step = source === undefined ? 1 : rateStepOf(snapshot, source)
    if (step > 1 && left === Number.POSITIVE_INFINITY) left = Math.floor(bandwidth / step) - flowing
    left -= 1
    return left >= 0
  })
}
