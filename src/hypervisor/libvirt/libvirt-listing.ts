/** Who lives on a libvirt host, and how fast guests write. */
import type { VmId } from '../../core/ids.ts'
import { applyWords } from '../../core/inventory/policy-words.ts'
import { defaultVmPolicy, type Disk, type Vm } from '../../core/inventory/vm.ts'
import { bytes, bytesPerSecond, type BytesPerSecond, mebibytes, type Milliseconds, ms } from '../../core/units.ts'
import { type Domain, LibvirtCallError, type TypedParam } from '../../libvirt/public.ts'
import { poll } from '../../time/with-deadline.ts'
import type { Change, Listing } from '../hypervisor.ts'
import { idOf, isNoDomain } from './daemon.ts'
import { type DomainDisk, factsOf } from './domain-xml.ts'
import type { Domains } from './domains.ts'
import { presenceOf } from './libvirt-presence.ts'
import { numbersOf } from './libvirt-sample.ts'

const watchEvery = ms(2_000)
/** Domains that are asked about at the same time. */
const askedAtOnce = 8
/** QEMU samples no block of memory below this (see qemu/qemu-host.ts). */
const leastSampled = mebibytes(128)

/** include/libvirt/libvirt-domain.h. */
const listActive = 1 << 0
const stats = { state: 1 << 0, balloon: 1 << 2, dirtyRate: 1 << 9, noWait: 1 << 29 } as const

export class Listings {
  readonly #domains: Domains

  constructor(domains: Domains) {
    this.#domains = domains
  }

  async list(signal: AbortSignal): Promise<readonly Listing[]> {
    const flags = listActive | stats.noWait
    const { records } = await this.#domains.daemon.call(
      'connectGetAllDomainStats',
      { doms: [], stats: stats.state | stats.balloon, flags },
      signal,
    )
    const left = [...records]
    const found: Listing[] = []
    const worker = async (): Promise<void> => {
      for (let record = left.pop(); record !== undefined; record = left.pop()) {
        const listing = await this.#listing(record.dom, record.params, signal)
        if (listing !== undefined) found.push(listing)
      }
    }
    await Promise.all(Array.from({ length: askedAtOnce }, worker))
    return found.sort((a, b) => (a.vm.id < b.vm.id ? -1 : 1))
  }

  /** @returns undefined for one that has gone meanwhile */
  async #listing(dom: Domain, params: readonly TypedParam[], signal: AbortSignal): Promise<Listing | undefined> {
    try {
      const { xml } = await this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
      const { memory, disks, policy } = factsOf(xml)
      const presence = presenceOf(await this.#domains.look(dom, signal))
      if (presence.state === 'absent') return undefined
      const resident = numbersOf(params)('balloon.rss')
      const vm: Vm = {
        id: idOf(dom),
        host: this.#domains.host,
        memory,
        // What QEMU holds in memory bounds what of the guest's is not zero.
        used: resident === undefined ? memory : bytes(Math.min(memory, resident * 1024)),
        dirty: undefined,
        disks: await Promise.all(disks.map(disk => this.#disk(dom, disk, signal))),
        value: 1,
        group: undefined,
        policy: defaultVmPolicy,
        paused: presence.state === 'paused' && presence.as === 'home',
      }
      return { vm: applyWords(vm, policy.words), presence, own: policy.words, unread: policy.unread }
    } catch (error) {
      if (isNoDomain(error)) return undefined
      throw error
    }
  }

  async #disk(dom: Domain, { target, shared }: DomainDisk, signal: AbortSignal): Promise<Disk> {
    const info = await this.#domains.daemon
      .call('domainGetBlockInfo', { dom, path: target, flags: 0 }, signal)
      .catch((error: unknown) => {
        if (!(error instanceof LibvirtCallError) || isNoDomain(error)) throw error
        return { capacity: 0, allocation: 0 } // an empty drive, or a source that cannot be read
      })
    return {
      name: target,
      size: bytes(info.capacity),
      used: bytes(Math.min(info.capacity, info.allocation)),
      write: bytesPerSecond(0),
      shared,
    }
  }

  async *watch(signal: AbortSignal): AsyncIterable<Change> {
    let known = new Map<VmId, Listing>()
    for (;;) {
      const own = new AbortController()
      const bell = this.#domains.daemon.bell(undefined, AbortSignal.any([signal, own.signal]))[Symbol.asyncIterator]()
      const rung = bell.next()
      try {
        const now = new Map((await this.list(signal)).map(listing => [listing.vm.id, listing]))
        for (const [id, listing] of now) {
          const before = known.get(id)
          if (before === undefined) yield { kind: 'appeared', listing }
          else if (JSON.stringify(before) !== JSON.stringify(listing)) yield { kind: 'changed', listing }
        }
        for (const id of known.keys()) if (!now.has(id)) yield { kind: 'gone', vm: id }
        known = now
        await Promise.race([rung, this.#domains.clock.sleep(watchEvery, AbortSignal.any([signal, own.signal]))])
      } finally {
        own.abort()
      }
      signal.throwIfAborted()
    }
  }

  async measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined> {
    const dom = await this.#domains.mustFind(vm, signal)
    const { xml } = await this.#domains.daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)
    if (factsOf(xml).memory < leastSampled) return undefined
    const wholeSeconds = Math.min(60, Math.max(1, Math.round(span / 1000)))
    await this.#domains.daemon.call('domainStartDirtyRateCalc', { dom, seconds: wholeSeconds, flags: 0 }, signal)
    return poll(this.#domains.clock, ms(200), signal, async inner => {
      const { records } = await this.#domains.daemon.call(
        'connectGetAllDomainStats',
        { doms: [dom], stats: stats.dirtyRate, flags: 0 },
        inner,
      )
      const number = numbersOf(records[0]?.params ?? [])
      const rate = number('dirtyrate.megabytes_per_second')
      const measured = 2 // virDomainDirtyRateStatus
      if (number('dirtyrate.calc_status') !== measured || rate === undefined) return undefined
      return bytesPerSecond(rate * 1_048_576)
    })
  }
}
