/** Runs a scenario for each policy and seed, one after the other, in slices: progress shows, and Ctrl-C ends it with what there is. */
import { setImmediate as yieldToSignals } from 'node:timers/promises'
import type { Scenario } from '../config/scenario-folder.ts'
import type { Limits } from '../core/control/observed.ts'
import type { Report } from '../core/report/report.ts'
import { lineOfHappening, linesOfRow } from '../core/sim/decision-log.ts'
import { type Recorded, Recorder } from '../core/sim/recording.ts'
import { beginRehearsal, sidesOf, timelineOf } from '../core/sim/rehearse.ts'
import { leastWirePerByte, type OracleQuestion } from '../core/sim/oracle.ts'
import { oracleReport, simulatedReport } from '../core/sim/sim-report.ts'
import { contradictions, type Simulated } from '../core/sim/simulate.ts'
import { lastLines } from '../core/sim/decision-log.ts'
import { oracle } from '../oracle/exact-bound.ts'

export const oracleName = 'oracle'

export interface Rehearsed {
  readonly policy: string
  readonly seed: number
  readonly report: Report
  /** Undefined for the oracle. */
  readonly recorded: Recorded | undefined
  /** The decision log, where it was asked for. */
  readonly log: readonly string[] | undefined
  /** It was interrupted, or did not end within the horizon. */
  readonly cutShort: boolean
}

export interface RivalsRequest {
  readonly scenario: Scenario
  readonly policies: readonly string[]
  readonly limits: Limits
  readonly seeds: readonly number[]
  /** Of the first seed. */
  readonly wantsLog: boolean
  readonly wantsCurves: boolean
  readonly signal: AbortSignal
  onProgress(text: string): void
}

/** Events between two looks at the clock and at signals: some ten milliseconds. */
const slice = 2_000

/** A simulation that contradicts itself: a bug, never a result. */
export class SimulationBroken extends Error {
  override readonly name = 'SimulationBroken'
}

/** @throws SimulationBroken */
export async function rehearseRivals(request: RivalsRequest): Promise<readonly Rehearsed[]> {
  const { seeds, policies, signal } = request
  const all: Rehearsed[] = []
  for (const seed of seeds) {
    for (const policy of policies) {
      if (signal.aborted) return all
      all.push(
        policy === oracleName ? await consulted(request, seed) : await rehearsed(request, policy, seed, all.length),
      )
    }
  }
  return all
}

const questionOf = ({ scenario: { snapshot, timeline } }: RivalsRequest, seed: number): OracleQuestion => ({
  snapshot,
  timeline: timelineOf({ snapshot, timeline, seed }),
  ...sidesOf(snapshot),
  wirePerByte: leastWirePerByte(snapshot),
})

async function consulted(request: RivalsRequest, seed: number): Promise<Rehearsed> {
  const question = questionOf(request, seed)
  const bound = await oracle(question)
  const recorded = { landings: bound.landings, paths: [], bars: [], end: bound.makespan ?? 0 }
  return {
    policy: `${oracleName} (${bound.kind})`,
    seed,
    report: oracleReport(bound, question, seed),
    recorded,
    log: undefined,
    cutShort: false,
  }
}

async function rehearsed(request: RivalsRequest, policy: string, seed: number, done: number): Promise<Rehearsed> {
  const { scenario, limits, seeds, policies, wantsLog, wantsCurves, signal } = request
  const { snapshot, timeline } = scenario
  const log: string[] | undefined = wantsLog && seed === seeds[0] ? [] : undefined
  const recorder = wantsCurves ? new Recorder() : undefined
  const run = beginRehearsal({
    snapshot,
    timeline,
    policy,
    limits,
    seed,
    watch: {
      onRow: row => {
        log?.push(...linesOfRow(row))
        recorder?.onRow(row)
      },
      onHappening: (at, what) => void log?.push(lineOfHappening(at, what)),
      onRates: recorder === undefined ? undefined : world => recorder.onRates(world),
    },
  })
  const total = seeds.length * policies.length
  while (run.advance(slice) && !signal.aborted) {
    request.onProgress(`run ${done + 1} of ${total}: ${policy}, ${Math.round(run.now / 1000)} s after the alarm`)
    await yieldToSignals()
  }
  const simulated = run.soFar()
  insistOnTruth(simulated, policy, seed)
  log?.push(...lastLines(simulated))
  return {
    policy,
    seed,
    report: simulatedReport(simulated, questionOf(request, seed)),
    recorded: recorder?.done(run.now),
    log,
    cutShort: simulated.cutShort,
  }
}

function insistOnTruth(simulated: Simulated, policy: string, seed: number): void {
  const wrong = simulated.cutShort ? [] : contradictions(simulated)
  if (wrong.length === 0) return
  throw new SimulationBroken(
    `the simulation contradicts what the controller says (policy ${policy}, seed ${seed}); this is a bug in Lifeboat, please report it with the folder:\n  ${wrong.join('\n  ')}`,
  )
}
