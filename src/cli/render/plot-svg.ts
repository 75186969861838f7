/**
 * A simulated scenario as a picture that stands on its own: who is safe when, under each policy; what each path could carry and what
 * our migrations took of it; and each VM's way out. SVG without scripts or outside parts.
 */
import { stripVTControlCharacters } from 'node:util'
import type { Bar, PathCurve, Recorded, Steps } from '../../core/sim/recording.ts'
import { showRate, showTime } from '../../core/units.ts'

export interface PlotRun {
  readonly policy: string
  readonly recorded: Recorded
}
export interface Plot {
  readonly title: string
  /** All VMs to be brought out. */
  readonly vms: number
  readonly runs: readonly PlotRun[]
}

const width = 960
const left = 86
const right = 24
const plotWidth = width - left - right
/** Colours that are told apart by eyes that see fewer (Okabe and Ito). */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000', '#999999'] as const
const colourOf = (n: number): string => colours[n % colours.length] ?? '#000000'
/** Bars thinner than this are no bars. @unit px */
const thinnest = 1.5
const thickest = 14
const ganttMost = 640
const pathsShown = 6

export function plotSvg({ title, vms, runs }: Plot): string {
  const end = Math.max(1, ...runs.map(({ recorded }) => recorded.end))
  const x = (at: number): number => left + (Math.min(at, end) / end) * plotWidth
  const parts: string[] = []
  let top = 56
  const section = (heading: string, height: number, draw: (top: number) => readonly string[]): void => {
    parts.push(text(left, top - 10, heading, 'h'), ...draw(top), ...timeAxis(x, end, top, height))
    top += height + 64
  }
  section('VMs safe', 220, at => safeCurves(runs, vms, x, at, 220))
  const driven = runs.filter(({ recorded }) => recorded.paths.length > 0 || recorded.bars.length > 0)
  for (const run of driven) {
    const paths = run.recorded.paths.slice(0, pathsShown)
    for (const path of paths)
      section(`${run.policy}: path ${path.name}, carried of what it could`, 110, at =>
        pathCurve(path, run, runs, x, at, 110),
      )
    const hidden = run.recorded.paths.length - paths.length
    if (hidden > 0) parts.push(text(left, top - 40, `… and ${hidden} more paths`, 'n'))
  }
  for (const run of driven) {
    const rows = new Set(run.recorded.bars.map(({ vm }) => vm)).size
    if (rows === 0) continue
    const row = Math.min(thickest, Math.max(thinnest, ganttMost / rows))
    section(`${run.policy}: each VM's way out`, rows * row, at => gantt(run.recorded.bars, row, x, at))
  }
  const height = top
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${fixed(height)}" width="${width}" height="${fixed(height)}" role="img" aria-label="${escape(title)}">`,
    `<style>${style}</style>`,
    `<rect width="100%" height="100%" class="bg"/>`,
    text(left, 24, title, 't'),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

const style = `
text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:17px;font-weight:600}.h{font-weight:600}.n{fill:#666}.r{text-anchor:end}.m{text-anchor:middle}
.bg{fill:#fff}.axis{stroke:#999;stroke-width:1}.grid{stroke:#e4e4e4;stroke-width:1}.curve{fill:none;stroke-width:2}.cap{fill:#e8eef4;stroke:#8aa4bd;stroke-width:1}
@media (prefers-color-scheme:dark){.bg{fill:#14171a}text{fill:#ddd}.n{fill:#999}.axis{stroke:#777}.grid{stroke:#2b3035}.cap{fill:#22303c;stroke:#5b7890}}`

function safeCurves(
  runs: readonly PlotRun[],
  vms: number,
  x: (at: number) => number,
  top: number,
  height: number,
): readonly string[] {
  const y = (count: number): number => top + height - (count / Math.max(1, vms)) * height
  const ticks = niceTicks(vms, 5).filter(Number.isInteger)
  const named = runs.map(({ policy, recorded }, n) => {
    const steps: Steps = [[0, 0], ...recorded.landings.map((at, k) => [at, k + 1] as const)]
    const dash = policy.startsWith('oracle') ? ' stroke-dasharray="5 4"' : ''
    return [
      `<path class="curve" stroke="${colourOf(n)}"${dash} d="${stairs(steps, recorded.end, x, y)}"/>`,
      `<rect x="${fixed(left + 12)}" y="${fixed(top + 10 + n * 17)}" width="14" height="4" fill="${colourOf(n)}"/>`,
      text(left + 32, top + 16 + n * 17, `${policy}: ${recorded.landings.length} of ${vms}`),
    ]
  })
  return [...ticks.flatMap(tick => gridLine(y(tick), String(tick))), ...named.flat()]
}

function pathCurve(
  path: PathCurve,
  run: PlotRun,
  runs: readonly PlotRun[],
  x: (at: number) => number,
  top: number,
  height: number,
): readonly string[] {
  const most = [path.capacity, path.used]
    .flat()
    .reduce((highest, [, value]) => (Number.isFinite(value) ? Math.max(highest, value) : highest), 1)
  const y = (rate: number): number => top + height - (Math.min(rate, most) / most) * height
  const { end } = run.recorded
  const area = (steps: Steps): string =>
    `${stairs(steps, end, x, y)}V${fixed(top + height)}H${fixed(x(steps[0]?.[0] ?? 0))}Z`
  const bits = niceTicks((most * 8) / 1e6, 4).map(mbit => (mbit * 1e6) / 8)
  return [
    ...bits.flatMap(rate => gridLine(y(rate), showRate(rate))),
    `<path class="cap" d="${area(path.capacity)}"/>`,
    `<path fill="${colourOf(runs.indexOf(run))}" fill-opacity="0.55" d="${area(path.used)}"/>`,
  ]
}

function gantt(bars: readonly Bar[], row: number, x: (at: number) => number, top: number): readonly string[] {
  const order = [...new Set([...bars].sort((a, b) => a.from - b.from).map(({ vm }) => vm))]
  const at = new Map(order.map((vm, n) => [vm, top + n * row]))
  const thick = Math.max(1, row - (row > 4 ? 2 : 0))
  const rect = (from: number, to: number, y: number, colour: string, hint: string): string =>
    `<rect x="${fixed(x(from))}" y="${fixed(y)}" width="${fixed(Math.max(0.5, x(to) - x(from)))}" height="${fixed(thick)}" fill="${colour}"><title>${escape(hint)}</title></rect>`
  const colour = { safe: '#009e73', failed: '#d55e00', open: '#999999' } as const
  return [
    ...bars.flatMap(({ vm, from, switched, to, ended }) => {
      const y = at.get(vm) ?? top
      const hint = `${vm}: ${showTime(from)} to ${showTime(to)}, ${ended}`
      const whole = rect(from, to, y, colour[ended], hint)
      return switched === undefined ? [whole] : [whole, rect(switched, to, y, '#222222', `${vm}: switchover`)]
    }),
    ...(row >= 10 ? order.map(vm => text(left - 6, (at.get(vm) ?? top) + row - 3, shorten(vm), 'n r')) : []),
  ]
}

const shorten = (name: string): string => (name.length > 12 ? `${name.slice(0, 11)}…` : name)

function timeAxis(x: (at: number) => number, end: number, top: number, height: number): readonly string[] {
  const base = top + height
  const ticks = niceTicks(end / 1000, 8, [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400])
  return [
    `<path class="axis" d="M${left} ${fixed(base)}H${left + plotWidth}"/>`,
    ...ticks.map(second => text(x(second * 1000), base + 16, showTick(second), 'n m')),
  ]
}

const showTick = (second: number): string =>
  second === 0
    ? '0'
    : second < 60
      ? `${Number(second.toPrecision(3))} s`
      : second % 60 === 0
        ? `${second / 60} min`
        : showTime(second * 1000)

/** What is smaller than this on a scale is 0. */
const leastScale = 1e-12

/** 0 and up to about `wanted` round steps, up to `most`. */
export function niceTicks(most: number, wanted: number, rounds?: readonly number[]): readonly number[] {
  if (most < leastScale) return [0]
  const rough = most / wanted
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step =
    rounds?.find(round => round >= rough) ??
    [1, 2, 5, 10].map(factor => factor * magnitude).find(candidate => candidate >= rough * 0.999) ??
    magnitude * 10
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, n) => Number((n * step).toPrecision(12)))
}

/** A path through steps: level until the next, then up or down. */
const stairs = (steps: Steps, end: number, x: (at: number) => number, y: (value: number) => number): string => {
  const [first] = steps
  if (first === undefined) return ''
  const moves = steps.slice(1).map(([at, value]) => `H${fixed(x(at))}V${fixed(y(value))}`)
  return `M${fixed(x(first[0]))} ${fixed(y(first[1]))}${moves.join('')}H${fixed(x(end))}`
}

const gridLine = (y: number, label: string): readonly string[] => [
  `<path class="grid" d="M${left} ${fixed(y)}H${left + plotWidth}"/>`,
  text(left - 6, y + 4, label, 'n r'),
]
const text = (x: number, y: number, words: string, kind = ''): string =>
  `<text x="${fixed(x)}" y="${fixed(y)}"${kind === '' ? '' : ` class="${kind}"`}>${escape(words)}</text>`
const fixed = (n: number): string => String(Number(n.toFixed(1)))
const escape = (words: string): string =>
  stripVTControlCharacters(words)
    .replaceAll(/\p{Cc}/gu, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
