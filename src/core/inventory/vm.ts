/** A virtual machine as the inventory knows it, and what its owner allows. */
import type { HostId, PlaceId, VmId } from '../ids.ts'
import { type Bytes, bytes, type BytesPerSecond, bytesPerSecond, type Milliseconds, ms, sumBytes } from '../units.ts'

/** How memory is written: a hot set rewritten every `period`, the rest at the cold rate. */
export interface DirtyModel {
  readonly hot: Bytes
  readonly period: Milliseconds
  readonly cold: BytesPerSecond
}

export interface Disk {
  readonly name: string
  readonly size: Bytes
  /** Bytes that would have to be copied. @default size */
  readonly used: Bytes
  readonly write: BytesPerSecond
  /** On storage that the target reaches too: nothing to copy. */
  readonly shared: boolean
}

/** What may be done to a guest beyond plain pre-copy, which is always allowed. */
export const modesOfLastResort = ['post-copy', 'stop-copy', 'save', 'shutdown'] as const
export type ModeOfLastResort = (typeof modesOfLastResort)[number]

export interface VmPolicy {
  /** The guest may stand still this long at switchover. */
  readonly maxDowntime: Milliseconds
  readonly allow: readonly ModeOfLastResort[]
  /** `stay`: this VM may not move; the report says so. */
  readonly action: 'move' | 'stay'
  /** Only there may it go; `undefined`: anywhere. */
  readonly targets: readonly PlaceId[] | undefined
  /** A name that several VMs have: no two of them ever share a host at their targets. */
  readonly antiAffinity: string | undefined
}

export interface Vm {
  readonly id: VmId
  readonly host: HostId
  readonly memory: Bytes
  /** Memory that must leave at least once (non-zero). @default memory */
  readonly used: Bytes
  readonly dirty: DirtyModel | undefined
  readonly disks: readonly Disk[]
  readonly value: number
  readonly group: string | undefined
  readonly policy: VmPolicy
  /** Stopped by somebody, with its memory in place. A move would set it running at the target, so it is not moved. */
  readonly paused: boolean
}

/** Of disks that the target does not reach: copied along with memory. */
export const localDiskBytes = ({ disks }: Vm): Bytes =>
  sumBytes(disks.filter(disk => !disk.shared).map(disk => disk.used))
/** All that must leave at least once. */
export const bytesToMove = (vm: Vm): Bytes => bytes(vm.used + localDiskBytes(vm))

/** What it writes while it is moved: memory, and disks that are copied along, whose blocks then go again. */
export function writesOf({ dirty, disks }: Vm): DirtyModel | undefined {
  const blocks = disks.reduce((sum, disk) => sum + (disk.shared ? 0 : disk.write), 0)
  if (blocks === 0) return dirty
  const { hot, period, cold } = dirty ?? { hot: bytes(0), period: ms(1_000), cold: bytesPerSecond(0) }
  return { hot, period, cold: bytesPerSecond(cold + blocks) }
}

/** Why this VM must not be touched; undefined when it may be moved. */
export function mayNotMove({ paused, policy }: Vm): string | undefined {
  if (policy.action === 'stay') return 'its policy says stay'
  if (paused) return 'somebody paused it, and a move would set it running; resume it, then evacuate again'
  return undefined
}

/** QEMU's and libvirt's default downtime limit is 300 ms (qapi/migration.json, `downtime-limit`); so is ours. */
export const defaultMaxDowntime = ms(300)
export const defaultVmPolicy: VmPolicy = {
  maxDowntime: defaultMaxDowntime,
  allow: [],
  action: 'move',
  targets: undefined,
  antiAffinity: undefined,
}
