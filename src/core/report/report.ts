/** The report: what became of every VM, how fast, and how near to what physics allows. Its JSON form is a contract (docs/report.md). */
import type { Evacuation } from '../control/evacuation.ts'
import type { HostId, VmId } from '../ids.ts'
import { between } from '../instant.ts'
import { siteOf } from '../inventory/snapshot.ts'
import { type Migration, type Mode } from '../migration/migration.ts'
import type { Compression } from '../migration/start-options.ts'
import { type Outcome, outcomeOf, reasonOf } from '../migration/outcome.ts'
import { bytes } from '../units.ts'
import { type Bounds, boundsOf } from './bounds.ts'
import { type ForecastErrors, forecastErrorsOf } from './forecast-errors.ts'

/** Times are milliseconds since the alarm; `null` where there is nothing to state. */
export interface VmReport {
  readonly vm: VmId
  readonly outcome: Outcome
  readonly source: HostId
  readonly target: HostId | null
  readonly mode: Mode | null
  /** How its memory was squeezed on the way; null where it did not come home. */
  readonly compression: Compression | null
  readonly attempts: number
  readonly startedMs: number | null
  readonly switchedMs: number | null
  readonly downtimeMs: number | null
  readonly bytesSent: number
  readonly reason: string | null
}

export interface ReportSummary {
  readonly vms: number
  readonly safe: number
  readonly left: number
  readonly saved: number
  readonly stopped: number
  readonly uncertain: number
  readonly lost: number
  /** Of the safe ones: in a site that became endangered during the evacuation, and have to leave again. */
  readonly inDanger: number
  readonly value: number
  readonly valueSafe: number
  readonly makespanMs: number | null
  /** Start of a VM's migration to its switchover. */
  readonly meanDurationMs: number | null
  readonly p95DurationMs: number | null
  /** Alarm to switchover. */
  readonly meanCompletionMs: number | null
  readonly maxDowntimeMs: number | null
  readonly bytesSent: number
  readonly bytesNeeded: number
  readonly bounds: {
    readonly makespanMs: number | null
    readonly meanDurationMs: number | null
    readonly meanCompletionMs: number | null
    readonly maxSafe: number
  }
  /** √(makespan/bound × mean duration/bound): 1.0 is the limit. */
  readonly j: number | null
}

export interface Report {
  readonly evacuation: string
  readonly policy: string
  readonly world: 'qemu' | 'libvirt' | 'simulated'
  readonly seed: number
  readonly summary: ReportSummary
  readonly vms: readonly VmReport[]
  readonly forecasts: ForecastErrors
}

type LandedMigration = Extract<Migration, { phase: 'landed' }>

/** Why a VM that had landed does not run any more; undefined while it does, as far as is known. */
export type Afterwards = (m: LandedMigration) => string | undefined

export function reportOf(state: Evacuation, afterwards: Afterwards = () => undefined): Report {
  const { started } = state
  const migrations = [...state.migrations.values()]
  const safe = migrations.filter((m): m is LandedMigration => m.phase === 'landed' && afterwards(m) === undefined)
  const neededOf = (m: LandedMigration): number => m.bytesNeeded ?? state.vms.get(m.vm)?.used ?? 0
  const { deadline } = started.snapshot
  const leaving = safe.map(m => ({ source: m.source, needed: bytes(neededOf(m)) }))
  const question = { snapshot: started.snapshot, endangered: started.endangered, targets: started.targets, deadline }
  const bounds = boundsOf(question, leaving)
  const everyone = migrations.map(m => ({ source: m.source, needed: state.vms.get(m.vm)?.used ?? bytes(0) }))
  const maxSafe = boundsOf(question, everyone).maxSafe
  const vms = migrations.map(m => {
    const lost = m.phase === 'landed' ? afterwards(m) : undefined
    return lost === undefined ? vmReport(state, m) : { ...vmReport(state, m), outcome: 'lost' as const, reason: lost }
  })

  const durations = safe.map(m => between(m.startedAt, m.switchedAt)).sort((a, b) => a - b)
  const completions = safe.map(m => between(state.startedAt, m.switchedAt))
  const makespan = completions.length === 0 ? null : Math.max(...completions)
  const meanDuration = mean(durations)
  const count = (outcome: Outcome): number => vms.filter(vm => vm.outcome === outcome).length
  const value = (of: readonly Migration[]): number =>
    of.reduce((total, m) => total + (state.vms.get(m.vm)?.value ?? 0), 0)
  const downtimes = safe.flatMap(m => (m.downtime === undefined ? [] : [m.downtime]))
  return {
    evacuation: started.id,
    policy: started.policy,
    world: started.world,
    seed: started.seed,
    summary: {
      vms: vms.length,
      safe: safe.length,
      left: count('left'),
      saved: count('saved'),
      stopped: count('stopped'),
      uncertain: count('uncertain'),
      lost: count('lost'),
      inDanger: safe.filter(m => dangerOf(state, m) !== undefined).length,
      value: value(migrations),
      valueSafe: value(safe),
      makespanMs: whole(makespan),
      meanDurationMs: whole(meanDuration),
      p95DurationMs: whole(quantile(durations, 0.95)),
      meanCompletionMs: whole(mean(completions)),
      maxDowntimeMs: downtimes.length === 0 ? null : Math.round(Math.max(...downtimes)),
      bytesSent: vms.reduce((total, vm) => total + vm.bytesSent, 0),
      bytesNeeded: safe.reduce((total, m) => total + neededOf(m), 0),
      bounds: {
        makespanMs: whole(bounds.makespan),
        meanDurationMs: whole(bounds.meanDuration),
        meanCompletionMs: whole(bounds.meanCompletion),
        maxSafe,
      },
      j: efficiency(makespan, meanDuration, bounds),
    },
    vms,
    forecasts: forecastErrorsOf(state),
  }
}

function vmReport(state: Evacuation, m: Migration): VmReport {
  const since = (at: number | undefined): number | null => (at === undefined ? null : Math.round(at - state.startedAt))
  const attempts = 'attempt' in m ? m.attempt : m.attempts
  const sentNow = 'progress' in m ? (m.progress?.sent ?? 0) : 0
  return {
    vm: m.vm,
    outcome: outcomeOf(m),
    source: m.source,
    target: 'target' in m ? m.target : null,
    mode: m.phase === 'landed' ? m.mode : null,
    compression: m.phase === 'landed' ? m.compression : null,
    attempts,
    startedMs: since('startedAt' in m ? m.startedAt : undefined),
    switchedMs: since(m.phase === 'landed' ? m.switchedAt : undefined),
    downtimeMs: m.phase === 'landed' && m.downtime !== undefined ? Math.round(m.downtime) : null,
    bytesSent: m.phase === 'landed' ? m.bytesSent : m.wasted + sentNow,
    reason: joined(dangerOf(state, m), reasonOf(m)),
  }
}

const joined = (...reasons: readonly (string | undefined)[]): string | null => {
  const given = reasons.filter(reason => reason !== undefined)
  return given.length === 0 ? null : given.join('; ')
}

/** It has landed in a site that became endangered. */
export function dangerOf(state: Evacuation, m: Migration): string | undefined {
  if (m.phase !== 'landed') return undefined
  const site = siteOf(state.started.snapshot, m.target)
  return site !== undefined && state.inDanger.has(site)
    ? `safe for now: ${site} is endangered itself; next: lifeboat evacuate ${site}`
    : undefined
}

export const whole = (value: number | null | undefined): number | null =>
  value === null || value === undefined ? null : Math.round(value)
const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length

/** Nearest rank. @param ascending sorted */
function quantile(ascending: readonly number[], share: number): number | null {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? null
}

export function efficiency(
  makespan: number | null,
  meanDuration: number | null,
  bounds: Pick<Bounds, 'makespan' | 'meanDuration'>,
): number | null {
  const { makespan: m, meanDuration: d } = bounds
  if (makespan === null || meanDuration === null || m === undefined || d === undefined || m === 0 || d === 0)
    return null
  return Math.round(Math.sqrt((makespan / m) * (meanDuration / d)) * 1000) / 1000
}
