/** The operator's bound on all migrations together, for policies that do not divide it themselves: equal shares. */
import type { Tuning } from '../migration/migration.ts'
import { bytesPerSecond, slowest } from '../units.ts'
import type { Intent, PolicyView } from './policy.ts'

/** A rate is changed in flight only for more than this. */
const worthAdjusting = 0.01

/** What the policy wants, with rates that stay within the bandwidth allowed; the same where none is set. */
export function shareBandwidth(view: PolicyView, intents: readonly Intent[]): readonly Intent[] {
  const { bandwidth } = view.limits
  if (bandwidth === undefined) return intents
  const starts = intents.filter(intent => intent.kind === 'start').length
  const share = bytesPerSecond(bandwidth / Math.max(1, view.migrations.count('pre-copy', 'post-copy') + starts))
  const within = (tuning: Tuning): Tuning => ({ ...tuning, rate: bytesPerSecond(slowest(tuning.rate, share)) })
  const adjusted = new Set<string>()
  const bounded = intents.map((intent): Intent => {
    if (intent.kind === 'adjust') adjusted.add(intent.vm)
    return intent.kind === 'start' || intent.kind === 'adjust' ? { ...intent, tuning: within(intent.tuning) } : intent
  })
  for (const m of view.migrations.in('pre-copy', 'post-copy')) {
    if (adjusted.has(m.vm) || (m.phase === 'pre-copy' && m.cancelling !== undefined)) continue
    if (Math.abs((m.tuning.rate ?? 0) - share) <= share * worthAdjusting) continue
    bounded.push({
      kind: 'adjust',
      vm: m.vm,
      tuning: { ...m.tuning, rate: share },
      why: 'equal share of the bandwidth allowed',
    })
  }
  return bounded
}
