/**
 * Ours: as few at a time as fill the path, and those that are nearest to home first. On a full path order costs nothing in makespan,
 * and a VM that has the path to itself is home in a fraction of the time that equal shares would take, dirtying the less meanwhile.
 *
 * Rates are handed out in strict priority (control/water-filling.ts): a guest that stands still for its switchover first, then those
 * that flow in the plan's order, then the next; before them what goes by a narrow way that all on its uplink would wait for (critical.ts). The first on a path has no cap, so what the path really carries shows; the others may
 * have what is left, and wait near the floor where nothing is. A VM starts when it would get a fair part of what it could use: where a
 * card or a single stream is the limit that is several at once, else one, and one more that is warm when the first stands still.
 *
 * finish-first/: memory (what paths carried), turn (rates and starts), ladder (guests that do not converge), ahead (whose targets are
 * made ready), takeovers (by idle ways), critical (ways that go first), host-guard, start-options-for, lanes and ways (out), queues.
 */
import { beginTrial, mayRaiseCap, mayTryFewer, type PathEstimate } from '../forecast/path-capacity.ts'
import { fullness, losesMore } from '../forecast/path-signal.ts'
import type { VmId } from '../ids.ts'
import type { PreCopy, Preparing } from '../migration/migration.ts'
import { loadsOf, preparations } from './finish-first/ahead.ts'
import { criticalQueues } from './finish-first/critical.ts'
import { unsuited } from './finish-first/host-guard.ts'
import { Lateness } from './finish-first/lateness.ts'
import { type Lane, Lanes } from './finish-first/lanes.ts'
import { blank, look, type Memory, silentFor } from './finish-first/memory.ts'
import { counted } from './finish-first/queues.ts'
import { Takeovers } from './finish-first/takeovers.ts'
import { Turn } from './finish-first/turn.ts'
import type { Decided, Policy, PolicyView } from './policy.ts'

export const finishFirst = (): Policy => policyWith(blank)

function policyWith(memory: Memory): Policy {
  const policy: Policy = { name: 'finish-first', slots: 1, order: 'value-per-time', decide }
  return policy

  function decide(view: PolicyView): Decided {
    const { intents, memory: next } = decided(look(memory, view), view)
    return { intents, next: next === memory ? policy : policyWith(next) }
  }
}

function decided(memory: Memory, view: PolicyView): { readonly intents: Decided['intents']; readonly memory: Memory } {
  const { migrations, snapshot, limits } = view
  const lanes = new Lanes(snapshot, memory.paths, limits.bandwidth)
  const late = new Lateness(view, lanes, memory.queues)
  const turn = new Turn(view, lanes, memory, late)
  const loads = loadsOf(view, lanes)
  const critical = criticalQueues(memory.critical, view, lanes, memory.queues, loads)
  const goesBefore = ({ source, target }: PreCopy | Preparing): boolean =>
    critical.size > 0 && critical.has(lanes.lane(source, target).queue)
  for (const m of migrations.in('switchover')) turn.stands(m)
  for (const m of migrations.in('post-copy')) turn.flows(m)
  for (const before of critical.size > 0 ? [true, false] : [false]) {
    for (const m of migrations.in('pre-copy')) if (goesBefore(m) === before) turn.flows(m)
    if (!view.admitting) continue
    for (const m of migrations.in('preparing')) if (m.ready && goesBefore(m) === before) turn.isReady(m)
  }
  if (!view.admitting) return { intents: turn.intents, memory: trialsOf(memory, view, turn, lanes) }
  const queues = counted(memory.queues, view, lanes)
  const isSilent = ({ key }: Lane): boolean => memory.mute.has(key)
  const takeovers = new Takeovers(view, lanes, queues, loads, isSilent)
  const ahead = [
    ...preparations(view, lanes, queues, loads, isSilent, late, (m, lane, before) =>
      takeovers.isSoonerElsewhere(m, lane, before),
    ),
    ...takeovers.fromQueues(),
    ...takeovers.fromReady(),
    ...unsuited(view, lanes),
    ...takeovers.fromSilentWays(),
    ...takeovers.fromSilence(m => silentFor(memory.moved, m, view.now)),
  ]
  const after = trialsOf(memory, view, turn, lanes)
  const isSame = queues === memory.queues && critical === memory.critical
  return { intents: [...turn.intents, ...ahead], memory: isSame ? after : { ...after, queues, critical } }
}

/** Trials that begin now, and those that ended. */
function trialsOf(memory: Memory, view: PolicyView, turn: Turn, lanes: Lanes): Memory {
  const begun = [...turn.tried()]
  const raised = [...memory.paths].filter(
    ([key, estimate]) =>
      lanes.isShared(key) &&
      view.limits.bandwidth === undefined &&
      mayRaiseCap(estimate, fullness(view.network.get(key), view.now), view.now) &&
      !losesMore(view.network.get(key), lanes.statedLoss(key), view.now),
  )
  const lowered = [...memory.paths].filter(
    ([key, estimate]) => !lanes.isShared(key) && view.limits.bandwidth === undefined && mayTryFewer(estimate, view.now),
  )
  const over = [...memory.trying.keys()].filter(key => memory.paths.get(key)?.trial === undefined)
  if (begun.length + raised.length + lowered.length + over.length === 0) return memory
  const paths = new Map<string, PathEstimate>(memory.paths)
  const trying = new Map<string, ReadonlySet<VmId>>(memory.trying)
  for (const key of over) trying.delete(key)
  for (const [key, vms] of begun) {
    const estimate = paths.get(key)
    if (estimate === undefined) continue
    paths.set(key, beginTrial(estimate, 'more-migrations', view.now))
    trying.set(key, new Set(vms))
  }
  for (const [key, estimate] of raised) paths.set(key, beginTrial(estimate, 'higher-cap', view.now))
  for (const [key, estimate] of lowered) paths.set(key, beginTrial(estimate, 'fewer-migrations', view.now))
  return { ...memory, paths, trying }
}
