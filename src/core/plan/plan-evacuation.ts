/** The plan of a policy that has a fixed number of slots: order of the inventory, emptiest host first, times from what paths are known to carry. */
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import type { HostId, SiteId } from '../ids.ts'
import { pathBetween, type Snapshot, vmsOfSite } from '../inventory/snapshot.ts'
import { bytesToMove, mayNotMove, type Vm } from '../inventory/vm.ts'
import { type BytesPerSecond, type Milliseconds, ms } from '../units.ts'
import { openLedger, reserve } from './ledger.ts'
import { place } from './placement.ts'
import type { Plan, PlannedMove, Unplaced } from './plan.ts'

export interface PlanRequest {
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly policy: string
  /** Migrations at one time; `Infinity` for all. */
  readonly slots: number
  readonly bandwidth: BytesPerSecond | undefined
  /** @default hypervisors that copy no disks */
  readonly copiesDisks?: boolean
}

export function planEvacuation(request: PlanRequest): Plan {
  const { snapshot, endangered, targets, copiesDisks = false } = request
  let ledger = openLedger(snapshot)
  const placed: { readonly vm: Vm; readonly target: HostId }[] = []
  const unplaced: Unplaced[] = []
  const down = new Map(snapshot.unreachable.map(({ host, why }) => [host, why]))
  for (const vm of endangered.flatMap(site => vmsOfSite(snapshot, site))) {
    const detail = mayNotMove(vm)
    if (detail !== undefined) {
      unplaced.push({ vm: vm.id, failure: { code: 'may-not-move', detail } })
      continue
    }
    const placement = place(vm, { snapshot, ledger, endangered, targets, down, excluded: [], copiesDisks }, undefined)
    if (placement.placed) {
      ledger = reserve(ledger, placement.host, vm.memory)
      placed.push({ vm, target: placement.host })
    } else {
      unplaced.push({ vm: vm.id, failure: { code: 'no-target', refusals: placement.refusals } })
    }
  }
  return { policy: request.policy, moves: schedule(request, placed), unplaced }
}

/** List scheduling: each VM takes the slot that is free first, and its share of the path. */
function schedule(
  request: PlanRequest,
  placed: readonly { readonly vm: Vm; readonly target: HostId }[],
): PlannedMove[] {
  const slots = Math.min(request.slots, Math.max(1, placed.length))
  const freeAt = Array.from({ length: slots }, () => 0)
  return placed.map(({ vm, target }) => {
    const slot = freeAt.indexOf(Math.min(...freeAt))
    const start = freeAt[slot] ?? 0
    const rate = shareOfPath(request, vm.host, target, slots)
    const took =
      rate === undefined ? undefined : preCopyDuration(bytesToMove(vm), vm.dirty, rate, vm.policy.maxDowntime)
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
