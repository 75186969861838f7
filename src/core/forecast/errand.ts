/** From a VM and the way it goes to the errand that the outlook serves: what it crosses, the most it can use, how long it takes at a rate. */
import { type Crossing, crossings, type Estimate } from '../control/water-filling.ts'
import type { HostId } from '../ids.ts'
import { findHost, type Snapshot, wayBetween } from '../inventory/snapshot.ts'
import { bytesToMove, type DirtyModel, type Vm } from '../inventory/vm.ts'
import type { Policy } from '../policy/policy.ts'
import { bytesPerSecond, ms } from '../units.ts'

import { type Correction, factorsAt, type Mark, type Spread } from './correction.ts'
import type { Queueing } from './outlook.ts'
import type { Errand } from './serve.ts'
import { type PassUnderWay, preCopyRemaining } from './pre-copy-duration.ts'
import { lossLimit } from './tcp.ts'

/** Streams that a policy which fills its way uses for one VM (policy/finish-first.ts). */
const streamsMost = 8
/** Process start, handshakes and the last acknowledgements, beside round trips (sim/physics/timings.ts has them one by one). @unit ms */
const fixedCost = 130
/** TCP, the migration header, the return path; device state and its acknowledgement. */
const roundTrips = 5
/** Auto-converge ends where a guest writes this share of what is sent; it takes part of a further pass to get there. */
const throttledTo = 0.4
const settling = 0.25
/** When such a guest ends is less certain by this much. */
const rescueRisk = 1.3

/** How a policy serves its VMs, as far as a forecast needs to know. */
export interface Habits extends Queueing {
  /** Guests that outrun their path are throttled, or switched over, until they end. */
  readonly rescues: boolean
}

/** @param maxParallel the operator's bound */
export function habitsOf({ slots, order = 'inventory' }: Policy, maxParallel: number | undefined): Habits {
  const ours = order === 'value-per-time'
  return { slots: Math.min(slots, maxParallel ?? slots), fills: ours, rescues: ours }
}

/** What ways are thought to carry, looked up once for each pair of hosts. */
export class Roads {
  readonly #snapshot: Snapshot
  readonly #estimate: Estimate
  readonly #bandwidth: number | undefined
  readonly #known = new Map<HostId, Map<HostId, Road>>()

  /** @param bandwidth what the operator allows for all together @unit bytes per second */
  constructor(snapshot: Snapshot, estimate: Estimate, bandwidth: number | undefined) {
    this.#snapshot = snapshot
    this.#estimate = estimate
    this.#bandwidth = bandwidth
  }

  between(from: HostId, to: HostId): Road {
    const out = this.#known.get(from) ?? new Map<HostId, Road>()
    this.#known.set(from, out)
    const found = out.get(to)
    if (found !== undefined) return found
    const road = this.#survey(from, to)
    out.set(to, road)
    return road
  }

  #survey(from: HostId, to: HostId): Road {
    const path = wayBetween(this.#snapshot, from, to)
    const operator: Crossing[] =
      this.#bandwidth === undefined ? [] : [{ key: 'the bandwidth allowed', capacity: this.#bandwidth }]
    const { nic: out } = findHost(this.#snapshot, from) ?? {}
    const { nic: into } = findHost(this.#snapshot, to) ?? {}
    return {
      crosses: [...operator, ...crossings(this.#snapshot, from, to, this.#estimate)],
      card: Math.min(out ?? Number.POSITIVE_INFINITY, into ?? Number.POSITIVE_INFINITY),
      perStream: Math.min(path?.perFlow ?? Number.POSITIVE_INFINITY, lossLimit(path?.rtt ?? 0, path?.loss ?? 0)),
      handshakes: fixedCost + roundTrips * (path?.rtt ?? 0),
    }
  }
}

export interface Road {
  readonly crosses: readonly Crossing[]
  /** The slower of the two network cards. @unit bytes per second */
  readonly card: number
  /** What one TCP stream gets at best. @unit bytes per second */
  readonly perStream: number
  /** What a migration costs beside its bytes. @unit ms */
  readonly handshakes: number
}

/** What a path carries for us as far as the inventory says. @unit bytes per second */
export const statedCapacity: Estimate = ({ capacity, background }) =>
  capacity === undefined ? Number.POSITIVE_INFINITY : Math.max(0, capacity - (background ?? 0))

export interface Way {
  readonly vm: Vm
  readonly road: Road
  readonly habits: Habits
  readonly correction: Correction
}

/** A VM that has not begun. */
export function errandAhead({ vm, road, habits, correction }: Way): Errand {
  const needed = bytesToMove(vm)
  const pass = { remaining: needed, since: 0, all: needed }
  const lasts = (rate: number): number =>
    needed === 0 ? road.handshakes : lastingPreCopy(vm, vm.dirty, pass, rate, habits) + road.handshakes
  return {
    vm: vm.id,
    crosses: road.crosses,
    most: mostFor(road, habits),
    load: needed,
    lasts,
    factors: factorsFor(vm, vm.dirty, pass, bestFor(road, habits), factorsAt(correction, 0)),
    flows: false,
  }
}

export interface UnderWay {
  readonly pass: PassUnderWay
  /** As learned; of the guest as it is now, throttled or not. */
  readonly dirty: DirtyModel | undefined
  /** Bytes on the wire for one of memory. */
  readonly wire: number
  /** What it gets now. @unit bytes per second */
  readonly rate: number
  /** The last mark it has passed. */
  readonly mark: Mark
  /** The guest stands still, or runs at the target: what is left is sent once. */
  readonly lastPass: boolean
}

/** A VM whose memory flows. */
export function errandUnderWay({ vm, road, habits, correction }: Way, under: UnderWay): Errand {
  const { pass, dirty, wire, rate, mark, lastPass } = under
  const closing = road.handshakes / 2
  const lasts = (at: number): number => {
    const memory = at / wire
    if (lastPass) return memory > 0 ? (pass.remaining / memory) * 1000 + closing : Number.POSITIVE_INFINITY
    return lastingPreCopy(vm, dirty, pass, memory, habits) + closing
  }
  return {
    vm: vm.id,
    crosses: road.crosses,
    most: Math.max(rate, mostFor(road, habits)),
    load: pass.remaining * wire,
    lasts,
    factors: lastPass
      ? factorsAt(correction, mark)
      : factorsFor(vm, dirty, pass, bestFor(road, habits) / wire, factorsAt(correction, mark)),
    flows: true,
  }
}

const mostFor = ({ card, perStream }: Road, { fills }: Habits): number =>
  Math.min(card, perStream * (fills ? streamsMost : 1))

/** With nobody beside it. @unit bytes per second */
const bestFor = (road: Road, habits: Habits): number =>
  road.crosses.reduce((least, { capacity }) => Math.min(least, capacity), mostFor(road, habits))

/** A guest that does not end by itself even with all of its way ends when somebody makes it: less certain. */
function factorsFor(
  { policy }: Vm,
  dirty: DirtyModel | undefined,
  pass: PassUnderWay,
  best: number,
  { p50, p90 }: Spread,
): Spread {
  const alone = dirty === undefined || Number.isFinite(preCopyRemaining(pass, dirty, best, policy.maxDowntime))
  return alone ? { p50, p90 } : { p50, p90: p90 * rescueRisk }
}

/** Where pre-copy alone does not end, what the policy does about it. @returns milliseconds, or `Infinity` */
function lastingPreCopy(
  { policy }: Vm,
  dirty: DirtyModel | undefined,
  pass: PassUnderWay,
  rate: number,
  { rescues }: Habits,
): number {
  const alone = preCopyRemaining(pass, dirty, rate, policy.maxDowntime)
  if (Number.isFinite(alone) || !rescues || dirty === undefined || rate <= 0) return alone
  // Post-copy is asked for when all memory has gone over twice (policy/finish-first.ts); what remains then goes over once.
  if (policy.allow.includes('post-copy')) return ((pass.remaining + 2 * pass.all) / rate) * 1000
  const writes = dirty.cold + dirty.hot / Math.max(0.001, dirty.period / 1000)
  const slowed = slow(dirty, Math.max(0.05, Math.min(1, (rate * throttledTo) / Math.max(1, writes))))
  return preCopyRemaining(pass, slowed, rate, policy.maxDowntime) + ((pass.all * settling) / rate) * 1000
}

/** A guest that gets only so much of its time. @param awake 0 … 1 */
export function slow(dirty: DirtyModel, awake: number): DirtyModel {
  if (awake >= 1) return dirty
  const share = Math.max(0.01, awake)
  return { ...dirty, period: ms(dirty.period / share), cold: bytesPerSecond(dirty.cold * share) }
}
