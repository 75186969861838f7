/**
 * What a target has to make for a VM's disks, decided from what both sides said. Pure; libvirt/storage-room.ts and qemu/image-room.ts ask
 * and make. A pool is a libvirt pool, or a folder of a plain QEMU host; a volume is what lies in it.
 *
 * A disk that is copied needs a volume in the pool that holds its path. What is there already is overwritten only where it is known to be
 * worthless: this VM's own old copy, or empty. Only the top of a chain is copied where every chain's base is at the target already.
 */
import { type Bytes, bytes, showBytes } from '../core/units.ts'

/** An image with its sizes, as the source's hypervisor knows them. */
export interface ImageFacts {
  readonly path: string
  readonly format: string
  /** What the guest sees. */
  readonly capacity: Bytes
  /** What it takes where it lies. */
  readonly allocation: Bytes
  /** The length of the file; 0 where that is not known. */
  readonly length: Bytes
}

export interface DiskToCopy {
  readonly target: string
  /** From the top to the base. */
  readonly chain: readonly ImageFacts[]
}

/** A volume that the target has. */
export interface VolumeFacts {
  readonly format: string
  readonly capacity: Bytes
  readonly allocation: Bytes
  readonly length: Bytes
}

export interface PoolFacts {
  readonly name: string
  /** `dir`, `netfs`, `logical`, … */
  readonly type: string
  readonly free: Bytes
}

/** What the target said of one disk that is to be copied. */
export interface Place {
  readonly disk: DiskToCopy
  readonly pool: PoolFacts
  readonly volume: string
  /** What lies there already, and was not put there by an attempt that failed. */
  readonly there: VolumeFacts | undefined
  /** Another domain's that has it as a disk. */
  readonly usedBy: string | undefined
  /** The target's tombstone says that this VM was there before, with this disk. */
  readonly ownOldCopy: boolean
  /** An image below the top is, there, one that a VM has written to: its own old disk, or another's. Alike or not, it is no base of this one. */
  readonly writtenBelow: boolean
  /** The chain below the top, as far as the target has it at the same paths. */
  readonly below: readonly (VolumeFacts | undefined)[]
}

export interface VolumeToMake {
  readonly pool: string
  readonly volume: string
  readonly format: string
  readonly capacity: Bytes
  /** Of what it will take, the most that is known. */
  readonly need: Bytes
  readonly over: { readonly path: string; readonly format: string } | undefined
}

export type StoragePlan =
  | { readonly kind: 'refused'; readonly why: string }
  | {
      readonly kind: 'accepted'
      readonly incremental: boolean
      readonly make: readonly VolumeToMake[]
    }

/** An image without data has only its headers: of a raw one qemu-img may have written the first block. Small disks exist: seeds of cloud-init. */
const emptyUpTo = (format: string): number => (format === 'raw' ? 4_096 : 262_144)
/** Pools whose volumes are files and have a format. Others are block devices, which take their whole size at once. */
export const inFiles: ReadonlySet<string> = new Set(['dir', 'fs', 'netfs', 'gluster', 'vstorage'])
/** Tables of an image, beside its data (QEMU, docs/interop/qcow2.txt: 1 in 8192 for clusters of 64 KiB). */
const tables = 1.001

/** How an operator calls and removes things there. */
export interface Words {
  readonly host: string
  /** `pool disks`, `folder /srv/vms`. */
  readonly pool: (name: string) => string
  readonly remove: (pool: string, volume: string) => string
  readonly share: string
}

export function planStorage(words: Words, places: readonly Place[]): StoragePlan {
  for (const place of places) {
    const why = inTheWay(words, place)
    if (why !== undefined) return { kind: 'refused', why }
  }
  const overBases = places.filter(({ disk }) => disk.chain.length > 1)
  // A volume that is overwritten would keep what the top of the chain does not have.
  const incremental =
    overBases.length > 0 && places.every(({ there }) => there === undefined) && overBases.every(hasBase)
  const make = places.filter(({ there }) => there === undefined).map(place => volumeFor(place, incremental))
  const full = tooFull(words, places, make)
  return full === undefined ? { kind: 'accepted', incremental, make } : { kind: 'refused', why: full }
}

function inTheWay(words: Words, { disk, pool, volume, there, usedBy, ownOldCopy }: Place): string | undefined {
  const [top] = disk.chain
  if (there === undefined || top === undefined) return undefined
  const what = `${words.host} has ${volume} in ${words.pool(pool.name)} already, where disk ${disk.target} would go`
  if (usedBy !== undefined) return `${what}; it is a disk of ${usedBy}: move one of them to another path`
  const alike = there.capacity === top.capacity && (there.format === top.format || !inFiles.has(pool.type))
  if (alike && (ownOldCopy || there.allocation <= emptyUpTo(there.format))) return undefined
  const holds = alike
    ? `it holds ${showBytes(there.allocation)} that may be somebody's`
    : `it is ${there.format} of ${showBytes(there.capacity)}, the disk is ${top.format} of ${showBytes(top.capacity)}`
  return `${what}; ${holds}. If it may go: ${words.remove(pool.name, volume)}. If both hosts share that storage, ${words.share}`
}

/**
 * By format, size and the length of the file: whether it has the same content, nobody reads. The length of a qcow2 file
 * tells much about what was written to it; that of a raw one is its size, so that any two of a size would be the same.
 */
function hasBase({ disk, below, writtenBelow }: Place): boolean {
  if (writtenBelow) return false
  const bases = disk.chain.slice(1)
  return bases.every((base, n) => {
    const there = below[n]
    if (there === undefined || there.format !== base.format || there.capacity !== base.capacity) return false
    return base.format !== 'raw' && there.length > 0 && there.length === base.length
  })
}

function volumeFor({ disk, pool, volume }: Place, incremental: boolean): VolumeToMake {
  const [top, base] = disk.chain
  if (top === undefined) throw new Error(`disk ${disk.target} has no image`) // disks to copy have one: domain-disks.ts
  const levels = incremental ? disk.chain.slice(0, 1) : disk.chain
  const data = levels.reduce((sum, { allocation }) => sum + allocation, 0)
  const most = Math.min(data, top.capacity)
  return {
    pool: pool.name,
    volume,
    format: top.format,
    capacity: top.capacity,
    need: inFiles.has(pool.type) ? bytes(Math.ceil(most * (top.format === 'raw' ? 1 : tables))) : top.capacity,
    over: incremental && base !== undefined ? { path: base.path, format: base.format } : undefined,
  }
}

function tooFull(words: Words, places: readonly Place[], make: readonly VolumeToMake[]): string | undefined {
  for (const { name, free } of new Map(places.map(({ pool }) => [pool.name, pool])).values()) {
    const need = make.reduce((sum, volume) => sum + (volume.pool === name ? volume.need : 0), 0)
    if (need > free)
      return `${words.pool(name)} of ${words.host} is too full: its disks need ${showBytes(bytes(need))}, ${showBytes(free)} are free (short by ${showBytes(bytes(need - free))}); make room there, then evacuate again, or let it go to another host`
  }
  return undefined
}
