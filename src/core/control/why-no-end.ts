/** Why the end of an evacuation cannot be forecast: one reason, the most telling. */
import type { Outlook } from '../forecast/serve.ts'
import type { VmId } from '../ids.ts'
import { showRate } from '../units.ts'
import { showCrossing } from './water-filling.ts'
import { type Evacuation, vmOf } from './evacuation.ts'

/** @returns undefined when it can */
export function whyNoEnd(state: Evacuation, outlooks: ReadonlyMap<VmId, Outlook>): string | undefined {
  for (const [vm, { end, rate, over }] of outlooks) if (end === undefined) return whyThatOne(state, vm, rate, over)
  const waiting = [...state.migrations.in('queued')].find(({ vm }) => !outlooks.has(vm))
  return waiting === undefined ? undefined : `${waiting.vm} has no place yet`
}

/** … of one that has none. @param rate it would get @unit bytes per second @param over what it waits at */
export function whyThatOne(state: Evacuation, vm: VmId, rate: number, over: string): string {
  if (!Number.isFinite(rate)) return 'what the paths carry is neither stated (lifeboat.yaml, paths) nor seen yet'
  if (rate <= 0) return `nothing goes through the ${showCrossing(over)}`
  const m = state.migrations.get(vm)
  const dirty = (m !== undefined && 'learner' in m ? m.learner.model : undefined) ?? vmOf(state, vm).dirty
  const writes = dirty === undefined ? '' : `, it writes ${showRate(writesOf(dirty))}`
  return `${vm} does not end by pre-copy at ${showRate(rate)}${writes}`
}

const writesOf = ({ hot, period, cold }: { hot: number; period: number; cold: number }): number =>
  cold + hot / Math.max(0.001, period / 1000)
