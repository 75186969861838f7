/** Reports of simulated evacuations, whose bounds know how paths changed; and the oracle's, in the same shape. */
import { bytesToMove } from '../inventory/vm.ts'
import { noForecasts } from '../report/forecast-errors.ts'
import { efficiency, type Report, reportOf, whole } from '../report/report.ts'
import { ms } from '../units.ts'
import { type OracleBound, oracleBound, type OracleQuestion } from './oracle.ts'
import { diedAfterwards, type Simulated } from './simulate.ts'

/**
 * The same as of a real evacuation, with bounds for what the paths carried over time instead of what they carried at the alarm. They are
 * for plain memory, as there; how many can be safe counts squeezing too.
 */
export function simulatedReport(simulated: Simulated, question: OracleQuestion): Report {
  const report = reportOf(simulated.state, m => diedAfterwards(simulated, m))
  const safe = new Set(report.vms.flatMap(({ vm, outcome }) => (outcome === 'safe' ? [vm] : [])))
  const { snapshot } = question
  const those = oracleBound({
    ...question,
    wirePerByte: 1,
    snapshot: { ...snapshot, vms: snapshot.vms.filter(({ id }) => safe.has(id)) },
  })
  const { makespanMs, meanDurationMs } = report.summary
  const bounds = { makespan: msOr(those.makespan), meanDuration: msOr(those.meanDuration) }
  return {
    ...report,
    summary: {
      ...report.summary,
      bounds: {
        makespanMs: whole(those.makespan),
        meanDurationMs: whole(those.meanDuration),
        meanCompletionMs: whole(those.meanCompletion),
        maxSafe: oracleBound(question).safe,
      },
      j: efficiency(makespanMs, meanDurationMs, bounds),
    },
  }
}

const msOr = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? undefined : ms(value))

/** What the oracle knows, as a report without VMs. Policy: `oracle (exact)` or `oracle (bound)`. */
export function oracleReport(bound: OracleBound, { snapshot, endangered }: OracleQuestion, seed: number): Report {
  const hosts = new Set(snapshot.hosts.filter(({ site }) => endangered.includes(site)).map(({ id }) => id))
  const vms = snapshot.vms.filter(({ host }) => hosts.has(host))
  const bounds = {
    makespanMs: whole(bound.makespan),
    meanDurationMs: whole(bound.meanDuration),
    meanCompletionMs: whole(bound.meanCompletion),
  }
  const needed = vms.map(bytesToMove).sort((a, b) => a - b)
  const bytesNeeded = needed.slice(0, bound.safe).reduce((sum, size) => sum + size, 0)
  return {
    evacuation: `oracle-${seed}`,
    policy: `oracle (${bound.kind})`,
    world: 'simulated',
    seed,
    summary: {
      vms: vms.length,
      safe: bound.safe,
      left: 0,
      saved: 0,
      stopped: 0,
      uncertain: 0,
      lost: vms.length - bound.safe,
      inDanger: 0,
      value: vms.reduce((sum, { value }) => sum + value, 0),
      valueSafe: bound.value,
      ...bounds,
      p95DurationMs: null,
      maxDowntimeMs: null,
      bytesSent: bytesNeeded,
      bytesNeeded,
      bounds: { ...bounds, maxSafe: bound.safe },
      j: bound.safe === 0 ? null : 1,
    },
    vms: [],
    forecasts: noForecasts,
  }
}
