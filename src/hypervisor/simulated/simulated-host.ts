/** The port `Hypervisor` for a host of a simulated world: what core/sim/ does by itself, told through the same calls as a real one. */
import type { HostId, VmId } from '../../core/ids.ts'
import { findHost, type Snapshot } from '../../core/inventory/snapshot.ts'
import { wordsBeyondDefault } from '../../core/inventory/policy-words.ts'
import type { Vm } from '../../core/inventory/vm.ts'
import { MigrationError, type MigrationFailure } from '../../core/migration/failure.ts'
import type { Tuning } from '../../core/migration/migration.ts'
import type { Presence } from '../../core/migration/presence.ts'
import { compressions, type StartOptions } from '../../core/migration/start-options.ts'
import { askTakes, finishTakes, migrateTakes, prepareTakes, retireTakes } from '../../core/sim/physics/timings.ts'
import { SimRefusal, type SimWorld } from '../../core/sim/sim-world.ts'
import { diskOf, leftOf, type Transfer } from '../../core/sim/transfer.ts'
import { bytes, bytesPerSecond, type BytesPerSecond, type Milliseconds, ms } from '../../core/units.ts'
import type {
  Adjustment,
  Capabilities,
  Change,
  Definition,
  HostFacts,
  Hypervisor,
  Landing,
  Listing,
  MigrationStatus,
  Sample,
} from '../hypervisor.ts'
import { noSample } from '../no-sample.ts'
import type { Departed, GoneElsewhere, RunsElsewhere } from '../prove.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface SimulatedHostOptions {
  readonly host: HostId
  readonly snapshot: Snapshot
  readonly world: SimWorld
  readonly clock: VirtualClock
}

const driver = 'simulated'
const watchEvery = ms(1_000)

export class SimulatedHost implements Hypervisor {
  readonly host: HostId
  readonly driver = driver
  readonly capabilities: Capabilities = {
    inFlight: { rate: true, downtimeLimit: true, throttle: true, postCopy: true },
    atStart: { compression: compressions },
    rateStep: bytesPerSecond(1),
    selfCompleting: false,
  }
  readonly #snapshot: Snapshot
  readonly #world: SimWorld
  readonly #clock: VirtualClock

  constructor({ host, snapshot, world, clock }: SimulatedHostOptions) {
    this.host = host
    this.#snapshot = snapshot
    this.#world = world
    this.#clock = clock
  }

  async facts(signal: AbortSignal): Promise<HostFacts> {
    await this.#takes(askTakes, signal)
    return { memory: findHost(this.#snapshot, this.host)?.memory ?? bytes(0), version: 'simulated' }
  }

  async list(signal: AbortSignal): Promise<readonly Listing[]> {
    await this.#takes(askTakes, signal)
    return this.#snapshot.vms.flatMap(vm => {
      const copy = this.#world.copyOf(vm.id, this.host)
      if (copy === undefined || copy === 'incoming' || copy === 'ready') return []
      return [
        {
          vm: { ...vm, host: this.host },
          presence: this.#world.presence(this.host, vm.id),
          own: wordsBeyondDefault(vm),
          unread: [],
        },
      ]
    })
  }

  async *watch(signal: AbortSignal): AsyncIterable<Change> {
    let known = new Map<VmId, Listing>()
    for (;;) {
      const now = new Map((await this.list(signal)).map(listing => [listing.vm.id, listing]))
      for (const [id, listing] of now) {
        const before = known.get(id)
        if (before === undefined) yield { kind: 'appeared', listing }
        else if (before.presence.state !== listing.presence.state) yield { kind: 'changed', listing }
      }
      for (const id of known.keys()) if (!now.has(id)) yield { kind: 'gone', vm: id }
      known = now
      await this.#clock.sleep(watchEvery, signal)
    }
  }

  async presence(vm: VmId, signal: AbortSignal): Promise<Presence> {
    await this.#takes(askTakes, signal)
    return this.#world.presence(this.host, vm)
  }

  async measureDirtyRate(vm: VmId, span: Milliseconds, signal: AbortSignal): Promise<BytesPerSecond | undefined> {
    await this.#takes(span, signal)
    const rate = this.#world.dirtyRate(vm, span)
    return rate === undefined ? undefined : bytesPerSecond(rate)
  }

  async definition(vm: VmId, signal: AbortSignal): Promise<Definition> {
    await this.#takes(askTakes, signal)
    if (this.#world.copyOf(vm, this.host) === undefined)
      throw new MigrationError(vm, { code: 'not-there', detail: `${this.host} has no VM of that name` })
    return { driver, vm, text: JSON.stringify(this.#vm(vm)) }
  }

  migrate(vm: VmId, to: Landing, tuning: Tuning, options: StartOptions, signal: AbortSignal): Promise<void> {
    return this.#does(vm, migrateTakes, signal, () =>
      this.#world.migrate(vm, this.host, to.uri as HostId, tuning, options),
    )
  }

  async sample(vm: VmId, signal: AbortSignal): Promise<Sample> {
    await this.#takes(askTakes, signal)
    const transfer = this.#world.transferOf(vm)
    return transfer?.source === this.host ? sampleOf(transfer) : noSample
  }

  async *signals(vm: VmId, signal: AbortSignal): AsyncIterable<'changed'> {
    for (;;) {
      await this.#clock.until(signal, done => {
        const stop = this.#world.listen(vm, () => {
          stop()
          done()
        })
        return stop
      })
      yield 'changed'
    }
  }

  adjust(vm: VmId, to: Adjustment, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.adjust(vm, to))
  }

  startPostCopy(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.startPostCopy(vm))
  }

  rejoin(vm: VmId, _to: Landing, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.rejoin(vm))
  }

  cancel(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.cancel(vm))
  }

  resume(vm: VmId, _proof: GoneElsewhere, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.resume(this.host, vm))
  }

  retire(vm: VmId, _proof: RunsElsewhere, _kept: Definition | undefined, signal: AbortSignal): Promise<void> {
    return this.#does(vm, retireTakes, signal, () => this.#world.retire(this.host, vm))
  }

  async prepare(definition: Definition, _options: StartOptions, signal: AbortSignal): Promise<Landing> {
    const { vm } = definition
    if (definition.driver !== driver)
      throw new MigrationError(vm, {
        code: 'target-refused',
        detail: `${this.host} is simulated and cannot take a VM of ${definition.driver}`,
      })
    await this.#does(vm, prepareTakes, signal, () => this.#world.prepare(this.host, vm))
    return { driver, uri: this.host }
  }

  async reopen(vm: VmId, signal: AbortSignal): Promise<Landing> {
    await this.#takes(askTakes, signal)
    if (this.#world.copyOf(vm, this.host) !== 'split')
      throw new MigrationError(vm, { code: 'target-refused', detail: `${vm} is in no post-copy at ${this.host}` })
    return { driver, uri: this.host }
  }

  run(vm: VmId, _proof: Departed, signal: AbortSignal): Promise<void> {
    return this.#does(vm, finishTakes, signal, () => this.#world.run(this.host, vm))
  }

  discard(vm: VmId, signal: AbortSignal): Promise<void> {
    return this.#does(vm, askTakes, signal, () => this.#world.discard(this.host, vm))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #vm(id: VmId): Vm | undefined {
    return this.#snapshot.vms.find(vm => vm.id === id)
  }

  #takes(span: number, signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(ms(span), signal)
  }

  /** @throws MigrationError for a simulated "no" */
  async #does(vm: VmId, span: number, signal: AbortSignal, act: () => void): Promise<void> {
    await this.#takes(span, signal)
    try {
      act()
    } catch (error) {
      if (!(error instanceof SimRefusal)) throw error
      const { how, message: detail } = error
      const failure: MigrationFailure =
        how === 'unreachable' ? { code: 'source-unreachable', detail } : { code: how, detail }
      throw new MigrationError(vm, failure, { cause: error })
    }
  }
}

function sampleOf(transfer: Transfer): Sample {
  const { status, sent, total, round, dirtyRate, throttle, downtime, error } = transfer
  return {
    status: status satisfies MigrationStatus,
    sent: bytes(Math.round(sent)),
    remaining: bytes(Math.round(leftOf(transfer))),
    total: bytes(Math.round(total)),
    disk: undefined,
    ...diskOf(transfer),
    zero: bytes(0),
    round,
    dirtyRate: dirtyRate === undefined ? undefined : bytesPerSecond(dirtyRate),
    throttle,
    expectedDowntime: undefined,
    downtime: downtime === undefined ? undefined : ms(downtime),
    error,
  }
}
