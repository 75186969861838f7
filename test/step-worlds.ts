/** One path that falls to a share of what it carries and comes back after a minute, beside neighbours or not: what is used of it, and how soon. */
import type { BytesPerSecond } from '../src/core/units.ts'
import { beginRehearsal, type Rehearsal } from '../src/core/sim/rehearse.ts'
import type { Timeline } from '../src/core/sim/timeline.ts'
import { bytes, bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { aHost, aPath, aSnapshot, aVm } from './arbitraries.ts'
import { flowing, Meter, ours, withPath } from './finish-first-worlds.ts'

/** What one that waits may send. @unit bytes per second */
const waiting = 65_536

/** Idle guests for several minutes. */
export const idleGuests = (capacity: BytesPerSecond | undefined, timeline: Timeline): Rehearsal => ({
  ...ours,
  timeline,
  snapshot: aSnapshot({
    sites: aSnapshot().sites,
    hosts: [aHost('a-1', 'a', { memory: mebibytes(262_144) }), aHost('b-1', 'b', { memory: mebibytes(262_144) })],
    paths: [aPath('a', 'b', { capacity, rtt: ms(20) })],
    vms: Array.from({ length: 40 }, (_, n) =>
      aVm(`vm-${n + 1}`, 'a-1', { memory: mebibytes(2_048), used: mebibytes(700 + 13 * n) }),
    ),
  }),
})

export const stepAt = (at: number, capacity: BytesPerSecond): Timeline[number] => {
  const { from, to } = aPath('a', 'b')
  return { at: ms(at), jitter: ms(0), what: { kind: 'path', path: [from, to], change: { capacity } } }
}

export interface Step {
  /** In Mbit/s. */
  readonly before: number
  /** To this share. */
  readonly falls: number
  /** @unit ms */
  readonly at: number
  /** What neighbours have of the whole, as a share. */
  readonly background: number
}

export interface Settled {
  /** Until nine tenths of what is left for us are used, for five seconds: after the fall, and after the rise. @unit s */
  readonly down: number
  readonly up: number
  /** Least share of what the neighbours could have, over any five seconds in the minute after each step. */
  readonly kept: number
  /** Most at a time that do more than wait. */
  readonly most: number
}

const restFor = 60_000
const averagedOver = 5
const used = 0.9

/** @throws Error when the evacuation is over before a minute after the rise */
export function settled({ before, falls, at, background }: Step): Settled {
  const capacity = megabitsPerSecond(before)
  const theirs = bytesPerSecond(capacity * background)
  const meter = new Meter(theirs)
  const timeline = [stepAt(at, bytesPerSecond(capacity * falls)), stepAt(at + restFor, capacity)]
  const { snapshot, ...world } = idleGuests(capacity, timeline)
  const vms = snapshot.vms.map(vm => ({
    ...vm,
    memory: mebibytes(4_096),
    used: bytes(Math.round(vm.used * Math.max(1, before / 400))),
  }))
  const rehearsal = { ...world, snapshot: { ...withPath(snapshot, { background: theirs }), vms } }
  const run = beginRehearsal({ ...rehearsal, watch: { onRates: meter.onRates } })
  let most = 0
  while (run.now < at + 2 * restFor) {
    if (!run.advance(1)) throw new Error('it is over too soon')
    const busy = flowing(run.soFar().state).filter(({ tuning }) => (tuning.rate ?? Infinity) > waiting)
    most = Math.max(most, busy.length)
  }
  meter.until(run.now)
  const until = (from: number, left: number): number => {
    const first = Math.ceil(from / 1000)
    const [...means] = meter.over(averagedOver, first)
    const found = means.findIndex(mean => mean.ours >= used * left)
    return found < 0 ? Number.POSITIVE_INFINITY : first + found - from / 1000
  }
  const first = Math.ceil(at / 1000)
  const minute = restFor / 1000
  const kept = [first, first + minute + 1].flatMap(from =>
    [...meter.over(averagedOver, from, from + minute - 1)].map(mean => (mean.left > 0 ? mean.theirs / mean.left : 1)),
  )
  const [low, high] = [capacity * (falls - background), capacity * (1 - background)]
  return { down: until(at, low), up: until(at + restFor, high), kept: Math.min(...kept), most }
}
