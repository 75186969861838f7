/**
 * One migration of a simulated hypervisor: a fluid that runs at the rate the network gives it, in passes over memory as QEMU makes them.
 *
 *     starting ─> active ─> stopping ─> completed
 *        │          │  └─> post-copy <──> post-copy-broken
 *        └──> failed, cancelled
 *
 * Disks that are copied along go first, until the copy has caught up with what the guest writes to them; then memory begins with its first
 * pass, and what is written to the disks meanwhile goes along with it (QEMU: blockdev-mirror, then migrate).
 *
 * A pass ends when what remains would go over within the downtime limit; then the bitmap is read again, and what was written since is
 * added. If that still goes over within the limit, the guest is stopped (QEMU: migration_iteration_run).
 */
import type { HostId, VmId } from '../ids.ts'
import type { DiskProgress } from '../migration/progress.ts'
import { leastOverChannels, type StartOptions, usesChannels } from '../migration/start-options.ts'
import { bytes } from '../units.ts'
import type { Alarm } from './kernel.ts'
import { blocksWithin, dirtiedWithin, type Guest, pageSize } from './physics/guest-memory.ts'
import {
  channelBuffer,
  judgedEvery,
  leastRound,
  squeezeMost,
  streamMost,
  throttleFirst,
  throttleMost,
  throttleStep,
  throttleTrigger,
  timesToThrottle,
  wireShare,
} from './physics/timings.ts'
import type { Flow, Resource } from './physics/share.ts'

export type TransferStatus =
  | 'starting'
  | 'active'
  | 'stopping'
  | 'post-copy'
  | 'post-copy-broken'
  | 'completed'
  | 'failed'
  | 'cancelled'

export interface DiskCopy {
  /** @unit bytes */
  copied: number
  /** With what became dirty again. @unit bytes */
  total: number
  /** Memory, which waits for the disks; 0 once it flows. @unit bytes */
  waiting: number
}

export interface Transfer {
  readonly vm: VmId
  readonly source: HostId
  readonly target: HostId
  readonly options: StartOptions
  readonly crosses: readonly Resource[]
  status: TransferStatus
  /** All that had to leave at least once. @unit bytes */
  readonly total: number
  /** `undefined` where no disk is copied along. */
  readonly disk: DiskCopy | undefined
  /** Of this pass. @unit bytes of memory, or of disks while they go first */
  remaining: number
  /** @unit bytes on the wire */
  sent: number
  round: number
  roundBegan: number
  /** Passes since rates were last judged: QEMU judges at the end of a pass, but only a second after it did so before. */
  judged: { readonly at: number; readonly sent: number; readonly dirtied: number }
  /** Times the guest was judged to write faster than half of what was sent, since the throttle was last raised. */
  outrun: number
  /** Share of its time taken from the guest. */
  throttle: number
  dirtyRate: number | undefined
  /** What the network gives it now. @unit bytes on the wire per second */
  rate: number
  /** The operator's or the policy's cap. @unit bytes per second */
  cap: number
  /** @unit ms */
  downtimeLimit: number
  stoppedAt: number | undefined
  downtime: number | undefined
  error: string | undefined
  readonly startedAt: number
  /** All is sent; the last acknowledgements are awaited, which take none of the path. */
  closing: boolean
  /** Until when `remaining` and `sent` are true. */
  settledAt: number
  milestone: Alarm | undefined
  /** Gives up when nothing went through for so long. */
  patience: Alarm | undefined
  /** Post-copy was asked for; it begins with the next bytes that go through. */
  postCopyAsked: boolean
  /** A broken connection sends nothing before this, though the path is whole. */
  silentUntil: number
}

/** Has a connection that something goes through, or will. */
export const isConnected = ({ status }: Transfer): boolean =>
  status === 'active' || status === 'stopping' || status === 'post-copy'
export const hasEnded = ({ status }: Transfer): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'

/** Bytes on the wire for one of memory. */
export const wirePerByte = ({ options }: Transfer): number => wireShare[options.compression]

/** @param threadShare of a processor, that each of its threads gets */
export const flowOf = (transfer: Transfer, perFlow: number, threadShare: number): Flow => {
  const streams = Math.max(1, transfer.options.channels)
  // While the guest stands still nothing holds QEMU back (migration_completion: the rate limit is taken off).
  const cap = transfer.status === 'stopping' ? Number.POSITIVE_INFINITY : Math.max(transfer.cap, leastKept(transfer))
  const squeezed = squeezeMost[transfer.options.compression] * wirePerByte(transfer)
  return {
    weight: streams,
    most: Math.min(cap, streams * Math.min(perFlow, Math.min(streamMost, squeezed) * threadShare)),
    crosses: transfer.crosses,
  }
}

/** A cap below this is not kept. @unit bytes per second, on the wire */
const leastKept = (transfer: Transfer): number =>
  usesChannels(transfer.options) ? leastOverChannels * wirePerByte(transfer) : 0

/** Takes in what went over since the last time. */
export function settle(transfer: Transfer, now: number): void {
  const span = (now - transfer.settledAt) / 1000
  transfer.settledAt = now
  if (span <= 0 || transfer.rate <= 0 || !isConnected(transfer)) return
  const memory = Math.min(transfer.remaining, (transfer.rate * span) / wirePerByte(transfer))
  transfer.remaining -= memory
  if (transfer.disk !== undefined && transfer.disk.waiting > 0) transfer.disk.copied += memory
  transfer.sent += memory * wirePerByte(transfer)
}

/** Memory that goes over within the downtime limit at the present rate. @unit bytes */
const threshold = (transfer: Transfer): number =>
  ((transfer.rate / wirePerByte(transfer)) * transfer.downtimeLimit) / 1000 + buffered(transfer)

/** What sockets hold counts as sent, and a guest stands still until they are empty. @unit bytes */
const buffered = (transfer: Transfer): number => {
  return usesChannels(transfer.options) ? (transfer.options.channels * channelBuffer) / wirePerByte(transfer) : 0
}

/** When this pass (or the rest) will be through at the present rate; undefined when nothing moves. @unit ms from now */
export function milestoneIn(transfer: Transfer, now: number): number | undefined {
  const { status, remaining, rate, roundBegan } = transfer
  if (status !== 'active') return rate > 0 || remaining === 0 ? time(transfer, remaining) : undefined
  if (rate <= 0) return remaining === 0 ? 0 : undefined
  const left = copiesDisks(transfer) ? remaining : Math.max(0, remaining - threshold(transfer))
  return Math.max(time(transfer, left), roundBegan + leastRound - now, 0)
}

const time = (transfer: Transfer, memory: number): number =>
  memory <= 0 ? 0 : (memory / (transfer.rate / wirePerByte(transfer))) * 1000

/** Disks are copied for the first time, and memory waits. */
export const copiesDisks = ({ disk }: Transfer): boolean => disk !== undefined && disk.waiting > 0

/** All that is still to leave, memory that waits for the disks included. @unit bytes */
export const leftOf = ({ remaining, disk }: Transfer): number => remaining + (disk?.waiting ?? 0)

/** As a progress or a sample has it. */
export const diskOf = ({ disk }: Transfer): { readonly disk?: DiskProgress } =>
  disk === undefined
    ? {}
    : {
        disk: {
          copied: bytes(Math.round(disk.copied)),
          remaining: bytes(Math.max(0, Math.round(disk.total - disk.copied))),
          total: bytes(Math.round(disk.total)),
        },
      }

/** The copy is through: with what was written meanwhile, or, where that is next to nothing, with memory. */
function endDiskPass(transfer: Transfer, disk: DiskCopy, guest: Guest, now: number): void {
  const dirtied = blocksWithin(guest, now - transfer.roundBegan)
  const span = now - transfer.roundBegan
  transfer.dirtyRate = span > 0 ? (dirtied / span) * 1000 : 0
  disk.total += dirtied
  transfer.remaining += dirtied
  transfer.roundBegan = now
  const caughtUp = dirtied <= (transfer.rate / wirePerByte(transfer)) * (leastRound / 1000)
  if (!caughtUp) return
  transfer.remaining += disk.waiting
  disk.copied = disk.total
  disk.waiting = 0
  transfer.round = 1
  transfer.judged = { at: now, sent: transfer.sent, dirtied: 0 }
}

/** The bitmap is read again. @returns whether the rest goes over within the downtime limit: the guest can be stopped */
export function endPass(transfer: Transfer, guest: Guest, now: number): boolean {
  const { disk } = transfer
  if (disk !== undefined && disk.waiting > 0) {
    endDiskPass(transfer, disk, guest, now)
    return false
  }
  const span = now - transfer.roundBegan
  const dirtied = dirtiedWithin(guest, span)
  if (disk !== undefined) {
    disk.total += blocksWithin(guest, span)
    disk.copied = disk.total
  }
  judge(transfer, dirtied, now)
  transfer.remaining += dirtied
  transfer.round += 1
  transfer.roundBegan = now
  return transfer.remaining <= threshold(transfer) + pageSize
}

/**
 * How fast the guest writes is told at the end of a pass that comes a second after it was told before, over all passes since. With
 * auto-converge, the guest is slowed when it wrote more than half of what was sent for the second time, and more each second time after
 * (QEMU, migration/ram.c, `migration_bitmap_sync`, `migration_trigger_throttle`; the first pass counts, as was seen in the lab).
 */
function judge(transfer: Transfer, dirtied: number, now: number): void {
  const { at, sent } = transfer.judged
  const written = transfer.judged.dirtied + dirtied
  const span = now - at
  transfer.judged = span < judgedEvery ? { at, sent, dirtied: written } : { at: now, sent: transfer.sent, dirtied: 0 }
  // As the hypervisor says it: nothing, from the second pass on.
  transfer.dirtyRate ??= 0
  if (span < judgedEvery) return
  transfer.dirtyRate = (written / span) * 1000
  if (written > ((transfer.sent - sent) / wirePerByte(transfer)) * throttleTrigger) throttle(transfer)
}

function throttle(transfer: Transfer): void {
  transfer.outrun += 1
  if (!transfer.options.autoConverge || transfer.outrun < timesToThrottle) return
  transfer.outrun = 0
  const { initial = throttleFirst, step = throttleStep } = transfer.options.throttle ?? {}
  transfer.throttle = transfer.throttle === 0 ? initial : Math.min(throttleMost, transfer.throttle + step)
}
