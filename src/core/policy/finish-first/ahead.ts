/**
 * Whose targets are made ready before their turn: so many on each way that it never waits for a process to start, and no more, for they
 * hold memory.
 */
import type { HostId, VmId } from '../../ids.ts'
import { bytesToMove, type Vm } from '../../inventory/vm.ts'
import type { Queued } from '../../migration/migration.ts'
import type { Candidate, Intent, PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Lateness } from './lateness.ts'
import { boundFor, type Queues } from './queues.ts'
import { circumstancesOf, isOverloadedNow } from './host-guard.ts'
import { optionsFor } from './start-options-for.ts'
import { hostsTo, type Load, type Loads, rateOf, waysFrom } from './ways.ts'

/** A target takes this long to be made ready (engine: a process start and its monitor). @unit ms */
const prepareTakes = 1_000
const aheadLeast = 2
const aheadMost = 16
/** A queue is looked through so far for those that find a place now. */
const lookahead = 64
/** A host that failed a VM is asked again where every other way takes so much longer. @unit seconds */
const askingAgainCosts = 60

export function preparations(
  view: PolicyView,
  lanes: Lanes,
  queues: Queues,
  loads: Loads,
  isSilent: (lane: Lane) => boolean,
  late: Lateness,
  isSoonerElsewhere: (m: Queued, lane: Lane, before: number) => boolean = () => false,
): readonly Intent[] {
  if (view.migrations.count('queued', 'preparing') === 0) return []
  const intents: Intent[] = []
  /** Nothing moves on it, and there is another. */
  const isAvoided = (lane: Lane, [first]: readonly VmId[]): boolean => {
    const source = first === undefined ? undefined : view.migrations.get(first)?.source
    if (source === undefined || !isSilent(lane)) return false
    return waysFrom(view, source).some(([host]) => host !== undefined && !isSilent(lanes.lane(source, host)))
  }
  for (const [key, { vms, lane }] of queues.byLane) {
    const load = loads.get(key) ?? { count: 0, fit: 0, busy: 0, bytes: 0, value: 0 }
    if (lane !== undefined && isAvoided(lane, vms)) continue
    const wanted = lane === undefined ? aheadLeast : wantedAhead(view, load, vms, lane)
    if (wanted > 0)
      intents.push({
        kind: 'prepare',
        candidates: candidates(view, lanes, vms, loads, late, isSoonerElsewhere),
        atMost: wanted,
      })
    if (wanted === 0 && load.count > 0 && load.fit === 0) intents.push(...oneThatIsFit(view, lanes, vms, loads, late))
  }
  return intents
}

/** All that are ready leave overloaded hosts, out of which nobody is tried: one more, of another. */
function oneThatIsFit(
  view: PolicyView,
  lanes: Lanes,
  vms: readonly VmId[],
  loads: Loads,
  late: Lateness,
): readonly Intent[] {
  const fit = vms.filter(vm => {
    const m = view.migrations.get(vm)
    return m?.phase === 'queued' && !isOverloadedNow(view, m.source)
  })
  return fit.length === 0
    ? []
    : [{ kind: 'prepare', candidates: candidates(view, lanes, fit, loads, late, () => false), atMost: 1 }]
}

export function loadsOf(view: PolicyView, lanes: Lanes): Loads {
  const loads = new Map<string, Load>()
  const of = ({ queue }: Lane): Load => {
    const known = loads.get(queue)
    if (known !== undefined) return known
    const fresh = { count: 0, fit: 0, busy: 0, bytes: 0, value: 0 }
    loads.set(queue, fresh)
    return fresh
  }
  for (const m of view.migrations.in('preparing')) {
    const lane = lanes.lane(m.source, m.target)
    const load = of(lane)
    const vm = view.vmOf(m.vm)
    load.count += 1
    if (!isOverloadedNow(view, m.source)) load.fit += 1
    load.busy += keepsBusy(vm, lane)
    load.bytes += bytesToMove(vm)
    load.value += vm.value
  }
  for (const m of view.migrations.in('pre-copy', 'post-copy')) {
    const load = of(lanes.lane(m.source, m.target))
    const vm = view.vmOf(m.vm)
    load.bytes += m.progress?.remaining ?? bytesToMove(vm)
    load.value += vm.value
  }
  return loads
}

/** How many more are to be made ready on this way. */
function wantedAhead(view: PolicyView, { count, busy }: Load, vms: readonly VmId[], lane: Lane): number {
  let [wanted, ahead] = [0, busy]
  for (const vm of vms) {
    if (count + wanted >= aheadMost || (count + wanted >= aheadLeast && ahead >= prepareTakes)) break
    if (view.migrations.get(vm)?.phase !== 'queued') continue
    wanted += 1
    ahead += keepsBusy(view.vmOf(vm), lane)
  }
  return wanted
}

/** In order; those that find no place do not count, and do not stand in the way. */
function* candidates(
  view: PolicyView,
  lanes: Lanes,
  vms: readonly VmId[],
  loads: Loads,
  late: Lateness,
  isSoonerElsewhere: (m: Queued, lane: Lane, before: number) => boolean,
): Generator<Candidate> {
  let looked = 0
  let before = 0
  for (const vm of vms) {
    const m = view.migrations.get(vm)
    if (m?.phase !== 'queued' || (m.notBefore !== undefined && m.notBefore > view.now)) continue
    if ((looked += 1) > lookahead) return
    const prefer = boundFor(view, m) ?? soonest(view, lanes, m, loads)
    const lane = prefer === undefined ? undefined : lanes.lane(m.source, prefer)
    if (lane !== undefined) {
      if (late.yields(m, lane) !== undefined) continue
      if (isSoonerElsewhere(m, lane, (loads.get(lane.queue)?.bytes ?? 0) + before)) continue
      // Who finds no place there now is passed over, and not waited for.
      if (prefer !== undefined && view.mayGo(vm, prefer)) before += bytesToMove(view.vmOf(vm))
    }
    const again = prefer !== undefined && m.excluded.includes(prefer)
    const options = optionsFor(view.vmOf(vm), lane, circumstancesOf(view, lanes, m))
    yield { vm, options, prefer, again }
  }
}

/** For one that was refused where it was to go: where it is home soonest. A host that failed it may do so again. */
function soonest(view: PolicyView, lanes: Lanes, m: Queued, loads: Loads): HostId | undefined {
  const vm = view.vmOf(m.vm)
  let found: { readonly host: HostId; readonly at: number } | undefined
  for (const host of hostsTo(view, m.source)) {
    if (view.freeAt(host) < vm.memory) continue
    const lane = lanes.lane(m.source, host)
    const takes = ((loads.get(lane.queue)?.bytes ?? 0) + bytesToMove(vm)) / rateOf(lane)
    const at = takes + (m.excluded.includes(host) ? askingAgainCosts : 0)
    if (found === undefined || at < found.at) found = { host, at }
  }
  return found?.host
}

/** @unit ms */
const keepsBusy = (vm: Vm, { narrowest }: Lane): number =>
  Number.isFinite(narrowest) && narrowest > 0 ? (bytesToMove(vm) / narrowest) * 1000 : prepareTakes
