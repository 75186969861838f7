/** A libvirt host's storage pools and what lies in them: the questions that room for disks comes to. A pool or volume that is not there is no error here. */
import { basename, dirname } from 'node:path'
import { type Bytes, bytes } from '../../core/units.ts'
import { errorCode, LibvirtCallError, type StoragePool, type StorageVolume } from '../../libvirt/public.ts'
import type { VolumeFacts } from '../storage-plan.ts'
import type { Domains } from './domains.ts'
import { childAt, parseXml } from './xml.ts'

/** include/libvirt/libvirt-storage.h. */
const activePools = 1 << 1
const lengthOfFile = 1 << 0

export class Pools {
  readonly #domains: Domains

  constructor(domains: Domains) {
    this.#domains = domains
  }

  /** @returns undefined where no active pool holds that path */
  holding(path: string, signal: AbortSignal): Promise<StoragePool | undefined> {
    const colon = path.startsWith('/') ? -1 : path.indexOf(':')
    return missing(() =>
      colon > 0
        ? this.#domains.daemon
            .call('storagePoolLookupByName', { name: path.slice(0, colon) }, signal)
            .then(found => found.pool)
        : this.#domains.daemon
            .call('storagePoolLookupByTargetPath', { path: dirname(path) }, signal)
            .then(found => found.pool),
    )
  }

  /** What others put there, and what is free, the daemon learns only now. A pool that is busy is taken as it is known. */
  async refresh(pool: StoragePool, signal: AbortSignal): Promise<void> {
    await this.#domains.daemon.call('storagePoolRefresh', { pool, flags: 0 }, signal).catch((error: unknown) => {
      if (!(error instanceof LibvirtCallError)) throw error
    })
  }

  async info(pool: StoragePool, signal: AbortSignal): Promise<{ readonly type: string; readonly available: number }> {
    const [{ available }, { xml }] = await Promise.all([
      this.#domains.daemon.call('storagePoolGetInfo', { pool }, signal),
      this.#domains.daemon.call('storagePoolGetXmlDesc', { pool, flags: 0 }, signal),
    ])
    return { type: parseXml(xml).attributes.get('type') ?? 'dir', available }
  }

  async named(name: string, signal: AbortSignal): Promise<StoragePool> {
    return (await this.#domains.daemon.call('storagePoolLookupByName', { name }, signal)).pool
  }

  volume(pool: StoragePool, name: string, signal: AbortSignal): Promise<StorageVolume | undefined> {
    return missing(() =>
      this.#domains.daemon.call('storageVolLookupByName', { pool, name }, signal).then(found => found.vol),
    )
  }

  async facts(vol: StorageVolume, signal: AbortSignal): Promise<VolumeFacts> {
    const [{ xml }, info, { allocation: length }] = await Promise.all([
      this.#domains.daemon.call('storageVolGetXmlDesc', { vol, flags: 0 }, signal),
      this.#domains.daemon.call('storageVolGetInfo', { vol }, signal),
      this.#domains.daemon.call('storageVolGetInfoFlags', { vol, flags: lengthOfFile }, signal),
    ])
    return {
      format: childAt(parseXml(xml), 'target', 'format')?.attributes.get('type') ?? 'raw',
      capacity: bytes(info.capacity),
      allocation: bytes(info.allocation),
      length: bytes(length),
    }
  }

  /** Of the file, which a domain's statistics do not have (their `physical` is what it takes). @returns 0 where the daemon does not tell: it is in no active pool, or storage is none of our business there */
  async lengthOf(path: string, signal: AbortSignal): Promise<Bytes> {
    try {
      const vol = (await this.#volumeAt(path, signal)) ?? (await this.#newVolumeAt(path, signal))
      if (vol === undefined) return bytes(0)
      const { allocation } = await this.#domains.daemon.call(
        'storageVolGetInfoFlags',
        { vol, flags: lengthOfFile },
        signal,
      )
      return bytes(allocation)
    } catch (error) {
      if (error instanceof LibvirtCallError) return bytes(0)
      throw error
    }
  }

  #volumeAt(path: string, signal: AbortSignal): Promise<StorageVolume | undefined> {
    return missing(() => this.#domains.daemon.call('storageVolLookupByPath', { path }, signal).then(({ vol }) => vol))
  }

  /** The daemon knows of a file in a pool only what it saw when it last looked there. */
  async #newVolumeAt(path: string, signal: AbortSignal): Promise<StorageVolume | undefined> {
    const pool = await this.holding(path, signal)
    if (pool === undefined) return undefined
    await this.refresh(pool, signal)
    return this.#volumeAt(path, signal)
  }

  /** All by which a domain's definition may call it: of a volume of LVM, its key is none of them. */
  async names(vol: StorageVolume, signal: AbortSignal): Promise<readonly string[]> {
    const { xml } = await this.#domains.daemon.call('storageVolGetXmlDesc', { vol, flags: 0 }, signal)
    const path = childAt(parseXml(xml), 'target', 'path')?.text.trim()
    return [vol.key, `${vol.pool}:${vol.name}`, ...(path === undefined ? [] : [path])]
  }

  /** What it takes now. @unit bytes @returns undefined for one that is gone */
  taken(vol: StorageVolume, signal: AbortSignal): Promise<number | undefined> {
    return missing(() => this.#domains.daemon.call('storageVolGetInfo', { vol }, signal).then(info => info.allocation))
  }

  async create(pool: StoragePool, xml: string, signal: AbortSignal): Promise<StorageVolume> {
    return (await this.#domains.daemon.call('storageVolCreateXml', { pool, xml, flags: 0 }, signal)).vol
  }

  async delete(vol: StorageVolume, signal: AbortSignal): Promise<void> {
    await missing(() => this.#domains.daemon.call('storageVolDelete', { vol, flags: 0 }, signal))
  }

  /** In all active pools. */
  async volumesBeginning(
    prefix: string,
    signal: AbortSignal,
  ): Promise<readonly (readonly [StoragePool, StorageVolume])[]> {
    const all = { needResults: true, flags: activePools }
    const { pools } = await this.#domains.daemon.call('connectListAllStoragePools', all, signal)
    const found = await Promise.all(
      pools.map(async pool => {
        const listed = await missing(() =>
          this.#domains.daemon.call('storagePoolListAllVolumes', { pool, needResults: true, flags: 0 }, signal),
        )
        const volumes = (listed?.vols ?? []).filter(({ name }) => name.startsWith(prefix))
        return volumes.map(volume => [pool, volume] as const)
      }),
    )
    return found.flat()
  }
}

/** Of a volume, from a path or from `pool:volume`. */
export const nameOf = (path: string): string => (path.startsWith('/') ? basename(path) : (path.split(':')[1] ?? path))

/** @returns undefined where the daemon says that there is no such pool or volume */
async function missing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof LibvirtCallError)) throw error
    if (error.code === errorCode.noStoragePool || error.code === errorCode.noStorageVol) return undefined
    throw error
  }
}
