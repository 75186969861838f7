/** The outlook of a running evacuation: when each of its VMs will be home, from its state alone. */
import type { VmId } from '../ids.ts'
import { between, type Instant } from '../instant.ts'
import { bytesToMove, type DirtyModel } from '../inventory/vm.ts'
import type { Migration, PostCopy, PreCopy, Switchover } from '../migration/migration.ts'
import { passedOver } from '../forecast/dirty-model.ts'
import { type Mark, markPassed } from '../forecast/correction.ts'
import {
  errandAhead,
  errandUnderWay,
  type Habits,
  habitsOf,
  Roads,
  slow,
  type UnderWay,
  type Way,
} from '../forecast/errand.ts'
import { yieldOf } from '../forecast/forecasting.ts'
import { lookAhead } from '../forecast/outlook.ts'
import type { Errand, Outlook } from '../forecast/serve.ts'
import { preCopyRemaining } from '../forecast/pre-copy-duration.ts'
import { bytes, type BytesPerSecond, ms } from '../units.ts'
import { type Evacuation, vmOf } from './evacuation.ts'

export type Flowing = PreCopy | Switchover | PostCopy

/**
 * @param who `flowing`: only those whose memory flows, which costs no more than there are of them; `all`: also those that wait
 * @returns nothing for VMs that are home, given up, in doubt or called back
 */
export function outlookOf(state: Evacuation, now: Instant, who: 'flowing' | 'all'): ReadonlyMap<VmId, Outlook> {
  const { migrations, started, forecasting } = state
  const habits = habitsOf(state.policy, started.limits.maxParallel)
  const roads = new Roads(started.snapshot, yieldOf(forecasting), started.limits.bandwidth)
  const wayOf = (m: Extract<Migration, { phase: 'queued' | 'preparing' }> | Flowing): Way | undefined => {
    const target = m.phase === 'queued' ? state.planned.get(m.vm) : m.target
    if (target === undefined) return undefined
    const road = roads.between(m.source, target)
    return { vm: vmOf(state, m.vm), road, habits, correction: forecasting.correction }
  }
  const errands: Errand[] = []
  for (const m of inTurn(state)) {
    const way = wayOf(m)
    if (way !== undefined) errands.push(errandUnderWay(way, underWay(state, m, now)))
  }
  if (who === 'all') {
    for (const m of migrations.in('preparing', 'queued')) {
      const way = wayOf(m)
      if (way !== undefined) errands.push(errandAhead(way))
    }
  }
  const coming = who === 'flowing' ? migrations.count('preparing', 'queued') : 0
  return lookAhead(errands, { ...habits, slots: slotsNow(habits, state), coming })
}

/** Who flows already flows at the same time as the others, whatever the policy says. */
const slotsNow = ({ slots, fills }: Habits, { migrations }: Evacuation): number =>
  fills ? slots : Math.max(slots, migrations.count('pre-copy', 'post-copy'))

/** First who stands still, then who has no cap, then by their caps: that is who will be home first. */
function inTurn({ migrations }: Evacuation): readonly Flowing[] {
  const capOf = (m: Flowing): number => m.tuning.rate ?? Number.POSITIVE_INFINITY
  const flowing: Flowing[] = []
  for (const m of migrations.in('pre-copy', 'post-copy', 'switchover'))
    if (m.phase !== 'pre-copy' || m.cancelling === undefined) flowing.push(m)
  const still = (m: Flowing): number => Number(m.phase === 'switchover')
  return flowing.sort((a, b) => still(b) - still(a) || order(capOf(b), capOf(a)))
}

const order = (a: number, b: number): number => (a === b ? 0 : a - b)

/** Where a VM stands, and how it writes; its mark is the last that something was said at. */
export function underWay(state: Evacuation, m: Flowing, now: Instant): UnderWay {
  const { progress, learner } = m
  const vm = vmOf(state, m.vm)
  const needed = bytesToMove(vm)
  const { model, throttle, wire } = learner
  const dirty = model === undefined ? asCounted(progress?.dirtyRate) : slow(model, 1 - throttle)
  const lastPass = m.phase !== 'pre-copy'
  if (progress === undefined) {
    const pass = { remaining: needed, since: 0, all: needed }
    return { pass, dirty, wire, rate: 0, mark: 0, lastPass }
  }
  const passed = progress.round === 1 ? passedOver(progress) : needed
  const remaining = progress.round === 1 ? leftOfFirst(progress, needed - passed) : progress.remaining
  const all = Math.max(needed, progress.round === 1 ? passed + remaining : 0)
  const pass = { remaining, since: between(learner.since, now), all }
  return { pass, dirty, wire, rate: progress.rate, mark: m.said.at(-1)?.mark ?? 0, lastPass }
}

/** The mark it has passed by now, said or not. */
export function markOf(state: Evacuation, m: Flowing, now: Instant): Mark {
  const under = underWay(state, m, now)
  return m.progress === undefined
    ? 0
    : markPassed(doneShare(under, m.progress.sent, vmOf(state, m.vm).policy.maxDowntime))
}

/** Before a pass was seen from its beginning to its end: all that the hypervisor counts is taken for cold. */
const asCounted = (rate: BytesPerSecond | undefined): DirtyModel | undefined =>
  rate === undefined ? undefined : { hot: bytes(0), period: ms(1_000), cold: rate }

/** Memory that is zero costs nothing: what is left by the inventory; where that was too little, as dense as what has been passed. */
function leftOfFirst(progress: NonNullable<Flowing['progress']>, byInventory: number): number {
  const { remaining, zero } = progress
  if (byInventory > 0) return Math.min(remaining, byInventory)
  const passed = passedOver(progress)
  return passed + zero === 0 ? remaining : remaining * (passed / (passed + zero))
}

/** Of all bytes that it is expected to send, those that have been sent. */
function doneShare(
  { pass, dirty, wire, rate, lastPass }: UnderWay,
  sent: number,
  maxDowntime: Parameters<typeof preCopyRemaining>[3],
): number {
  const once = pass.remaining * wire
  if (lastPass) return sent / Math.max(1, sent + once)
  const takes = preCopyRemaining(pass, dirty, rate / wire, maxDowntime)
  const rest = Number.isFinite(takes) ? (takes * rate) / 1000 : once + pass.all * wire
  return sent / Math.max(1, sent + rest)
}
