/**
 * The optimum of the oracle's relaxation (core/sim/oracle.ts) for small worlds, as a mixed-integer program solved by HiGHS: who goes to
 * which host, and how many bytes of it cross in each epoch of the timeline, so that the most value is safe; then the soonest that much
 * can be.
 */
import { loadHighs } from './load-highs.ts'
import type { HostId } from '../core/ids.ts'
import { hostsOfSite, pathBetween, siteOf } from '../core/inventory/snapshot.ts'
import { freeMemory, openLedger } from '../core/plan/ledger.ts'
import { type Epoch, epochsOf, nicOf } from '../core/sim/epochs.ts'
import {
  canLeave,
  type Leaver,
  leaversOf,
  mean,
  meanDurationOf,
  type OracleBound,
  type OracleQuestion,
  oracleBound,
  uplinkOf,
} from '../core/sim/oracle.ts'

/** Bytes of so many VM–host–epoch combinations are decided; beyond it, the proven bound. */
const combinationsAtMost = 3_000
/** One solve; what is not solved by then is bounded instead. @unit s */
const patience = 5
/** The solver works in MiB and seconds: numbers near 1. */
const scale = 2 ** 20

interface Span {
  readonly epoch: Epoch
  /** @unit s */
  readonly lasts: number
}
interface Model {
  readonly question: OracleQuestion
  readonly leavers: readonly Leaver[]
  readonly targets: readonly HostId[]
  readonly spans: readonly Span[]
}
type Goal =
  | { readonly kind: 'most'; readonly measure: Measure }
  /** Reach this much as soon within the last span as can be. */
  | ({ readonly kind: 'soon' } & Wanted)
/** What counts: each VM's value, or each VM. */
type Measure = 'value' | 'count'
interface Wanted {
  readonly measure: Measure
  readonly least: number
}

/** Exact where the world is small enough and the solver is done in time; else the bound. */
export async function oracle(question: OracleQuestion): Promise<OracleBound> {
  const bound = oracleBound(question)
  const model = modelOf(question)
  const { leavers, targets, spans } = model
  if (leavers.length === 0) return { ...bound, kind: 'exact' }
  if (leavers.length * targets.length * spans.length > combinationsAtMost) return bound
  const solve = await loadHighs(patience)
  const value = solve(programOf(model, { kind: 'most', measure: 'value' }))
  const count = solve(programOf(model, { kind: 'most', measure: 'count' }))
  if (value === undefined || count === undefined) return bound
  const safe = Math.round(count)
  const wanted: Wanted = value > 0 ? { measure: 'value', least: value } : { measure: 'count', least: count }
  const makespan = soonest(model, wanted, solve)
  if (makespan === undefined) return bound
  return {
    ...bound,
    kind: 'exact',
    safe,
    value: Math.round(value * 1e6) / 1e6,
    makespan: safe === 0 ? undefined : makespan,
    meanDuration: meanDurationOf(bound.quickest, bound.together, safe),
    meanCompletion: mean(bound.landings.slice(0, safe)),
    landings: bound.landings.slice(0, safe),
    quickest: bound.quickest.slice(0, safe),
    together: bound.together.slice(0, safe),
  }
}

function modelOf(question: OracleQuestion): Model {
  const { snapshot, targets } = question
  const epochs = epochsOf(snapshot, question.timeline)
  const leavers = leaversOf(question, epochs).filter(canLeave)
  const total = leavers.reduce((sum, { wire }) => sum + wire, 0)
  const slowest = Math.min(
    ...epochs.flatMap(({ capacity }) => [...capacity.values()].filter(rate => rate > 0)),
    ...snapshot.hosts.map(host => host.nic ?? Number.POSITIVE_INFINITY),
    ...snapshot.sites.map(site => site.uplink ?? Number.POSITIVE_INFINITY),
  )
  // The last epoch has no end: as long as everything takes over the slowest there is.
  const enough = Number.isFinite(slowest) ? total / slowest + 1 : 1
  return {
    question,
    leavers,
    targets: targets.flatMap(site => hostsOfSite(snapshot, site).map(({ id }) => id)),
    spans: epochs.map(epoch => ({
      epoch,
      lasts: Number.isFinite(epoch.until) ? (epoch.until - epoch.from) / 1000 : enough,
    })),
  }
}

/** The first span within which the value can be reached, and when within it. @unit ms */
function soonest(model: Model, wanted: Wanted, solve: (program: string) => number | undefined): number | undefined {
  let [low, high] = [0, model.spans.length - 1]
  let best: number | undefined
  while (low <= high) {
    const at = Math.floor((low + high) / 2)
    const within = solve(programOf({ ...model, spans: model.spans.slice(0, at + 1) }, { kind: 'soon', ...wanted }))
    if (within === undefined) low = at + 1
    else {
      best = (model.spans[at]?.epoch.from ?? 0) + within * 1000
      high = at - 1
    }
  }
  return best
}

/** In CPLEX LP format: y is who goes where, x what crosses when (MiB), t how long into the last span it takes (s). */
function programOf({ question, leavers, targets, spans }: Model, goal: Goal): string {
  const { snapshot } = question
  const ledger = openLedger(snapshot)
  const y = (i: number, j: number): string => `y_${i}_${j}`
  const x = (i: number, j: number, k: number): string => `x_${i}_${j}_${k}`
  const rows: string[] = []
  const bounds: string[] = []
  /** What shares something in a span, with how much of it there is. */
  const shared = new Map<string, { readonly rate: number; readonly k: number; readonly terms: string[] }>()
  const share = (name: string, k: number, rate: number, term: string): void => {
    if (!Number.isFinite(rate)) return
    const key = `${name} ${k}`
    const known = shared.get(key)
    if (known === undefined) shared.set(key, { rate, k, terms: [term] })
    else known.terms.push(term)
  }
  const all: string[] = []
  leavers.forEach(({ vm, wire, until }, i) => {
    const [size, site] = [wire / scale, siteOf(snapshot, vm.host)]
    const choices: string[] = []
    targets.forEach((to, j) => {
      const path = pathBetween(snapshot, vm.host, to)
      if (path === undefined && snapshot.paths.length > 0) return
      const toSite = siteOf(snapshot, to)
      choices.push(y(i, j))
      const crossings: string[] = []
      spans.forEach(({ epoch }, k) => {
        if (epoch.from >= until || epoch.down.has(to) || epoch.down.has(vm.host)) return
        const rate = path === undefined ? Number.POSITIVE_INFINITY : (epoch.capacity.get(path) ?? 0)
        if (rate <= 0) return
        const term = x(i, j, k)
        crossings.push(term)
        share(`path ${path?.from} ${path?.to}`, k, rate, term)
        share(`out of host ${vm.host}`, k, nicOf(snapshot, vm.host), term)
        share(`into host ${to}`, k, nicOf(snapshot, to), term)
        share(`uplink ${site}`, k, uplinkOf(snapshot, site), term)
        share(`uplink ${toSite}`, k, uplinkOf(snapshot, toSite), term)
      })
      rows.push(`${[...crossings, `- ${number(size)} ${y(i, j)}`].join(' + ').replaceAll('+ -', '-')} = 0`)
    })
    if (choices.length > 0) {
      rows.push(`${choices.join(' + ')} <= 1`)
      all.push(...choices.map(choice => `${number(goal.measure === 'count' ? 1 : vm.value)} ${choice}`))
    }
  })
  targets.forEach((to, j) => {
    const terms = leavers.map(({ vm }, i) => `${number(vm.memory / scale)} ${y(i, j)}`)
    rows.push(`${terms.join(' + ')} <= ${number(freeMemory(ledger, to) / scale)}`)
  })
  const last = spans.length - 1
  for (const { rate, k, terms } of shared.values()) {
    const mib = rate / scale
    const most =
      goal.kind === 'soon' && k === last ? `- ${number(mib)} t <= 0` : `<= ${number(mib * (spans[k]?.lasts ?? 0))}`
    rows.push(`${terms.join(' + ')} ${most}`)
  }
  if (goal.kind === 'soon') {
    rows.push(`${all.join(' + ')} >= ${number(goal.least * (1 - 1e-7))}`)
    bounds.push(`t <= ${number(spans[last]?.lasts ?? 0)}`)
  }
  const objective = goal.kind === 'soon' ? 'Minimize\n obj: t' : `Maximize\n obj: ${all.join(' + ') || '0 t'}`
  const binaries = leavers
    .flatMap((_, i) => targets.map((_to, j) => y(i, j)))
    .filter(name => rows.some(row => row.includes(name)))
  return [
    objective,
    'Subject To',
    ...rows.map((row, n) => ` c${n}: ${row}`),
    'Bounds',
    ...bounds.map(bound => ` ${bound}`),
    'Binary',
    ` ${binaries.join(' ')}`,
    'End',
  ].join('\n')
}

/** LP format knows no exponents without a sign, and no Infinity. */
const number = (n: number): string => n.toPrecision(15).replace(/e\+?/, 'e+').replace('e+-', 'e-')
