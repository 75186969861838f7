/**
 * Ours: as few at a time as fill the path, and those that are nearest to home first. On a full path order costs nothing in makespan,
 * and a VM that has the path to itself is home in a fraction of the time that equal shares would take, dirtying the less meanwhile.
 *
 * Rates are handed out in strict priority (control/water-filling.ts): a guest that stands still for its switchover first, then those
 * that flow in the plan's order, then the next. The first on a path has no cap, so what the path really carries shows; the others may
 * have what is left, and wait near the floor where nothing is. A VM starts when it would get a fair part of what it could use: where a
 * card or a single stream is the limit that is several at once, else one, and one more that is warm when the first stands still.
 */
import { observe, type PathEstimate, unobserved } from '../forecast/path-capacity.ts'
import type { VmId } from '../ids.ts'
import { between, type Instant } from '../instant.ts'
import { type Path, wayBetween } from '../inventory/snapshot.ts'
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import type { PostCopy, PreCopy, Preparing, Switchover, Tuning } from '../migration/migration.ts'
import { copiesDisksFirst } from '../migration/progress.ts'
import type { StartOptions } from '../migration/start-options.ts'
import { pathKey } from '../control/water-filling.ts'
import { bytesPerSecond, fraction, ms, showBytes, showRate, showTime } from '../units.ts'
import { type Estimates, floor, type Lane, Lanes } from './lanes.ts'
import type { Candidate, Decided, Intent, Policy, PolicyView } from './policy.ts'
import { mayGoPostCopy } from './stall.ts'

/** A VM starts when it gets at least this share of what it could get alone. */
const worthStarting = 0.25
/** … or when at least this share of its path lies idle: what is not used is lost. */
const idleWorthUsing = 0.1
/** Rates are changed in flight only for more than this. */
const worthAdjusting = 0.1
/**
 * While a guest stands still for its last part, the next has this share of the path, so that the path does not wait for handshakes.
 * The hypervisor is told to stop a guest with so much less to send: its owner's limit holds all the same.
 */
const warmShare = 0.5
/** A guest that writes more than this share of what is sent needs its whole downtime to converge, and the whole path for it. */
const busyGuest = 0.1
/** A guest that writes more than this share of its rate will be throttled: to this share, and in such steps. */
const outruns = 0.5
const leavesTo = 0.4
const throttleMost = 0.95
const throttleStep = fraction(0.2)
/** Two looks at a path are this far apart. @unit ms */
const looksEvery = 1_000
/** Rates are averages: a flow's own is true after so long. @unit ms */
const averageAfter = 3_000
/** A target takes this long to be made ready (engine: a process start and its monitor). @unit ms */
const prepareTakes = 1_000
const aheadLeast = 2
const aheadMost = 16
/** The queue is looked through so far: those behind wait for those in front. */
const lookahead = 96
/**
 * More streams only where one is known not to fill the path: each has a socket buffer of its own, whose content QEMU takes for sent, and
 * a guest stands still until all of them are empty (8 channels at 100 Mbit/s in the lab: 1.2 to 3.5 s, one: 0.25 to 0.5 s).
 */
const channelsMost = 8
/** A guest that writes this share of what is sent, twice over its memory sent, does not converge by itself. */
const outrun = 0.9
const timesOver = 2
/** The throttle that auto-converge stops at (QEMU, `max-cpu-throttle`), or nearly. */
const throttledOut = 0.95
/** … and patience with a guest that is throttled so. */
const timesOverThrottled = 10

/** A migration through which nothing went for so long does not hold its path for the others. @unit ms */
const silentAfter = 10_000
/** … and for so long, while others on the same path got on: its target is silent, and the next attempt may find another. @unit ms */
const givenUpAfter = 30_000

/** When bytes of a running attempt were last seen to move. */
interface Moved {
  readonly attempt: number
  readonly sent: number
  readonly at: Instant
}

interface Memory {
  readonly paths: Estimates
  readonly moved: ReadonlyMap<VmId, Moved>
  readonly lookedAt: number
}

export const finishFirst = (): Policy =>
  policyWith({ paths: new Map(), moved: new Map(), lookedAt: Number.NEGATIVE_INFINITY })

function policyWith(memory: Memory): Policy {
  const policy: Policy = { name: 'finish-first', slots: 1, order: 'value-per-time', decide }
  return policy

  function decide(view: PolicyView): Decided {
    const next = look(memory, view)
    return { intents: intentsFor(view, next), next: next === memory ? policy : policyWith(next) }
  }
}

/** Takes in what goes through each path. */
function look(memory: Memory, { snapshot, migrations, now }: PolicyView): Memory {
  if (now - memory.lookedAt < looksEvery) return memory
  const through = new Map<Path, { goodput: number; greedy: boolean }>()
  const moved = new Map<VmId, Moved>()
  for (const m of migrations.in('pre-copy', 'post-copy', 'switchover')) {
    const sent = m.progress?.sent ?? 0
    const before = memory.moved.get(m.vm)
    const still = before !== undefined && before.attempt === m.attempt && before.sent === sent
    moved.set(m.vm, still ? before : { attempt: m.attempt, sent, at: now })
    if (still && now - before.at >= silentAfter) continue
    const path = wayBetween(snapshot, m.source, m.target)
    if (path === undefined) continue
    const seen = through.get(path) ?? { goodput: 0, greedy: false }
    through.set(path, seen)
    seen.goodput += m.progress?.rate ?? 0
    // The first seconds of a flow are in nobody's average yet.
    if (m.phase === 'pre-copy' && m.tuning.rate === undefined && between(m.startedAt, now) >= averageAfter)
      seen.greedy = true
  }
  if (moved.size === 0) return memory
  const paths = new Map<string, PathEstimate>(memory.paths)
  for (const [path, { goodput, greedy }] of through) {
    const before = paths.get(pathKey(path)) ?? unobserved(path.capacity)
    paths.set(pathKey(path), observe(before, { at: now, goodput, greedy }))
  }
  return { paths, moved, lookedAt: now }
}

type Flowing = PreCopy | PostCopy | Switchover

/** One look at everything, in order of priority. */
class Turn {
  readonly #view: PolicyView
  readonly #lanes: Lanes
  readonly #moved: Memory['moved']
  readonly intents: Intent[] = []
  /** Lanes on which a guest stands still, with the share that the next may have meanwhile. */
  readonly #standing = new Map<string, number>()
  /** Lanes on which one waits already. */
  readonly #warm = new Set<string>()
  #flowing = 0

  constructor(view: PolicyView, lanes: Lanes, moved: Memory['moved']) {
    this.#view = view
    this.#lanes = lanes
    this.#moved = moved
  }

  /** How long nothing has gone through. @unit ms */
  #silentFor({ vm, attempt }: Flowing): number {
    const seen = this.#moved.get(vm)
    return seen === undefined || seen.attempt !== attempt ? 0 : between(seen.at, this.#view.now)
  }

  /** Nothing went through it for long, and through others on its path just now. */
  #isLost(m: Flowing, lane: Lane): boolean {
    if (this.#silentFor(m) < givenUpAfter) return false
    for (const other of this.#view.migrations.in('pre-copy', 'post-copy', 'switchover')) {
      if (other.vm === m.vm || this.#lanes.lane(other.source, other.target).key !== lane.key) continue
      const seen = this.#moved.get(other.vm)
      if (seen !== undefined && seen.sent > 0 && other.target !== m.target && this.#silentFor(other) < averageAfter)
        return true
    }
    return false
  }

  /** Stands still for its last part: nobody may slow it. */
  stands(m: Switchover): void {
    if (m.finishing) return
    const lane = this.#lanes.lane(m.source, m.target)
    const early = m.tuning.downtimeLimit < this.#view.vmOf(m.vm).policy.maxDowntime
    this.#standing.set(lane.key, early ? warmShare : 0)
    this.#take(m, lane)
  }

  flows(m: PreCopy | PostCopy): void {
    const lane = this.#lanes.lane(m.source, m.target)
    const silence = this.#silentFor(m)
    if (silence >= silentAfter) {
      if (m.phase === 'pre-copy' && m.cancelling === undefined && this.#isLost(m, lane)) {
        const why = `nothing went through for ${showTime(silence)}, while others on its path got on: ${m.target} is silent`
        this.intents.push({ kind: 'cancel', vm: m.vm, why, again: true })
      }
      this.#flowing += 1
      return
    }
    const taken = this.#take(m, lane)
    if (m.phase === 'pre-copy' && m.cancelling !== undefined) return
    const free = this.#lanes.isFree(lane, taken)
    const waits = this.#waitingRate(lane)
    const rate = free || !Number.isFinite(taken.rate) ? undefined : Math.max(waits, taken.rate)
    if (rate === waits) this.#warm.add(lane.key)
    const adjusted = adjustment(m, rate)
    if (adjusted !== undefined) this.intents.push(adjusted)
    if (m.phase === 'pre-copy') this.intents.push(...ladder(this.#view, m, taken.first))
  }

  #take(m: Flowing, lane: Lane) {
    this.#flowing += 1
    return this.#lanes.take(lane, streamsFor(this.#view.vmOf(m.vm), lane))
  }

  /** Starts if it gets a fair part, or if what is idle is worth it, or to be warm when a guest stands still. */
  isReady(m: Preparing): void {
    const { limits } = this.#view
    if (this.#flowing >= (limits.maxParallel ?? Number.POSITIVE_INFINITY)) return
    const lane = this.#lanes.lane(m.source, m.target)
    const offered = this.#lanes.offer(lane, m.options.channels)
    const whole = Math.min(lane.narrowest, limits.bandwidth ?? Number.POSITIVE_INFINITY)
    const idle = Number.isFinite(whole) && whole > 0 ? offered.rate / whole : 0
    // Whatever the numbers say: as long as nobody flows, somebody starts.
    const fair = offered.share >= worthStarting || idle >= idleWorthUsing || this.#flowing === 0
    if (!fair && (!this.#standing.has(lane.key) || this.#warm.has(lane.key))) return
    this.#flowing += 1
    this.#lanes.take(lane, m.options.channels)
    if (!fair) this.#warm.add(lane.key)
    const free = this.#lanes.isFree(lane, offered)
    const rate =
      free || !Number.isFinite(offered.rate)
        ? undefined
        : bytesPerSecond(Math.max(this.#waitingRate(lane), offered.rate))
    const downtimeLimit = firstDowntime(this.#view.vmOf(m.vm), lane)
    this.intents.push({ kind: 'start', vm: m.vm, tuning: { rate, downtimeLimit } })
  }

  /** What one that has to wait may send meanwhile. @unit bytes per second */
  #waitingRate({ key, narrowest }: Lane): number {
    const share = this.#standing.get(key) ?? 0
    return Number.isFinite(narrowest) ? Math.max(floor, narrowest * share) : floor
  }
}

function intentsFor(view: PolicyView, { paths, moved }: Memory): Intent[] {
  const { migrations } = view
  const lanes = new Lanes(view.snapshot, paths, view.limits.bandwidth)
  const turn = new Turn(view, lanes, moved)
  for (const m of migrations.in('switchover')) turn.stands(m)
  for (const m of migrations.in('post-copy')) turn.flows(m)
  for (const m of migrations.in('pre-copy')) turn.flows(m)
  if (!view.admitting) return turn.intents
  for (const m of migrations.in('preparing')) if (m.ready) turn.isReady(m)
  return [...turn.intents, ...preparations(view, lanes)]
}

/** Less than its owner allows, where the next may warm up beside it. */
function firstDowntime(vm: Vm, { narrowest }: Lane): Tuning['downtimeLimit'] {
  const { maxDowntime } = vm.policy
  return writesOf(vm) > narrowest * busyGuest ? maxDowntime : ms(maxDowntime * warmShare)
}

function adjustment(m: PreCopy | PostCopy, rate: number | undefined): Intent | undefined {
  const before = m.tuning.rate
  const same =
    rate === undefined ? before === undefined : before !== undefined && Math.abs(before - rate) <= rate * worthAdjusting
  if (same) return undefined
  const tuning: Tuning = { ...m.tuning, rate: rate === undefined ? undefined : bytesPerSecond(rate) }
  const why =
    rate === undefined
      ? 'first on its path'
      : rate <= floor
        ? 'waits for those before it'
        : 'what those before it leave'
  return { kind: 'adjust', vm: m.vm, tuning, why }
}

/** A guest that outruns its path: throttled by auto-converge, which was chosen at the start; post-copy where its owner allows it. */
function ladder(view: PolicyView, m: PreCopy, first: boolean): Intent[] {
  const { progress } = m
  if (progress === undefined || m.switching || !first) return []
  const times = progress.sent / Math.max(1, progress.total)
  const losing = progress.dirtyRate !== undefined && progress.dirtyRate >= progress.rate * outrun
  if (!losing || times < timesOver) return []
  const why = `does not converge: ${showBytes(progress.sent)} sent for ${showBytes(progress.total)}, dirties ${showRate(progress.dirtyRate ?? 0)} against ${showRate(progress.rate)}`
  if (mayGoPostCopy(view.vmOf(m.vm), m)) return [{ kind: 'post-copy', vm: m.vm, why }]
  // Disks are not throttled: no more comes of waiting.
  const hopeless = (progress.throttle >= throttledOut || copiesDisksFirst(progress)) && times >= timesOverThrottled
  return hopeless ? [{ kind: 'cancel', vm: m.vm, why, again: false }] : []
}

/** Post-copy and multifd do not go together (QEMU 7.2), and post-copy has to be chosen at the start. */
function streamsFor(vm: Vm, lane: Lane | undefined): number {
  if (lane === undefined || vm.policy.allow.includes('post-copy')) return 1
  const { narrowest, perStream } = lane
  return Number.isFinite(narrowest) && perStream > 0
    ? Math.min(channelsMost, Math.max(1, Math.ceil(narrowest / perStream)))
    : 1
}

function optionsFor(vm: Vm, lane: Lane | undefined): StartOptions {
  const rate = lane?.narrowest ?? Number.POSITIVE_INFINITY
  const postCopy = vm.policy.allow.includes('post-copy')
  return {
    channels: streamsFor(vm, lane),
    compression: 'none',
    autoConverge: !postCopy,
    postCopy,
    throttle: throttleFor(vm, rate),
  }
}

/** A guest that is known to outrun its path is slowed at once to where it converges, not in ten steps of a round each. */
function throttleFor(vm: Vm, rate: number): StartOptions['throttle'] {
  const writes = writesOf(vm)
  if (!Number.isFinite(rate) || writes <= rate * outruns) return undefined
  return { initial: fraction(Math.min(throttleMost, 1 - (rate * leavesTo) / writes)), step: throttleStep }
}

const writesOf = ({ dirty }: Vm): number =>
  dirty === undefined ? 0 : dirty.cold + dirty.hot / Math.max(0.001, dirty.period / 1000)

/** So many are made ready that the path never waits for a process to start, and no more: they hold memory. */
function preparations(view: PolicyView, lanes: Lanes): Intent[] {
  const { migrations } = view
  if (migrations.count('queued') === 0) return []
  /** On each lane: how many are ready or being made ready, and how long they will keep it busy. @unit ms */
  const ahead = new Map<string, { count: number; busy: number }>()
  const add = (key: string, busy: number): void => {
    const there = ahead.get(key)
    if (there === undefined) ahead.set(key, { count: 1, busy })
    else {
      there.count += 1
      there.busy += busy
    }
  }
  for (const m of migrations.in('preparing')) {
    const lane = lanes.lane(m.source, m.target)
    add(lane.key, keepsBusy(view.vmOf(m.vm), lane))
  }
  const chosen: Candidate[] = []
  let looked = 0
  for (const m of migrations.in('queued')) {
    if (m.notBefore !== undefined && m.notBefore > view.now) continue
    if ((looked += 1) > lookahead) break
    const to = view.plannedTo(m.vm)
    const lane = to === undefined ? undefined : lanes.lane(m.source, to)
    const key = lane?.key ?? m.source
    const there = ahead.get(key)
    if (
      there !== undefined &&
      (there.count >= aheadMost || (there.count >= aheadLeast && there.busy >= prepareTakes))
    ) {
      continue
    }
    const vm = view.vmOf(m.vm)
    add(key, lane === undefined ? prepareTakes : keepsBusy(vm, lane))
    chosen.push({ vm: m.vm, options: optionsFor(vm, lane) })
  }
  return chosen.length === 0 ? [] : [{ kind: 'prepare', candidates: chosen, atMost: chosen.length }]
}

/** @unit ms */
const keepsBusy = (vm: Vm, { narrowest }: Lane): number =>
  Number.isFinite(narrowest) && narrowest > 0 ? (bytesToMove(vm) / narrowest) * 1000 : prepareTakes
