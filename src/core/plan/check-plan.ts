/**
 * The judge of plans: short, slow, obvious. It shares nothing with the planner but the inventory: it replays the plan in time,
 * ends before starts at one instant, and holds every rule at every moment. It judges the planner's plans, a test's, a human's.
 */
import type { HostId, PlaceId, SiteId, VmId } from '../ids.ts'
import { findVm, pathBetween, type Snapshot } from '../inventory/snapshot.ts'
import { mayNotMove } from '../inventory/vm.ts'
import { type Bytes, bytes, showBytes } from '../units.ts'
import type { Plan } from './plan.ts'

export type BrokenRule =
  /** `silent`: hosts of the endangered sites that do not answer; it may run there. */
  | { readonly rule: 'unknown-vm'; readonly vm: VmId; readonly silent: readonly HostId[] }
  | { readonly rule: 'unknown-host'; readonly vm: VmId; readonly host: HostId }
  | { readonly rule: 'not-at-source'; readonly vm: VmId; readonly source: HostId; readonly home: HostId }
  | { readonly rule: 'twice'; readonly vm: VmId }
  | { readonly rule: 'forgotten'; readonly vm: VmId }
  | { readonly rule: 'not-endangered'; readonly vm: VmId; readonly host: HostId }
  | { readonly rule: 'target-not-chosen'; readonly vm: VmId; readonly target: HostId }
  | { readonly rule: 'target-endangered'; readonly vm: VmId; readonly target: HostId }
  | {
      readonly rule: 'target-not-allowed'
      readonly vm: VmId
      readonly target: HostId
      readonly allowed: readonly PlaceId[]
    }
  | {
      readonly rule: 'beside'
      readonly vm: VmId
      readonly target: HostId
      readonly beside: VmId
      readonly name: string
    }
  | { readonly rule: 'target-silent'; readonly vm: VmId; readonly target: HostId; readonly why: string }
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
  return [
    ...checkMoves(question, plan),
    ...checkCover(question, plan),
    ...checkMemory(question, plan),
    ...checkCompany(question, plan),
  ]
}

function checkMoves({ snapshot, endangered, targets }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  const hosts = new Map(snapshot.hosts.map(host => [host.id, host]))
  for (const { vm: id, source, target, start, end } of plan.moves) {
    const vm = findVm(snapshot, id)
    const from = hosts.get(source)
    const to = hosts.get(target)
    if (vm === undefined) broken.push({ rule: 'unknown-vm', vm: id, silent: silentHosts({ snapshot, endangered }) })
    if (from === undefined) broken.push({ rule: 'unknown-host', vm: id, host: source })
    if (to === undefined) broken.push({ rule: 'unknown-host', vm: id, host: target })
    if (vm === undefined || from === undefined || to === undefined) continue
    if (vm.host !== source) broken.push({ rule: 'not-at-source', vm: id, source, home: vm.host })
    if (!endangered.includes(from.site)) broken.push({ rule: 'not-endangered', vm: id, host: source })
    if (endangered.includes(to.site)) broken.push({ rule: 'target-endangered', vm: id, target })
    if (!targets.includes(to.site)) broken.push({ rule: 'target-not-chosen', vm: id, target })
    const allowed = vm.policy.targets
    if (allowed?.every(place => place !== to.id && place !== to.site) === true)
      broken.push({ rule: 'target-not-allowed', vm: id, target, allowed })
    const silent = snapshot.unreachable.find(({ host }) => host === target)
    if (silent !== undefined) broken.push({ rule: 'target-silent', vm: id, target, why: silent.why })
    const why = mayNotMove(vm)
    if (why !== undefined) broken.push({ rule: 'may-not-move', vm: id, why })
    if (snapshot.paths.length > 0 && pathBetween(snapshot, source, target) === undefined) {
      broken.push({ rule: 'no-path', vm: id, source, target })
    }
    if (start !== undefined && end !== undefined && end < start) broken.push({ rule: 'ends-before-start', vm: id })
  }
  return broken
}

const silentHosts = ({ snapshot, endangered }: Pick<PlanQuestion, 'snapshot' | 'endangered'>): readonly HostId[] =>
  snapshot.unreachable.flatMap(({ host }) => {
    const site = snapshot.hosts.find(({ id }) => id === host)?.site
    return site !== undefined && endangered.includes(site) ? [host] : []
  })

/** Every VM of the endangered sites is moved once, or its staying has a reason; of others nothing is said. */
function checkCover({ snapshot, endangered }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  const mentioned = new Map<VmId, number>()
  for (const { vm } of [...plan.moves, ...plan.unplaced]) mentioned.set(vm, (mentioned.get(vm) ?? 0) + 1)
  for (const [vm, times] of mentioned) if (times > 1) broken.push({ rule: 'twice', vm })
  const leaving = new Set(snapshot.hosts.filter(host => endangered.includes(host.site)).map(({ id }) => id))
  for (const { vm: id } of plan.unplaced) {
    const vm = findVm(snapshot, id)
    if (vm === undefined) broken.push({ rule: 'unknown-vm', vm: id, silent: silentHosts({ snapshot, endangered }) })
    else if (!leaving.has(vm.host)) broken.push({ rule: 'not-endangered', vm: id, host: vm.host })
  }
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
    const left = free.get(change.host)
    // That there is no such host is another rule.
    if (left === undefined) continue
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

/** From a move's start its VM counts at the target, to its end also at the source. Without times, all moves are at once. */
function checkCompany({ snapshot }: PlanQuestion, plan: Plan): BrokenRule[] {
  const broken: BrokenRule[] = []
  type Stay = { readonly vm: VmId; readonly host: HostId; readonly from: number; readonly to: number }
  const byName = new Map<string, Stay[]>()
  const [always, never] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  const ends = new Map(plan.moves.map(({ vm, end }) => [vm, end]))
  const stays: Stay[] = [
    ...snapshot.vms.map(({ id, host }) => ({ vm: id, host, from: always, to: ends.get(id) ?? never })),
    ...plan.moves.map(({ vm, target, start }) => ({ vm, host: target, from: start ?? 0, to: never })),
  ]
  for (const stay of stays) {
    const name = findVm(snapshot, stay.vm)?.policy.antiAffinity
    if (name === undefined) continue
    const others = byName.get(name) ?? []
    // Who lived together before the evacuation is no fault of the plan's.
    const beside =
      stay.from === always
        ? undefined
        : others.find(other => other.host === stay.host && other.vm !== stay.vm && stay.from < other.to)
    if (beside !== undefined) broken.push({ rule: 'beside', vm: stay.vm, target: stay.host, beside: beside.vm, name })
    others.push(stay)
    byName.set(name, others)
  }
  return broken
}

export function showBrokenRule(broken: BrokenRule): string {
  switch (broken.rule) {
    case 'unknown-vm':
      return `${broken.vm}: no such VM runs anywhere${broken.silent.length === 0 ? '' : `, unless on ${broken.silent.join(', ')}, which ${broken.silent.length === 1 ? 'does' : 'do'} not answer`}`
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
    case 'target-not-allowed':
      return `${broken.vm}: its policy allows only ${broken.allowed.join(', ')}, not ${broken.target}`
    case 'beside':
      return `${broken.vm}: comes to ${broken.target} beside ${broken.beside}, with the same anti-affinity "${broken.name}"`
    case 'target-silent':
      return `${broken.vm}: ${broken.target} does not answer: ${broken.why}`
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
