/**
 * Room for arriving disks in a libvirt host's pools. Beside each volume that is made for an arrival lies a marker, an empty volume named
 * after both, made before it and removed once the VM runs here: so a controller that is started anew, on any machine, knows what an
 * attempt left and may be removed. A volume without a marker was there before, and is never removed.
 */
import { createHash } from 'node:crypto'
import { basename, dirname } from 'node:path'
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { type Bytes, bytes } from '../../core/units.ts'
import { LibvirtCallError, type StoragePool, type StorageVolume } from '../../libvirt/public.ts'
import { OneAtATime } from '../../time/one-at-a-time.ts'
import {
  type Place,
  planStorage,
  type PoolFacts,
  type VolumeFacts,
  type VolumeToMake,
  type Words,
} from '../storage-plan.ts'
import { diskOwners, type Owners, placeOf } from './disk-owners.ts'
import type { Domains } from './domains.ts'
import type { DiskDefinition } from './libvirt-definition.ts'
import { nameOf, Pools } from './pools.ts'
import { volumeXml } from './volume-xml.ts'

export interface Arriving {
  readonly name: string
  readonly uuid: string
  readonly disks: readonly DiskDefinition[]
}

/** What the source must be told to copy. */
export interface CopyOrder {
  /** As the guest sees them. */
  readonly targets: readonly string[]
  readonly incremental: boolean
}

interface Promised {
  readonly pool: string
  readonly volume: StorageVolume
  readonly need: Bytes
}

export class StorageRoom {
  readonly #domains: Domains
  readonly #pools: Pools
  /** Room that volumes will take, and have not yet. */
  readonly #promised = new Map<VmId, readonly Promised[]>()
  /** One at a time, or two would be promised the same room. */
  readonly #turns = new OneAtATime()

  constructor(domains: Domains) {
    this.#domains = domains
    this.#pools = new Pools(domains)
  }

  /** @throws MigrationError `target-refused` before anything is made */
  make(vm: VmId, arriving: Arriving, signal: AbortSignal): Promise<CopyOrder> {
    return this.#turns.run(() => this.#make(vm, arriving, signal), signal)
  }

  async #make(vm: VmId, arriving: Arriving, signal: AbortSignal): Promise<CopyOrder> {
    const strange = arriving.disks.find(({ kind }) => kind === 'unknown')
    if (strange !== undefined)
      throw refused(
        vm,
        `disk ${strange.target} is a disk of type ${strange.storage}, which cannot be copied; detach it, or let the VM stay`,
      )
    await this.clear(vm, signal)
    for (const disk of arriving.disks) if (disk.kind === 'read') await this.#insistOnMedium(vm, disk, signal)
    const copied = arriving.disks.filter(({ kind }) => kind === 'copied')
    if (copied.length === 0) return { targets: [], incremental: false }
    const places = await this.#placesOf(vm, arriving, copied, signal)
    const plan = planStorage(wordsOf(this.#domains.host), places)
    if (plan.kind === 'refused') throw refused(vm, plan.why)
    const types = new Map(places.map(({ pool }) => [pool.name, pool.type]))
    await this.#makeAll(vm, plan.make, types, signal)
    return { targets: copied.map(({ target }) => target), incremental: plan.incremental }
  }

  /** What is only read must be at the target already. A path that is in no pool of it is libvirt's to judge, when it makes the target. */
  async #insistOnMedium(vm: VmId, { target, chain, mayBeMissing }: DiskDefinition, signal: AbortSignal): Promise<void> {
    const path = chain[0]?.path
    if (path === undefined || mayBeMissing) return
    const pool = await this.#pools.holding(path, signal)
    if (pool === undefined) return
    await this.#pools.refresh(pool, signal)
    if ((await this.#pools.volume(pool, nameOf(path), signal)) !== undefined) return
    throw refused(
      vm,
      `${this.#domains.host} has no ${path}, which is in drive ${target} and is only read, so not copied; copy it there, or take it out: virsh change-media ${vm} ${target} --eject`,
    )
  }

  async #placesOf(
    vm: VmId,
    arriving: Arriving,
    disks: readonly DiskDefinition[],
    signal: AbortSignal,
  ): Promise<readonly Place[]> {
    const pools = new Map<string, PoolFacts>()
    const places: Place[] = []
    let owners: Owners | undefined
    for (const disk of disks) {
      const path = disk.chain[0]?.path ?? ''
      const pool = await this.#pools.holding(path, signal)
      if (pool === undefined) throw refused(vm, unknownPath(this.#domains.host, disk.target, path))
      const facts = pools.get(pool.name) ?? (await this.#factsOf(pool, signal))
      pools.set(pool.name, facts)
      const volume = nameOf(path)
      const there = await this.#pools.volume(pool, volume, signal)
      if (there !== undefined || disk.chain.length > 1) owners ??= await diskOwners(this.#domains, arriving, signal)
      const written = disk.chain.slice(1).map(image => placeOf(image.path))
      places.push({
        disk,
        pool: facts,
        volume,
        there: there === undefined ? undefined : await this.#pools.facts(there, signal),
        usedBy: there && owners && (await this.#userOf(vm, pool, there, owners, signal)),
        ownOldCopy: owners?.left.has(placeOf(path)) === true,
        writtenBelow: written.some(at => owners?.left.has(at) === true || owners?.written.has(at) === true),
        below: await this.#imagesBelow(disk, signal),
      })
    }
    return places
  }

  /** Another domain that has it, or a VM that it was made for and that has not arrived yet. */
  async #userOf(
    vm: VmId,
    pool: StoragePool,
    vol: StorageVolume,
    { others }: Owners,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const names = await this.#pools.names(vol, signal)
    const user = names.map(name => others.get(placeOf(name))).find(name => name !== undefined)
    if (user !== undefined) return user
    const marked = await this.#pools.volumesBeginning(anyMarker, signal)
    const marker = marked.find(
      ([{ name }, mark]) =>
        name === pool.name && mark.name !== markerOf(vm, vol.name) && volumeOf(mark.name) === vol.name,
    )
    return marker && `a VM that is on its way there (it has the mark ${marker[1].name})`
  }

  async #imagesBelow({ chain }: DiskDefinition, signal: AbortSignal): Promise<readonly (VolumeFacts | undefined)[]> {
    const found: (VolumeFacts | undefined)[] = []
    for (const { path } of chain.slice(1)) {
      const pool = await this.#pools.holding(path, signal)
      const volume = pool === undefined ? undefined : await this.#pools.volume(pool, nameOf(path), signal)
      found.push(volume === undefined ? undefined : await this.#pools.facts(volume, signal))
    }
    return found
  }

  async #factsOf(pool: StoragePool, signal: AbortSignal): Promise<PoolFacts> {
    await this.#pools.refresh(pool, signal)
    const { type, available } = await this.#pools.info(pool, signal)
    const promised = await this.#stillPromised(pool, signal)
    return {
      name: pool.name,
      type,
      free: bytes(Math.max(0, available - promised)),
    }
  }

  async #stillPromised(pool: StoragePool, signal: AbortSignal): Promise<number> {
    let sum = 0
    for (const { pool: name, volume, need } of [...this.#promised.values()].flat()) {
      if (name !== pool.name) continue
      const taken = await this.#pools.taken(volume, signal)
      if (taken !== undefined) sum += Math.max(0, need - taken)
    }
    return sum
  }

  async #makeAll(
    vm: VmId,
    volumes: readonly VolumeToMake[],
    types: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<void> {
    const promised: Promised[] = []
    for (const wanted of volumes) {
      const pool = await this.#pools.named(wanted.pool, signal)
      const create = (volume: VolumeToMake) =>
        this.#pools.create(pool, volumeXml(volume, types.get(wanted.pool) ?? 'dir'), signal)
      const marker = markerOf(vm, wanted.volume)
      const mark = await create({ ...wanted, volume: marker, format: 'raw', capacity: bytes(0), over: undefined })
      const vol = await create(wanted).catch(async (error: unknown) => {
        // Nothing was made, so what has that name is somebody's, who was faster.
        if (error instanceof LibvirtCallError) await this.#pools.delete(mark, signal)
        throw error
      })
      promised.push({ pool: wanted.pool, volume: vol, need: wanted.need })
      this.#promised.set(vm, promised)
    }
  }

  /** Removes what an attempt that did not come to its end left here. Nothing that a domain has as its disk is touched. Idempotent. */
  async clear(vm: VmId, signal: AbortSignal): Promise<void> {
    for (const { pool, marker, volume } of await this.#marked(vm, signal)) {
      const vol = await this.#pools.volume(pool, volume, signal)
      if (vol !== undefined && !(await this.#isUsed(vol, signal))) await this.#pools.delete(vol, signal)
      await this.#pools.delete(marker, signal)
    }
    this.#promised.delete(vm)
  }

  /** The VM runs here: its disks are no leftovers any more. Idempotent. */
  async settle(vm: VmId, signal: AbortSignal): Promise<void> {
    for (const { marker } of await this.#marked(vm, signal)) await this.#pools.delete(marker, signal)
    this.#promised.delete(vm)
  }

  async #marked(
    vm: VmId,
    signal: AbortSignal,
  ): Promise<readonly { readonly pool: StoragePool; readonly marker: StorageVolume; readonly volume: string }[]> {
    const prefix = markerOf(vm, '')
    const found = await this.#pools.volumesBeginning(prefix, signal)
    return found.map(([pool, marker]) => ({ pool, marker, volume: marker.name.slice(prefix.length) }))
  }

  async #isUsed(vol: StorageVolume, signal: AbortSignal): Promise<boolean> {
    const { others } = await diskOwners(this.#domains, undefined, signal)
    return (await this.#pools.names(vol, signal)).some(name => others.has(placeOf(name)))
  }
}

/** Letters, digits, dots and dashes: also LVM takes them. The VM's name is hashed, so that none is another's beginning. */
function markerOf(vm: VmId, volume: string): string {
  return `${anyMarker}${createHash('sha256').update(vm).digest('hex').slice(0, 12)}.${volume}`
}

const anyMarker = 'lifeboat-arriving.'
/** Beside which a marker lies. */
const volumeOf = (marker: string): string => marker.slice(anyMarker.length + 12 + 1)

const wordsOf = (host: string): Words => ({
  host,
  pool: name => `pool ${name}`,
  remove: (pool, volume) => `virsh vol-delete --pool ${pool} ${volume}`,
  share: 'mark the disk <shareable/> or use a network disk',
})

const unknownPath = (host: string, target: string, path: string): string => {
  const folder = dirname(path)
  const name = basename(folder).replaceAll(/[^\w-]+/g, '-') || 'disks'
  return `${host} has no storage pool that holds ${path} (disk ${target}), so nothing can be made there; give it one: virsh pool-define-as ${name} dir --target ${folder} && virsh pool-build ${name} && virsh pool-start ${name} && virsh pool-autostart ${name}`
}

const refused = (vm: VmId, detail: string): MigrationError => new MigrationError(vm, { code: 'target-refused', detail })
