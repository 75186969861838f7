/**
 * How long guests stand still on a slow path, and how much of that is what stands unsent in the sender's sockets: the same guests, by the
 * same policies, with net.ipv4.tcp_notsent_lowat as the system has it and set to 131072 where they leave. Guests go to and fro.
 */
import { hostId, type SiteId, siteId } from '../src/core/ids.ts'
import { ms, showTime } from '../src/core/units.ts'
import { hostNamespace } from '../src/lab/lab-names.ts'
import { namespaceRemote } from '../src/remote/namespace.ts'
import { runOk } from '../src/remote/remote.ts'
import { clock, smallSpec, testLab, type TestLab } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { longest as longestRun } from './lab-contenders.ts'
import { lifeOf } from './lab-world.ts'
import { type Bench, type BenchResult, median } from './result.ts'

const guests = 5
/** @unit Mbit/s */
const capacity = 30
/** @unit ms */
const rtt = 40
const name = 'bench-downtime'
const setting = 'net.ipv4.tcp_notsent_lowat'
const told = 131_072
/** Each setting is measured once in either direction. */
const order = [
  { policy: 'sequential', set: false },
  { policy: 'sequential', set: true },
  { policy: 'finish-first', set: true },
  { policy: 'finish-first', set: false },
] as const
const policies = [...new Set(order.map(({ policy }) => policy))]
/** Guests settle: their first ticks, their fill. */
const restFor = ms(4_000)

interface Run {
  readonly policy: string
  readonly set: boolean
  readonly lowat: number
  readonly makespanMs: number
  readonly downtimesMs: readonly number[]
  readonly alive: number
  readonly missing: number
  readonly repeated: number
  readonly longestGapMs: number
}

export const downtime: Bench = {
  question: `${guests} idle guests, ${capacity} Mbit/s, ${rtt} ms: how long they stand still, and what ${setting}=${told} at the sender makes of it`,
  async run(onProgress) {
    onProgress(`bringing up ${guests} guests`)
    const lab = await testLab(smallSpec(name, guests, { capacity, rtt }))
    const runs: Run[] = []
    try {
      await clock.sleep(restFor, new AbortController().signal)
      let [from, to]: [SiteId, SiteId] = [siteId('a'), siteId('b')]
      for (const { policy, set } of order) {
        const run = await oneRun(lab, policy, set, from, to)
        runs.push(run)
        onProgress(
          `${policy}, ${setting} ${run.lowat}: longest downtime ${showTime(longestOf(run))}, makespan ${showTime(run.makespanMs)}, ${run.alive} alive`,
        )
        ;[from, to] = [to, from]
      }
    } finally {
      await lab.down()
    }
    return resultOf(runs)
  },
}

async function oneRun(lab: TestLab, policy: string, set: boolean, from: SiteId, to: SiteId): Promise<Run> {
  const never = new AbortController().signal
  const sender = namespaceRemote(hostNamespace(name, hostId(`${from}-1`)))
  const read = async (): Promise<number> => Number(await runOk(sender, ['sysctl', '-n', setting], {}, never))
  const write = (value: number) => runOk(sender, ['sysctl', '-q', '-w', `${setting}=${value}`], {}, never)
  const own = await read()
  if (set) await write(told)
  try {
    const lowat = await read()
    lab.life.baseline()
    const before = lab.life.report(Number.POSITIVE_INFINITY)
    const args = ['evacuate', from, '--to', to, '--policy', policy, '--yes', '-o', 'json']
    const { stdout, stderr, code } = await startLifeboat(['--config', lab.config, ...args], {}, longestRun).done
    if (code !== 0) throw new Error(`${policy} ended with ${code}: ${stderr}`)
    const { summary, vms } = reportFrom(stdout)
    const { alive, missing, repeated, longestGap } = await lifeOf(lab, before, never)
    return {
      policy,
      set,
      lowat,
      makespanMs: summary.makespanMs ?? Number.NaN,
      downtimesMs: vms.map(({ downtimeMs }) => downtimeMs ?? Number.NaN),
      alive,
      missing,
      repeated,
      longestGapMs: longestGap,
    }
  } finally {
    if (set) await write(own)
  }
}

const longestOf = ({ downtimesMs }: Run): number => Math.max(...downtimesMs)
const isWell = ({ alive, missing, repeated }: Run): boolean => alive === guests && missing === 0 && repeated === 0

function resultOf(runs: readonly Run[]): BenchResult {
  const pairs = policies.map(policy => {
    const one = (set: boolean): Run => {
      const run = runs.find(each => each.policy === policy && each.set === set)
      if (run === undefined) throw new Error(`${policy} was not measured`)
      return run
    }
    const [without, withIt] = [one(false), one(true)]
    const ratio = (of: (run: Run) => number): number => of(withIt) / of(without)
    return {
      policy,
      without,
      withIt,
      longest: ratio(longestOf),
      median: ratio(run => median(run.downtimesMs)),
      makespan: ratio(run => run.makespanMs),
    }
  })
  const cells = (run: Run): readonly string[] => [
    run.policy,
    String(run.lowat),
    showTime(longestOf(run)),
    showTime(median(run.downtimesMs)),
    showTime(run.makespanMs),
    isWell(run) ? 'all' : `${run.alive}, ticks amiss`,
  ]
  const right = 'right' as const
  return {
    columns: [
      { title: 'policy' },
      { title: setting, align: right },
      { title: 'longest downtime', align: right },
      { title: 'median downtime', align: right },
      { title: 'makespan', align: right },
      { title: 'alive' },
    ],
    rows: pairs.flatMap(pair => [
      cells(pair.without),
      cells(pair.withIt),
      ['', 'ratio', pair.longest.toFixed(2), pair.median.toFixed(2), pair.makespan.toFixed(2), ''],
    ]),
    figures: {
      ...Object.fromEntries(
        pairs.map(({ policy, longest, median: middle, makespan }) => [
          policy,
          { longestDowntimeRatio: longest, medianDowntimeRatio: middle, makespanRatio: makespan },
        ]),
      ),
      everyGuestAlive: runs.every(isWell),
      runs,
    },
    verdict: `every guest alive by its ticks: ${runs.every(isWell) ? 'yes' : 'no'}, in ${runs.length} runs of ${guests}`,
  }
}
