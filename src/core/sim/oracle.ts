/**
 * What nobody could beat who knew the whole timeline: upper bounds on who is safe when, proven, and cheap for any number of VMs.
 *
 * It is a relaxation of the simulated world: memory is a fluid that can be split and interrupted, every VM sends each byte once, nothing
 * takes time but the crossing. What is bounded there is bounded in the world, because whatever happens in the world could be done in
 * the relaxation. Small worlds get more from src/oracle/ (a mixed-integer program); this one is for the large.
 *
 * - The k-th landing comes no sooner than the k smallest VMs' bytes fit through the cut of the world (capacity over time), nor than the
 *   k-th quickest VM's own best way takes. Crossings take as long as each alone does at best, and all together as long as one at a time at best.
 * - The value safe is no more than that of a fractional knapsack into what each site's cut carries before its power goes, and into the
 *   memory that is free at the targets.
 */
import type { HostId, SiteId } from '../ids.ts'
import {
  findSite,
  hostsOfSite,
  pathBetween,
  type Path,
  type Snapshot,
  siteOf,
  vmsOfSite,
} from '../inventory/snapshot.ts'
import { bytesToMove, mayNotMove, type Vm } from '../inventory/vm.ts'
import { freeMemory, openLedger } from '../plan/ledger.ts'
import { endOf, type Epoch, epochsOf, nicOf } from './epochs.ts'
import { infinite } from './network.ts'
import { wireShare } from './physics/timings.ts'
import type { Timeline } from './timeline.ts'

export interface OracleQuestion {
  readonly snapshot: Snapshot
  readonly timeline: Timeline
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  /** Least bytes on the wire for a byte of memory that any of the rivals may reach; 1 where nobody compresses. */
  readonly wirePerByte: number
}

/** … where somebody at either end can squeeze: what they all can is enough, for a bound. */
export const leastWirePerByte = ({ hosts }: Snapshot): number =>
  Math.min(...hosts.flatMap(({ compressions = [] }) => compressions.map(each => wireShare[each])), 1)

export interface OracleBound {
  /** `exact`: the optimum of the relaxation. `bound`: proven, but perhaps not reachable even there. */
  readonly kind: 'exact' | 'bound'
  /** Most VMs, and most value, that can be safe at the end. */
  readonly safe: number
  readonly value: number
  /** Least time until that many are safe; undefined when nobody can be. @unit ms */
  readonly makespan: number | undefined
  readonly meanDuration: number | undefined
  readonly meanCompletion: number | undefined
  /** The earliest that k+1 VMs can be safe. @unit ms */
  readonly landings: readonly number[]
  /** The least time in which each of the quickest VMs can cross, ascending. @unit ms */
  readonly quickest: readonly number[]
  /** The least that the crossings of so many VMs can take, added up. @unit ms */
  readonly together: readonly number[]
}

/** A VM that could leave, by itself. */
export interface Leaver {
  readonly vm: Vm
  readonly site: SiteId
  /** @unit bytes on the wire */
  readonly wire: number
  /** When its host stops. @unit ms */
  readonly until: number
  /** The least time its crossing takes at the best moment. @unit ms */
  readonly quickest: number
  /** The soonest it could be over if it had the world to itself. @unit ms */
  readonly soonest: number
}

export function oracleBound(question: OracleQuestion): OracleBound {
  const epochs = epochsOf(question.snapshot, question.timeline)
  const leavers = leaversOf(question, epochs).filter(canLeave)
  const landings = landingsOf(question, epochs, leavers)
  const { safe, value } = most(question, epochs, leavers, landings)
  const first = landings.slice(0, safe)
  const quickest = leavers
    .map(leaver => leaver.quickest)
    .sort((a, b) => a - b)
    .slice(0, safe)
  const together = togetherOf(question, epochs, leavers).slice(0, safe)
  return {
    kind: 'bound',
    safe,
    value,
    makespan: first.at(-1),
    meanDuration: meanDurationOf(quickest, together, safe),
    meanCompletion: mean(first),
    landings: first,
    quickest,
    together,
  }
}

/** Each alone is bounded by its quickest crossing, all of them by what they take together. */
export function meanDurationOf(
  quickest: readonly number[],
  together: readonly number[],
  safe: number,
): number | undefined {
  const alone = mean(quickest.slice(0, safe))
  return alone === undefined ? undefined : Math.max(alone, (together[safe - 1] ?? 0) / safe)
}

export const canLeave = ({ soonest, until }: Leaver): boolean => Number.isFinite(soonest) && soonest <= until

export const mean = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length

export function leaversOf(question: OracleQuestion, epochs: readonly Epoch[]): readonly Leaver[] {
  const { snapshot, endangered, targets, wirePerByte } = question
  const ledger = openLedger(snapshot)
  const into = targets.flatMap(site => hostsOfSite(snapshot, site))
  const roomiest = into.reduce((most, { id }) => Math.max(most, freeMemory(ledger, id)), 0)
  const ratesOf = new Map<HostId, readonly number[]>()
  const rates = (from: HostId): readonly number[] => {
    const known = ratesOf.get(from)
    if (known !== undefined) return known
    const ways = waysFrom(question, from)
    const found = epochs.map(epoch => ways.reduce((most, way) => Math.max(most, rateOf(epoch, from, way)), 0))
    ratesOf.set(from, found)
    return found
  }
  return endangered.flatMap(site =>
    vmsOfSite(snapshot, site)
      .filter(vm => mayNotMove(vm) === undefined && vm.memory <= roomiest)
      .map(vm => {
        const wire = bytesToMove(vm) * wirePerByte
        const there = rates(vm.host)
        return {
          vm,
          site,
          wire,
          until: endOf(epochs, vm.host),
          quickest: wire === 0 ? 0 : (wire / Math.max(...there)) * 1000,
          soonest: whenThrough(wire, epochs, (_, at) => there[at] ?? 0),
        }
      }),
  )
}

/** From one host over one path into one site. */
interface Way {
  readonly path: Path | undefined
  readonly hosts: readonly HostId[]
  /** Whatever the path carries. @unit bytes per second */
  readonly most: number
}

function waysFrom({ snapshot, targets }: OracleQuestion, from: HostId): readonly Way[] {
  const own = Math.min(nicOf(snapshot, from), uplinkOf(snapshot, siteOf(snapshot, from)))
  return targets.flatMap(site => {
    const byPath = new Map<Path | undefined, { hosts: HostId[]; most: number }>()
    for (const { id, nic } of hostsOfSite(snapshot, site)) {
      const path = pathBetween(snapshot, from, id)
      if (path === undefined && snapshot.paths.length > 0) continue
      const way = byPath.get(path) ?? { hosts: [], most: 0 }
      byPath.set(path, way)
      way.hosts.push(id)
      way.most = Math.max(way.most, Math.min(nic ?? infinite, uplinkOf(snapshot, site), own))
    }
    return [...byPath].map(([path, way]) => ({ path, ...way }))
  })
}

const isOpen = ({ down }: Epoch, from: HostId, { hosts }: Way): boolean =>
  !down.has(from) && hosts.some(host => !down.has(host))

/** What one VM alone could get. @unit bytes per second */
const rateOf = (epoch: Epoch, from: HostId, way: Way): number =>
  isOpen(epoch, from, way)
    ? Math.min(way.most, way.path === undefined ? infinite : (epoch.capacity.get(way.path) ?? 0))
    : 0

export const uplinkOf = (snapshot: Snapshot, site: SiteId | undefined): number =>
  (site === undefined ? undefined : findSite(snapshot, site)?.uplink) ?? infinite

/** When so many bytes are through, at a rate that differs from epoch to epoch. @unit ms */
function whenThrough(size: number, epochs: readonly Epoch[], rateIn: (epoch: Epoch, at: number) => number): number {
  let left = size
  if (left <= 0) return 0
  for (const [at, epoch] of epochs.entries()) {
    const rate = rateIn(epoch, at)
    if (rate === infinite) return epoch.from
    const needs = rate <= 0 ? infinite : (left / rate) * 1000
    if (epoch.from + needs <= epoch.until) return Math.min(epoch.until, epoch.from + needs)
    if (rate > 0) left -= (rate * (epoch.until - epoch.from)) / 1000
  }
  return infinite
}

/** All that can leave a site towards the targets, as a function of the moment. @unit bytes per second */
function siteCut(question: OracleQuestion, site: SiteId): (epoch: Epoch) => number {
  const { snapshot } = question
  const hosts = hostsOfSite(snapshot, site).map(({ id, nic }) => ({ id, nic, ways: waysFrom(question, id) }))
  const uplink = uplinkOf(snapshot, site)
  return epoch => {
    const paths = new Set<Path | undefined>()
    let nics = 0
    for (const { id, nic, ways } of hosts) {
      const open = ways.filter(way => isOpen(epoch, id, way))
      if (open.length > 0) nics += nic ?? infinite
      for (const { path } of open) paths.add(path)
    }
    let carried = 0
    for (const path of paths) carried += path === undefined ? infinite : (epoch.capacity.get(path) ?? 0)
    return Math.min(nics, carried, uplink)
  }
}

/** All that can enter the targets at one moment. */
function entrance({ snapshot, targets }: OracleQuestion, epoch: Epoch): number {
  return targets.reduce((sum, site) => {
    const nics = hostsOfSite(snapshot, site).reduce(
      (all, { id, nic }) => all + (epoch.down.has(id) ? 0 : (nic ?? infinite)),
      0,
    )
    return sum + Math.min(nics, uplinkOf(snapshot, site))
  }, 0)
}

/** All that can go over in each epoch. @unit bytes per second */
function cutsOf(question: OracleQuestion, epochs: readonly Epoch[]): readonly number[] {
  const sites = question.endangered.map(site => siteCut(question, site))
  return epochs.map(epoch =>
    Math.min(
      entrance(question, epoch),
      sites.reduce((sum, cut) => sum + cut(epoch), 0),
    ),
  )
}

/**
 * While so much goes over, as many are on their way as it takes of the fastest: the durations of all come to the bytes, each divided by what
 * one VM gets at best when it goes over. So all had better cross when one gets most, and no more can than the cut allows.
 */
function togetherOf(question: OracleQuestion, epochs: readonly Epoch[], leavers: readonly Leaver[]): readonly number[] {
  const cuts = cutsOf(question, epochs)
  const hosts = [...new Set(leavers.map(({ vm }) => vm.host))]
  const ways = hosts.map(host => ({ host, ways: waysFrom(question, host) }))
  const best = epochs.map(epoch =>
    ways.reduce((most, from) => from.ways.reduce((m, way) => Math.max(m, rateOf(epoch, from.host, way)), most), 0),
  )
  const fastest = epochs
    .map((epoch, at) => ({ span: epoch.until - epoch.from, rate: best[at] ?? 0, cut: cuts[at] ?? 0 }))
    .filter(({ rate, cut }) => rate > 0 && cut > 0)
    .sort((a, b) => b.rate - a.rate)
  let [took, at, carried] = [0, 0, 0]
  return leavers
    .map(({ wire }) => wire)
    .sort((a, b) => a - b)
    .map(wire => {
      let left = wire
      for (let epoch = fastest[at]; left > 0 && epoch !== undefined; epoch = fastest[at]) {
        const { span, rate, cut } = epoch
        const room = (cut * span) / 1000 - carried
        const goes = Math.min(left, room)
        took += rate === infinite ? 0 : (goes / rate) * 1000
        left -= goes
        carried += goes
        if (left <= 0) break
        at += 1
        carried = 0
      }
      return took
    })
}

function landingsOf(question: OracleQuestion, epochs: readonly Epoch[], leavers: readonly Leaver[]): readonly number[] {
  const cuts = cutsOf(question, epochs)
  const smallest = leavers.map(({ wire }) => wire).sort((a, b) => a - b)
  const soonest = leavers.map(leaver => leaver.soonest).sort((a, b) => a - b)
  let total = 0
  return smallest.map((wire, k) => {
    total += wire
    return Math.max(
      soonest[k] ?? 0,
      whenThrough(total, epochs, (_, at) => cuts[at] ?? 0),
    )
  })
}

function most(
  question: OracleQuestion,
  epochs: readonly Epoch[],
  leavers: readonly Leaver[],
  landings: readonly number[],
): { readonly safe: number; readonly value: number } {
  const { snapshot, endangered, targets } = question
  const ledger = openLedger(snapshot)
  const room = targets
    .flatMap(site => hostsOfSite(snapshot, site))
    .reduce((sum, { id }) => sum + freeMemory(ledger, id), 0)
  const byMemory = leavers.map(({ vm }) => ({ size: vm.memory as number, value: vm.value }))
  let safe = knapsackCount(byMemory, room)
  let value = knapsackValue(byMemory, room)
  let safeBySite = 0
  let valueBySite = 0
  for (const site of endangered) {
    const theirs = leavers.filter(leaver => leaver.site === site)
    const last = theirs.reduce((latest, { until }) => Math.max(latest, until), 0)
    const carries = carriedBy(epochs, last, siteCut(question, site))
    const items = theirs.map(({ vm, wire }) => ({ size: wire, value: vm.value }))
    safeBySite += knapsackCount(items, carries)
    valueBySite += knapsackValue(items, carries)
  }
  safe = Math.min(safe, safeBySite, landings.filter(Number.isFinite).length)
  value = Math.min(value, valueBySite)
  return { safe, value }
}

function carriedBy(epochs: readonly Epoch[], until: number, rateIn: (epoch: Epoch) => number): number {
  let total = 0
  for (const epoch of epochs) {
    const span = Math.min(epoch.until, until) - epoch.from
    const rate = rateIn(epoch)
    if (span > 0 && rate > 0) total += rate * span * 0.001
  }
  return total
}

interface Item {
  readonly size: number
  readonly value: number
}
/** Bytes are counted in doubles: what fits but for rounding fits. */
const slack = 1 + 1e-9

/** Most items that fit: the smallest first. */
function knapsackCount(items: readonly Item[], room: number): number {
  let left = room * slack
  return items
    .map(({ size }) => size)
    .sort((a, b) => a - b)
    .filter(size => (left -= size) >= 0).length
}

/** Dantzig's bound: by value per byte, and a part of the one that does not fit. */
function knapsackValue(items: readonly Item[], room: number): number {
  let left = room * slack
  let value = 0
  const worth = ({ value: v, size }: Item): number => (size === 0 ? infinite : v / size)
  for (const item of [...items].sort((a, b) => worth(b) - worth(a) || 0)) {
    if (item.size <= left) {
      value += item.value
      left -= item.size
    } else {
      value += (item.value * left) / item.size
      break
    }
  }
  return value
}
