/** QMP connections of one host, one a VM, opened when needed and kept. A monitor that is taken by somebody else is passed over for the next. */
import type { VmId } from '../../core/ids.ts'
import { ms } from '../../core/units.ts'
import { QmpClient } from '../../qmp/public.ts'
import type { Remote } from '../../remote/remote.ts'
import type { Clock } from '../../time/clock.ts'
import { withDeadline } from '../../time/with-deadline.ts'

/** A free monitor greets at once; a taken one says nothing until its client leaves. Longer than a round trip over a bad link. */
const greetsWithin = ms(3_000)

export class MonitorPool {
  readonly #remote: Remote
  readonly #clock: Clock
  readonly #open = new Map<VmId, Promise<QmpClient>>()

  constructor(remote: Remote, clock: Clock) {
    this.#remote = remote
    this.#clock = clock
  }

  /** @throws the last socket's error when none could be opened */
  get(vm: VmId, sockets: readonly string[], signal: AbortSignal): Promise<QmpClient> {
    const known = this.#open.get(vm)
    if (known !== undefined) return known
    const opening = this.#connect(vm, sockets, signal)
    this.#open.set(vm, opening)
    opening.then(
      client => void client.ended.then(() => this.#forget(vm, opening)),
      () => this.#forget(vm, opening),
    )
    return opening
  }

  async #connect(vm: VmId, sockets: readonly string[], signal: AbortSignal): Promise<QmpClient> {
    let last: unknown = new Error(`${vm} has no monitor`)
    for (const path of sockets) {
      try {
        return await withDeadline(this.#clock, greetsWithin, `a greeting from ${path}`, signal, async inner =>
          QmpClient.connect(await this.#remote.connectUnix(path, inner), { optionalCapabilities: ['oob'] }, inner),
        )
      } catch (error) {
        signal.throwIfAborted()
        last = error
      }
    }
    throw last
  }

  #forget(vm: VmId, which: Promise<QmpClient>): void {
    if (this.#open.get(vm) === which) this.#open.delete(vm)
  }

  async drop(vm: VmId): Promise<void> {
    const known = this.#open.get(vm)
    this.#open.delete(vm)
    const client = await known?.catch(() => undefined)
    await client?.close()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(vm => this.drop(vm)))
  }
}
