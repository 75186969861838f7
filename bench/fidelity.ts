/** The same scenario folders acted out in the lab with real guests, and in the simulator: how far apart they are. */
import { setTimeout as sleep } from 'node:timers/promises'
import { rehearseRivals } from '../src/cli/rehearse-rivals.ts'
import { readScenario } from '../src/config/scenario-folder.ts'
import type { ReportSummary } from '../src/core/report/report.ts'
import { defaultPolicy } from '../src/core/policy/policy-by-name.ts'
import { showTime } from '../src/core/units.ts'
import { actOut } from '../src/lab/act-out.ts'
import { specFromSnapshot } from '../src/lab/lab-spec.ts'
import { clock, testLab, testRoot } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { type Bench, percent } from './result.ts'

const folders = ['lab-calm', 'lab-steps', 'lab-crowd'] as const
const allowed = 0.1
/** Guests settle: their first ticks, their fill. @unit ms */
const restFor = 4_000

type Outcome = Pick<ReportSummary, 'makespanMs' | 'meanDurationMs' | 'safe' | 'vms'>

export const fidelity: Bench = {
  question: 'the simulator against real guests in the lab, on the same scenario folders',
  async run(onProgress) {
    const rows: string[][] = []
    const figures: Record<string, number> = {}
    let worst = 0
    for (const name of folders) {
      const folder = `scenarios/${name}`
      const simulated = await inSimulator(folder)
      onProgress(`${name}: in the lab`)
      const real = await inLab(folder)
      for (const [what, a, b] of [
        ['makespan', real.makespanMs, simulated.makespanMs],
        ['mean duration', real.meanDurationMs, simulated.meanDurationMs],
      ] as const) {
        const off = (b ?? Number.NaN) / (a ?? Number.NaN) - 1
        worst = Math.max(worst, Math.abs(off))
        rows.push([`${name}: ${what}`, showTime(a ?? 0), showTime(b ?? 0), `${off > 0 ? '+' : ''}${percent(off)}`])
        figures[`${name} ${what}`] = off
      }
      rows.push([`${name}: safe`, `${real.safe} of ${real.vms}`, `${simulated.safe} of ${simulated.vms}`, ''])
    }
    const right = 'right' as const
    return {
      columns: [
        { title: 'scenario' },
        { title: 'lab', align: right },
        { title: 'simulator', align: right },
        { title: 'off by', align: right },
      ],
      rows,
      figures,
      verdict: `asked: within ${percent(allowed)}; worst: ${percent(worst)}`,
    }
  },
}

async function inSimulator(folder: string): Promise<Outcome> {
  const scenario = readScenario(folder)
  const [run] = await rehearseRivals({
    scenario,
    policies: [scenario.policy.policy ?? defaultPolicy],
    limits: scenario.policy.limits,
    seeds: [1],
    wantsLog: false,
    wantsCurves: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  })
  if (run === undefined) throw new Error('nothing was simulated')
  return run.report.summary
}

async function inLab(folder: string): Promise<Outcome> {
  const { snapshot, timeline, policy } = readScenario(folder)
  const lab = await testLab(specFromSnapshot('bench-fid', snapshot))
  const over = new AbortController()
  try {
    await sleep(restFor)
    const from = snapshot.sites.find(({ safe }) => !safe)?.id ?? ''
    const to = snapshot.sites.find(({ safe }) => safe)?.id ?? ''
    const run = startLifeboat(
      [
        '--config',
        lab.config,
        'evacuate',
        from,
        '--to',
        to,
        '--policy',
        policy.policy ?? defaultPolicy,
        '--yes',
        '-o',
        'ndjson',
      ],
      {},
    )
    await run.saw(/\n/)
    const acting = actOut(
      timeline,
      { root: testRoot, record: lab.record, clock, onEvent: () => undefined },
      over.signal,
    )
    acting.catch(() => undefined)
    const { code, stderr } = await run.done
    over.abort()
    if (code !== 0) throw new Error(`the evacuation ended with ${code}: ${stderr}`)
    const reported = await startLifeboat(['--config', lab.config, 'report', '-o', 'json'], {}).done
    return reportFrom(reported.stdout).summary
  } finally {
    over.abort()
    await lab.down()
  }
}
