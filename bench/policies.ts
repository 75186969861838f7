/** finish-first against its rivals on generated worlds: every kind of path, small and large fleets, idle and hot guests. */
import { generateWorld, type PathKind, pathKinds, type WorldSpec } from '../src/core/sim/generate.ts'
import { rehearse, sidesOf, timelineOf } from '../src/core/sim/rehearse.ts'
import { simulatedReport } from '../src/core/sim/sim-report.ts'
import type { Report } from '../src/core/report/report.ts'
import { mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { afterAStep } from './after-a-step.ts'
import type { Bench } from './result.ts'

const ours = 'finish-first'
const fixed = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32].map(n => `fixed:${n}`)
const others = ['aimd', 'all-at-once', 'kubevirt', 'nova', 'ovirt', 'proxmox'] as const

/** Above this a world is named. */
const makespanMost = 1.05
/** How many times shorter a migration is to be than when all go at once, wherever they share a path. */
const timesShorter = 5.7
const namedAtMost = 20

const activities = [
  { warm: 0, hot: 0 },
  { warm: 0.3, hot: 0.05 },
  { warm: 0.4, hot: 0.25 },
] as const
const sizes = [10, 20, 40, 80, 200] as const
const worldsOf = Number(process.env['WORLDS'] ?? 200)
/** Others than those that figures are told of: FIRST=200 has the next two hundred. */
const firstWorld = Number(process.env['FIRST'] ?? 0)

/** Numbers that wander through all combinations. */
function specs(): readonly WorldSpec[] {
  return Array.from({ length: worldsOf }, (_, of) => firstWorld + of).map(n => ({
    endangered: 1,
    safe: 1 + (n % 3 === 0 ? 1 : 0),
    hosts: 2 + (n % 4),
    vms: sizes[Math.floor(n / 7) % sizes.length] ?? 10,
    memory: { kind: 'lognormal', median: mebibytes(1024 << (n % 3)), spread: 2 } as const,
    activity: activities[Math.floor(n / 3) % activities.length] ?? activities[0],
    path: {
      kind: pathKinds[n % pathKinds.length] ?? 'steady',
      capacity: megabitsPerSecond([500, 1000, 2500][Math.floor(n / 2) % 3] ?? 1000),
      rtt: ms([5, 20, 40, 80][Math.floor(n / 5) % 4] ?? 20),
    },
    room: 1.5,
    deadline: undefined,
    seed: 1000 + n,
  }))
}

interface World {
  readonly kind: PathKind
  readonly vms: number
  /** Nobody writes: what must leave is what must be sent. */
  readonly idle: boolean
  /** All of them leave by the same path. */
  readonly onePath: boolean
  readonly results: ReadonlyMap<string, Report>
}

function lived(spec: WorldSpec): World {
  const world = generateWorld(spec)
  const sides = sidesOf(world.snapshot)
  const base = { ...world, limits: { maxParallel: undefined, bandwidth: undefined }, seed: spec.seed }
  const question = { snapshot: world.snapshot, timeline: timelineOf(base), ...sides, wirePerByte: 1 }
  const results = new Map(
    [ours, ...fixed, ...others].map(policy => [policy, simulatedReport(rehearse({ ...base, policy }), question)]),
  )
  const idle = spec.activity.warm + spec.activity.hot === 0
  return { kind: spec.path.kind, vms: spec.vms, idle, onePath: spec.safe === 1, results }
}

/** The best fixed N in hindsight: most value, then the least makespan. */
function bestFixed({ results }: World): Report {
  const all = fixed.map(policy => results.get(policy)).filter(report => report !== undefined)
  const makespan = ({ summary }: Report): number => summary.makespanMs ?? Number.POSITIVE_INFINITY
  const [best] = all.sort((a, b) => b.summary.valueSafe - a.summary.valueSafe || makespan(a) - makespan(b))
  if (best === undefined) throw new Error('no fixed N was run')
  return best
}

interface Comparison {
  /** Ours to theirs: when each had brought out as many as the lesser of both did. */
  readonly makespan: number
  /** Theirs to ours, over the VMs that both brought out. */
  readonly duration: number
  readonly completion: number
}
interface Crossing {
  readonly duration: number
  readonly completion: number
}

function compared(theirs: Report, our: Report): Comparison {
  const [a, b] = [crossingsOf(theirs), crossingsOf(our)]
  const both = [...a.keys()].filter(vm => b.has(vm))
  const sum = (of: ReadonlyMap<string, Crossing>, part: keyof Crossing): number =>
    both.reduce((total, vm) => total + (of.get(vm)?.[part] ?? 0), 0)
  const nth = (of: ReadonlyMap<string, Crossing>, n: number): number =>
    [...of.values()].map(({ completion }) => completion).sort((x, y) => x - y)[n - 1] ?? Number.NaN
  const n = Math.min(a.size, b.size)
  return {
    makespan: nth(b, n) / nth(a, n),
    duration: sum(a, 'duration') / sum(b, 'duration'),
    completion: sum(a, 'completion') / sum(b, 'completion'),
  }
}

/**
 * How many times shorter than with all at once migrations can be, for whoever uses the only path from the alarm to the end: then somebody
 * is on his way all the time, and the durations of all come to the makespan at least.
 */
function timesToBeHad(all: Report, our: Report): number {
  const { bounds, safe } = our.summary
  return (all.summary.meanDurationMs ?? Number.NaN) / ((bounds.makespanMs ?? Number.NaN) / safe)
}

const crossingsOf = ({ vms }: Report): ReadonlyMap<string, Crossing> =>
  new Map(
    vms.flatMap(({ vm, outcome, startedMs, switchedMs }) =>
      outcome === 'safe' && startedMs !== null && switchedMs !== null
        ? [[vm, { duration: switchedMs - startedMs, completion: switchedMs }] as const]
        : [],
    ),
  )

const mean = (values: readonly number[]): number => {
  const known = values.filter(Number.isFinite)
  return Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / Math.max(1, known.length))
}
const most = (values: readonly number[]): number => values.filter(Number.isFinite).reduce((a, b) => Math.max(a, b), 0)

export const policies: Bench = {
  question: `${ours} against its rivals on ${worldsOf} generated worlds`,
  run(onProgress) {
    const worlds: World[] = []
    for (const [n, spec] of specs().entries()) {
      if (n % 20 === 0) onProgress(`${n} of ${worldsOf}`)
      worlds.push(lived(spec))
    }
    const us = (world: World): Report => world.results.get(ours) ?? bestFixed(world)
    const against = (policy: string): readonly Comparison[] =>
      worlds.map(world => compared(world.results.get(policy) ?? us(world), us(world)))
    const withFixed = worlds.map(world => compared(bestFixed(world), us(world)))
    const makespans = withFixed.map(({ makespan }) => makespan)
    // The bound on durations supposes the path at its best all the time: elsewhere nobody can reach it.
    const attainable = worlds.filter(({ kind }) => kind === 'steady' || kind === 'one-flow')
    const changing = worlds.filter(({ kind }) => kind !== 'steady' && kind !== 'one-flow' && kind !== 'outage')
    const jOf = (world: World): number => us(world).summary.j ?? Number.NaN
    const js = attainable.map(jOf)
    const jsOfIdle = attainable.filter(({ idle }) => idle).map(jOf)
    const jsOfChanging = changing.map(jOf)
    const allAtOnce = against('all-at-once').flatMap(({ duration }, n) => {
      const world = worlds[n]
      const all = world?.results.get('all-at-once')
      if (world?.onePath !== true || all === undefined) return []
      return [{ n, world, duration, attainable: timesToBeHad(all, us(world)) }]
    })
    const longer = allAtOnce.filter(({ duration }) => duration < timesShorter)
    for (const { n, world, duration, attainable: most } of longer)
      onProgress(
        `world ${n} (${world.kind}, ${world.vms} VMs): ${duration.toFixed(2)} times shorter than all at once, ${most.toFixed(2)} can be had`,
      )
    const timesOf = allAtOnce.map(({ duration }) => duration)
    const worse = worlds.flatMap((world, n) =>
      [...world.results].flatMap(([policy, { summary: theirs }]) => {
        const { summary } = us(world)
        return theirs.valueSafe > summary.valueSafe + 1e-6
          ? [
              `world ${n} (${world.kind}, ${world.vms} VMs): ${policy} saves ${theirs.valueSafe} (${theirs.safe} VMs), ours ${summary.valueSafe} (${summary.safe})`,
            ]
          : []
      }),
    )
    for (const line of worse.slice(0, namedAtMost)) onProgress(line)
    for (const [n, { kind, vms }] of worlds.entries()) {
      const slower = makespans[n] ?? 0
      if (slower > makespanMost)
        onProgress(`world ${n} (${kind}, ${vms} VMs): makespan ${slower.toFixed(2)} times that of the best fixed N`)
    }
    const row = (what: string, asked: string, value: number, good: boolean): readonly string[] => [
      what,
      asked,
      value.toFixed(3),
      good ? 'yes' : 'NO',
    ]
    const figures = {
      makespanWorst: most(makespans),
      makespanMean: mean(makespans),
      durationVsFixed: mean(withFixed.map(({ duration }) => duration)),
      completionVsFixed: mean(withFixed.map(({ completion }) => completion)),
      durationVsAimd: mean(against('aimd').map(({ duration }) => duration)),
      completionVsAimd: mean(against('aimd').map(({ completion }) => completion)),
      durationVsAllLeast: timesOf.filter(Number.isFinite).reduce((a, b) => Math.min(a, b), Infinity),
      durationVsAll: mean(timesOf),
      durationVsAllBelow: longer.length,
      durationVsAllBelowAttainable: longer.filter(({ attainable: most }) => most >= timesShorter).length,
      jMean: mean(js),
      jMeanIdle: mean(jsOfIdle),
      jMeanChanging: mean(jsOfChanging),
      jWorst: most(js),
      jWorstIdle: most(jsOfIdle),
      saferRivals: worse.length,
    }
    const f = figures
    for (const kind of pathKinds) {
      const these = worlds.flatMap((world, n) =>
        world.kind === kind ? [{ j: jOf(world), makespan: makespans[n] ?? Number.NaN }] : [],
      )
      const [j, makespan] = [these.map(each => each.j), these.map(each => each.makespan)]
      onProgress(
        `${kind.padEnd(9)} J ${mean(j).toFixed(2)} (worst ${most(j).toFixed(2)}), makespan to best fixed ${mean(makespan).toFixed(3)} (worst ${most(makespan).toFixed(3)})`,
      )
    }
    const right = 'right' as const
    const steps = afterAStep()
    return Promise.resolve({
      columns: [
        { title: '' },
        { title: 'asked', align: right },
        { title: 'measured', align: right },
        { title: 'holds' },
      ],
      rows: [
        row(
          'makespan against the best fixed N in hindsight, worst',
          '≤ 1.05',
          f.makespanWorst,
          f.makespanWorst <= 1.05,
        ),
        row('… on average', '< 1', f.makespanMean, f.makespanMean < 1),
        row('mean duration: best fixed N against ours', '≥ 1.3', f.durationVsFixed, f.durationVsFixed >= 1.3),
        row('mean completion: best fixed N against ours', '≥ 1.3', f.completionVsFixed, f.completionVsFixed >= 1.3),
        row('mean duration: aimd against ours', '≥ 1.5', f.durationVsAimd, f.durationVsAimd >= 1.5),
        row('mean completion: aimd against ours', '≥ 1.5', f.completionVsAimd, f.completionVsAimd >= 1.5),
        row(
          'mean duration: all at once against ours, least',
          `≥ ${timesShorter}`,
          f.durationVsAllLeast,
          f.durationVsAllLeast >= timesShorter,
        ),
        row('… on average', '', f.durationVsAll, true),
        row(`worlds in which it is less than ${timesShorter}`, '0', f.durationVsAllBelow, f.durationVsAllBelow === 0),
        row(
          `… and ${timesShorter} can be had by who uses the path all the time`,
          '0',
          f.durationVsAllBelowAttainable,
          f.durationVsAllBelowAttainable === 0,
        ),
        row('J, mean, on paths that stay as they are', '≤ 1.20', f.jMean, f.jMean <= 1.2),
        row('… of idle guests', '≤ 1.20', f.jMeanIdle, f.jMeanIdle <= 1.2),
        row('J, mean, on paths that change (bound not attainable)', '', f.jMeanChanging, true),
        row('J, worst, on paths that stay as they are', '≤ 1.5', f.jWorst, f.jWorst <= 1.5),
        row('… of idle guests', '≤ 1.5', f.jWorstIdle, f.jWorstIdle <= 1.5),
        row('worlds and rivals in which a rival saves more value', '0', f.saferRivals, f.saferRivals === 0),
        ...steps.rows,
      ],
      figures: { ...figures, ...steps.figures },
      verdict: `${worlds.length} worlds, ${worlds.reduce((sum, { vms }) => sum + vms, 0)} VMs, ${fixed.length + others.length} rivals`,
    })
  },
}
