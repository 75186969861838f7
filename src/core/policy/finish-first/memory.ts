/** What finish-first keeps in mind between two looks: what paths carry, what moved when, what is being tried, who waits for which way. */
import { pathKey } from '../../control/water-filling.ts'
import { observe, type PathEstimate, type PathObservation, unobserved } from '../../forecast/path-capacity.ts'
import { fullness } from '../../forecast/path-signal.ts'
import type { VmId } from '../../ids.ts'
import { between, type Instant } from '../../instant.ts'
import { type Path, wayBetween } from '../../inventory/snapshot.ts'
import type { PostCopy, PreCopy, Switchover } from '../../migration/migration.ts'
import type { PolicyView } from '../policy.ts'
import { isOverloadedNow } from './host-guard.ts'
import { declaredFor, type Estimates, Lanes, mostOf } from './lanes.ts'
import type { Queues } from './queues.ts'

/** When bytes of a running attempt were last seen to move. */
export interface Moved {
  readonly attempt: number
  readonly sent: number
  readonly at: Instant
  /** Since when this cap holds it back, or none does: of what it may take now, its rate tells only some seconds later. */
  readonly cap: number | undefined
  readonly capSince: Instant
}

export interface Memory {
  readonly paths: Estimates
  readonly moved: ReadonlyMap<VmId, Moved>
  /** By path: those that were started to find out whether more at a time bring more. */
  readonly trying: ReadonlyMap<string, ReadonlySet<VmId>>
  /** Paths on which all that flowed was silent, and when that was seen last. */
  readonly mute: ReadonlyMap<string, Instant>
  readonly queues: Queues | undefined
  /** Queues that go before others on the uplinks that they share. */
  readonly critical: ReadonlySet<string>
  readonly lookedAt: number
}

export const blank: Memory = {
  paths: new Map(),
  moved: new Map(),
  trying: new Map(),
  mute: new Map(),
  queues: undefined,
  critical: new Set(),
  lookedAt: Number.NEGATIVE_INFINITY,
}

/** Two looks at a path are this far apart. @unit ms */
const looksEvery = 1_000
/** Rates are averages: a flow's own is true after so long. @unit ms */
export const averageAfter = 3_000
/** … and when its cap was changed, nearly so: a shortfall has to be seen twice, and by then it is. @unit ms */
const toldAfterCap = 2_000
/** A migration through which nothing went for so long does not hold its path for the others. @unit ms */
export const silentAfter = 10_000
/** A path that nobody is on any more is taken for silent as long as this after it was. @unit ms */
const muteFor = 120_000
/** Less than this share of what it could have means that something holds it back which is not ours. */
const heldBack = 0.85

export type Flowing = PreCopy | PostCopy | Switchover

/** How long nothing has gone through. @unit ms */
export function silentFor(moved: Memory['moved'], { vm, attempt }: Flowing, now: Instant): number {
  const seen = moved.get(vm)
  return seen === undefined || seen.attempt !== attempt ? 0 : between(seen.at, now)
}

type Through = Omit<PathObservation, 'at'>

/** Takes in what goes through each path. */
export function look(memory: Memory, view: PolicyView): Memory {
  const { snapshot, migrations, limits, network, now } = view
  if (now - memory.lookedAt < looksEvery) return memory
  const lanes = new Lanes(snapshot, memory.paths, limits.bandwidth)
  const through = new Map<Path, Through>()
  const moved = new Map<VmId, Moved>()
  const silent = new Map<string, boolean>()
  for (const m of migrations.in('pre-copy', 'post-copy', 'switchover')) {
    const sent = m.progress?.sent ?? 0
    const before = memory.moved.get(m.vm)
    const known = before?.attempt === m.attempt ? before : undefined
    const still = known !== undefined && known.sent === sent
    const cap = m.tuning.rate
    const capSince = known === undefined ? m.startedAt : known.cap === cap ? known.capSince : now
    moved.set(
      m.vm,
      still && known.cap === cap ? known : { attempt: m.attempt, sent, at: still ? known.at : now, cap, capSince },
    )
    const path = wayBetween(snapshot, m.source, m.target)
    if (path === undefined) continue
    const isSilent = still && now - known.at >= silentAfter
    // One that has just begun says nothing either way.
    if (isSilent || sent > 0) silent.set(pathKey(path), isSilent && silent.get(pathKey(path)) !== false)
    if (isSilent) continue
    const lane = lanes.lane(m.source, m.target)
    const isTold = between(m.startedAt, now) >= averageAfter && between(capSince, now) >= toldAfterCap
    // One that gets what one was seen to get lacks nothing.
    const most = Math.min(mostOf(lane, m.streams), lane.single * Math.max(1, m.streams))
    const seen = add(through.get(path), m, { most, least: lane.least, step: lane.step, isTold })
    // What a host gets that has no processor left says nothing of squeezing, nor of streams: others use the path too.
    const { squeezed, fastest = 0 } = through.get(path) ?? {}
    through.set(path, isOverloadedNow(view, m.source) ? { ...seen, squeezed, fastest } : seen)
  }
  if (moved.size === 0) {
    const mute = muted(memory.mute, silent, now)
    return mute === memory.mute ? memory : { ...memory, mute, lookedAt: now }
  }
  const paths = new Map<string, PathEstimate>(memory.paths)
  for (const [path, seen] of through) {
    const key = pathKey(path)
    const before = paths.get(key) ?? unobserved(declaredFor(path))
    const is = fullness(network.get(key), now)
    paths.set(
      key,
      observe(before, { at: now, ...seen, squeezed: seen.squeezed === true && is === 'not full', fullness: is }),
    )
  }
  return { ...memory, paths, moved, mute: muted(memory.mute, silent, now), lookedAt: now }
}

function muted(before: Memory['mute'], silent: ReadonlyMap<string, boolean>, now: Instant): Memory['mute'] {
  if (before.size === 0 && ![...silent.values()].includes(true)) return before
  const mute = new Map([...before].filter(([key, at]) => silent.get(key) !== false && now - at < muteFor))
  for (const [key, isSilent] of silent) if (isSilent) mute.set(key, now)
  return mute
}

const nothing: Through = {
  goodput: 0,
  flows: 0,
  streams: 0,
  fastest: 0,
  greedy: false,
  squeezed: false,
  allowed: 0,
}

interface Bounds {
  /** What is known to bound it, whatever the path carries; one that does not reach its cap is held back by something else. */
  readonly most: number
  /** One with no higher cap waits. */
  readonly least: number
  /** Of caps. */
  readonly step: number
  readonly isTold: boolean
}

function add(before: Through | undefined, m: Flowing, { most, least, step, isTold }: Bounds): Through {
  const { goodput, flows, streams = 0, fastest, greedy, squeezed, allowed = 0 } = before ?? nothing
  // All of it is sent: what its rate was is the next one's already.
  if (m.phase === 'switchover' && m.finishing) return before ?? nothing
  const rate = m.progress?.rate ?? 0
  const cap = m.tuning.rate ?? Number.POSITIVE_INFINITY
  // Where caps come in steps, the least may be all that the first has.
  const waits = cap <= least && (step <= 1 || before !== undefined)
  // The first seconds of a flow are in nobody's average yet.
  const settled = m.phase === 'pre-copy' && isTold
  const takesAll = settled && !waits && rate < Math.min(most, cap) * heldBack
  return {
    goodput: goodput + rate,
    flows: flows + (waits ? 0 : 1),
    streams: streams + (waits ? 0 : Math.max(1, m.streams)),
    fastest: Math.max(fastest, settled ? rate / Math.max(1, m.streams) : 0),
    greedy: greedy || takesAll,
    allowed: allowed + cap,
    squeezed: squeezed === true || (takesAll && m.compression !== 'none'),
  }
}
