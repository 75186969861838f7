/** A path that falls and comes back, beside neighbours or not: how soon it is used, what they keep, and whether the number at a time swings. */
import { settled, type Settled } from '../test/step-worlds.ts'
import { median } from './result.ts'

const widths = [100, 300, 1_000]
const falls = [0.3, 0.5, 0.8]
const backgrounds = [0, 0.05, 0.1, 0.2]
const times = [27_100, 33_300, 41_700]

const asked = { settles: 20, kept: 0.9, most: 2 } as const

export interface AfterAStep {
  readonly rows: readonly (readonly string[])[]
  readonly figures: Readonly<Record<string, number>>
}

export function afterAStep(): AfterAStep {
  const all: Settled[] = []
  for (const before of widths)
    for (const fall of falls)
      for (const background of backgrounds)
        for (const at of times) all.push(settled({ before, falls: fall, at, background }))
  const most = (of: (each: Settled) => number): number => Math.max(...all.map(of))
  const figures = {
    stepWorlds: all.length,
    downSecondsWorst: most(({ down }) => down),
    upSecondsMedian: median(all.map(({ up }) => up)),
    upSecondsWorst: most(({ up }) => up),
    neighboursKeepLeast: Math.min(...all.map(({ kept }) => kept)),
    atATimeMost: most(each => each.most),
  }
  const f = figures
  const row = (what: string, limit: string, value: number, good: boolean, digits = 3): readonly string[] => [
    what,
    limit,
    value.toFixed(digits),
    good ? 'yes' : 'NO',
  ]
  return {
    figures,
    rows: [
      row(
        `${all.length} steps: seconds to nine tenths after a fall, worst`,
        '≤ 20',
        f.downSecondsWorst,
        f.downSecondsWorst <= asked.settles,
        1,
      ),
      row('… after a rise, worst', '≤ 20', f.upSecondsWorst, f.upSecondsWorst <= asked.settles, 1),
      row(
        '… of their share neighbours keep, least',
        '≥ 0.9',
        f.neighboursKeepLeast,
        f.neighboursKeepLeast >= asked.kept,
      ),
      row('… at a time, where one fills the path, most', '≤ 2', f.atATimeMost, f.atATimeMost <= asked.most, 0),
    ],
  }
}
