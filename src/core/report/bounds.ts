/**
 * What physics allows at best for a set of VMs and the links between them; every report prints it beside what was reached.
 *
 * - makespan ≥ for every cut, the time to carry through it all that must cross; and ≥ the slowest single VM at its own best rate
 * - mean completion ≥ Σ (n−k+1)·b₍ₖ₎ / (n·B), b ascending: shortest first on one pipe of capacity B
 * - mean duration ≥ mean of bᵢ / min(rᵢ, B)
 * - VMs safe by a deadline T ≤ smallest first until B·T is used
 */
import type { HostId, SiteId } from '../ids.ts'
import {
  findHost,
  findSite,
  hostsOfSite,
  type Path,
  pathBetween,
  type Snapshot,
  siteOf,
} from '../inventory/snapshot.ts'
import type { Plan } from '../plan/plan.ts'
import { type Bytes, bytes, type Milliseconds, ms, slowest } from '../units.ts'

export interface MustLeave {
  readonly source: HostId
  /** bᵢ: bytes that must leave at least once. */
  readonly needed: Bytes
}

export interface Bounds {
  /** `undefined` where a capacity is not known: then no bound can be stated. */
  readonly makespan: Milliseconds | undefined
  readonly meanDuration: Milliseconds | undefined
  readonly meanCompletion: Milliseconds | undefined
  readonly maxSafe: number
}

export interface BoundsQuestion {
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly deadline: Milliseconds | undefined
}

/** @param leaving the VMs that were, or are to be, brought out; an empty list has bounds of 0 */
export function boundsOf(question: BoundsQuestion, leaving: readonly MustLeave[]): Bounds {
  const { snapshot, endangered, targets } = question
  const n = leaving.length
  if (n === 0) return { makespan: ms(0), meanDuration: ms(0), meanCompletion: ms(0), maxSafe: 0 }
  const outOf = new Map(endangered.map(site => [site, siteCut(snapshot, site, targets)]))
  const into = targets.reduce((sum, site) => sum + slowest(findSite(snapshot, site)?.uplink), 0)
  const total = Math.min(
    into,
    [...outOf.values()].reduce((sum, cut) => sum + cut, 0),
  )
  const siteOfVm = (vm: MustLeave): SiteId | undefined => siteOf(snapshot, vm.source)
  const nicOf = (vm: MustLeave): number => slowest(findHost(snapshot, vm.source)?.nic)
  const siteCapacity = (vm: MustLeave): number => {
    const site = siteOfVm(vm)
    return (site === undefined ? undefined : outOf.get(site)) ?? Number.POSITIVE_INFINITY
  }
  const bestOf = new Map(
    [...new Set(leaving.map(vm => vm.source))].map(host => [host, bestPath(snapshot, host, targets)]),
  )
  const aloneAt = (vm: MustLeave): number =>
    Math.min(nicOf(vm), siteCapacity(vm), total, bestOf.get(vm.source) ?? Number.POSITIVE_INFINITY)
  const alone = leaving.map(vm => seconds(vm.needed, aloneAt(vm)))

  const cuts = [seconds(sum(leaving), total)]
  for (const [site, capacity] of outOf) cuts.push(seconds(sum(leaving.filter(vm => siteOfVm(vm) === site)), capacity))
  for (const host of new Set(leaving.map(vm => vm.source))) {
    const theirs = leaving.filter(vm => vm.source === host)
    cuts.push(seconds(sum(theirs), theirs[0] === undefined ? Number.POSITIVE_INFINITY : nicOf(theirs[0])))
  }
  const ascending = leaving.map(vm => vm.needed).sort((a, b) => a - b)
  const completion = ascending.reduce((acc, needed, k) => acc + (n - k) * seconds(needed, total), 0) / n

  if (!Number.isFinite(total))
    return { makespan: undefined, meanDuration: undefined, meanCompletion: undefined, maxSafe: n }
  return {
    makespan: finite(Math.max(...cuts, ...alone)),
    meanDuration: finite(alone.reduce((a, b) => a + b, 0) / n),
    meanCompletion: finite(completion),
    maxSafe: question.deadline === undefined ? n : safeBy(ascending, total, question.deadline),
  }
}

/** The bounds of a plan, before anything moved: what its VMs are thought to need. */
export function planBounds(
  snapshot: Snapshot,
  question: Pick<BoundsQuestion, 'endangered' | 'targets'>,
  plan: Plan,
): Bounds {
  const used = new Map(snapshot.vms.map(vm => [vm.id, vm.used]))
  const leaving = plan.moves.map(({ vm, source }) => ({ source, needed: used.get(vm) ?? bytes(0) }))
  return boundsOf({ ...question, snapshot, deadline: snapshot.deadline }, leaving)
}

const sum = (vms: readonly MustLeave[]): number => vms.reduce((total, vm) => total + vm.needed, 0)
const seconds = (size: number, rate: number): number => (size === 0 ? 0 : size / rate)
const finite = (s: number): Milliseconds | undefined => (Number.isFinite(s) ? ms(s * 1000) : undefined)

/**
 * What can leave a site towards the targets: its uplink, and all its different paths together. Where paths are declared, a pair of hosts
 * without one carries nothing. Infinite where what there is has no stated capacity.
 */
function siteCut(snapshot: Snapshot, site: SiteId, targets: readonly SiteId[]): number {
  const uplink = slowest(findSite(snapshot, site)?.uplink)
  if (snapshot.paths.length === 0) return uplink
  const into = snapshot.hosts.filter(host => targets.includes(host.site))
  const paths = new Set<Path>()
  for (const from of hostsOfSite(snapshot, site)) {
    for (const to of into) {
      const path = pathBetween(snapshot, from.id, to.id)
      if (path !== undefined) paths.add(path)
    }
  }
  return Math.min(
    uplink,
    [...paths].reduce((total, path) => total + slowest(path.capacity), 0),
  )
}

/** The most that one VM can use, wherever it goes: it crosses one path. */
function bestPath(snapshot: Snapshot, source: HostId, targets: readonly SiteId[]): number {
  if (snapshot.paths.length === 0) return Number.POSITIVE_INFINITY
  let best = 0
  for (const to of snapshot.hosts) {
    if (!targets.includes(to.site)) continue
    const path = pathBetween(snapshot, source, to.id)
    if (path !== undefined) best = Math.max(best, slowest(path.capacity))
  }
  return best
}

function safeBy(ascending: readonly Bytes[], rate: number, deadline: Milliseconds): number {
  let left = (rate * deadline) / 1000
  let safe = 0
  for (const needed of ascending) {
    left -= needed
    if (left < 0) return safe
    safe += 1
  }
  return safe
}
