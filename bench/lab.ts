/**
 * Real guests in the lab, every policy on the same world, interleaved, several rounds, medians; on QEMU hosts and on libvirt hosts, on
 * the latter also what people type today. Guests go to and fro: each run takes them to the other site, by a path that does the same.
 *
 *     ROUNDS=1 POLICIES=finish-first,all-at-once,sequential DRIVERS=qemu,libvirt LOOPS=0 npm run bench -- lab
 *
 * A whole run takes hours. What was measured lies in bench/results/lab-runs.json after every run, and RESUME=1 goes on from there.
 * Ctrl-C ends it after the present run, with a table of what there is.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { type SiteId, siteId } from '../src/core/ids.ts'
import { showTime } from '../src/core/units.ts'
import { type LabDriver, labDrivers } from '../src/lab/lab-spec.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'
import { clock, testLab, type TestLab } from '../test/lab-fixture.ts'
import { byPolicy, byVirsh, type Contender, loopNames } from './lab-contenders.ts'
import { guests, hotGuests, lifeOf, restore, worldFor } from './lab-world.ts'
import { type Bench, type BenchResult, median } from './result.ts'
import { ms } from '../src/core/units.ts'

const ours = 'finish-first'
const crowd = 'all-at-once'
const [loop] = loopNames
const policies = [ours, crowd, 'sequential', 'fixed:2', 'fixed:4', 'aimd', 'kubevirt', 'nova', 'ovirt', 'proxmox']
const asked = { durationTimes: 5.7, makespanOnQemu: 0.8, makespanOnLibvirt: 1 } as const

const listed = (name: string, all: readonly string[]): readonly string[] =>
  process.env[name] === undefined ? all : process.env[name].split(',').filter(text => text !== '')
const rounds = Number(process.env['ROUNDS'] ?? 3)
const drivers = labDrivers.filter(driver => listed('DRIVERS', labDrivers).includes(driver))
const contenders: readonly Contender[] = [
  ...listed('POLICIES', policies).map(byPolicy),
  ...(process.env['LOOPS'] === '0' ? [] : loopNames.map(byVirsh)),
]

const runSchema = z.object({
  driver: z.enum(labDrivers),
  contender: z.string(),
  round: z.number(),
  safe: z.number(),
  makespan: z.number(),
  duration: z.number(),
  downtime: z.number().optional(),
  bytesSent: z.number().optional(),
  wall: z.number(),
  alive: z.number(),
  missing: z.number(),
  repeated: z.number(),
  longestGap: z.number(),
})
type Run = z.infer<typeof runSchema>

const runsFile = new URL('results/lab-runs.json', import.meta.url)
const readRuns = (): Run[] =>
  process.env['RESUME'] === '1' && existsSync(runsFile)
    ? z.array(runSchema).parse(JSON.parse(readFileSync(runsFile, 'utf8')))
    : []

/** Guests settle: their first ticks, their fill. */
const restFor = ms(4_000)

export const lab: Bench = {
  question: `${guests} real guests of which ${hotGuests} write, 40 ms, 100 → 30 → 100 Mbit/s: all policies, and what people type`,
  async run(onProgress) {
    const runs = readRuns()
    const stop = new AbortController()
    const interrupt = (): void => {
      onProgress('interrupted: the present run is the last')
      stop.abort()
    }
    process.once('SIGINT', interrupt)
    try {
      for (const driver of drivers) await onDriver(driver, runs, stop.signal, onProgress)
    } finally {
      process.off('SIGINT', interrupt)
    }
    return resultOf(runs)
  },
}

async function onDriver(
  driver: LabDriver,
  runs: Run[],
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<void> {
  const field = contenders.filter(contender => contender.drivers.includes(driver))
  const todo = Array.from({ length: rounds }, (_, round) => field.map(contender => ({ contender, round })))
    .flat()
    .filter(({ contender, round }) => !runs.some(run => isRun(run, driver, contender.name, round)))
  if (todo.length === 0 || signal.aborted) return
  try {
    insistOnRequirements(undefined, { driver })
  } catch (error) {
    onProgress(`${driver} hosts are left out: ${error instanceof Error ? error.message : String(error)}`)
    return
  }
  onProgress(`${driver}: bringing up ${guests} guests`)
  const world = await testLab(worldFor(driver))
  const never = new AbortController().signal
  try {
    await clock.sleep(restFor, never)
    let [from, to]: [SiteId, SiteId] = [siteId('a'), siteId('b')]
    for (const { contender, round } of todo) {
      if (signal.aborted) return
      const run = await oneRun(driver, contender, round, { lab: world, from, to }, never)
      runs.push(run)
      writeFileSync(runsFile, `${JSON.stringify(runs, undefined, 2)}\n`)
      onProgress(
        `${driver}, round ${round + 1}, ${contender.name}: ${run.safe} safe, makespan ${showTime(run.makespan)}, mean duration ${showTime(run.duration)}, ${run.alive} alive, longest gap ${showTime(run.longestGap)}`,
      )
      if (run.alive < guests)
        throw new Error(`${contender.name} lost a guest on ${driver} hosts; the lab is of no use any more`)
      if (run.safe < guests) await fetchRest(world, from, to)
      ;[from, to] = [to, from]
    }
  } finally {
    await world.down()
  }
}

const isRun = (run: Run, driver: LabDriver, contender: string, round: number): boolean =>
  run.driver === driver && run.contender === contender && run.round === round

async function oneRun(
  driver: LabDriver,
  contender: Contender,
  round: number,
  { lab: world, from, to }: { readonly lab: TestLab; readonly from: SiteId; readonly to: SiteId },
  signal: AbortSignal,
): Promise<Run> {
  await restore(world, signal)
  world.life.baseline()
  const before = world.life.report(Number.POSITIVE_INFINITY)
  const crossing = await contender.cross({ lab: world, from, to, signal })
  const { downtime, bytesSent, ...measured } = crossing
  return {
    driver,
    contender: contender.name,
    round,
    ...measured,
    ...(downtime === undefined ? {} : { downtime }),
    ...(bytesSent === undefined ? {} : { bytesSent }),
    ...(await lifeOf(world, before, signal)),
  }
}

/** Those a contender left behind follow, so that all rivals find the same world. */
async function fetchRest(world: TestLab, from: SiteId, to: SiteId): Promise<void> {
  await restore(world, new AbortController().signal)
  await byPolicy('sequential').cross({ lab: world, from, to, signal: new AbortController().signal })
}

function resultOf(runs: readonly Run[]): BenchResult {
  const named = (driver: LabDriver, contender: string): readonly Run[] =>
    runs.filter(run => run.driver === driver && run.contender === contender)
  const mid = (of: readonly Run[], what: (run: Run) => number | undefined): number | undefined => {
    const values = of.map(what).filter(value => value !== undefined)
    return values.length === 0 ? undefined : median(values)
  }
  const time = (value: number | undefined): string => (value === undefined ? '–' : showTime(value))
  const rows = labDrivers.flatMap(driver =>
    [...new Set(runs.filter(run => run.driver === driver).map(({ contender }) => contender))].map(contender => {
      const all = named(driver, contender)
      return [
        driver,
        contender,
        String(all.length),
        `${Math.min(...all.map(({ safe }) => safe))} of ${guests}`,
        time(mid(all, run => run.makespan)),
        time(mid(all, run => run.duration)),
        time(mid(all, run => run.downtime)),
        time(mid(all, run => run.longestGap)),
        all.every(isWell) ? 'all' : `${Math.min(...all.map(({ alive }) => alive))}, ticks amiss`,
      ]
    }),
  )
  const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
    a === undefined || b === undefined ? undefined : a / b
  const makespan = (driver: LabDriver, contender: string) => mid(named(driver, contender), run => run.makespan)
  const duration = (driver: LabDriver, contender: string) => mid(named(driver, contender), run => run.duration)
  const virsh = loop === undefined ? undefined : makespan('libvirt', loop)
  const figures = {
    meanDurationTimesShorterOnQemu: ratio(duration('qemu', crowd), duration('qemu', ours)),
    meanDurationTimesShorterOnLibvirt: ratio(duration('libvirt', crowd), duration('libvirt', ours)),
    makespanOnQemuToVirshLoop: ratio(makespan('qemu', ours), virsh),
    makespanOnLibvirtToVirshLoop: ratio(makespan('libvirt', ours), virsh),
  }
  const lines = [
    verdictOf(
      `mean duration against ${crowd}, QEMU hosts`,
      figures.meanDurationTimesShorterOnQemu,
      '≥',
      asked.durationTimes,
    ),
    verdictOf(`… libvirt hosts`, figures.meanDurationTimesShorterOnLibvirt, '≥', asked.durationTimes),
    verdictOf(`makespan on QEMU hosts to the ${loop}`, figures.makespanOnQemuToVirshLoop, '≤', asked.makespanOnQemu),
    verdictOf(`… on libvirt hosts`, figures.makespanOnLibvirtToVirshLoop, '≤', asked.makespanOnLibvirt),
    `every guest alive by its ticks: ${runs.every(isWell) ? 'yes' : 'no'}, in ${runs.length} runs`,
  ]
  const right = 'right' as const
  return {
    columns: [
      { title: 'hosts' },
      { title: 'contender' },
      { title: 'runs', align: right },
      { title: 'safe', align: right },
      { title: 'makespan', align: right },
      { title: 'mean duration', align: right },
      { title: 'longest downtime', align: right },
      { title: 'longest gap in ticks', align: right },
      { title: 'alive', align: right },
    ],
    rows,
    figures: { ...figures, everyGuestAlive: runs.every(isWell), runs },
    verdict: lines.join('\n'),
  }
}

const isWell = ({ alive, missing, repeated }: Run): boolean => alive === guests && missing === 0 && repeated === 0

function verdictOf(what: string, value: number | undefined, than: '≥' | '≤', limit: number): string {
  if (value === undefined) return `${what}: not measured in this run (asked ${than} ${limit})`
  const holds = than === '≥' ? value >= limit : value <= limit
  return `${what}: ${value.toFixed(2)} (asked ${than} ${limit}: ${holds ? 'holds' : 'not reached'})`
}
