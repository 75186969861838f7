/**
 * Ours: as few at a time as fill the path, and those that are nearest to home first. On a full path order costs nothing in makespan,
 * and a VM that has the path to itself is home in a fraction of the time that equal shares would take, dirtying the less meanwhile.
 *
 * Rates are handed out in strict priority (control/water-filling.ts): a guest that stands still for its switchover first, then those
 * that flow in the plan's order, then the next. The first on a path has no cap, so what the path really carries shows; the others may
 * have what is left, and wait near the floor where nothing is. A VM starts when it would get a fair part of what it could use: where a
 * card or a single stream is the limit that is several at once, else one, and one more that is warm when the first stands still.
 */
import type { HostId, VmId } from '../ids.ts'
import { between } from '../instant.ts'
import { pathBetween, type Path } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import type { PostCopy, PreCopy, Switchover, Tuning } from '../migration/migration.ts'
import type { StartOptions } from '../migration/start-options.ts'
import { type Crossing, crossings, pathKey, Pool } from '../control/water-filling.ts'
import { observe, type PathEstimate, unobserved } from '../forecast/path-capacity.ts'
import { bytesPerSecond, fraction, ms, showBytes, showRate } from '../units.ts'
import type { Candidate, Decided, Intent, Policy, PolicyView } from './policy.ts'

/** A VM starts when it gets at least this share of what it could get alone. */
const worthStarting = 0.25
/** … or when at least this share of its path lies idle: what is not used is lost. */
const idleWorthUsing = 0.1
/** What a migration that has to wait may send: its connection lives. @unit bytes per second */
const floor = 64 * 1024
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
/** A target takes this long to be made ready (engine: a process start and its monitor). @unit ms */
const prepareTakes = 1_000
const aheadLeast = 2
const aheadMost = 16
/** The queue is looked through so far: those behind wait for those in front. */
const lookahead = 96
/** Streams of one VM: loss and long round trips limit each of them, not all together. */
const channels = 8
/** A guest that writes this share of what is sent, twice over its memory sent, does not converge by itself. */
const outrun = 0.9
const timesOver = 2
/** The throttle that auto-converge stops at (QEMU, `max-cpu-throttle`), or nearly. */
const throttledOut = 0.95
/** … and patience with a guest that is throttled so. */
const timesOverThrottled = 10

interface Memory {
  readonly paths: ReadonlyMap<string, PathEstimate>
  readonly lookedAt: number
}
const fresh: Memory = { paths: new Map(), lookedAt: Number.NEGATIVE_INFINITY }

export const finishFirst = (): Policy => policyWith(fresh)

function policyWith(memory: Memory): Policy {
  const policy: Policy = { name: 'finish-first', slots: 1, order: 'value-per-time', decide }
  return policy

  function decide(view: PolicyView): Decided {
    const next = look(memory, view)
    return { intents: intentsFor(view, next), next: next === memory ? policy : policyWith(next) }
  }
}

type Flowing = PreCopy | PostCopy | Switchover

const pathOf = ({ snapshot }: PolicyView, from: HostId, to: HostId): Path | undefined => pathBetween(snapshot, from, to)

/** Takes in what goes through each path. */
function look(memory: Memory, view: PolicyView): Memory {
  const { migrations, now } = view
  if (now - memory.lookedAt < looksEvery) return memory
  const through = new Map<Path, { goodput: number; greedy: boolean }>()
  for (const m of migrations.in('pre-copy', 'post-copy', 'switchover')) {
    const path = pathOf(view, m.source, m.target)
    if (path === undefined) continue
    const seen = through.get(path) ?? { goodput: 0, greedy: false }
    through.set(path, seen)
    seen.goodput += m.progress?.rate ?? 0
    // The first seconds of a flow are in nobody's average yet.
    if (m.phase === 'pre-copy' && m.tuning.rate === undefined && between(m.startedAt, now) >= 3 * looksEvery)
      seen.greedy = true
  }
  if (through.size === 0 && memory.paths.size === 0) return memory
  const paths = new Map(memory.paths)
  for (const [path, { goodput, greedy }] of through) {
    const before = paths.get(pathKey(path)) ?? unobserved(path.capacity)
    paths.set(pathKey(path), observe(before, { at: now, goodput, greedy }))
  }
  return { paths, lookedAt: now }
}

/** What a path has for us: what it carries, less what is other people's. */
const estimateOf =
  ({ paths }: Memory) =>
  (path: Path): number => {
    const capacity = paths.get(pathKey(path))?.capacity ?? path.capacity ?? Number.POSITIVE_INFINITY
    return Math.max(floor, capacity - (path.background ?? 0))
  }

class Lanes {
  readonly #view: PolicyView
  readonly #memory: Memory
  readonly #pool: Pool
  readonly #known = new Map<string, readonly Crossing[]>()

  constructor(view: PolicyView, memory: Memory) {
    this.#view = view
    this.#memory = memory
    this.#pool = new Pool(view.limits.bandwidth)
  }

  crossed(from: HostId, to: HostId): readonly Crossing[] {
    const key = `${from} ${to}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const found = crossings(this.#view.snapshot, from, to, estimateOf(this.#memory))
    this.#known.set(key, found)
    return found
  }

  offer(from: HostId, to: HostId, most: number) {
    return this.#pool.offer(this.crossed(from, to), most)
  }
  take(from: HostId, to: HostId, most: number) {
    return this.#pool.take(this.crossed(from, to), most)
  }

  narrowest(from: HostId, to: HostId): number {
    return this.crossed(from, to).reduce((least, { capacity }) => Math.min(least, capacity), Number.POSITIVE_INFINITY)
  }

  /** What it can use, alone, with so many streams. */
  most(from: HostId, to: HostId, streams: number): number {
    const path = pathOf(this.#view, from, to)
    const one = path?.perFlow ?? Number.POSITIVE_INFINITY
    return one * Math.max(1, streams)
  }

  /** Of a path that has other people on it, even the first keeps off their share. */
  mustShare(from: HostId, to: HostId): boolean {
    return (pathOf(this.#view, from, to)?.background ?? 0) > 0 || this.#view.limits.bandwidth !== undefined
  }
}

function intentsFor(view: PolicyView, memory: Memory): Intent[] {
  const { migrations } = view
  const lanes = new Lanes(view, memory)
  const intents: Intent[] = []
  /** Paths on which a guest stands still: nobody may slow it, and the next may warm up. */
  const standing = new Map<Path | undefined, number>()
  const warm = new Set<Path | undefined>()
  let flowing = 0
  const tend = (m: Flowing): void => {
    flowing += 1
    const vm = view.vmOf(m.vm)
    const taken = lanes.take(m.source, m.target, lanes.most(m.source, m.target, streamsOf(vm)))
    if (m.phase === 'switchover') return
    if (m.phase === 'pre-copy' && m.cancelling !== undefined) return
    const free = taken.first && !lanes.mustShare(m.source, m.target)
    const waits = waitingRate(lanes, m, standing.get(pathOf(view, m.source, m.target)) ?? 0)
    const rate = free || !Number.isFinite(taken.rate) ? undefined : Math.max(waits, taken.rate)
    if (rate === waits) warm.add(pathOf(view, m.source, m.target))
    const adjusted = adjustment(m, rate)
    if (adjusted !== undefined) intents.push(adjusted)
    if (m.phase === 'pre-copy') intents.push(...ladder(view, m, free))
  }
  for (const m of migrations.in('switchover')) {
    if (m.finishing) continue
    const path = pathOf(view, m.source, m.target)
    standing.set(path, m.tuning.downtimeLimit < view.vmOf(m.vm).policy.maxDowntime ? warmShare : 0)
    tend(m)
  }
  for (const m of migrations.in('post-copy')) tend(m)
  for (const m of migrations.in('pre-copy')) tend(m)

  const slots = view.limits.maxParallel ?? Number.POSITIVE_INFINITY
  for (const m of migrations.in('preparing')) {
    if (!m.ready || !view.admitting || flowing >= slots) continue
    const path = pathOf(view, m.source, m.target)
    const streams = m.options.channels
    const offered = lanes.offer(m.source, m.target, lanes.most(m.source, m.target, streams))
    const idle = offered.share >= worthStarting || idleShare(lanes, m.source, m.target, offered.rate) >= idleWorthUsing
    const warmsUp = standing.has(path) && !warm.has(path)
    if (!idle && !warmsUp) continue
    flowing += 1
    lanes.take(m.source, m.target, lanes.most(m.source, m.target, streams))
    if (!idle) warm.add(path)
    const free = offered.first && !lanes.mustShare(m.source, m.target)
    const waits = waitingRate(lanes, m, standing.get(path) ?? 0)
    const rate = free || !Number.isFinite(offered.rate) ? undefined : bytesPerSecond(Math.max(waits, offered.rate))
    intents.push({ kind: 'start', vm: m.vm, tuning: { rate, downtimeLimit: firstDowntime(view.vmOf(m.vm), lanes, m) } })
  }
  if (view.admitting) intents.push(...preparations(view, lanes))
  return intents
}

interface Way {
  readonly source: HostId
  readonly target: HostId
}

/** What one that has to wait may send meanwhile. @unit bytes per second */
function waitingRate(lanes: Lanes, { source, target }: Way, share: number): number {
  const narrowest = lanes.narrowest(source, target)
  return Number.isFinite(narrowest) ? Math.max(floor, narrowest * share) : floor
}

/** Less than its owner allows, where the next may warm up beside it. */
function firstDowntime(vm: Vm, lanes: Lanes, { source, target }: Way): Tuning['downtimeLimit'] {
  const { maxDowntime } = vm.policy
  return writesOf(vm) > lanes.narrowest(source, target) * busyGuest ? maxDowntime : ms(maxDowntime * warmShare)
}

/** Of what its narrowest crossing has, the part that is idle. */
function idleShare(lanes: Lanes, from: HostId, to: HostId, rate: number): number {
  const narrowest = lanes.narrowest(from, to)
  return Number.isFinite(narrowest) && narrowest > 0 ? rate / narrowest : 0
}

function adjustment(m: PreCopy | PostCopy, rate: number | undefined): Intent | undefined {
  const before = m.tuning.rate
  if (
    rate === undefined ? before === undefined : before !== undefined && Math.abs(before - rate) <= rate * worthAdjusting
  )
    return undefined
  const tuning: Tuning = { ...m.tuning, rate: rate === undefined ? undefined : bytesPerSecond(rate) }
  const why =
    rate === undefined
      ? 'first on its path'
      : rate === floor
        ? 'waits for those before it'
        : 'what those before it leave'
  return { kind: 'adjust', vm: m.vm, tuning, why }
}

/** A guest that outruns its path: throttled by auto-converge, which was chosen at the start; post-copy where its owner allows it. */
function ladder(view: PolicyView, m: PreCopy, free: boolean): Intent[] {
  const { progress } = m
  if (progress === undefined || m.switching || !free) return []
  const vm = view.vmOf(m.vm)
  const times = progress.sent / Math.max(1, progress.total)
  const losing = progress.dirtyRate !== undefined && progress.dirtyRate >= progress.rate * outrun
  if (!losing || times < timesOver) return []
  const why = `does not converge: ${showBytes(progress.sent)} sent for ${showBytes(progress.total)}, dirties ${showRate(progress.dirtyRate ?? 0)} against ${showRate(progress.rate)}`
  if (vm.policy.allow.includes('post-copy')) return [{ kind: 'post-copy', vm: m.vm, why }]
  const hopeless = progress.throttle >= throttledOut && times >= timesOverThrottled
  return hopeless ? [{ kind: 'cancel', vm: m.vm, why, again: false }] : []
}

/** Post-copy and multifd do not go together (QEMU 7.2), and post-copy has to be chosen at the start. */
const streamsOf = (vm: Vm): number => (vm.policy.allow.includes('post-copy') ? 1 : channels)

/** @param rate what it will get, infinite where that is not known @unit bytes per second */
function optionsFor(vm: Vm, rate: number): StartOptions {
  const postCopy = vm.policy.allow.includes('post-copy')
  return {
    channels: streamsOf(vm),
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
  const candidates = [...waiting(view, lanes)]
  const preparing = migrations.count('preparing')
  /** On each path: how long the path is busy with what is ready or being made ready. */
  const busy = new Map<string, number>()
  const count = new Map<string, number>()
  const wayOf = (from: HostId, to: HostId | undefined): string =>
    `${from} ${to === undefined ? '' : siteless(view, from, to)}`
  for (const m of migrations.in('preparing')) {
    const way = wayOf(m.source, m.target)
    busy.set(way, (busy.get(way) ?? 0) + expected(view, lanes, m))
    count.set(way, (count.get(way) ?? 0) + 1)
  }
  const chosen: Candidate[] = []
  for (const candidate of candidates) {
    const m = migrations.get(candidate.vm)
    if (m === undefined) continue
    const to = view.plannedTo(candidate.vm)
    const way = wayOf(m.source, to)
    const there = count.get(way) ?? 0
    if (there >= aheadMost || (there >= aheadLeast && (busy.get(way) ?? 0) >= prepareTakes)) continue
    if (preparing + chosen.length >= aheadMost * 4) break
    count.set(way, there + 1)
    busy.set(way, (busy.get(way) ?? 0) + expected(view, lanes, { ...m, target: to }))
    chosen.push(candidate)
  }
  return chosen.length === 0 ? [] : [{ kind: 'prepare', candidates: chosen, atMost: chosen.length }]
}

/** Names the way by what is shared on it: the path where there is one, else the host. */
const siteless = (view: PolicyView, from: HostId, to: HostId): string => {
  const path = pathOf(view, from, to)
  return path === undefined ? to : pathKey(path)
}

/** How long it will keep its path busy. @unit ms */
function expected(
  view: PolicyView,
  lanes: Lanes,
  m: { readonly vm: VmId; readonly source: HostId; readonly target?: HostId | undefined },
): number {
  if (m.target === undefined) return prepareTakes
  const vm = view.vmOf(m.vm)
  const rate = lanes.crossed(m.source, m.target).reduce((least, { capacity }) => Math.min(least, capacity), Infinity)
  return Number.isFinite(rate) && rate > 0 ? (vm.used / rate) * 1000 : prepareTakes
}

function* waiting(view: PolicyView, lanes: Lanes): Generator<Candidate> {
  const { migrations, vmOf, now } = view
  let looked = 0
  for (const { vm: id, source, notBefore } of migrations.in('queued')) {
    if (notBefore !== undefined && notBefore > now) continue
    if ((looked += 1) > lookahead) return
    const [vm, to] = [vmOf(id), view.plannedTo(id)]
    const rate = to === undefined ? Number.POSITIVE_INFINITY : lanes.narrowest(source, to)
    yield { vm: id, options: optionsFor(vm, rate) }
  }
}
