/** Turns what the policy wants into commands, within the rules: nobody's wish overrides memory, a pause, an abort or an edge. */
import type { HostId, VmId } from '../ids.ts'
import { type Instant, plus } from '../instant.ts'
import { deadlineOf } from '../forecast/deadline.ts'
import { hostLoad } from '../forecast/host-signal.ts'
import { findHost, wayBetween } from '../inventory/snapshot.ts'
import { afterFailure, type MigrationFailure } from '../migration/failure.ts'
import type { PreCopy, Preparing, Queued } from '../migration/migration.ts'
import type { StartOptions } from '../migration/start-options.ts'
import { freeMemory } from '../plan/ledger.ts'
import { place, type Placement, type PlacementView, refuse } from '../plan/placement.ts'
import { type Meant, meantByHost, relieved, type TargetLoads } from '../plan/relief.ts'
import type { Vm } from '../inventory/vm.ts'
import type { Intent } from '../policy/policy.ts'
import { ms } from '../units.ts'
import type { Command } from './command.ts'
import { endangeredNow, type Evacuation, targetsNow, uncertainPatience, vmOf, withMigration } from './evacuation.ts'
import { calledOff, type Decision, routeOf, toPreCopy } from './on-attempt.ts'

export const admitting = (state: Evacuation): boolean => state.intent === 'run' && state.degraded === undefined

export function consultPolicy(state: Evacuation, now: Instant): Decision {
  const { started, migrations } = state
  const { snapshot, limits } = started
  const targets = targetsNow(state)
  const deadline = deadlineOf(snapshot, started.endangered)
  const { intents, next } = state.policy.decide({
    now,
    snapshot,
    targets,
    limits,
    admitting: admitting(state),
    migrations,
    vmOf: id => vmOf(state, id),
    plannedTo: id => state.planned.get(id),
    deadline: deadline === undefined ? undefined : plus(state.startedAt, deadline.at),
    network: state.network,
    hostLoads: state.hostLoads,
    freeAt: host => freeMemory(state.ledger, host),
    mayGo: (vm, host) => mayGo(state, vm, host),
  })
  let decision: Decision = { state: next === state.policy ? state : { ...state, policy: next }, commands: [] }
  const loads = targetLoads(state, now)
  for (const intent of intents) {
    const { state: after, commands } = carryOut(decision.state, intent, now, loads)
    decision = { state: after, commands: [...decision.commands, ...commands] }
  }
  return decision
}

function carryOut(state: Evacuation, intent: Intent, now: Instant, loads: TargetLoads | undefined): Decision {
  if (intent.kind === 'prepare') return prepareFirst(state, intent, now, loads)
  const m = state.migrations.get(intent.vm)
  if (m === undefined) return { state, commands: [] }
  switch (intent.kind) {
    case 'start':
      if (m.phase !== 'preparing' || !m.ready || !admitting(state)) return { state, commands: [] }
      if (!mayLeave(state, m.source) || waitsItsTurn(state, m, now)) return { state, commands: [] }
      return {
        state: toPreCopy(state, m, now, intent.tuning),
        commands: [{ kind: 'migrate', ...routeOf(m), tuning: intent.tuning, options: m.options }],
      }
    case 'release': {
      if (m.phase !== 'preparing' || !m.ready) return { state, commands: [] }
      const failure = { code: 'postponed', detail: intent.why } as const
      return {
        state: withMigration(state, { ...m, ready: false }),
        commands: [{ kind: 'roll-back', ...routeOf(m), failure }],
      }
    }
    case 'adjust': {
      if (m.phase !== 'pre-copy' && m.phase !== 'post-copy') return { state, commands: [] }
      const { tuning, why } = intent
      return {
        state: withMigration(state, { ...m, tuning, mode: intent.mode ?? m.mode }),
        commands: [{ kind: 'adjust', ...routeOf(m), tuning, why }],
      }
    }
    case 'post-copy':
      if (m.phase !== 'pre-copy' || m.switching) return { state, commands: [] }
      return {
        state: withMigration(state, { ...m, switching: true }),
        commands: [{ kind: 'start-post-copy', ...routeOf(m), why: intent.why }],
      }
    case 'cancel': {
      const code = intent.again === 'elsewhere' ? 'target-unreachable' : intent.again ? 'timed-out' : 'cancelled'
      return m.phase === 'pre-copy' ? cancel(state, m, { code, detail: intent.why }) : { state, commands: [] }
    }
  }
}

/** One too many waits, ready, until another has left: its policy asks again. */
function mayLeave({ started, migrations }: Evacuation, source: HostId): boolean {
  const most = findHost(started.snapshot, source)?.outgoingMost
  if (most === undefined) return true
  let leaving = 0
  for (const m of migrations.in('pre-copy', 'switchover', 'post-copy')) if (m.source === source) leaving += 1
  return leaving < most
}

/** Who hands in a plan means its order: so long a VM waits for one before it on the same way whose target is not ready yet. */
const turnPatience = ms(5_000)

function waitsItsTurn({ started, migrations }: Evacuation, m: Preparing, now: Instant): boolean {
  if (started.planFile === undefined) return false
  const way = wayBetween(started.snapshot, m.source, m.target)
  for (const before of migrations.in('preparing')) {
    if (before.vm === m.vm) return false
    const late = before.ready || before.attempt > 1 || now >= plus(before.since, turnPatience)
    if (!late && wayBetween(started.snapshot, before.source, before.target) === way) return true
  }
  return false
}

/** Those that find no place now do not stand in the way of those behind them. */
function prepareFirst(
  state: Evacuation,
  { candidates, atMost, perSource }: Extract<Intent, { kind: 'prepare' }>,
  now: Instant,
  loads: TargetLoads | undefined,
): Decision {
  let decision: Decision = { state, commands: [] }
  let left = admitting(state) ? atMost : 0
  const leaving = new Map(perSource?.leaving)
  for (const { vm, options, prefer, again = false } of candidates) {
    if (left <= 0) break
    const m = decision.state.migrations.get(vm)
    if (m?.phase !== 'queued') continue
    const already = leaving.get(m.source) ?? 0
    if (perSource !== undefined && already >= perSource.atMost) continue
    const asked = again && mayAskAgain(m) ? { ...m, excluded: [] } : m
    const { state: next, commands } = prepare(decision.state, asked, { options, prefer }, now, loads)
    decision = { state: next, commands: [...decision.commands, ...commands] }
    left -= commands.length
    leaving.set(m.source, already + commands.length)
  }
  return decision
}

const mayAskAgain = ({ lastFailure, attempts, postponed = 0 }: Queued): boolean =>
  lastFailure !== undefined && attempts - postponed < afterFailure[lastFailure.code].attempts

function placementView(state: Evacuation, excluded: readonly HostId[]): PlacementView {
  const { snapshot, targets } = state.started
  return { snapshot, ledger: state.ledger, endangered: endangeredNow(state), targets, down: state.down, excluded }
}

/** Whether that host would take it if it was asked for: by all rules of placement, and by a plan that was handed in. */
function mayGo(state: Evacuation, id: VmId, to: HostId): boolean {
  const { snapshot, planFile } = state.started
  const host = findHost(snapshot, to)
  const m = state.migrations.get(id)
  if (host === undefined || m === undefined || (planFile !== undefined && state.planned.get(id) !== to)) return false
  const excluded = 'excluded' in m ? m.excluded : []
  return refuse(vmOf(state, id), host, placementView(state, excluded)) === undefined
}

function placeFor(state: Evacuation, m: Queued, prefer: HostId | undefined, loads: TargetLoads | undefined): Placement {
  const { planFile } = state.started
  const view = placementView(state, m.excluded)
  const planned = state.planned.get(m.vm)
  const vm = vmOf(state, m.vm)
  const wish = planFile === undefined ? (prefer ?? planned) : planned
  const mayDiffer = planFile === undefined && loads !== undefined && wish !== undefined
  return place(vm, view, mayDiffer ? relieved(vm, wish, planned, view, loads) : wish)
}

const nobodyMeant: Meant = { memory: 0, apart: new Map() }

/**
 * As it is before anything is decided: who finds a place meanwhile still counts as meant for his, which leaves more room than needed.
 * Undefined where no host was ever overloaded.
 */
function targetLoads(state: Evacuation, now: Instant): TargetLoads | undefined {
  if (state.hostLoads.size === 0) return undefined
  let meant: ReadonlyMap<HostId, Meant> | undefined
  return {
    isOverloaded: host => hostLoad(state.hostLoads.get(host), now) === 'overloaded',
    meantFor: host => (meant ??= meantByHost(waitingWithPlace(state))).get(host) ?? nobodyMeant,
  }
}

function* waitingWithPlace(state: Evacuation): Generator<readonly [HostId, Vm]> {
  for (const { vm } of state.migrations.in('queued')) {
    const host = state.planned.get(vm)
    if (host !== undefined) yield [host, vmOf(state, vm)]
  }
}

/** How, and where it had better go. */
interface Wish {
  readonly options: StartOptions
  readonly prefer: HostId | undefined
}

function prepare(state: Evacuation, m: Queued, wish: Wish, now: Instant, loads: TargetLoads | undefined): Decision {
  const { options, prefer } = wish
  const placement = placeFor(state, m, prefer, loads)
  if (!placement.placed) {
    // Somebody may still free memory or come back: a refusal is final only when nothing else moves.
    if (othersInFlight(state, now)) return { state, commands: [] }
    // Every host that would do has failed this VM before; what failed may have passed, so all are asked once more.
    if (m.excluded.length > 0 && mayAskAgain(m)) return prepare(state, { ...m, excluded: [] }, wish, now, loads)
    const failure = { code: 'no-target', refusals: placement.refusals } as const
    const givenUp = {
      phase: 'given-up',
      vm: m.vm,
      source: m.source,
      attempts: m.attempts,
      failure,
      wasted: m.wasted,
    } as const
    return { state: withMigration(state, givenUp), commands: [] }
  }
  const next = {
    phase: 'preparing',
    vm: m.vm,
    source: m.source,
    target: placement.host,
    attempt: m.attempts + 1,
    since: now,
    ready: false,
    options,
    excluded: m.excluded,
    wasted: m.wasted,
    postponed: m.postponed,
  } as const
  return { state: withMigration(state, next), commands: [{ kind: 'prepare', ...routeOf(next), options }] }
}

/** Something that may end soon. A doubt that is old is not waited for. */
function othersInFlight({ migrations }: Evacuation, now: Instant): boolean {
  if (migrations.count('preparing', 'pre-copy', 'switchover', 'post-copy') > 0) return true
  for (const { since } of migrations.in('uncertain')) if (now < plus(since, uncertainPatience)) return true
  return false
}

type Callback = Extract<MigrationFailure, { code: 'cancelled' | 'timed-out' | 'target-unreachable' }>

function cancel(state: Evacuation, m: PreCopy, cause: Callback): Decision {
  if (m.cancelling !== undefined) return { state, commands: [] }
  return {
    state: withMigration(state, { ...m, cancelling: cause }),
    commands: [{ kind: 'cancel', ...routeOf(m), why: cause.detail }],
  }
}

/** Takes down the targets that are ready and have received nothing; their VMs are queued again. */
export function letGo(state: Evacuation): Decision {
  let next = state
  const commands: Command[] = []
  const failure = calledOff(state)
  for (const m of state.migrations.in('preparing')) {
    if (failure === undefined || !m.ready) continue
    // Or it would be started, after a change of mind, to a target that is being taken down.
    next = withMigration(next, { ...m, ready: false })
    commands.push({ kind: 'roll-back', ...routeOf(m), failure })
  }
  return { state: next, commands }
}

/** Lets go of what has not begun to move. A target that is still being made ready is taken down when it reports (see step.ts). */
export function stopAdmitting(state: Evacuation, why: string): Decision {
  let next = state
  const commands: Command[] = []
  for (const m of state.migrations.in('preparing', 'queued')) {
    if (m.phase === 'preparing' && m.ready) {
      next = withMigration(next, { ...m, ready: false })
      commands.push({ kind: 'roll-back', ...routeOf(m), failure: { code: 'cancelled', detail: why } })
    }
    if (m.phase !== 'queued') continue
    const failure = m.lastFailure ?? { code: 'cancelled', detail: why }
    next = withMigration(next, {
      phase: 'given-up',
      vm: m.vm,
      source: m.source,
      attempts: m.attempts,
      failure,
      wasted: m.wasted,
    })
  }
  return { state: next, commands }
}

/** Calls back everything that can be called back. What is past the point of no return goes on to its end. */
export function callBack(state: Evacuation, why: string): Decision {
  let { state: next, commands } = stopAdmitting(state, why)
  for (const m of state.migrations.in('pre-copy')) {
    const { state: after, commands: more } = cancel(next, m, { code: 'cancelled', detail: why })
    next = after
    commands = [...commands, ...more]
  }
  return { state: next, commands }
}
