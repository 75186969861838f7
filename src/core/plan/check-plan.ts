/**
 * The judge of plans: short, slow, obvious. It shares nothing with the planner but the inventory: it replays the plan in time,
 * ends before starts at one instant, and holds every rule at every moment. It judges the planner's plans, a test's, a human's.
 */
import type { HostId, SiteId, VmId } from '../ids.ts'
import { findVm, pathBetween, type Snapshot } from '../inventory/snapshot.ts'
import { mayNotMove } from '../inventory/vm.ts'
import { type Bytes, bytes, showBytes } from '../units.ts'
import type { Plan } from './plan.ts'

export type BrokenRule =
  | { readonly rule: 'unknown-vm'; readonly vm: VmId }
  | { readonly rule: 'unknown-host'; readonly vm: VmId; readonly host: HostId }
  | { readonly rule: 'not-at-source'; readonly vm: VmId; readonly source: HostId; readonly home: HostId }
  | { readonly rule: 'twice'; readonly vm: VmId }
  | { readonly rule: 'forgotten'; readonly vm: VmId }
  | { readonly rule: 'not-endangered'; readonly vm: VmId; readonly host: HostId }
  | { readonly rule: 'target-not-chosen'; readonly vm: VmId; readonly target: HostId }
  | { readonly rule: 'target-endangered'; readonly vm: VmId; readonly target: HostId }
  | { readonly rule: 'no-path'; readonly vm: VmId; readonly source: HostId; readonly target: HostId }
  | { readonly rule: 'may-not-move'; readonly vm: VmId; readonly why: string }
  | { readonly rule: 'ends-before-start'; readonly vm: VmId }
  | {
      readonly rule: 'over-memory'
      readonly target: HostId
      readonly vm: VmId
      readonly need: Bytes
      readonly free: Bytes
    }

export interface PlanQuestion {
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
}

/** @returns every broken rule; an empty list means the plan may run */
export function checkPlan(question: PlanQuestion, plan: Plan): readonly BrokenRule[] {
  return [...checkMoves(question, plan), ...checkCover(question, plan), ...checkMemory(question, plan)]
}

function checkMoves({ snapshot, endangered, targets }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  const hosts = new Map(snapshot.hosts.map(host => [host.id, host]))
  for (const { vm: id, source, target, start, end } of plan.moves) {
    const vm = findVm(snapshot, id)
    const from = hosts.get(source)
    const to = hosts.get(target)
    if (vm === undefined) broken.push({ rule: 'unknown-vm', vm: id })
    if (from === undefined) broken.push({ rule: 'unknown-host', vm: id, host: source })
    if (to === undefined) broken.push({ rule: 'unknown-host', vm: id, host: target })
    if (vm === undefined || from === undefined || to === undefined) continue
    if (vm.host !== source) broken.push({ rule: 'not-at-source', vm: id, source, home: vm.host })
    if (!endangered.includes(from.site)) broken.push({ rule: 'not-endangered', vm: id, host: source })
    if (endangered.includes(to.site)) broken.push({ rule: 'target-endangered', vm: id, target })
    if (!targets.includes(to.site)) broken.push({ rule: 'target-not-chosen', vm: id, target })
    const why = mayNotMove(vm)
    if (why !== undefined) broken.push({ rule: 'may-not-move', vm: id, why })
    if (snapshot.paths.length > 0 && pathBetween(snapshot, source, target) === undefined) {
      broken.push({ rule: 'no-path', vm: id, source, target })
    }
    if (start !== undefined && end !== undefined && end < start) broken.push({ rule: 'ends-before-start', vm: id })
  }
  return broken
}

/** Every VM of the endangered sites is moved once, or its staying has a reason. */
function checkCover({ snapshot, endangered }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  const mentioned = new Map<VmId, number>()
  for (const { vm } of [...plan.moves, ...plan.unplaced]) mentioned.set(vm, (mentioned.get(vm) ?? 0) + 1)
  for (const [vm, times] of mentioned) if (times > 1) broken.push({ rule: 'twice', vm })
  const leaving = new Set(snapshot.hosts.filter(host => endangered.includes(host.site)).map(({ id }) => id))
  for (const vm of snapshot.vms) {
    if (leaving.has(vm.host) && !mentioned.has(vm.id)) broken.push({ rule: 'forgotten', vm: vm.id })
  }
  return broken
}

/** Memory at a target is taken from a move's start; nothing is freed there. Without times, all moves count from the beginning. */
function checkMemory({ snapshot }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  const free = new Map<HostId, number>(snapshot.hosts.map(host => [host.id, host.memory]))
  const take = (host: HostId, size: number): void => void free.set(host, (free.get(host) ?? 0) - size)
  for (const vm of snapshot.vms) take(vm.host, vm.memory)
  type Change = { readonly at: number; readonly release: boolean; readonly host: HostId; readonly vm: VmId }
  const changes: Change[] = plan.moves.flatMap(({ vm, source, target, start, end }) => [
    { at: start ?? 0, release: false, host: target, vm },
    ...(end === undefined ? [] : [{ at: end, release: true, host: source, vm }]),
  ])
  changes.sort((a, b) => a.at - b.at || Number(b.release) - Number(a.release))
  for (const change of changes) {
    const size = findVm(snapshot, change.vm)?.memory ?? 0
    if (change.release) {
      take(change.host, 0 - size)
      continue
    }
    const left = free.get(change.host) ?? 0
    if (size > left) {
      broken.push({
        rule: 'over-memory',
        target: change.host,
        vm: change.vm,
        need: bytes(size),
        free: bytes(Math.max(0, left)),
      })
    }
    take(change.host, size)
  }
  return broken
}

export function showBrokenRule(broken: BrokenRule): string {
  switch (broken.rule) {
    case 'unknown-vm':
      return `${broken.vm}: no such VM in the inventory`
    case 'unknown-host':
      return `${broken.vm}: no such host: ${broken.host}`
    case 'not-at-source':
      return `${broken.vm}: runs on ${broken.home}, the plan takes it from ${broken.source}`
    case 'twice':
      return `${broken.vm}: appears more than once`
    case 'forgotten':
      return `${broken.vm}: is in an endangered site, and the plan says nothing of it`
    case 'not-endangered':
      return `${broken.vm}: its host ${broken.host} is not in an endangered site`
    case 'target-not-chosen':
      return `${broken.vm}: ${broken.target} is not in a target site`
    case 'target-endangered':
      return `${broken.vm}: ${broken.target} is itself in an endangered site`
    case 'no-path':
      return `${broken.vm}: no path from ${broken.source} to ${broken.target}`
    case 'may-not-move':
      return `${broken.vm}: ${broken.why}`
    case 'ends-before-start':
      return `${broken.vm}: ends before it starts`
    case 'over-memory':
      return `${broken.vm}: needs ${showBytes(broken.need)} on ${broken.target}, ${showBytes(broken.free)} free at that moment`
  }
}
