/**
 * The controller: `(state, observed, now) → (state, commands)`. Total and pure; the same in production, lab, simulator and tests.
 *
 * Invariants (held by properties in step.test.ts): edges of migration.ts are the only moves; an answer to an older attempt changes
 * nothing; nothing is cancelled past the point of no return; memory promised never exceeds a target; a paused, aborting or degraded
 * evacuation starts nothing. It must never decide from the wall clock or from what it did not observe.
 */
import { assertNever } from '../assert-never.ts'
import type { SeenOfHost } from '../forecast/host-signal.ts'
import type { SeenOnPath } from '../forecast/path-signal.ts'
import type { SiteId, VmId } from '../ids.ts'
import { siteOf } from '../inventory/snapshot.ts'
import type { Instant } from '../instant.ts'
import { plus } from '../instant.ts'
import { showFailure } from '../migration/failure.ts'
import { type InFlight, isInFlight, phasesInFlight, type Uncertain } from '../migration/migration.ts'
import { callBack, consultPolicy, letGo, stopAdmitting } from './admit.ts'
import type { Command } from './command.ts'
import { type Evacuation, uncertainPatience, withMigration } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { pathKey } from './water-filling.ts'
import {
  type Decision,
  doubt,
  landed,
  nothing,
  onBroke,
  onCommandFailed,
  onFailed,
  onGuestStopped,
  onPostCopyBegan,
  onPostCopyBroke,
  onProgress,
  onReady,
  onSentWhole,
  onSourceEnded,
  onSourceLingers,
  onWhereabouts,
  routeOf,
} from './on-attempt.ts'
import { isForecast, onForecast, onForecastJudged, onVmForecast, onVmForecastJudged } from './on-forecast.ts'
import { onSiteEndangered } from './on-site-endangered.ts'
import { startEvacuation } from './start-evacuation.ts'

/** The first fact makes the state; all later ones change it. `undefined` before the first. */
export function step(state: Evacuation | undefined, event: Observed, now: Instant): Decision {
  if (event.kind === 'evacuation-started') {
    if (state !== undefined) throw new Error(`evacuation ${state.started.id} is started already`)
    return consultAndClose(nothing(startEvacuation(event, now)), now)
  }
  if (state === undefined) throw new Error(`the first fact must be evacuation-started, not ${event.kind}`)
  const decision = react(state, event, now)
  // A sample or a forecast alone starts nothing: the policy is asked on ticks and when something happened.
  const alone = event.kind === 'progress' || event.kind === 'network' || event.kind === 'host-load' || isForecast(event)
  return alone ? decision : consultAndClose(decision, now)
}

function consultAndClose(decision: Decision, now: Instant): Decision {
  const { state, commands } = decision
  const asked = state.intent === 'aborting' ? nothing(state) : consultPolicy(state, now)
  return { state: closeIfDone(asked.state, now), commands: [...commands, ...asked.commands] }
}

function react(state: Evacuation, event: Exclude<Observed, { kind: 'evacuation-started' }>, now: Instant): Decision {
  switch (event.kind) {
    case 'tick':
      return onTick(state, now)
    case 'controller-restarted':
      return onRestart(state, now)
    case 'operator':
      return onOrder(state, event, now)
    case 'definition-kept':
      return nothing(state)
    case 'command-failed': {
      const m = state.migrations.get(event.vm)
      if (m === undefined || !isInFlight(m) || m.attempt !== event.attempt) return nothing(state)
      return onCommandFailed(state, m, event.command)
    }
    case 'vm-forecast':
      return nothing(onVmForecast(state, event, now))
    case 'vm-forecast-judged':
      return nothing(onVmForecastJudged(state, event))
    case 'forecast':
      return nothing(onForecast(state, event, now))
    case 'forecast-judged':
      return nothing(onForecastJudged(state, event))
    case 'host-load':
      return nothing(withHostLoads(state, event.hosts, now))
    case 'network':
      return nothing(withNetwork(state, event.paths, now))
    case 'site-lost':
      return onSiteLost(state, event.site, event.why, now)
    case 'journal-failing':
      return state.degraded === undefined ? stopAdmitting({ ...state, degraded: event.why }, event.why) : nothing(state)
    case 'source-ended':
    case 'source-lingers': {
      const m = state.migrations.get(event.vm)
      if (m?.phase !== 'landed' || m.attempt !== event.attempt || m.sourceEnded) return nothing(state)
      return event.kind === 'source-ended' ? onSourceEnded(state, m) : onSourceLingers(state, m, event.why, now)
    }
    case 'target-ready':
    case 'memory-flowing':
    case 'progress':
    case 'guest-stopped':
    case 'sent-whole':
    case 'post-copy-began':
    case 'post-copy-broke':
    case 'migration-broke':
    case 'attempt-failed':
    case 'attempt-unclear':
    case 'whereabouts':
    case 'landed': {
      const m = state.migrations.get(event.vm)
      if (m === undefined || !isInFlight(m) || m.attempt !== event.attempt) return nothing(state)
      return onAttempt(state, m, event, now)
    }
    default:
      return assertNever(event)
  }
}

type AttemptEvent = Extract<
  Observed,
  {
    kind:
      | 'target-ready'
      | 'memory-flowing'
      | 'progress'
      | 'guest-stopped'
      | 'sent-whole'
      | 'post-copy-began'
      | 'post-copy-broke'
      | 'migration-broke'
      | 'attempt-failed'
      | 'attempt-unclear'
      | 'whereabouts'
      | 'landed'
  }
>

function onAttempt(state: Evacuation, m: InFlight, event: AttemptEvent, now: Instant): Decision {
  switch (event.kind) {
    case 'target-ready':
      return onReady(state, m)
    case 'memory-flowing':
      return nothing(state)
    case 'progress':
      return onProgress(state, m, event, now)
    case 'guest-stopped':
      return onGuestStopped(state, m, now)
    case 'sent-whole':
      return onSentWhole(state, m, now)
    case 'post-copy-began':
      return onPostCopyBegan(state, m, now)
    case 'post-copy-broke':
      return onPostCopyBroke(state, m)
    case 'migration-broke':
      return onBroke(state, m, event.failure, now)
    case 'attempt-failed':
      return onFailed(state, m, event.failure, now)
    case 'attempt-unclear':
      return doubt(state, m, event.why, now)
    case 'whereabouts':
      return onWhereabouts(state, m, event, now)
    case 'landed':
      return landed(state, m, event, now)
    default:
      return assertNever(event)
  }
}

/** Whatever was under way went on without us, or did not: ask, before anything else is done. */
function onRestart(state: Evacuation, now: Instant): Decision {
  let decision = nothing(state)
  for (const m of state.migrations.in(...phasesInFlight)) {
    const { state: next, commands } = doubt(decision.state, m, 'the controller was restarted', now)
    decision = { state: next, commands: [...decision.commands, ...commands] }
  }
  const retires = [...state.migrations.retiring()].map((m): Command => ({ kind: 'retire', ...routeOf(m) }))
  return { ...decision, commands: [...decision.commands, ...retires] }
}

function withNetwork(state: Evacuation, paths: readonly SeenOnPath[], now: Instant): Evacuation {
  const network = new Map(state.network)
  for (const path of paths) network.set(pathKey(path), { at: now, queueing: path.queueing, loss: path.loss })
  return { ...state, network }
}

function withHostLoads(state: Evacuation, hosts: readonly SeenOfHost[], now: Instant): Evacuation {
  const hostLoads = new Map(state.hostLoads)
  for (const { host, busy, waiting } of hosts) hostLoads.set(host, { at: now, busy, waiting })
  return { ...state, hostLoads }
}

/** What waited or stayed there is lost. Of what was under way, the targets know: they are asked, with the source counting as gone. */
function onSiteLost(state: Evacuation, site: SiteId, why: string, now: Instant): Decision {
  let decision = nothing({ ...state, lost: new Map(state.lost).set(site, why) })
  for (const m of state.migrations.in('queued', 'given-up', ...phasesInFlight)) {
    if (siteOf(state.started.snapshot, m.source) !== site) continue
    if (m.phase === 'given-up' && m.failure.code === 'vm-died') continue
    if (m.phase === 'queued' || m.phase === 'given-up') {
      const { vm, source, attempts, wasted } = m
      const stayed = m.phase === 'queued' ? ' before it could leave' : `; it had stayed (${showFailure(m.failure)})`
      const failure = { code: 'vm-died', detail: `${site} lost its power${stayed}: ${why}` } as const
      const lost = { phase: 'given-up', vm, source, attempts, failure, wasted } as const
      decision = { ...decision, state: withMigration(decision.state, lost) }
      continue
    }
    const { state: next, commands } = doubt(decision.state, m, `${site} lost its power: ${why}`, now)
    decision = { state: next, commands: [...decision.commands, ...commands] }
  }
  return decision
}

function onTick(state: Evacuation, now: Instant): Decision {
  let next = state
  const commands: Command[] = []
  for (const m of state.migrations.in('uncertain')) {
    if (m.askAgainAt === undefined || m.askAgainAt > now) continue
    next = withMigration(next, { ...m, askAgainAt: undefined })
    commands.push({ kind: 'reconcile', ...routeOf(m) })
  }
  for (const m of state.migrations.retiring()) {
    if (m.retire.nextAt === undefined || m.retire.nextAt > now) continue
    next = withMigration(next, { ...m, retire: { ...m.retire, tries: m.retire.tries + 1, nextAt: undefined } })
    commands.push({ kind: 'retire', ...routeOf(m) })
  }
  return { state: next, commands }
}

function onOrder(state: Evacuation, event: Extract<Observed, { kind: 'operator' }>, now: Instant): Decision {
  switch (event.order) {
    case 'pause':
      return nothing(state.intent === 'run' ? { ...state, intent: 'paused' } : state)
    case 'resume':
      return nothing(state.intent === 'paused' || state.intent === 'winding-down' ? { ...state, intent: 'run' } : state)
    case 'wind-down':
      return state.intent === 'aborting' ? nothing(state) : letGo({ ...state, intent: 'winding-down' })
    case 'abort':
      return state.intent === 'aborting'
        ? nothing(state)
        : callBack({ ...state, intent: 'aborting' }, 'the operator aborted')
    case 'endanger':
      return onSiteEndangered(state, event.site, now)
    case 'resolve': {
      const m = state.migrations.get(event.vm)
      return m?.phase === 'uncertain' ? resolve(state, m, event.runsAt, now) : nothing(state)
    }
    default:
      return assertNever(event)
  }
}

function resolve(state: Evacuation, m: Uncertain, runsAt: 'source' | 'target', now: Instant): Decision {
  if (runsAt === 'source') {
    return onFailed(state, m, { code: 'cancelled', detail: 'resolved by the operator: it runs at its source' }, now)
  }
  const facts = { downtime: undefined, sent: m.progress?.sent ?? 0, needed: undefined } as const
  return landed(state, m, facts, now)
}

/** Everybody has an outcome, or only doubts are left and their time is up. */
function closeIfDone(state: Evacuation, now: Instant): Evacuation {
  if (state.endedAt !== undefined) return state
  if (state.migrations.count('queued', 'preparing', 'pre-copy', 'switchover', 'post-copy') > 0) return state
  for (const { retire } of state.migrations.retiring()) if (!retire.gaveUp) return state
  for (const { asked, since } of state.migrations.in('uncertain'))
    if (asked === 0 || now < plus(since, uncertainPatience)) return state
  return { ...state, endedAt: now }
}

/** For those who only want to know whether this fact touches that VM. */
export const concerns = (event: Observed, vm: VmId): boolean => 'vm' in event && event.vm === vm
