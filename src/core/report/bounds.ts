/**
 * What physics allows at best for a set of VMs and the links between them; every report prints it beside what was reached.
 *
 * - makespan ≥ for every cut, the time to carry through it all that must cross; and ≥ the slowest single VM at its own best rate
 * - mean completion ≥ Σ (n−k+1)·b₍ₖ₎ / (n·B), b ascending: shortest first on one pipe of capacity B
 * - mean duration ≥ mean of bᵢ / min(rᵢ, B)
 * - VMs safe by a deadline T ≤ smallest first until B·T is used
 */
import type { HostId, SiteId } from '../ids.ts'
import { pathBetween, type Snapshot, siteOf } from '../inventory/snapshot.ts'
import type { Plan } from '../plan/plan.ts'
import { type Bytes, bytes, type BytesPerSecond, type Milliseconds, ms, slowest } from '../units.ts'

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
  const into = targets.reduce((sum, site) => sum + slowest(snapshot.sites.find(({ id }) => id === site)?.uplink), 0)
  const total = Math.min(
    into,
    [...outOf.values()].reduce((sum, cut) => sum + cut, 0),
  )
  const siteOfVm = (vm: MustLeave): SiteId | undefined => siteOf(snapshot, vm.source)
  const nicOf = (vm: MustLeave): number => slowest(snapshot.hosts.find(({ id }) => id === vm.source)?.nic)
  const siteCapacity = (vm: MustLeave): number => outOf.get(siteOfVm(vm) ?? ('' as SiteId)) ?? Number.POSITIVE_INFINITY
  const alone = leaving.map(vm => seconds(vm.needed, Math.min(nicOf(vm), siteCapacity(vm), total)))

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

/** What can leave a site towards the targets: its uplink, and its paths together. Infinite where either is not known. */
function siteCut(snapshot: Snapshot, site: SiteId, targets: readonly SiteId[]): number {
  const uplink = slowest(snapshot.sites.find(({ id }) => id === site)?.uplink)
  const hostsThere = snapshot.hosts.filter(host => host.site === site)
  const paths = targets.map(target => {
    const capacities = hostsThere.map(host => {
      const at = snapshot.hosts.find(other => other.site === target)
      return slowest(at === undefined ? undefined : capacityOf(snapshot, host.id, at.id))
    })
    return Math.max(0, ...capacities)
  })
  return Math.min(
    uplink,
    paths.reduce((total, capacity) => total + capacity, 0),
  )
}
const capacityOf = (snapshot: Snapshot, from: HostId, to: HostId): BytesPerSecond | undefined =>
  pathBetween(snapshot, from, to)?.capacity

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
