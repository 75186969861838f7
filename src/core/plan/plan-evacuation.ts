/** The plan: in the policy's order, each VM to the host that the policy's way of spreading finds, times from what paths are known to carry. */
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import { type Path, pathBetween, type Snapshot, siteOf, vmsOfSite, wayBetween } from '../inventory/snapshot.ts'
import { bytesToMove, mayNotMove, type Vm, writesOf } from '../inventory/vm.ts'
import { type BytesPerSecond, type Milliseconds, ms } from '../units.ts'
import { GroupSites, smallestFirst, unitSize, unitsOf } from './groups.ts'
import { LedgerDraft, openLedger } from './ledger.ts'
import { inOrder, type Order } from './order.ts'
import { place } from './placement.ts'
import type { Plan, PlannedMove, Unplaced } from './plan.ts'
import { Ways } from './ways.ts'

export interface PlanRequest {
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly policy: string
  /** Migrations at one time; `Infinity` for all. */
  readonly slots: number
  readonly bandwidth: BytesPerSecond | undefined
  /** Hosts that will not do for a VM, as a preflight found. @default none */
  readonly barred?: ReadonlyMap<VmId, readonly HostId[]>
  /** @default as the inventory has them */
  readonly order?: Order
}

export function planEvacuation(request: PlanRequest): Plan {
  const { snapshot, endangered, order = 'inventory' } = request
  const ways = new Ways(request)
  const all = endangered.flatMap(site => vmsOfSite(snapshot, site))
  const inTurn = inOrder(all, order, vm => ways.best(vm.host))
  const first = choosyFirstIfBetter(request, inTurn, assignTogether(request, inTurn))
  const { unplaced } = first
  const placed = order === 'inventory' ? first.placed : balanced(request, first)
  return { policy: request.policy, moves: schedule(request, placed), unplaced }
}

interface Placed {
  readonly vm: Vm
  readonly target: HostId
}
interface Assignment {
  readonly placed: readonly Placed[]
  readonly unplaced: readonly Unplaced[]
}

/** Groups to one site each, unless somebody would be left for it. */
function assignTogether(request: PlanRequest, vms: readonly Vm[]): Assignment {
  const together = assign(request, vms)
  if (together.unplaced.length === 0 || vms.every(({ group }) => group === undefined)) return together
  const apart = assign(request, vms, [])
  return apart.unplaced.length < together.unplaced.length ? apart : together
}

/** Each in turn to a host that will do. Who is first has the choice. @param grouped those whose groups are to hold together */
function assign(request: PlanRequest, vms: readonly Vm[], grouped: readonly Vm[] = vms): Assignment {
  const { snapshot, endangered, targets, order = 'inventory' } = request
  const ways = new Ways(request)
  const ledger = new LedgerDraft(openLedger(snapshot))
  const placed: Placed[] = []
  const unplaced: Unplaced[] = []
  const down = new Map(snapshot.unreachable.map(({ host, why }) => [host, why]))
  const groups = new GroupSites(snapshot, grouped)
  for (const vm of vms) {
    const detail = mayNotMove(vm)
    if (detail !== undefined) {
      unplaced.push({ vm: vm.id, failure: { code: 'may-not-move', detail } })
      continue
    }
    const excluded = request.barred?.get(vm.id) ?? []
    const view = { snapshot, ledger, endangered, targets, down, excluded }
    const wished = order === 'inventory' ? undefined : ways.soonest(vm, view, groups.wish(vm, targets, ledger))
    const placement = place(vm, view, wished)
    if (placement.placed) {
      ledger.reserve(placement.host, vm)
      ways.load(vm, placement.host)
      groups.went(vm, siteOf(snapshot, placement.host))
      placed.push({ vm, target: placement.host })
    } else {
      unplaced.push({ vm: vm.id, failure: { code: 'no-target', refusals: placement.refusals } })
    }
  }
  return { placed, unplaced }
}

const isChoosy = ({ policy }: Vm): boolean => policy.targets !== undefined || policy.antiAffinity !== undefined

/**
 * Those that may go to few hosts find them taken by those that may go to any. Where somebody was left without a place, the choosy ones
 * choose first; that counts if it brings out more value, or as much with more VMs. The order of leaving stays.
 */
function choosyFirstIfBetter(request: PlanRequest, inTurn: readonly Vm[], plain: Assignment): Assignment {
  const stranded = plain.unplaced.some(({ failure }) => failure.code === 'no-target')
  if (!stranded || !inTurn.some(isChoosy)) return plain
  const choosy = assign(request, [...inTurn.filter(isChoosy), ...inTurn.filter(vm => !isChoosy(vm))])
  const value = ({ placed }: Assignment): number => placed.reduce((sum, { vm }) => sum + vm.value, 0)
  const gain = value(choosy) - value(plain)
  if (gain < 0 || (gain === 0 && choosy.placed.length <= plain.placed.length)) return plain
  const turn = new Map(inTurn.map(({ id }, at) => [id, at]))
  const byTurn = (a: Vm['id'], b: Vm['id']): number => (turn.get(a) ?? 0) - (turn.get(b) ?? 0)
  return {
    placed: choosy.placed.toSorted((a, b) => byTurn(a.vm.id, b.vm.id)),
    unplaced: choosy.unplaced.toSorted((a, b) => byTurn(a.vm, b.vm)),
  }
}

/**
 * The same VMs in the same order, to hosts by which all ways out end at about the same time: dealt out from the largest to the smallest
 * (Graham's rule), groups as one. Only where that finds a place for each of them.
 */
function balanced(request: PlanRequest, { placed }: Assignment): readonly Placed[] {
  const units = unitsOf(placed.map(({ vm }) => vm)).map(unit => ({ unit, size: unitSize(unit) }))
  const largestFirst = units.sort((a, b) => b.size - a.size).flatMap(({ unit }) => [...smallestFirst(unit)].reverse())
  const dealt = assign(request, largestFirst)
  if (dealt.placed.length < placed.length) return placed
  const target = new Map(dealt.placed.map(each => [each.vm, each.target]))
  return placed.map(each => ({ ...each, target: target.get(each.vm) ?? each.target }))
}

/** List scheduling: each VM takes the slot that is free first, and its share of the path. Slots are of all, or of each way out. */
export function schedule(request: PlanRequest, placed: readonly Placed[]): PlannedMove[] {
  const slots = Math.min(request.slots, Math.max(1, placed.length))
  const together = Array.from({ length: slots }, () => 0)
  const byWay = new Map<Path | undefined, number[]>()
  const slotsFor = (vm: Vm, target: HostId): number[] => {
    if (request.order === undefined || request.order === 'inventory') return together
    const way = wayBetween(request.snapshot, vm.host, target)
    const known = byWay.get(way) ?? Array.from({ length: slots }, () => 0)
    byWay.set(way, known)
    return known
  }
  return placed.map(({ vm, target }) => {
    const freeAt = slotsFor(vm, target)
    const slot = freeAt.indexOf(Math.min(...freeAt))
    const start = freeAt[slot] ?? 0
    const rate = shareOfPath(request, vm.host, target, slots)
    const took =
      rate === undefined ? undefined : preCopyDuration(bytesToMove(vm), writesOf(vm), rate, vm.policy.maxDowntime)
    const end = took === undefined ? Number.POSITIVE_INFINITY : start + took
    freeAt[slot] = end
    return { vm: vm.id, source: vm.host, target, start: finite(start), end: finite(end) }
  })
}

const finite = (time: number): Milliseconds | undefined => (Number.isFinite(time) ? ms(time) : undefined)

function shareOfPath(request: PlanRequest, from: HostId, to: HostId, slots: number): number | undefined {
  const path = pathBetween(request.snapshot, from, to)
  const free = path?.capacity === undefined ? undefined : Math.max(0, path.capacity - (path.background ?? 0))
  const bound = request.bandwidth
  if (free === undefined) return bound === undefined ? undefined : bound / slots
  return Math.min(free, bound ?? free) / slots
}
