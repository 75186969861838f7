/** How one VM's migration moves on when something was observed of its running attempt. One function a fact; each ignores what is out of date. */
import { learn, unlearned } from '../forecast/dirty-model.ts'
import type { HostId } from '../ids.ts'
import type { Instant } from '../instant.ts'
import { between, plus } from '../instant.ts'
import { afterFailure, type MigrationFailure, showFailure } from '../migration/failure.ts'
import {
  type InFlight,
  isMoving,
  type Landed,
  type Migration,
  type PreCopy,
  type Preparing,
  type Queued,
  type Tuning,
} from '../migration/migration.ts'
import { siteOf } from '../inventory/snapshot.ts'
import { localDiskBytes } from '../inventory/vm.ts'
import type { Whereabouts } from '../migration/presence.ts'
import { type Milliseconds, ms } from '../units.ts'
import type { Command, Route } from './command.ts'
import { type Evacuation, vmOf, withMigration } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { lookAtWays } from './on-forecast.ts'
import { reconcile } from './reconcile.ts'

export interface Decision {
  readonly state: Evacuation
  readonly commands: readonly Command[]
}
export const nothing = (state: Evacuation): Decision => ({ state, commands: [] })

/** Pause before the next attempt: doubled each time, from the first to the last. */
const firstPause = ms(1_000)
const longestPause = ms(30_000)
/** Both sides of an uncertain VM are asked again: quickly at first, then at leisure. */
const askAgainFirst = ms(1_000)
const askAgainAtMost = ms(10_000)

export const routeOf = (m: InFlight | Landed): Route => ({
  vm: m.vm,
  source: m.source,
  target: m.target,
  attempt: m.attempt,
})
const untuned = (state: Evacuation, m: InFlight): Tuning => ({
  rate: undefined,
  downtimeLimit: vmOf(state, m.vm).policy.maxDowntime,
})

/** Why a target that is ready now is not wanted any more; undefined when it is. */
export function calledOff({ intent, degraded }: Evacuation): MigrationFailure | undefined {
  if (intent === 'aborting') return { code: 'cancelled', detail: 'the operator aborted' }
  if (degraded !== undefined) return { code: 'cancelled', detail: degraded }
  if (intent === 'winding-down') return { code: 'postponed', detail: 'the controller is leaving' }
  return undefined
}

/** Why nothing is to be sent to that host any more; undefined when it still is. */
export function targetInDanger({ started, inDanger }: Evacuation, target: HostId): MigrationFailure | undefined {
  const site = siteOf(started.snapshot, target)
  if (site === undefined || !inDanger.has(site)) return undefined
  return { code: 'target-endangered', detail: `${target} is in ${site}, which is endangered now` }
}

export function onReady(state: Evacuation, m: InFlight): Decision {
  if (m.phase !== 'preparing') return nothing(state)
  const failure = calledOff(state) ?? targetInDanger(state, m.target)
  const ready = withMigration(state, { ...m, ready: failure === undefined })
  return { state: ready, commands: failure === undefined ? [] : [{ kind: 'roll-back', ...routeOf(m), failure }] }
}

/** Also the way back from a doubt: memory is seen flowing. */
export function toPreCopy(
  state: Evacuation,
  m: Preparing | Extract<InFlight, { phase: 'uncertain' }>,
  now: Instant,
  tuning: Tuning,
): Evacuation {
  const next: PreCopy = {
    phase: 'pre-copy',
    vm: m.vm,
    source: m.source,
    target: m.target,
    attempt: m.attempt,
    excluded: m.excluded,
    wasted: m.wasted,
    postponed: m.postponed,
    startedAt: m.phase === 'uncertain' ? m.startedAt : now,
    progress: m.phase === 'uncertain' ? m.progress : undefined,
    tuning,
    streams: m.phase === 'uncertain' ? m.streams : m.options.channels,
    compression: m.phase === 'uncertain' ? m.compression : m.options.compression,
    mode: 'pre-copy',
    learner: m.phase === 'uncertain' ? m.learner : unlearned(vmOf(state, m.vm).dirty, now),
    said: m.phase === 'uncertain' ? m.said : [],
    cancelling: undefined,
    switching: false,
  }
  return withMigration(state, next)
}

export function onProgress(
  state: Evacuation,
  m: InFlight,
  { progress }: Extract<Observed, { kind: 'progress' }>,
  now: Instant,
): Decision {
  if (!isMoving(m) || m.phase === 'uncertain') return nothing(state)
  const learner = m.phase === 'pre-copy' ? learn(m.learner, progress, now) : m.learner
  return nothing(lookAtWays(withMigration(state, { ...m, progress, learner }), now))
}

export function onGuestStopped(state: Evacuation, m: InFlight, now: Instant): Decision {
  if (m.phase !== 'pre-copy') return nothing(state)
  const { cancelling: _c, switching: _s, ...moving } = m
  return nothing(withMigration(state, { ...moving, phase: 'switchover', since: now, finishing: false }))
}

export function onSentWhole(state: Evacuation, m: InFlight, now: Instant): Decision {
  if (m.phase === 'pre-copy') {
    const { cancelling: _c, switching: _s, ...moving } = m
    const next = withMigration(state, { ...moving, phase: 'switchover', since: now, finishing: true })
    return { state: next, commands: [{ kind: 'finish', ...routeOf(m) }] }
  }
  if (m.phase === 'post-copy') return { state, commands: [{ kind: 'finish', ...routeOf(m) }] }
  if (m.phase !== 'switchover' || m.finishing) return nothing(state)
  return { state: withMigration(state, { ...m, finishing: true }), commands: [{ kind: 'finish', ...routeOf(m) }] }
}

export function onPostCopyBegan(state: Evacuation, m: InFlight, now: Instant): Decision {
  if (m.phase === 'post-copy') return nothing(m.broken ? withMigration(state, { ...m, broken: false }) : state)
  if (m.phase === 'uncertain') {
    // Joined again. Its target was told to run when post-copy began.
    const { why: _why, whereabouts: _w, askAgainAt: _a, asked: _n, finishing: _f, ...moving } = m
    return nothing(
      withMigration(state, { ...moving, phase: 'post-copy', mode: 'post-copy', since: now, broken: false }),
    )
  }
  if (m.phase !== 'pre-copy') return nothing(state)
  const { cancelling: _c, switching: _s, ...moving } = m
  const next = withMigration(state, { ...moving, phase: 'post-copy', mode: 'post-copy', since: now, broken: false })
  return { state: next, commands: [{ kind: 'run-split', ...routeOf(m) }] }
}

export function onPostCopyBroke(state: Evacuation, m: InFlight): Decision {
  if (m.phase !== 'post-copy' || m.broken) return nothing(state)
  return { state: withMigration(state, { ...m, broken: true }), commands: [{ kind: 'recover', ...routeOf(m) }] }
}

/** The source gave up sending. The target must be taken down before the VM counts as home. */
export function onBroke(state: Evacuation, m: InFlight, failure: MigrationFailure, now: Instant): Decision {
  if (m.phase === 'post-copy' || m.phase === 'uncertain' || (m.phase === 'switchover' && m.finishing))
    return doubt(state, m, `the migration broke: ${showFailure(failure)}`, now)
  const cause = (m.phase === 'pre-copy' ? m.cancelling : undefined) ?? failure
  return { state, commands: [{ kind: 'roll-back', ...routeOf(m), failure: cause }] }
}

/** Post-copy could not be begun: it may be asked for again. */
export function onCommandFailed(state: Evacuation, m: InFlight, command: string): Decision {
  if (command !== 'start-post-copy' || m.phase !== 'pre-copy' || !m.switching) return nothing(state)
  return nothing(withMigration(state, { ...m, switching: false }))
}

/** Bytes an attempt has put on the wire; they were in vain if it failed. */
const spent = (m: InFlight): number => m.wasted + (isMoving(m) ? (m.progress?.sent ?? 0) : 0)

export function onFailed(state: Evacuation, m: InFlight, reported: MigrationFailure, now: Instant): Decision {
  const failure = withoutPower(state, m) ?? reported
  // The driver says so only with the VM seen at home; in post-copy there is no way home, so such a word is doubted.
  if (m.phase === 'post-copy') return doubt(state, m, `reported as failed in post-copy (${failure.code})`, now)
  const { next, attempts } = afterFailure[failure.code]
  const failures = m.attempt - (m.postponed ?? 0)
  if (next === 'give-up' || failures >= attempts || state.intent === 'aborting') {
    return nothing(
      withMigration(state, {
        phase: 'given-up',
        vm: m.vm,
        source: m.source,
        attempts: m.attempt,
        failure,
        wasted: spent(m),
      }),
    )
  }
  const pause =
    failure.code === 'postponed' || failure.code === 'target-endangered'
      ? ms(0)
      : ms(Math.min(longestPause, firstPause * 2 ** (failures - 1)))
  return nothing(withMigration(state, backToQueue(m, failure, next === 'other-target', plus(now, pause))))
}

/** No attempt fails with the VM at home where home has no power. */
function withoutPower(state: Evacuation, m: InFlight): MigrationFailure | undefined {
  const site = siteOf(state.started.snapshot, m.source)
  const why = site === undefined ? undefined : state.lost.get(site)
  return why === undefined ? undefined : { code: 'vm-died', detail: `${site} lost its power: ${why}` }
}

function backToQueue(m: InFlight, failure: MigrationFailure, exclude: boolean, notBefore: Instant): Queued {
  return {
    phase: 'queued',
    vm: m.vm,
    source: m.source,
    attempts: m.attempt,
    notBefore,
    excluded: exclude ? [...new Set([...m.excluded, m.target])] : m.excluded,
    lastFailure: failure,
    wasted: spent(m),
    postponed: (m.postponed ?? 0) + (failure.code === 'postponed' ? 1 : 0),
  }
}

/** Into `uncertain`, and ask both sides. The doubt's beginning is kept when there was one already. */
export function doubt(state: Evacuation, m: InFlight, why: string, now: Instant): Decision {
  if (m.phase === 'uncertain')
    return {
      state: withMigration(state, { ...m, why, askAgainAt: undefined }),
      commands: [{ kind: 'reconcile', ...routeOf(m) }],
    }
  const moving = isMoving(m)
  const next: Migration = {
    phase: 'uncertain',
    vm: m.vm,
    source: m.source,
    target: m.target,
    attempt: m.attempt,
    excluded: m.excluded,
    wasted: m.wasted,
    postponed: m.postponed,
    startedAt: moving ? m.startedAt : now,
    progress: moving ? m.progress : undefined,
    tuning: moving ? m.tuning : untuned(state, m),
    streams: moving ? m.streams : m.options.channels,
    compression: moving ? m.compression : m.options.compression,
    mode: moving ? m.mode : 'pre-copy',
    learner: moving ? m.learner : unlearned(vmOf(state, m.vm).dirty, now),
    said: moving ? m.said : [],
    // In post-copy the target was told to run with the first of its memory.
    finishing: (m.phase === 'switchover' && m.finishing) || m.phase === 'post-copy',
    since: now,
    why,
    whereabouts: undefined,
    askAgainAt: undefined,
    asked: 0,
  }
  return { state: withMigration(state, next), commands: [{ kind: 'reconcile', ...routeOf(m) }] }
}

/** A source that is silent because its site has no power is no doubt: nothing runs there. */
function counted(state: Evacuation, m: InFlight, where: Whereabouts): Whereabouts {
  const site = siteOf(state.started.snapshot, m.source)
  const why = site === undefined ? undefined : state.lost.get(site)
  if (why === undefined || where.source.state !== 'unreachable') return where
  return { ...where, source: { state: 'absent', detail: `${site} lost its power` } }
}

export function onWhereabouts(
  state: Evacuation,
  m: InFlight,
  event: Extract<Observed, { kind: 'whereabouts' }>,
  now: Instant,
): Decision {
  if (m.phase !== 'uncertain') return nothing(state)
  const where = counted(state, m, event.where)
  const verdict = reconcile({ where, finishing: m.finishing, doubtFor: now - m.since })
  const route = routeOf(m)
  const asked = { ...m, whereabouts: where, asked: m.asked + 1 }
  switch (verdict.verdict) {
    case 'ask-again':
      return nothing(withMigration(state, { ...asked, why: verdict.why, askAgainAt: plus(now, askPause(asked.asked)) }))
    case 'home': {
      const failure: MigrationFailure = { code: 'path-lost', detail: `${m.why}; the VM runs at home` }
      // Of disks that were to be copied something may lie at the target, though no VM is there.
      if (where.target.state === 'absent' && localDiskBytes(vmOf(state, m.vm)) > 0)
        return { state: withMigration(state, asked), commands: [{ kind: 'roll-back', ...route, failure }] }
      return onFailed(state, asked, failure, now)
    }
    case 'died': {
      const failure: MigrationFailure = { code: 'vm-died', detail: verdict.why }
      if (where.target.state !== 'incoming') return onFailed(state, asked, failure, now)
      // Nothing will come to what waits there, and it holds memory.
      return { state: withMigration(state, asked), commands: [{ kind: 'roll-back', ...route, failure }] }
    }
    case 'roll-back':
      return {
        state: withMigration(state, asked),
        commands: [{ kind: 'roll-back', ...route, failure: { code: 'path-lost', detail: m.why } }],
      }
    case 'finish': {
      const { why: _why, whereabouts: _w, askAgainAt: _a, asked: _n, ...moving } = asked
      return {
        state: withMigration(state, { ...moving, phase: 'switchover', finishing: true }),
        commands: [{ kind: 'finish', ...route }],
      }
    }
    case 'recover':
      // The doubt goes on until it is joined again: a path that stays cut must not keep the run from its end.
      return { state: withMigration(state, asked), commands: [{ kind: 'recover', ...route }] }
    case 'follow':
      return resumeFollowing(state, asked, verdict.as, now)
    case 'landed':
      return landed(state, asked, { downtime: undefined, sent: m.progress?.sent ?? 0, needed: undefined }, now)
  }
}

/** A migration that was in doubt is seen on its way: take it up where it is. */
function resumeFollowing(
  state: Evacuation,
  m: Extract<InFlight, { phase: 'uncertain' }>,
  as: 'pre-copy' | 'switchover' | 'post-copy',
  now: Instant,
): Decision {
  const { why: _why, whereabouts: _w, askAgainAt: _a, asked: _n, finishing, since: _s, ...moving } = m
  const follow: Command = { kind: 'follow', ...routeOf(m) }
  if (as === 'pre-copy') return { state: toPreCopy(state, m, now, m.tuning), commands: [follow] }
  if (as === 'switchover')
    return {
      state: withMigration(state, { ...moving, phase: 'switchover', since: now, finishing }),
      commands: [follow],
    }
  return {
    state: withMigration(state, { ...moving, phase: 'post-copy', mode: 'post-copy', since: now, broken: false }),
    commands: [follow],
  }
}

const askPause = (asked: number): Milliseconds =>
  ms(Math.min(askAgainAtMost, askAgainFirst * 2 ** Math.min(10, asked - 1)))

export interface LandingFacts {
  readonly downtime: Milliseconds | undefined
  readonly sent: number
  readonly needed: number | undefined
}

/** The target runs it: from here the VM is safe, whatever becomes of the source. */
export function landed(state: Evacuation, m: InFlight, facts: LandingFacts, now: Instant): Decision {
  if (m.phase === 'preparing') return doubt(state, m, 'reported as landed before any memory flowed', now)
  const next: Landed = {
    phase: 'landed',
    vm: m.vm,
    source: m.source,
    target: m.target,
    attempt: m.attempt,
    mode: m.mode,
    compression: m.compression,
    startedAt: m.startedAt,
    switchedAt: now,
    // From the moment the guest was seen stopped to the moment it was seen running: what the guest's users felt, at most.
    downtime: m.phase === 'switchover' ? between(m.since, now) : facts.downtime,
    bytesSent: m.wasted + Math.max(facts.sent, m.progress?.sent ?? 0),
    bytesNeeded: facts.needed,
    sourceEnded: false,
    retire: { tries: 1, nextAt: undefined, why: undefined, gaveUp: false },
  }
  // Even an absent source may have left its definition behind; `retire` puts the tombstone there.
  return { state: withMigration(state, next), commands: [{ kind: 'retire', ...routeOf(next) }] }
}

/** Times the stopped copy at the source is asked to end before the operator is told to do it. */
const retireTries = 6
const retirePause = ms(5_000)

export function onSourceEnded(state: Evacuation, m: Landed): Decision {
  return nothing(
    withMigration(state, { ...m, sourceEnded: true, retire: { ...m.retire, nextAt: undefined, why: undefined } }),
  )
}

export function onSourceLingers(state: Evacuation, m: Landed, why: string, now: Instant): Decision {
  const gaveUp = m.retire.tries >= retireTries
  const nextAt = gaveUp ? undefined : plus(now, retirePause)
  return nothing(withMigration(state, { ...m, retire: { ...m.retire, nextAt, why, gaveUp } }))
}
