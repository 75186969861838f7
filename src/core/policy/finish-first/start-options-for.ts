/** How a VM is sent: what has to be chosen before its first byte leaves (streams, throttle, the way out if it does not converge). */
import type { Vm } from '../../inventory/vm.ts'
import type { Switchover, Tuning } from '../../migration/migration.ts'
import { type StartOptions, usesChannels } from '../../migration/start-options.ts'
import { fraction, ms } from '../../units.ts'
import { dirtiesOf } from './guest.ts'
import { type Lane, squeezingTakes } from './lanes.ts'

/** While a guest stands still for its last part, the next has this share of the path, so that the path does not wait for handshakes. */
const warmShare = 0.5
/** A guest that writes more than this share of what is sent needs its whole downtime to converge, and the whole path for it. */
const busyGuest = 0.1
/** A guest that writes more than this share of its rate will be throttled: to this share, and in such steps. */
const outruns = 0.5
const leavesTo = 0.25
const throttleMost = 0.99
const throttleStep = fraction(0.2)
/**
 * Each further stream has a socket buffer of its own, whose content QEMU takes for sent, and a guest stands still until all of them are
 * empty (8 channels at 100 Mbit/s in the lab: 1.2 to 3.5 s, one: 0.25 to 0.5 s). So more than one only where one is known not to fill
 * the path, or where the path empties them within a small part of what its owner allows: several outlast losses that stop one.
 */
const channelsMost = 8
/** Measured: see physics/timings.ts, `channelBuffer`. @unit bytes */
const bufferOfChannel = 3_000_000
const downtimeForBuffers = 0.25
/** Several streams are no help any more where their buffers alone take this many times what a guest's owner allows. */
const timesBearable = 3
/** However much the buffers hold, a guest is told to stop with this share of its downtime to send. */
const leastShare = 0.2

/** Squeezing that takes no more of one processor than this is asked of an overloaded host too: on a slow path it brings more than it costs. */
const spareProcessor = 0.25

type Channels = Pick<StartOptions, 'channels' | 'compression'>

/** Post-copy and multifd do not go together (QEMU 7.2), and post-copy has to be chosen at the start. */
export function streamsFor(vm: Vm, lane: Lane | undefined): number {
  if (lane === undefined || vm.policy.allow.includes('post-copy') || !Number.isFinite(lane.usual)) return 1
  // What a stream's buffer holds takes so long whatever the number of streams: where that is too long, more VMs at a time fill the path.
  const isBearable = (bufferOfChannel / lane.perStream) * 1000 <= vm.policy.maxDowntime * timesBearable
  const needed = isBearable ? neededOn(lane, Math.min(lane.usual, lane.own)) : 1
  const harmless = Math.floor((lane.usual * downtimeForBuffers * vm.policy.maxDowntime) / 1000 / bufferOfChannel)
  return Math.min(channelsMost, Math.max(1, needed, harmless))
}

/**
 * Of what a stream was seen to get one less than would do: one that is alone with several shows only its part of the path, and so the next
 * shows more, if there is more.
 */
const neededOn = ({ stated, perStream }: Lane, rate: number): number =>
  Math.max(Math.ceil(rate / stated), Math.floor(rate / perStream))

/** Whether an overloaded host is not asked to squeeze for this way. */
export const sparesProcessors = (lane: Lane): boolean => squeezingTakes(lane) > spareProcessor

export interface Circumstances {
  /** An attempt failed already: the next is as plain as can be. */
  readonly again?: boolean
  /** The processors of its host have no time left for squeezing what one of its ways carries. */
  readonly overloaded?: boolean
  /** Its cap is a promise, and smaller than what channels keep: one stream as it is. */
  readonly exact?: boolean
}

export function optionsFor(
  vm: Vm,
  lane: Lane | undefined,
  { again = false, overloaded = false, exact = false }: Circumstances = {},
): StartOptions {
  const postCopy = vm.policy.allow.includes('post-copy')
  return {
    channels: exact ? 1 : streamsFor(vm, lane),
    // Squeezing goes over channels, and post-copy does not (QEMU 7.2).
    compression: postCopy || again || overloaded || exact ? 'none' : (lane?.compression ?? 'none'),
    autoConverge: !postCopy,
    postCopy,
    throttle: throttleFor(vm, Math.min(lane?.usual ?? Number.POSITIVE_INFINITY, lane?.own ?? Number.POSITIVE_INFINITY)),
  }
}

/** A guest that is known to outrun its path is slowed at once to where it converges, not in ten steps of a round each. */
function throttleFor(vm: Vm, rate: number): StartOptions['throttle'] {
  const writes = dirtiesOf(vm)
  if (!Number.isFinite(rate) || writes <= rate * outruns) return undefined
  return { initial: fraction(Math.min(throttleMost, 1 - (rate * leavesTo) / writes)), step: throttleStep }
}

/**
 * Less than its owner allows, where the next may warm up beside it: the hypervisor is told to stop a guest with so much less to send
 * that its owner's limit holds all the same. What the buffers of several streams hold comes on top of what the hypervisor counts.
 */
export function firstDowntime(vm: Vm, lane: Lane, { channels, compression }: Channels): Tuning['downtimeLimit'] {
  const { maxDowntime } = vm.policy
  const share = dirtiesOf(vm) > lane.narrowest * busyGuest ? 1 : warmShare
  const buffers = emptied({ channels, compression }, lane)
  return ms(Math.max(maxDowntime * leastShare, maxDowntime * share - buffers))
}

/** How long what the buffers of several streams hold takes. @unit ms */
function emptied({ channels, compression }: Channels, { narrowest, perStream }: Lane): number {
  if (!usesChannels({ channels, compression })) return 0
  return (channels * bufferOfChannel * 1000) / Math.max(1, Math.min(narrowest, channels * perStream))
}

/** The share of its path that another may have while it stands still, so that its owner's limit holds. */
export function roomBeside(
  { tuning, streams, compression }: Pick<Switchover, 'tuning' | 'streams' | 'compression'>,
  { policy }: Vm,
  lane: Lane,
): number {
  const whole =
    (tuning.downtimeLimit + emptied({ channels: streams, compression }, lane)) / Math.max(1, policy.maxDowntime)
  return Math.min(warmShare, Math.max(0, 1 - whole))
}
