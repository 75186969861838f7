/** One look at everything that flows or is ready, in order of priority: who gets which rate, who starts, who is called back. */
import { mayTryMore } from '../../forecast/path-capacity.ts'
import { fullness } from '../../forecast/path-signal.ts'
import type { HostId, VmId } from '../../ids.ts'
import type { PreCopy, PostCopy, Preparing, Switchover, Tuning } from '../../migration/migration.ts'
import { usesChannels } from '../../migration/start-options.ts'
import { bytesToMove } from '../../inventory/vm.ts'
import { bytesPerSecond, showTime } from '../../units.ts'
import { whyAdjusted } from '../../report/why-adjusted.ts'
import type { Intent, PolicyView } from '../policy.ts'
import { inSteps } from '../rate-step.ts'
import { ladder } from './ladder.ts'
import { isOverloadedNow } from './host-guard.ts'
import { floor, type Lane, type Lanes } from './lanes.ts'
import type { Lateness } from './lateness.ts'
import { averageAfter, type Flowing, type Memory, silentAfter, silentFor } from './memory.ts'
import { firstDowntime, roomBeside } from './start-options-for.ts'

/** A VM starts when it gets at least this share of what it could get alone. */
const worthStarting = 0.25
/** … or when at least this share of its path lies idle: what is not used is lost. */
const idleWorthUsing = 0.1
/** Rates are changed in flight only for more than this. */
const worthAdjusting = 0.1
/** … and for so long, while others on the same path got on: its target is silent, and the next attempt may find another. @unit ms */
const givenUpAfter = 30_000
/** Of a migration: connecting, its last acknowledgements, the target seen to run. @unit ms, and in round trips */
const handshakes = 150
const handshakeRoundTrips = 5
/** Nothing went through it since the look before the last. @unit ms */
const stillAfter = 2_000
/** From here on the one that warms up during a switchover fills the gap. */
const smallIsBusy = 0.6

/** What is known of one path in this turn. */
interface OnPath {
  /** Migrations that flow. */
  flowing: number
  /** … through which nothing goes, and for how long the latest of them has been silent. */
  silent: number
  silentFor: number
  /** Targets towards which bytes moved just now. */
  readonly alive: Set<HostId>
  /** Those that were started in this turn to find out whether more bring more. */
  readonly trying: VmId[]
}

/** … and of those that wait for the same bottleneck: the path, or one card. */
interface InQueue {
  /** A guest stands still; the share that the next may have meanwhile. */
  standing: number | undefined
  /** One waits already, or several do. */
  warm: boolean
  /** Who is served before all others. */
  first: { readonly vm: VmId; readonly timeToHome: number | undefined } | undefined
}

export class Turn {
  readonly #view: PolicyView
  readonly #lanes: Lanes
  readonly #memory: Memory
  readonly #late: Lateness
  readonly #paths = new Map<string, OnPath>()
  readonly #queues = new Map<string, InQueue>()
  readonly intents: Intent[] = []
  /** Those that do now, and those that begin with this turn. */
  #flowing = 0

  constructor(view: PolicyView, lanes: Lanes, memory: Memory, late: Lateness) {
    this.#view = view
    this.#lanes = lanes
    this.#memory = memory
    this.#late = late
    for (const m of view.migrations.in('pre-copy', 'post-copy', 'switchover')) {
      if (m.phase !== 'switchover' || !m.finishing) this.#flowing += 1
      const seen = memory.moved.get(m.vm)
      if (seen !== undefined && seen.sent > 0 && this.#silentFor(m) < averageAfter)
        this.#on(lanes.lane(m.source, m.target)).alive.add(m.target)
    }
  }

  /** By path, who was started to try whether more at a time bring more. */
  *tried(): Generator<readonly [string, readonly VmId[]]> {
    for (const [key, { trying }] of this.#paths) if (trying.length > 0) yield [key, trying]
  }

  #on({ key }: Lane): OnPath {
    const known = this.#paths.get(key)
    if (known !== undefined) return known
    const fresh: OnPath = {
      flowing: 0,
      silent: 0,
      silentFor: Number.POSITIVE_INFINITY,
      alive: new Set(),
      trying: [],
    }
    this.#paths.set(key, fresh)
    return fresh
  }

  #in({ queue }: Lane): InQueue {
    const known = this.#queues.get(queue)
    if (known !== undefined) return known
    const fresh: InQueue = { standing: undefined, warm: false, first: undefined }
    this.#queues.set(queue, fresh)
    return fresh
  }

  #silentFor(m: Flowing): number {
    return silentFor(this.#memory.moved, m, this.#view.now)
  }

  /** Stands still for its last part: nobody may slow it. */
  stands(m: Switchover): void {
    if (m.finishing) return
    const lane = this.#lanes.lane(m.source, m.target)
    const room = roomBeside(m, this.#view.vmOf(m.vm), lane)
    // Where caps are promises to others, what warms up would come on top of them.
    const queue = this.#in(lane)
    queue.standing = this.#lanes.isBounded(lane) ? 0 : room
    const { rate } = this.#take(m, lane)
    queue.first ??= { vm: m.vm, timeToHome: timeAt(m.progress?.remaining, rate) }
  }

  flows(m: PreCopy | PostCopy): void {
    const lane = this.#lanes.lane(m.source, m.target)
    const on = this.#on(lane)
    const silence = this.#silentFor(m)
    if (silence >= silentAfter) {
      on.silent += 1
      on.silentFor = Math.min(on.silentFor, silence)
      if (m.phase === 'pre-copy' && m.cancelling === undefined) this.#callBackIfLost(m, on, silence)
      return
    }
    if (this.#isTrying(m.vm, lane)) {
      on.flowing += 1
      return
    }
    const yields = m.phase === 'pre-copy' ? this.#late.yields(m, lane) : undefined
    if (yields !== undefined) {
      on.flowing += 1
      if (m.tuning.rate === undefined || m.tuning.rate > lane.least)
        this.intents.push({
          kind: 'adjust',
          vm: m.vm,
          tuning: { ...m.tuning, rate: bytesPerSecond(lane.least) },
          why: yields,
        })
      return
    }
    const taken = this.#take(m, lane)
    if (m.phase === 'pre-copy' && m.cancelling !== undefined) return
    const free = this.#lanes.isFree(lane, taken)
    const queue = this.#in(lane)
    const waits = this.#waitingRate(lane, queue)
    const rate = free || !Number.isFinite(taken.rate) ? undefined : inSteps(Math.max(waits, taken.rate), lane.step)
    // Where caps come in steps, the least may be all that the first has.
    const isWaiting = rate === waits && (lane.step <= 1 || !taken.first)
    if (isWaiting) queue.warm = true
    const timeToHome = timeAt(m.progress?.remaining, rate ?? taken.rate)
    const adjusted = this.#adjustment(m, lane, { rate, isWaiting }, queue, timeToHome)
    queue.first ??= { vm: m.vm, timeToHome }
    if (adjusted !== undefined) this.intents.push(adjusted)
    // What does not move at all does not lose against what it writes.
    else if (m.phase === 'pre-copy' && queue.first.vm === m.vm && !isWaiting && silence < stillAfter)
      this.intents.push(...ladder(m, this.#view.vmOf(m.vm), this.#isAwaited()))
  }

  /** Somebody else would use what it holds. */
  #isAwaited(): boolean {
    const { migrations } = this.#view
    return migrations.count('queued', 'preparing') > 0 || migrations.count('pre-copy') > 1
  }

  /** Nothing went through it for long, and through others on its path just now: its target is silent, not the path. */
  #callBackIfLost(m: PreCopy, { alive }: OnPath, silence: number): void {
    if (silence < givenUpAfter || alive.size === 0 || (alive.size === 1 && alive.has(m.target))) return
    const why = `nothing went through for ${showTime(silence)}, while others on its path got on: ${m.target} is silent`
    this.intents.push({ kind: 'cancel', vm: m.vm, why, again: 'elsewhere' })
  }

  #isTrying(vm: VmId, lane: Lane): boolean {
    if (this.#lanes.estimate(lane)?.trial?.kind !== 'more-migrations') return false
    return this.#memory.trying.get(lane.key)?.has(vm) === true
  }

  #take(m: Flowing, lane: Lane) {
    this.#on(lane).flowing += 1
    return this.#lanes.take(lane, m.streams, this.#busy(m.vm, lane))
  }

  /**
   * The share of its time in which a migration sends. Small ones on long paths do little but shake hands: several fill the path. What the
   * operator allows is kept at every moment, not on average: there each counts whole.
   */
  #busy(vm: VmId, { narrowest, own, path }: Lane): number {
    if (this.#view.limits.bandwidth !== undefined) return 1
    const rate = Math.min(narrowest, own)
    if (!Number.isFinite(rate) || rate <= 0) return 1
    const sends = (bytesToMove(this.#view.vmOf(vm)) / rate) * 1000
    const share = sends / (sends + handshakes + handshakeRoundTrips * (path?.rtt ?? 0))
    return share < smallIsBusy ? share : 1
  }

  /** Starts if it gets a fair part, if what is idle is worth it, to be warm when a guest stands still, or to see whether more bring more. */
  isReady(m: Preparing): void {
    const { limits, now, network } = this.#view
    if (this.#flowing >= (limits.maxParallel ?? Number.POSITIVE_INFINITY)) return
    const lane = this.#lanes.lane(m.source, m.target)
    const on = this.#on(lane)
    const queue = this.#in(lane)
    // Into silence goes one, and the next when that one was heard of.
    const isSilent = on.silent > 0 && on.alive.size === 0
    if (isSilent && (on.flowing > 0 || !this.#mayGoIntoSilence(on))) return
    const yields = this.#late.yields(m, lane)
    if (yields !== undefined) {
      this.intents.push({ kind: 'release', vm: m.vm, why: yields })
      return
    }
    const busy = this.#busy(m.vm, lane)
    const offered = this.#lanes.offer(lane, m.options.channels, busy)
    const whole = Math.min(lane.narrowest, limits.bandwidth ?? Number.POSITIVE_INFINITY)
    const idle = Number.isFinite(whole) && whole > 0 ? offered.rate / whole : 0
    // Whatever the numbers say: as long as nobody flows, somebody starts.
    const fair = offered.share >= worthStarting || idle >= idleWorthUsing || this.#flowing === 0
    const estimate = this.#lanes.estimate(lane)
    const tries =
      !fair &&
      !this.#lanes.isBounded(lane) &&
      !isOverloadedNow(this.#view, m.source) &&
      queue.standing === undefined &&
      estimate !== undefined &&
      mayTryMore(estimate, fullness(network.get(lane.key), now), now) &&
      on.trying.length < (estimate.seen.at(-1)?.flows ?? 0)
    if (tries) {
      on.trying.push(m.vm)
      this.#start(m, lane, on, undefined)
      return
    }
    // Where caps are promises and the least that is kept is much, nothing warms up on top of them.
    const isLittle = !this.#lanes.isBounded(lane) || (lane.least <= floor && !usesChannels(m.options))
    const warms = !fair && queue.standing !== undefined && !queue.warm && isLittle
    if (!fair && !warms) return
    const rate = this.#lanes.isFree(lane, offered) || !Number.isFinite(offered.rate) ? undefined : offered.rate
    this.#lanes.take(lane, m.options.channels, busy)
    this.#start(
      m,
      lane,
      on,
      rate === undefined ? undefined : inSteps(Math.max(this.#waitingRate(lane, queue), rate), lane.step),
    )
    if (!fair) queue.warm = true
  }

  #start(m: Preparing, lane: Lane, on: OnPath, rate: number | undefined): void {
    this.#flowing += 1
    on.flowing += 1
    const tuning: Tuning = {
      rate: rate === undefined ? undefined : bytesPerSecond(rate),
      downtimeLimit: firstDowntime(this.#view.vmOf(m.vm), lane, m.options),
    }
    this.intents.push({ kind: 'start', vm: m.vm, tuning })
  }

  /**
   * Where all are silent it may be the target or the path: one more finds out, and the next waits twice as long. Where other ways are
   * alive it had better wait for one of them a while.
   */
  #mayGoIntoSilence(on: OnPath): boolean {
    if (on.silent === 0) return true
    const elsewhere = [...this.#paths.values()].some(other => other !== on && other.flowing > 0)
    return on.silentFor >= (elsewhere ? givenUpAfter : silentAfter) * 2 ** Math.min(on.silent - 1, 10)
  }

  /** What one that has to wait may send meanwhile: the first of them warms up while a guest stands still. @unit bytes per second */
  #waitingRate({ narrowest, least, step }: Lane, { standing, warm }: InQueue): number {
    const share = warm ? 0 : (standing ?? 0)
    return Number.isFinite(narrowest) ? Math.max(least, inSteps(narrowest * share, step)) : least
  }

  #adjustment(
    m: PreCopy | PostCopy,
    lane: Lane,
    { rate, isWaiting }: { readonly rate: number | undefined; readonly isWaiting: boolean },
    { first }: InQueue,
    timeToHome: number | undefined,
  ): Intent | undefined {
    const before = m.tuning.rate
    if (rate === undefined && before === undefined) return undefined
    if (rate !== undefined && before !== undefined) {
      // A promise to others is kept to the byte.
      const tooMuch = before > rate && this.#lanes.isBounded(lane)
      if (!tooMuch && Math.abs(before - rate) <= rate * worthAdjusting) return undefined
    }
    const tuning: Tuning = { ...m.tuning, rate: rate === undefined ? undefined : bytesPerSecond(rate) }
    const { key: over, capacity, taken } = this.#lanes.bottleneck(lane)
    const why = whyAdjusted({
      vm: m.vm,
      over,
      capacity,
      taken,
      first: first?.vm,
      firstTimeToHome: first?.timeToHome,
      timeToHome,
      waits: isWaiting && rate !== undefined && rate <= lane.least,
    })
    return { kind: 'adjust', vm: m.vm, tuning, why }
  }
}

/** @unit ms */
const timeAt = (left: number | undefined, rate: number): number | undefined =>
  left !== undefined && Number.isFinite(rate) && rate > 0 ? (left / rate) * 1000 : undefined
