/**
 * How much of a guest's memory has become dirty after a while: a hot set H rewritten every h, and a cold rate c. A page that is written
 * twice in one pass is sent once in the next, so the hot part saturates at H. Throttling slows the guest, and with it both.
 */
import type { DirtyModel } from '../../inventory/vm.ts'

/** What QEMU tracks and sends memory in (target page of x86 and arm64 guests). @unit bytes */
export const pageSize = 4096

export interface Guest {
  readonly dirty: DirtyModel | undefined
  /** Memory that is not zero: no more than this can be dirty. @unit bytes */
  readonly used: number
  /** Bytes of the disks that are copied along: no more than this can be dirty of them. @unit bytes */
  readonly diskUsed: number
  /** What it writes to disks that are copied along. @unit bytes per second */
  readonly diskWrites: number
  /** Share of its time taken away, 0 … 0.99. */
  readonly throttle: number
}

/** @param span since the pass began @unit ms @returns whole pages @unit bytes */
export function dirtiedWithin({ dirty, used, diskUsed, diskWrites, throttle }: Guest, span: number): number {
  if (span <= 0) return 0
  const awake = span * (1 - throttle)
  const hot = dirty === undefined ? 0 : dirty.hot * Math.min(1, awake / Math.max(1, dirty.period))
  const cold = dirty === undefined ? 0 : (dirty.cold * awake) / 1000
  const guest = { diskUsed, diskWrites, throttle }
  return Math.floor(Math.min(used, hot + cold) / pageSize) * pageSize + blocksWithin(guest, span)
}

/** Of the disks that are copied along alone. @param span since they were looked at last @unit ms @returns whole blocks @unit bytes */
export function blocksWithin(
  { diskUsed, diskWrites, throttle }: Pick<Guest, 'diskUsed' | 'diskWrites' | 'throttle'>,
  span: number,
): number {
  if (span <= 0) return 0
  const written = Math.min(diskUsed, (diskWrites * span * (1 - throttle)) / 1000)
  return Math.floor(written / pageSize) * pageSize
}
