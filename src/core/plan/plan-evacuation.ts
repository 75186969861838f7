/** The plan: in the policy's order, each VM to the host that the policy's way of spreading finds, times from what paths are known to carry. */
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import type { HostId, SiteId } from '../ids.ts'
import { hostsOfSite, type Path, pathBetween, type Snapshot, vmsOfSite, wayBetween } from '../inventory/snapshot.ts'
import { bytesToMove, mayNotMove, type Vm, writesOf } from '../inventory/vm.ts'
import { bytes, type BytesPerSecond, type Milliseconds, ms } from '../units.ts'
import { freeMemory, openLedger, reserve } from './ledger.ts'
import { inOrder, type Order } from './order.ts'
import { acceptable, place, type PlacementView } from './placement.ts'
import type { Plan, PlannedMove, Unplaced } from './plan.ts'

export interface PlanRequest {
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly policy: string
  /** Migrations at one time; `Infinity` for all. */
  readonly slots: number
  readonly bandwidth: BytesPerSecond | undefined
  /** @default as the inventory has them */
  readonly order?: Order
}

export function planEvacuation(request: PlanRequest): Plan {
  const { snapshot, endangered, order = 'inventory' } = request
  const ways = new Ways(request)
  const all = endangered.flatMap(site => vmsOfSite(snapshot, site))
  const inTurn = inOrder(all, order, vm => ways.best(vm.host))
  const first = assign(request, inTurn)
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

/** Each in turn to a host that will do. Who is first has the choice. */
function assign(request: PlanRequest, vms: readonly Vm[]): Assignment {
  const { snapshot, endangered, targets, order = 'inventory' } = request
  const ways = new Ways(request)
  let ledger = openLedger(snapshot)
  const placed: Placed[] = []
  const unplaced: Unplaced[] = []
  const down = new Map(snapshot.unreachable.map(({ host, why }) => [host, why]))
  for (const vm of vms) {
    const detail = mayNotMove(vm)
    if (detail !== undefined) {
      unplaced.push({ vm: vm.id, failure: { code: 'may-not-move', detail } })
      continue
    }
    const view = { snapshot, ledger, endangered, targets, down, excluded: [] }
    const wished = order === 'inventory' ? undefined : ways.soonest(vm, view)
    const placement = place(vm, view, wished)
    if (placement.placed) {
      ledger = reserve(ledger, placement.host, vm.memory)
      ways.load(vm, placement.host)
      placed.push({ vm, target: placement.host })
    } else {
      unplaced.push({ vm: vm.id, failure: { code: 'no-target', refusals: placement.refusals } })
    }
  }
  return { placed, unplaced }
}

/**
 * The same VMs in the same order, to hosts by which all ways out end at about the same time: dealt out from the largest to the smallest
 * (Graham's rule). Only where that finds a place for each of them.
 */
function balanced(request: PlanRequest, { placed }: Assignment): readonly Placed[] {
  const largestFirst = placed.map(({ vm }) => vm).sort((a, b) => bytesToMove(b) - bytesToMove(a))
  const dealt = assign(request, largestFirst)
  if (dealt.placed.length < placed.length) return placed
  const target = new Map(dealt.placed.map(each => [each.vm, each.target]))
  return placed.map(each => ({ ...each, target: target.get(each.vm) ?? each.target }))
}

/** List scheduling: each VM takes the slot that is free first, and its share of the path. Slots are of all, or of each way out. */
function schedule(request: PlanRequest, placed: readonly Placed[]): PlannedMove[] {
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

interface Open {
  readonly host: HostId
  readonly path: Path | undefined
}

/** What each path has been given to carry so far, so that no way out is crowded while another is empty. */
class Ways {
  readonly #request: PlanRequest
  readonly #busy = new Map<Path, number>()
  readonly #best = new Map<HostId, number>()
  readonly #open = new Map<string, readonly Open[]>()

  constructor(request: PlanRequest) {
    this.#request = request
  }

  /** The most that a VM of this host could get. @unit bytes per second */
  best(from: HostId): number {
    const known = this.#best.get(from)
    if (known !== undefined) return known
    const { snapshot, targets } = this.#request
    const paths = targets.flatMap(site => hostsOfSite(snapshot, site).map(to => pathBetween(snapshot, from, to.id)))
    const rates = paths.map(path => path?.capacity ?? Number.POSITIVE_INFINITY)
    const most = rates.length === 0 ? Number.POSITIVE_INFINITY : rates.reduce((a, b) => Math.max(a, b))
    this.#best.set(from, most)
    return most
  }

  /** Of hosts that would do, the one to which it gets soonest; of those alike the emptiest. */
  soonest(vm: Vm, view: PlacementView): HostId | undefined {
    let found: { readonly host: HostId; readonly at: number; readonly free: number } | undefined
    for (const { host, path } of this.#openTo(vm, view)) {
      const free = freeMemory(view.ledger, host)
      if (vm.memory > free) continue
      const at = this.#doneBy(vm, path)
      if (found === undefined || at < found.at || (at === found.at && free > found.free)) found = { host, at, free }
    }
    return found?.host
  }

  /** What refuses a VM for other reasons than memory is the same for all that are alike: asked once. */
  #openTo(vm: Vm, view: PlacementView): readonly Open[] {
    const known = this.#open.get(vm.host)
    if (known !== undefined) return known
    const open = acceptable({ ...vm, memory: bytes(0) }, view).map(({ id }) => ({
      host: id,
      path: pathBetween(this.#request.snapshot, vm.host, id),
    }))
    this.#open.set(vm.host, open)
    return open
  }

  load(vm: Vm, to: HostId): void {
    const path = pathBetween(this.#request.snapshot, vm.host, to)
    if (path !== undefined) this.#busy.set(path, this.#doneBy(vm, path))
  }

  #doneBy(vm: Vm, path: Path | undefined): number {
    if (path?.capacity === undefined) return 0
    return (this.#busy.get(path) ?? 0) + bytesToMove(vm) / path.capacity
  }
}
