/** What one daemon answers about one domain: the questions that listing, source and target share. */
import type { HostId, VmId } from '../../core/ids.ts'
import { goneFrom } from '../../core/migration/failure.ts'
import type { Presence } from '../../core/migration/presence.ts'
import { ms } from '../../core/units.ts'
import { type Domain, errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import type { Clock } from '../../time/clock.ts'
import { withDeadline } from '../../time/with-deadline.ts'
import { type Daemon, isNoDomain } from './daemon.ts'
import { type DomainSeen, jobMatters, presenceOf } from './libvirt-presence.ts'
import { jobOperation, jobType, numbersOf } from './libvirt-sample.ts'

/** A daemon that is silent about a domain for so long is stuck, or its monitor is. */
const answersWithin = ms(5_000)
/** virterror.h, VIR_ERR_OPERATION_UNSUPPORTED: what a target says when it is asked for the statistics of its migration. */
const unsupported = 84
const noSuchDomain = 'no such domain'

export class Domains {
  readonly host: HostId
  readonly daemon: Daemon
  readonly clock: Clock

  constructor(host: HostId, daemon: Daemon, clock: Clock) {
    this.host = host
    this.daemon = daemon
    this.clock = clock
  }

  async presence(vm: VmId, signal: AbortSignal): Promise<Presence> {
    try {
      return await withDeadline(this.clock, answersWithin, `${this.host} about ${vm}`, signal, async inner => {
        const dom = await this.daemon.find(vm, inner)
        return dom === undefined ? { state: 'absent', detail: noSuchDomain } : presenceOf(await this.look(dom, inner))
      })
    } catch (error) {
      signal.throwIfAborted()
      if (isNoDomain(error)) return { state: 'absent', detail: noSuchDomain }
      return { state: 'unreachable', detail: error instanceof Error ? error.message : String(error) }
    }
  }

  async look(dom: Domain, signal: AbortSignal): Promise<DomainSeen> {
    const { state, reason } = await this.daemon.call('domainGetState', { dom, flags: 0 }, signal)
    return { state, reason, job: jobMatters(state) ? await this.#jobOf(dom, signal) : 'none' }
  }

  async #jobOf(dom: Domain, signal: AbortSignal): Promise<DomainSeen['job']> {
    try {
      const { type, params } = await this.daemon.call('domainGetJobStats', { dom, flags: 0 }, signal)
      if (type === jobType.none) return 'none'
      const operation = numbersOf(params)('operation')
      if (operation === jobOperation.migrationOut) return 'out'
      return operation === jobOperation.migrationIn ? 'in' : 'other'
    } catch (error) {
      if (!(error instanceof LibvirtCallError)) throw error
      if (error.code === unsupported) return 'in'
      if (error.code === errorCode.operationInvalid) return 'none' // it ended between the two questions
      throw error
    }
  }

  /** @throws MigrationError `not-there` */
  async mustFind(vm: VmId, signal: AbortSignal): Promise<Domain> {
    const dom = await this.daemon.find(vm, signal)
    if (dom === undefined) throw goneFrom(this.host, vm, noSuchDomain)
    return dom
  }
}

/** Waits for a call for which a domain that is not there is as good as one that was removed. */
export async function ignoreGone(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (!isNoDomain(error)) throw error
  })
}
