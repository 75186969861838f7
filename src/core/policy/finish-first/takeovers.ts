/**
 * A way that nobody waits for any more takes over from the others: what would be home sooner by it, and what waits, or is stuck, on a way
 * on which nothing moves.
 */
import type { HostId, VmId } from '../../ids.ts'
import { bytesToMove } from '../../inventory/vm.ts'
import type { PreCopy, Queued } from '../../migration/migration.ts'
import { showTime } from '../../units.ts'
import type { Intent, PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Queue, Queues } from './queues.ts'
import { circumstancesOf } from './host-guard.ts'
import { optionsFor } from './start-options-for.ts'
import { type Loads, rateOf, waysFrom } from './ways.ts'

/** Taking over is worth it when it is done by this share of the time the other way would take. */
const worthTakingOver = 0.9
/** A way is idle when what it has is through by then. @unit seconds */
const nearlyIdle = 5
/** What is ready on one way already is made ready on another only to be home so much sooner: it takes a process start or two. @unit seconds */
const worthReleasing = 5
/** A path that is silent for so long is taken for cut. @unit ms */
const silentTooLong = 60_000
/** A queue is looked through so far from its end. */
const lookahead = 64
/** … and all queues together so often in a turn, where thousands wait and no place is left. */
const looksAtMost = 512
/** So many are made ready on one way at least (ahead.ts). */
const aheadLeast = 2

interface FreeWay {
  readonly lane: Lane
  readonly hosts: readonly HostId[]
}

const nobody: ReadonlySet<string> = new Set()

export class Takeovers {
  readonly #view: PolicyView
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #loads: Loads
  readonly #isSilent: (lane: Lane) => boolean
  readonly #taken = new Set<string>()
  #looks = 0
  readonly #free = new Map<HostId, readonly FreeWay[]>()

  constructor(view: PolicyView, lanes: Lanes, queues: Queues, loads: Loads, isSilent: (lane: Lane) => boolean) {
    this.#view = view
    this.#lanes = lanes
    this.#queues = queues
    this.#loads = loads
    this.#isSilent = isSilent
  }

  /** One from each queue at most: the first that an idle way brings home sooner than the queue ends. */
  *fromQueues(): Generator<Intent> {
    for (const [key, { lane, bytes, vms, sources }] of this.#queues.byLane) {
      if (lane === undefined || ![...sources].some(source => this.#freeWays(source).length > 0)) continue
      const load = this.#loads.get(key)?.bytes ?? 0
      const isSilent = this.#isSilent(lane)
      const endsAt = isSilent ? Number.POSITIVE_INFINITY : (bytes + load) / rateOf(lane)
      let [found, looked] = [0, 0]
      // When the silent way speaks again, what is small is sooner through it.
      for (const id of isSilent ? this.#largestFirst(vms.slice(-lookahead)) : vms) {
        const m = this.#view.migrations.get(id)
        if (m?.phase !== 'queued' || (m.notBefore !== undefined && m.notBefore > this.#view.now)) continue
        if ((found += 1) > lookahead || (this.#looks += 1) > looksAtMost) break
        // Those that no free way takes do not stand in the way of those behind them.
        if (this.#idleHost(m, m.excluded, lane, nobody, anyhow) === undefined) continue
        if ((looked += 1) > aheadLeast) break
        const size = bytesToMove(this.#view.vmOf(id))
        const sooner = (before: number, way: Lane): boolean => (before + size) / rateOf(way) <= endsAt * worthTakingOver
        const host = this.#idleWay(m, m.excluded, lane, sooner)
        if (host === undefined) continue
        const way = this.#lanes.lane(m.source, host)
        const candidate = {
          vm: id,
          options: optionsFor(this.#view.vmOf(id), way, circumstancesOf(this.#view, this.#lanes, m)),
          prefer: host,
        }
        yield { kind: 'prepare', candidates: [candidate], atMost: 1 }
        break
      }
    }
  }

  /** Whether another way is idle, though others may take it now, and brings it home sooner than its own, which has so many bytes before. */
  isSoonerElsewhere(m: Pick<Queued, 'vm' | 'source' | 'excluded'>, lane: Lane, before: number): boolean {
    return this.#elsewhere(m, lane, before, nobody) !== undefined
  }

  /** Ready ones that would be home sooner by an idle way, the one that waits longest first. */
  *fromReady(): Generator<Intent> {
    const ready = [...this.#view.migrations.in('preparing')]
    if (ready.every(({ source }) => this.#freeWays(source).length === 0)) return
    const after = new Map<string, number>()
    for (const m of ready.reverse()) {
      const lane = this.#lanes.lane(m.source, m.target)
      const size = bytesToMove(this.#view.vmOf(m.vm))
      const behind = (after.get(lane.queue) ?? 0) + size
      after.set(lane.queue, behind)
      if (!m.ready || this.#isSilent(lane)) continue
      const before = (this.#loads.get(lane.queue)?.bytes ?? 0) - behind
      if (before <= 0) continue
      const host = this.#elsewhere(m, lane, before, this.#taken)
      if (host === undefined) continue
      this.#taken.add(this.#lanes.lane(m.source, host).queue)
      const [here, there] = [(before + size) / rateOf(lane), size / rateOf(this.#lanes.lane(m.source, host))]
      const why = `the way to ${host} is idle: home in ${showTime(there * 1000)} by it, in ${showTime(here * 1000)} by the way to ${m.target}`
      yield { kind: 'release', vm: m.vm, why }
    }
  }

  #elsewhere(
    m: Pick<Queued, 'vm' | 'source' | 'excluded'>,
    lane: Lane,
    before: number,
    taken: ReadonlySet<string>,
  ): HostId | undefined {
    if (this.#freeWays(m.source).length === 0) return undefined
    const size = bytesToMove(this.#view.vmOf(m.vm))
    const here = (before + size) / rateOf(lane)
    return this.#idleHost(m, m.excluded, lane, taken, (load, way) => {
      const there = (load + size) / rateOf(way)
      return isNearlyIdle(load, way) && there <= here * worthTakingOver && there + worthReleasing <= here
    })
  }

  /** Ready ones that wait for a way on which nothing moves, while another is idle. */
  *fromSilentWays(): Generator<Intent> {
    const preparing = [...this.#view.migrations.in('preparing')].map(({ vm }) => vm)
    for (const id of this.#largestFirst(preparing)) {
      const m = this.#view.migrations.get(id)
      if (m?.phase !== 'preparing' || !m.ready) continue
      const lane = this.#lanes.lane(m.source, m.target)
      if (!this.#isSilent(lane) || this.#idleWay(m, m.excluded, lane, isNearlyIdle) === undefined) continue
      yield { kind: 'release', vm: m.vm, why: `nothing moves on the way to ${m.target}, and another is idle` }
    }
  }

  /** … and those through which nothing goes. What was sent of them is lost, so they are given some time. */
  *fromSilence(silentFor: (m: PreCopy) => number): Generator<Intent> {
    for (const m of this.#view.migrations.in('pre-copy')) {
      const silence = silentFor(m)
      if (silence < silentTooLong || m.cancelling !== undefined || m.switching) continue
      const lane = this.#lanes.lane(m.source, m.target)
      if (!this.#isSilent(lane) || this.#idleWay(m, [...m.excluded, m.target], lane, isNearlyIdle) === undefined)
        continue
      const why = `nothing went through for ${showTime(silence)}, and another way is idle`
      yield { kind: 'cancel', vm: m.vm, why, again: 'elsewhere' }
    }
  }

  #largestFirst(vms: readonly VmId[]): readonly VmId[] {
    const size = (vm: VmId): number => bytesToMove(this.#view.vmOf(vm))
    return [...vms].sort((a, b) => size(b) - size(a))
  }

  /** … and takes it. */
  #idleWay(
    m: { readonly vm: VmId; readonly source: HostId },
    excluded: readonly HostId[],
    instead: Lane,
    goodEnough: (before: number, lane: Lane) => boolean,
  ): HostId | undefined {
    const host = this.#idleHost(m, excluded, instead, this.#taken, goodEnough)
    if (host !== undefined) this.#taken.add(this.#lanes.lane(m.source, host).queue)
    return host
  }

  #idleHost(
    { vm: id, source }: { readonly vm: VmId; readonly source: HostId },
    excluded: readonly HostId[],
    instead: Lane,
    taken: ReadonlySet<string>,
    goodEnough: (before: number, lane: Lane) => boolean,
  ): HostId | undefined {
    for (const { lane, hosts } of this.#freeWays(source)) {
      if (lane.queue === instead.queue || taken.has(lane.queue)) continue
      if (!goodEnough(this.#loads.get(lane.queue)?.bytes ?? 0, lane)) continue
      const { memory } = this.#view.vmOf(id)
      const host = hosts.find(
        each => !excluded.includes(each) && this.#view.freeAt(each) >= memory && this.#view.mayGo(id, each),
      )
      if (host !== undefined) return host
    }
    return undefined
  }

  /** Ways out of a host that nobody waits for, and for which no two are ready. */
  #freeWays(source: HostId): readonly FreeWay[] {
    const known = this.#free.get(source)
    if (known !== undefined) return known
    const free = waysFrom(this.#view, source).flatMap(hosts => {
      const [first] = hosts
      if (first === undefined) return []
      const lane = this.#lanes.lane(source, first)
      const isFree =
        !this.#isSilent(lane) &&
        !isAwaited(this.#view, this.#queues.byLane.get(lane.queue)) &&
        (this.#loads.get(lane.queue)?.count ?? 0) < aheadLeast
      return isFree ? [{ lane, hosts }] : []
    })
    this.#free.set(source, free)
    return free
  }
}

const anyhow = (): boolean => true

const isNearlyIdle = (before: number, lane: Lane): boolean => before / rateOf(lane) <= nearlyIdle

const isAwaited = (view: PolicyView, queue: Queue | undefined): boolean =>
  queue?.vms.some(vm => view.migrations.get(vm)?.phase === 'queued') === true
