/** What if lifeboat.yaml is wrong: generated worlds in which a capacity is not stated, or half or double, or a stream gets little and nobody said so. */
import type { Path } from '../src/core/inventory/snapshot.ts'
import { generateWorld, pathKinds } from '../src/core/sim/generate.ts'
import { rehearse } from '../src/core/sim/rehearse.ts'
import type { PathChange, Timeline } from '../src/core/sim/timeline.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import type { Bench } from './result.ts'

const ours = 'finish-first'
const fixed = [1, 2, 4, 8, 16].map(n => `fixed:${n}`)
const worldsOf = Number(process.env['WORLDS'] ?? 70)

interface Wrong {
  /** What the inventory says of a path. */
  readonly says: (path: Path) => Partial<Path>
  /** What it is beside. */
  readonly is: (path: Path) => PathChange
}
const times = (path: Path, factor: number): Partial<Path> =>
  path.capacity === undefined ? {} : { capacity: bytesPerSecond(path.capacity * factor) }
const wrongs: Readonly<Record<string, Wrong>> = {
  'capacity not stated': { says: () => ({ capacity: undefined }), is: () => ({}) },
  'a stream gets 15 %, not stated': {
    says: () => ({}),
    is: ({ capacity }) => (capacity === undefined ? {} : { perFlow: bytesPerSecond(capacity * 0.15) }),
  },
  'half is stated': { says: path => times(path, 0.5), is: () => ({}) },
  'double is stated': { says: path => times(path, 2), is: () => ({}) },
  '0.05 % is lost, not stated': { says: () => ({}), is: () => ({ loss: fraction(0.0005) }) },
}

interface Outcome {
  /** When each was home, ascending. @unit ms */
  readonly landings: readonly number[]
  /** @unit ms */
  readonly meanDuration: number
}
interface Row {
  readonly wrong: string
  readonly makespan: number
  readonly duration: number
}

function lived(n: number): Row {
  const world = generateWorld({
    endangered: 1,
    safe: 1 + (n % 3 === 0 ? 1 : 0),
    hosts: 2 + (n % 3),
    vms: [10, 20, 40][n % 3] ?? 10,
    memory: { kind: 'lognormal', median: mebibytes(1024 << (n % 3)), spread: 2 },
    activity: n % 2 === 0 ? { warm: 0, hot: 0 } : { warm: 0.3, hot: 0.05 },
    path: {
      kind: pathKinds[n % pathKinds.length] ?? 'steady',
      capacity: megabitsPerSecond([500, 1000, 2500][Math.floor(n / 2) % 3] ?? 1000),
      rtt: ms([5, 20, 80][n % 3] ?? 20),
    },
    room: 1.5,
    deadline: undefined,
    seed: 9000 + n,
  })
  const [name, wrong] = Object.entries(wrongs)[n % Object.keys(wrongs).length] ?? []
  if (name === undefined || wrong === undefined) throw new Error('nothing is wrong')
  const really: Timeline = world.snapshot.paths.map(path => ({
    at: ms(0),
    jitter: ms(0),
    what: {
      kind: 'path',
      path: [path.from, path.to],
      change: { capacity: path.capacity, ...wrong.is(path) },
    },
  }))
  const paths = world.snapshot.paths.map(path => ({ ...path, perFlow: undefined, ...wrong.says(path) }))
  const rehearsal = {
    snapshot: { ...world.snapshot, paths },
    timeline: [...really, ...world.timeline],
    limits: { maxParallel: undefined, bandwidth: undefined },
    seed: 1,
  }
  const outcome = (policy: string): Outcome => {
    const landed = [...rehearse({ ...rehearsal, policy }).state.migrations.in('landed')]
    const durations = landed.map(({ startedAt, switchedAt }) => switchedAt - startedAt)
    return {
      landings: landed.map(({ switchedAt }) => switchedAt).sort((a, b) => a - b),
      meanDuration: durations.reduce((sum, each) => sum + each, 0) / Math.max(1, durations.length),
    }
  }
  const us = outcome(ours)
  const [best] = fixed
    .map(outcome)
    .sort((a, b) => b.landings.length - a.landings.length || (a.landings.at(-1) ?? 0) - (b.landings.at(-1) ?? 0))
  if (best === undefined) throw new Error('no fixed N was run')
  const both = Math.min(us.landings.length, best.landings.length) - 1
  return {
    wrong: name,
    makespan: (us.landings[both] ?? Number.NaN) / (best.landings[both] ?? Number.NaN),
    duration: best.meanDuration / us.meanDuration,
  }
}

const mean = (values: readonly number[]): number => {
  const known = values.filter(value => Number.isFinite(value) && value > 0)
  return Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / Math.max(1, known.length))
}

export const wrongInventory: Bench = {
  question: `${ours} against the best fixed N in hindsight where lifeboat.yaml is wrong, ${worldsOf} generated worlds`,
  run(onProgress) {
    const rows: Row[] = []
    for (let n = 0; n < worldsOf; n += 1) {
      if (n % 20 === 0) onProgress(`${n} of ${worldsOf}`)
      rows.push(lived(n))
    }
    const right = 'right' as const
    const line = (what: string, of: readonly Row[]): readonly string[] => [
      what,
      String(of.length),
      mean(of.map(({ makespan }) => makespan)).toFixed(2),
      Math.max(...of.map(({ makespan }) => makespan)).toFixed(2),
      mean(of.map(({ duration }) => duration)).toFixed(2),
    ]
    const figures = {
      makespanMean: mean(rows.map(({ makespan }) => makespan)),
      makespanWorst: Math.max(...rows.map(({ makespan }) => makespan)),
      durationTimesShorter: mean(rows.map(({ duration }) => duration)),
      rows,
    }
    return Promise.resolve({
      columns: [
        { title: 'what is wrong' },
        { title: 'worlds', align: right },
        { title: 'makespan to best fixed N', align: right },
        { title: 'worst', align: right },
        { title: 'durations: best fixed to ours', align: right },
      ],
      rows: [
        ...Object.keys(wrongs).map(name =>
          line(
            name,
            rows.filter(row => row.wrong === name),
          ),
        ),
        line('all', rows),
      ],
      figures,
      verdict: `on average ${figures.makespanMean.toFixed(2)} of the makespan of the best fixed N, ${figures.durationTimesShorter.toFixed(2)} times shorter durations`,
    })
  },
}
