/**
 * Who waits for which way out, in the plan's order, and how much each way still has to carry. Counted anew every few seconds and when
 * somebody comes back, for ten thousand wait at the beginning; who has left a queue meanwhile is passed over.
 */
import type { HostId, VmId } from '../../ids.ts'
import type { Instant } from '../../instant.ts'
import { bytesToMove } from '../../inventory/vm.ts'
import type { Queued } from '../../migration/migration.ts'
import type { PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'

export interface Queue {
  /** One of those who wait; undefined where nobody knows where they go. */
  readonly lane: Lane | undefined
  readonly vms: readonly VmId[]
  /** Hosts that they leave. */
  readonly sources: ReadonlySet<HostId>
  /** Of all of them. @unit bytes */
  readonly bytes: number
  readonly value: number
}

export interface Queues {
  readonly at: Instant
  /** Who waited then. */
  readonly count: number
  readonly byLane: ReadonlyMap<string, Queue>
}

const countEvery = 5_000

/** Where the plan has it go, unless it was refused there. */
export const boundFor = (view: PolicyView, m: Queued): HostId | undefined => {
  const planned = view.plannedTo(m.vm)
  return planned === undefined || m.excluded.includes(planned) ? undefined : planned
}

/** @returns the same where it is still good enough */
export function counted(before: Queues | undefined, view: PolicyView, lanes: Lanes): Queues {
  const { migrations, now } = view
  const waiting = migrations.count('queued')
  if (before !== undefined && now - before.at < countEvery && waiting <= before.count)
    return waiting === before.count ? before : { ...before, count: waiting }
  const byLane = new Map<
    string,
    { lane: Lane | undefined; vms: VmId[]; sources: Set<HostId>; bytes: number; value: number }
  >()
  for (const m of migrations.in('queued')) {
    const to = boundFor(view, m)
    const lane = to === undefined ? undefined : lanes.lane(m.source, to)
    const key = lane?.queue ?? `from ${m.source}`
    const queue = byLane.get(key) ?? { lane, vms: [], sources: new Set<HostId>(), bytes: 0, value: 0 }
    byLane.set(key, queue)
    queue.vms.push(m.vm)
    queue.sources.add(m.source)
    const vm = view.vmOf(m.vm)
    queue.bytes += bytesToMove(vm)
    queue.value += vm.value
  }
  return { at: now, count: waiting, byLane }
}
