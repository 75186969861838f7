/**
 * The migrations this process started at one host. libvirt's call for a peer-to-peer migration returns when it is over, so each has a
 * connection of its own and is waited for in the background; what it came to is kept until the next migration of the same VM.
 * The daemon does the work: when this process ends, or the connection does, the migration goes on.
 */
import type { HostId, VmId } from '../../core/ids.ts'
import type { MigrationFailure } from '../../core/migration/failure.ts'
import { ms } from '../../core/units.ts'
import {
  type ArgsOf,
  type Domain,
  LibvirtCallError,
  type LibvirtClient,
  type TypedParam,
} from '../../libvirt/public.ts'
import type { Clock } from '../../time/clock.ts'
import { DeadlineExceeded, neverAborts, poll, withDeadline } from '../../time/with-deadline.ts'
import type { Sample } from '../hypervisor.ts'
import { failureOf } from './classify-libvirt-error.ts'
import type { Daemon } from './daemon.ts'
import type { Domains } from './domains.ts'
import { noSample } from '../no-sample.ts'

/** Between the daemon's answer that a migration is over and its event with the statistics. */
const statisticsWithin = ms(300)

export type Outcome =
  | { readonly kind: 'completed'; readonly statistics: readonly TypedParam[] | undefined }
  | { readonly kind: 'failed'; readonly failure: MigrationFailure; readonly cause: LibvirtCallError }
  /** The connection ended before the answer. */
  | { readonly kind: 'unknown' }

export interface Started {
  readonly postCopy: boolean
  readonly target: string
}

export class Outgoing {
  /** Undefined while it goes on. */
  outcome: Outcome | undefined
  /** The newest counters; those of the end, once they are known. */
  last: Sample = noSample
  readonly postCopy: boolean
  /** What an operator calls the target. */
  readonly target: string
  readonly over: Promise<Outcome>

  constructor({ postCopy, target }: Started, over: Promise<Outcome>) {
    this.postCopy = postCopy
    this.target = target
    this.over = over.then(outcome => {
      this.outcome = outcome
      return outcome
    })
  }
}

type Perform = ArgsOf<'domainMigratePerform3Params'>

export class OutgoingMigrations {
  readonly #host: HostId
  readonly #daemon: Daemon
  readonly #clock: Clock
  readonly #known = new Map<VmId, Outgoing>()
  readonly #lanes = new Set<LibvirtClient>()

  constructor({ host, daemon, clock }: Pick<Domains, 'host' | 'daemon' | 'clock'>) {
    this.#host = host
    this.#daemon = daemon
    this.#clock = clock
  }

  of(vm: VmId): Outgoing | undefined {
    return this.#known.get(vm)
  }

  /** @throws HostUnreachable when no connection could be had; nothing was started */
  async start(vm: VmId, args: Perform, started: Started, signal: AbortSignal): Promise<Outgoing> {
    const lane = await this.#daemon.lane(signal)
    this.#lanes.add(lane)
    const outgoing = new Outgoing(started, this.#perform(lane, args))
    this.#known.set(vm, outgoing)
    void outgoing.over.then(() => this.#daemon.ring(vm))
    return outgoing
  }

  /** Never rejects. Its deadline is the follower's: memory flows as long as it takes. */
  async #perform(lane: LibvirtClient, args: Perform): Promise<Outcome> {
    try {
      await lane.call('domainMigratePerform3Params', args, neverAborts)
      return { kind: 'completed', statistics: await this.#statistics(args.dom) }
    } catch (error) {
      if (!(error instanceof LibvirtCallError)) return { kind: 'unknown' }
      return {
        kind: 'failed',
        failure: failureOf(error, { from: this.#host, to: args.dconnuri ?? 'nowhere' }),
        cause: error,
      }
    } finally {
      this.#lanes.delete(lane)
      await lane.close()
    }
  }

  /** The event is sent before the answer, but on another connection. */
  async #statistics(dom: Domain): Promise<readonly TypedParam[] | undefined> {
    try {
      return await withDeadline(this.#clock, statisticsWithin, `the statistics of ${dom.name}`, neverAborts, inner =>
        poll(this.#clock, ms(10), inner, () => Promise.resolve(this.#daemon.takeStatistics(dom))),
      )
    } catch (error) {
      if (error instanceof DeadlineExceeded) return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lanes].map(lane => lane.close()))
  }
}
