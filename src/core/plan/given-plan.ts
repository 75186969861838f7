/**
 * A plan that somebody hands in, against the world as it is now: what of it stands, what the judge says, and what it does not speak
 * of. Its order and its targets are kept; its times are forecasts of another moment, so they are made anew.
 *
 * Some gaps may be left open (`--partial`): VMs without a place, VMs the plan says nothing of, VMs that are not there any more. They are
 * left alone, and each keeps its reason in the report. A broken rule is nobody's to wave through.
 */
import type { HostId, VmId } from '../ids.ts'
import { findVm } from '../inventory/snapshot.ts'
import { mayNotMove, type Vm } from '../inventory/vm.ts'
import type { Milliseconds } from '../units.ts'
import { type BrokenRule, checkPlan } from './check-plan.ts'
import { type Ledger, openLedger, reserve } from './ledger.ts'
import { place, type PlacementView } from './placement.ts'
import { type PlanRequest, schedule } from './plan-evacuation.ts'
import type { Plan, PlannedMove, Unplaced } from './plan.ts'

export interface GivenPlan {
  readonly policy: string | undefined
  /** In the order of leaving. */
  readonly moves: readonly {
    readonly vm: VmId
    /** @default where it runs */
    readonly source: HostId | undefined
    readonly target: HostId
    readonly start: Milliseconds | undefined
    readonly end: Milliseconds | undefined
  }[]
  /** Left where they are, because somebody says so. */
  readonly stay: readonly { readonly vm: VmId; readonly reason: string }[]
  /** Had no place when the plan was made. */
  readonly unplaced: readonly VmId[]
}

/** What a plan leaves open; each may be let pass. `wouldGo`: a host that would take it beside all that the plan moves. */
export type Gap =
  | { readonly gap: 'forgotten'; readonly vm: VmId; readonly wouldGo: HostId | undefined }
  /** No place then, but one now; or it might not move then, and may now. */
  | { readonly gap: 'has-a-place-now'; readonly vm: VmId; readonly wouldGo: HostId }
  | { readonly gap: 'gone'; readonly vm: VmId; readonly silent: readonly HostId[] }

export interface Adopted {
  /** As it would run. Its moves are the given ones, less what is gone. */
  readonly plan: Plan
  readonly broken: readonly BrokenRule[]
  readonly gaps: readonly Gap[]
}

/** @param request the question as the planner gets it; its order is not used */
export function adoptPlan(request: PlanRequest, given: GivenPlan): Adopted {
  const { snapshot } = request
  const there = ({ vm }: { readonly vm: VmId }): boolean => findVm(snapshot, vm) !== undefined
  const written = given.moves.map(
    (move): PlannedMove => ({ ...move, source: move.source ?? findVm(snapshot, move.vm)?.host ?? move.target }),
  )
  const moves = written.filter(there)
  const full = moves.reduce((ledger, { vm, target }) => {
    const found = findVm(snapshot, vm)
    return found === undefined ? ledger : reserve(ledger, target, found)
  }, openLedger(snapshot))
  const staying = given.stay.filter(there).map(({ vm, reason }) => stays(vm, `the plan lets it stay: ${reason}`))
  const { unplaced, gaps: opened } = withoutPlace(request, full, given.unplaced)
  // Judged as it is written, times and all, with what is not there any more.
  const rules = checkPlan(request, {
    policy: request.policy,
    moves: written,
    unplaced: [...given.stay.map(({ vm }) => stays(vm, 'stay')), ...given.unplaced.map(vm => stays(vm, 'no place'))],
  })
  const gone = new Map<VmId, Gap>()
  const forgotten: Gap[] = []
  const overlooked: Unplaced[] = []
  const broken: BrokenRule[] = []
  for (const rule of rules) {
    if (rule.rule === 'unknown-vm') gone.set(rule.vm, { gap: 'gone', vm: rule.vm, silent: rule.silent })
    else if (rule.rule !== 'forgotten') broken.push(rule)
    else {
      overlooked.push(unmentioned(request, rule.vm))
      // One that may not move would stay anyway.
      if (mayMove(request, rule.vm))
        forgotten.push({ gap: 'forgotten', vm: rule.vm, wouldGo: wouldGo(request, full, rule.vm) })
    }
  }
  return {
    plan: {
      policy: request.policy,
      moves: schedule(request, placedOf(request, moves)),
      unplaced: [...staying, ...unplaced, ...overlooked],
    },
    // Of a VM that is gone nothing else is worth saying.
    broken: broken.filter(rule => !gone.has(rule.vm)),
    gaps: [...gone.values(), ...forgotten, ...opened],
  }
}

const stays = (vm: VmId, detail: string): Unplaced => ({ vm, failure: { code: 'may-not-move', detail } })

function unmentioned({ snapshot }: PlanRequest, id: VmId): Unplaced {
  const vm = findVm(snapshot, id)
  return stays(id, (vm && mayNotMove(vm)) ?? 'the plan says nothing of it')
}

/** Those the plan had no place for, with the reasons of now. */
function withoutPlace(request: PlanRequest, full: Ledger, ids: readonly VmId[]) {
  const unplaced: Unplaced[] = []
  const gaps: Gap[] = []
  for (const id of ids) {
    const vm = findVm(request.snapshot, id)
    if (vm === undefined) continue
    const why = mayNotMove(vm)
    if (why !== undefined) {
      unplaced.push(stays(id, why))
      continue
    }
    const placement = place(vm, viewOf(request, full), undefined)
    if (placement.placed) {
      gaps.push({ gap: 'has-a-place-now', vm: id, wouldGo: placement.host })
      unplaced.push(stays(id, 'the plan had no place for it'))
    } else unplaced.push({ vm: id, failure: { code: 'no-target', refusals: placement.refusals } })
  }
  return { unplaced, gaps }
}

function mayMove({ snapshot }: PlanRequest, id: VmId): boolean {
  const vm = findVm(snapshot, id)
  return vm !== undefined && mayNotMove(vm) === undefined
}

function wouldGo(request: PlanRequest, full: Ledger, id: VmId): HostId | undefined {
  const vm = findVm(request.snapshot, id)
  if (vm === undefined) return undefined
  const placement = place(vm, viewOf(request, full), undefined)
  return placement.placed ? placement.host : undefined
}

const viewOf = (request: PlanRequest, ledger: Ledger): PlacementView => ({
  snapshot: request.snapshot,
  ledger,
  endangered: request.endangered,
  targets: request.targets,
  down: new Map(request.snapshot.unreachable.map(({ host, why }) => [host, why])),
  excluded: [],
})

const placedOf = ({ snapshot }: PlanRequest, moves: readonly PlannedMove[]) =>
  moves.flatMap(({ vm: id, target }): { vm: Vm; target: HostId }[] => {
    const vm = findVm(snapshot, id)
    return vm === undefined ? [] : [{ vm, target }]
  })

/** A gap in words, with what to write into the plan to close it. */
export function showGap(gap: Gap): string {
  const move = (vm: VmId, to: HostId): string => `put { vm: ${vm}, target: ${to} } under moves:`
  const stay = (vm: VmId): string => `{ vm: ${vm}, reason: "…" } under stay:`
  switch (gap.gap) {
    case 'forgotten': {
      const what = `${gap.vm}: runs in a site that is being left, and the plan says nothing of it (it was taken out, or came since)`
      return gap.wouldGo === undefined
        ? `${what}; to let it stay, put ${stay(gap.vm)}`
        : `${what}; to move it, ${move(gap.vm, gap.wouldGo)}; to let it stay, put ${stay(gap.vm)}`
    }
    case 'has-a-place-now':
      return `${gap.vm}: the plan has no place for it, but ${gap.wouldGo} would take it now; ${move(gap.vm, gap.wouldGo)}, or ${stay(gap.vm)}`
    case 'gone': {
      const { silent } = gap
      const where =
        silent.length === 0
          ? ''
          : `, unless on ${silent.join(', ')}, which ${silent.length === 1 ? 'does' : 'do'} not answer`
      return `${gap.vm}: does not run anywhere any more${where}; take it out of the plan`
    }
  }
}
