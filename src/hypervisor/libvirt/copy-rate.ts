/**
 * Keeps a migration with disks within its rate. libvirt copies the disks first, each at the speed the migration was started with, then
 * memory, at the speed that was last set; meanwhile the copies go on with what the guest writes. Here the disks share the rate, and
 * memory gets what the guest's writes leave of it.
 *
 * libvirt's own call for the speed of a copy waits until the migration is over (both are jobs that modify the domain), so QEMU is told
 * behind its back, by the call libvirt has for that. It marks the domain as tainted, and is made only where a rate changes in flight, or
 * where two disks have to share one.
 */
import { z } from 'zod'
import type { VmId } from '../../core/ids.ts'
import { type BytesPerSecond, bytesPerSecond } from '../../core/units.ts'
import { type Domain, LibvirtCallError } from '../../libvirt/public.ts'
import type { Sample } from '../hypervisor.ts'
import { WriteMeter } from '../write-meter.ts'
import type { Domains } from './domains.ts'
import { isBeforeMemory } from './libvirt-sample.ts'
import { type Copy, speedOf } from './migration-params.ts'

const jobsSchema = z.object({
  return: z.array(
    z.looseObject({
      device: z.string(),
      type: z.string(),
      ready: z.boolean().default(false),
      speed: z.number().default(0),
    }),
  ),
})
/** A speed that is so near is not set again. */
const nearEnough = 0.05
/** libvirt's smallest step. @unit bytes per second */
const step = 1_048_576

interface Kept {
  /** Of disks and memory together; `as it is` where somebody else began and nobody said since. */
  rate: BytesPerSecond | undefined | 'as it is'
  /** How many were copied at the start; unknown of a migration that somebody else began. */
  readonly disks: number | undefined
  readonly writes: WriteMeter
  /** As last told. @unit MiB/s */
  memory: number | undefined
}

export class CopyRate {
  readonly #domains: Domains
  readonly #kept = new Map<VmId, Kept>()

  constructor(domains: Domains) {
    this.#domains = domains
  }

  /** The copy has begun, with what paramsOf (migration-params.ts) said. */
  async begin(vm: VmId, dom: Domain, rate: BytesPerSecond | undefined, copy: Copy, signal: AbortSignal): Promise<void> {
    const disks = copy.targets.length
    this.#kept.delete(vm)
    if (disks === 0) return
    const kept: Kept = { rate, disks, writes: new WriteMeter(), memory: undefined }
    this.#kept.set(vm, kept)
    if (rate === undefined) return
    await this.#setMemory(dom, kept, signal)
    if (rate < disks * step) await ifAllowed(this.#setDisks(dom, rate, signal))
  }

  /** Called with each sample. @returns what the guest writes to blocks that were copied before */
  async hold(vm: VmId, dom: Domain, sample: Sample, signal: AbortSignal): Promise<BytesPerSecond> {
    if (sample.disk === undefined) return bytesPerSecond(0)
    const kept = this.#kept.get(vm) ?? adopted()
    this.#kept.set(vm, kept)
    kept.writes.read(sample.disk.total, this.#domains.clock.now())
    const { rate: writes } = kept.writes
    if (kept.rate === undefined || kept.rate === 'as it is' || sample.status !== 'active') return writes
    if (isBeforeMemory(sample)) {
      // One that is through leaves its share to the others.
      if (kept.disks !== 1) await ifAllowed(this.#setDisks(dom, kept.rate, signal))
    } else await this.#setMemory(dom, kept, signal)
    return writes
  }

  /** @throws LibvirtCallError when the daemon does not let us: the disks then go on as they are */
  async change(
    vm: VmId,
    dom: Domain,
    rate: BytesPerSecond | undefined,
    sample: Sample,
    signal: AbortSignal,
  ): Promise<void> {
    const kept = this.#kept.get(vm) ?? adopted()
    kept.rate = rate
    this.#kept.set(vm, kept)
    await this.#setMemory(dom, kept, signal)
    if (isBeforeMemory(sample)) await this.#setDisks(dom, rate, signal)
  }

  async #setMemory(dom: Domain, kept: Kept, signal: AbortSignal): Promise<void> {
    if (kept.rate === 'as it is') return
    const left = kept.rate === undefined ? undefined : bytesPerSecond(Math.max(1, kept.rate - kept.writes.rate))
    const bandwidth = speedOf(left)
    if (kept.memory === bandwidth) return
    await this.#domains.daemon.call('domainMigrateSetMaxSpeed', { dom, bandwidth, flags: 0 }, signal)
    kept.memory = bandwidth
  }

  /** Equal shares for those that are still copied; the others send only what the guest writes. */
  async #setDisks(dom: Domain, rate: BytesPerSecond | undefined, signal: AbortSignal): Promise<void> {
    const jobs = jobsSchema.parse(await this.#monitor(dom, { execute: 'query-block-jobs' }, signal)).return
    const copying = jobs.filter(({ type, ready }) => type === 'mirror' && !ready)
    // QEMU: 0 is no limit.
    const speed = rate === undefined ? 0 : Math.max(1, Math.floor(rate / Math.max(1, copying.length)))
    for (const { device, speed: now } of copying) {
      if (now === speed || (now > 0 && Math.abs(now - speed) <= speed * nearEnough)) continue
      await this.#monitor(dom, { execute: 'block-job-set-speed', arguments: { device, speed } }, signal)
    }
  }

  /** What QEMU says to a job that has ended meanwhile is an answer too. */
  async #monitor(dom: Domain, command: object, signal: AbortSignal): Promise<unknown> {
    const cmd = JSON.stringify(command)
    const { result } = await this.#domains.daemon.call('qemuDomainMonitorCommand', { dom, cmd, flags: 0 }, signal)
    const answer: unknown = JSON.parse(result)
    return answer
  }
}

/** Begun by somebody who is gone. */
const adopted = (): Kept => ({ rate: 'as it is', disks: undefined, writes: new WriteMeter(), memory: undefined })

/** Not every daemon lets everybody at QEMU; the copy then goes on as it was started. */
async function ifAllowed(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof LibvirtCallError)) throw error
  })
}
