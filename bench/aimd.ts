/** Looks for the constants that serve the `aimd` rival best, on generated worlds of every kind of path: it is to be beaten at its best. */
import { aimdConstants } from '../src/core/policy/aimd.ts'
import { generateWorld, pathKinds, type WorldSpec } from '../src/core/sim/generate.ts'
import { rehearse, sidesOf, timelineOf } from '../src/core/sim/rehearse.ts'
import { simulatedReport } from '../src/core/sim/sim-report.ts'
import { mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import type { Bench } from './result.ts'

const seeds = [1, 2, 3, 4, 5]
const sizes = [10, 40]
const grid = {
  every: [2_000, 5_000, 10_000],
  gain: [0.02, 0.05, 0.1],
  cut: [0.5, 0.75],
  fall: [0.25],
  rest: [0, 6, 12],
} as const
const shown = 8

const specs: readonly WorldSpec[] = pathKinds.flatMap(kind =>
  sizes.flatMap(vms =>
    seeds.map(seed => ({
      endangered: 1,
      safe: 1,
      hosts: 4,
      vms,
      memory: { kind: 'lognormal', median: mebibytes(2048), spread: 2 } as const,
      activity: { warm: 0.3, hot: 0.05 },
      path: { kind, capacity: megabitsPerSecond(1000), rtt: ms(30) },
      room: 1.5,
      deadline: undefined,
      seed,
    })),
  ),
)

/** Geometric means over all worlds: of J, and of what it is made of. */
function scored(policy: string): { readonly j: number; readonly safe: number } {
  let logs = 0
  let count = 0
  let safe = 0
  for (const spec of specs) {
    const world = generateWorld(spec)
    const rehearsal = { ...world, policy, limits: { maxParallel: undefined, bandwidth: undefined }, seed: spec.seed }
    const sides = sidesOf(world.snapshot)
    const question = { snapshot: world.snapshot, timeline: timelineOf(rehearsal), ...sides, wirePerByte: 1 }
    const { summary } = simulatedReport(rehearse(rehearsal), question)
    safe += summary.safe / summary.vms
    if (summary.j === null) continue
    logs += Math.log(summary.j)
    count += 1
  }
  return { j: Math.exp(logs / count), safe: safe / specs.length }
}

export const aimd: Bench = {
  question: `constants for the aimd rival, on ${specs.length} generated worlds`,
  run(onProgress) {
    const tried = grid.every.flatMap(every =>
      grid.gain.flatMap(gain =>
        grid.cut.flatMap(cut => grid.fall.flatMap(fall => grid.rest.map(rest => ({ every, gain, cut, fall, rest })))),
      ),
    )
    const results = tried.map((constants, n) => {
      if (n % 10 === 0) onProgress(`${n} of ${tried.length}`)
      const { every, gain, cut, fall, rest } = constants
      return { constants, ...scored(`aimd:${every},${gain},${cut},${fall},${rest}`) }
    })
    results.sort((a, b) => b.safe - a.safe || a.j - b.j)
    const inUse = results.findIndex(({ constants }) => JSON.stringify(constants) === JSON.stringify(aimdConstants))
    const right = 'right' as const
    const [best] = results
    return Promise.resolve({
      columns: [
        { title: 'every', align: right },
        { title: 'gain', align: right },
        { title: 'cut', align: right },
        { title: 'rest', align: right },
        { title: 'safe', align: right },
        { title: 'J', align: right },
      ],
      rows: results
        .slice(0, shown)
        .map(({ constants: { every, gain, cut, rest }, safe, j }) => [
          `${every / 1000} s`,
          String(gain),
          String(cut),
          String(rest),
          safe.toFixed(4),
          j.toFixed(3),
        ]),
      figures: { ...best?.constants, bestJ: best?.j ?? Number.NaN, rankInUse: inUse + 1, tried: tried.length },
      verdict: `those in use are number ${inUse + 1} of ${tried.length}`,
    })
  },
}
