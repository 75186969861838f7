/** A plan with what is forecast of it: when each leaves and is home, over what, why in this place; who fits until the deadline; the limits. */
import type { Limits } from '../control/observed.ts'
import { showCrossing } from '../control/water-filling.ts'
import { type Correction, type Spread, uncorrected } from '../forecast/correction.ts'
import { deadlineOf } from '../forecast/deadline.ts'
import { errandAhead, habitsOf, Roads, statedCapacity } from '../forecast/errand.ts'
import { lookAhead } from '../forecast/outlook.ts'
import type { Errand, Outlook } from '../forecast/serve.ts'
import { type Arrival, type Triage, triage } from '../forecast/triage.ts'
import type { VmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { showFailure } from '../migration/failure.ts'
import type { Plan } from '../plan/plan.ts'
import { policyByName } from '../policy/policy-by-name.ts'
import { showBytes, showRate, showTime } from '../units.ts'
import { type Bounds, type BoundsQuestion, planBounds } from './bounds.ts'

export interface MoveForecast {
  readonly vm: VmId
  /** Since the alarm. @unit ms */
  readonly start: Spread
  /** Undefined when no end can be forecast: `why` says why. @unit ms since the alarm */
  readonly end: Spread | undefined
  /** What bounds it: `path sendai – osaka`; undefined when nothing is known of its way. */
  readonly over: string | undefined
  /** What it will get of it. @unit bytes per second */
  readonly rate: number | undefined
  /** What {@link PlanForecast.order} goes by. */
  readonly why: string
}

export interface PlanForecast {
  /** The rule of the order: `quickest first`. */
  readonly order: string
  /** As the plan has them. */
  readonly moves: readonly MoveForecast[]
  /** Of the last; undefined when it cannot be said. */
  readonly end: Spread | undefined
  /** Undefined without a deadline. */
  readonly triage: Triage | undefined
  readonly bounds: Bounds
}

export interface PlanQuestion extends Pick<BoundsQuestion, 'endangered' | 'targets'> {
  readonly snapshot: Snapshot
  readonly policy: string
  readonly limits: Limits
  /** What earlier runs taught. @default nothing */
  readonly correction?: Correction | undefined
}

/** @throws UnknownPolicy */
export function forecastPlan(question: PlanQuestion, plan: Plan): PlanForecast {
  const { snapshot, endangered, limits, correction = uncorrected } = question
  const policy = policyByName(question.policy)
  const habits = habitsOf(policy, limits.maxParallel)
  const roads = new Roads(snapshot, statedCapacity, limits.bandwidth)
  const vms = new Map(snapshot.vms.map(vm => [vm.id, vm]))
  const errands = plan.moves.flatMap(({ vm: id, source, target }) => {
    const vm = vms.get(id)
    return vm === undefined ? [] : [errandAhead({ vm, road: roads.between(source, target), habits, correction })]
  })
  const outlooks = lookAhead(errands, habits)
  const { rule, reason } = reasonsFor(errands, vms, policy.order ?? 'inventory')
  const moves = errands.map((errand): MoveForecast => {
    const { start, end, rate, over } = outlooks.get(errand.vm) ?? unknownWay
    const known = Number.isFinite(rate)
    return {
      vm: errand.vm,
      start,
      end,
      over: known ? showCrossing(over) : undefined,
      rate: known ? rate : undefined,
      why: reason(errand),
    }
  })
  const deadline = deadlineOf(snapshot, endangered)
  const staying = plan.unplaced.map(({ vm, failure }) => ({ vm, why: showFailure(failure) }))
  const arrivals = moves.map((move): Arrival => arrivalOf(move, outlooks.get(move.vm), vms.get(move.vm)))
  return {
    order: rule,
    moves,
    end: lastOf(moves),
    triage: deadline === undefined ? undefined : triage({ deadline, now: 0, home: 0, arrivals, staying }),
    bounds: planBounds(snapshot, question, plan),
  }
}

const unknownWay = { start: { p50: 0, p90: 0 }, end: undefined, rate: Number.POSITIVE_INFINITY, over: '' }

const arrivalOf = (
  { vm, end, over, rate }: MoveForecast,
  outlook: Outlook | undefined,
  its: Vm | undefined,
): Arrival => ({
  vm,
  end,
  why: end === undefined ? whyEndless(vm, over, rate, its) : undefined,
  unknown: rate === undefined,
  over: outlook?.over ?? '',
  capacity: outlook?.capacity ?? Number.POSITIVE_INFINITY,
  load: outlook?.load ?? 0,
})

function whyEndless(vm: VmId, over: string | undefined, rate: number | undefined, its: Vm | undefined): string {
  if (over === undefined || rate === undefined) return `no capacity is stated for the path of ${vm}`
  return rate <= 0 ? `nothing goes through the ${over}` : `${vm} does not end at ${showRate(rate)}${writesOf(its)}`
}

function lastOf(moves: readonly MoveForecast[]): Spread | undefined {
  let last: Spread | undefined
  for (const { end } of moves) {
    if (end === undefined) return undefined
    last = { p50: Math.max(last?.p50 ?? 0, end.p50), p90: Math.max(last?.p90 ?? 0, end.p90) }
  }
  return last
}

/** In the words of the policy's order (plan/order.ts): its value, and how long it has its way if nobody is beside it. */
function reasonsFor(
  errands: readonly Errand[],
  vms: ReadonlyMap<VmId, Vm>,
  order: 'inventory' | 'value-per-time',
): { readonly rule: string; readonly reason: (errand: Errand) => string } {
  if (order === 'inventory') return { rule: 'as listed', reason: () => '' }
  const alike = new Set(errands.map(({ vm }) => vms.get(vm)?.value ?? 1)).size <= 1
  return {
    rule: alike ? 'quickest first' : 'most value for each second first',
    reason: errand => {
      const vm = vms.get(errand.vm)
      const best = errand.crosses.reduce((least, { capacity }) => Math.min(least, capacity), errand.most)
      const value = vm?.value ?? 1
      if (!Number.isFinite(best)) return `${alike ? '' : `value ${value}, `}${showBytes(errand.load)}`
      const alone = errand.lasts(best)
      if (!Number.isFinite(alone)) return `does not end at ${showRate(best)}${writesOf(vm)}`
      if (alike) return `${showTime(alone)} alone`
      return `value ${value} in ${showTime(alone)}: ${((value / Math.max(1, alone)) * 1000).toPrecision(2)}/s`
    },
  }
}

const writesOf = (vm: Vm | undefined): string =>
  vm?.dirty === undefined
    ? ''
    : `, it writes ${showRate(vm.dirty.cold + vm.dirty.hot / Math.max(0.001, vm.dirty.period / 1000))}`

/** For programs: the plan as it is, and beside each move what is forecast of it. Times are milliseconds since the alarm. */
export function planWithForecast(plan: Plan, { order, moves, end, triage: fits, bounds }: PlanForecast) {
  const known = new Map(moves.map(move => [move.vm, move]))
  return {
    ...plan,
    moves: plan.moves.map(move => {
      const found = known.get(move.vm)
      if (found === undefined) return move
      const { start, over, rate, why } = found
      return {
        ...move,
        forecast: {
          start: wholeMs(start),
          end: found.end === undefined ? null : wholeMs(found.end),
          over: over ?? null,
          rate: rate === undefined ? null : Math.round(rate),
          why: why === '' ? order : why,
        },
      }
    }),
    forecast: {
      order,
      end: end === undefined ? null : wholeMs(end),
      verdict: fits?.verdict ?? null,
      deadlineMs: fits?.deadline.at ?? null,
      fit: fits?.fit ?? null,
      atRisk: fits?.atRisk.map(({ vm }) => vm) ?? [],
      willMiss: fits?.late.map(({ vm }) => vm) ?? [],
      bounds: {
        makespanMs: rounded(bounds.makespan),
        meanDurationMs: rounded(bounds.meanDuration),
        meanCompletionMs: rounded(bounds.meanCompletion),
        maxSafe: bounds.maxSafe,
      },
    },
  }
}

const wholeMs = ({ p50, p90 }: Spread) => ({ p50Ms: Math.round(p50), p90Ms: Math.round(p90) })
const rounded = (time: number | undefined): number | null => (time === undefined ? null : Math.round(time))
