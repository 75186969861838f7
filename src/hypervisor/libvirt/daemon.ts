/**
 * The connection to one host's libvirt daemon: opened when first needed, opened again when it ended, shared by all calls but those that
 * block until a migration is over (outgoing.ts): a daemon works on five calls of a client at a time. Rings bells when a domain changes.
 */
import { isId, type VmId, vmId } from '../../core/ids.ts'
import { seconds } from '../../core/units.ts'
import {
  type ArgsOf,
  type Domain,
  errorCode,
  LibvirtCallError,
  LibvirtClient,
  LibvirtConnectError,
  LibvirtInterrupted,
  LibvirtProtocolError,
  LibvirtStateError,
  type LibvirtEvent,
  type ProcedureName,
  type ResultOf,
  type TypedParam,
} from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'
import type { Clock } from '../../time/clock.ts'
import { EventBuffer } from '../../time/event-buffer.ts'
import { DeadlineExceeded, neverAborts, withDeadline } from '../../time/with-deadline.ts'
import type { LibvirtVersion } from './migration-params.ts'

const opensWithin = seconds(10)
/** Final statistics of migrations, kept until they are asked for. */
const statisticsKept = 1_000

export class Daemon {
  readonly #uri: string
  readonly #clock: Clock
  #opening: Promise<LibvirtClient> | undefined
  #version: LibvirtVersion | undefined
  readonly #bells = new Map<EventBuffer<'changed'>, VmId | undefined>()
  readonly #ended = new Map<string, readonly TypedParam[]>()

  constructor(uri: string, clock: Clock) {
    this.#uri = uri
    this.#clock = clock
  }

  /** @throws HostUnreachable when there is no connection, or it ended: the outcome is then unknown; LibvirtCallError for a refusal */
  async call<P extends ProcedureName>(name: P, args: ArgsOf<P>, signal: AbortSignal): Promise<ResultOf<P>> {
    const client = await this.#open(signal)
    try {
      return await client.call(name, args, signal)
    } catch (error) {
      throw this.#told(error)
    }
  }

  /** Of its libvirt; undefined until it was reached. */
  get version(): LibvirtVersion | undefined {
    return this.#version
  }

  /** A connection of its own, for a call that blocks; the caller closes it. @throws HostUnreachable */
  async lane(signal: AbortSignal): Promise<LibvirtClient> {
    try {
      return await withDeadline(this.#clock, opensWithin, this.#uri, signal, inner =>
        LibvirtClient.connect(this.#uri, {}, inner),
      )
    } catch (error) {
      signal.throwIfAborted()
      throw this.#told(error)
    }
  }

  /** @returns undefined when there is no such domain. @throws HostUnreachable */
  async find(vm: VmId, signal: AbortSignal): Promise<Domain | undefined> {
    const byName = await this.#lookUp(() => this.call('domainLookupByName', { name: vm }, signal))
    const uuid = uuidBytes(vm)
    if (byName !== undefined || uuid === undefined) return byName
    return this.#lookUp(() => this.call('domainLookupByUuid', { uuid }, signal))
  }

  /** @throws HostUnreachable */
  findByUuid(text: string, signal: AbortSignal): Promise<Domain | undefined> {
    const uuid = uuidBytes(text)
    return uuid === undefined
      ? Promise.resolve(undefined)
      : this.#lookUp(() => this.call('domainLookupByUuid', { uuid }, signal))
  }

  async #lookUp(ask: () => Promise<{ readonly dom: Domain }>): Promise<Domain | undefined> {
    try {
      return (await ask()).dom
    } catch (error) {
      if (isNoDomain(error)) return undefined
      throw error
    }
  }

  /** Rings for one VM, or for any; never more than one ring waits. Ends when the connection does. */
  bell(vm: VmId | undefined, signal: AbortSignal): AsyncIterable<'changed'> {
    const bell = new EventBuffer<'changed'>(1, signal, () => this.#bells.delete(bell))
    if (!signal.aborted) this.#bells.set(bell, vm)
    this.#open(signal).catch(() => bell.end())
    return bell
  }

  ring(vm: VmId): void {
    for (const [bell, of] of this.#bells) if (of === undefined || of === vm) bell.push('changed')
  }

  /** Statistics a domain's last job ended with, if the daemon told them; once. */
  takeStatistics(dom: Domain): readonly TypedParam[] | undefined {
    const key = uuidText(dom)
    const found = this.#ended.get(key)
    this.#ended.delete(key)
    return found
  }

  async close(): Promise<void> {
    const client = await this.#opening?.catch(() => undefined)
    await client?.close()
  }

  /** Shared by all who wait for it, so it has a deadline of its own; who aborts stops waiting. */
  async #open(signal: AbortSignal): Promise<LibvirtClient> {
    signal.throwIfAborted()
    this.#opening ??= this.#connect()
    let stopWaiting: (() => void) | undefined
    const aborted = new Promise<never>((_, reject) => {
      const onAbort = (): void => reject(signal.reason as Error)
      signal.addEventListener('abort', onAbort, { once: true })
      stopWaiting = () => signal.removeEventListener('abort', onAbort)
    })
    try {
      return await Promise.race([this.#opening, aborted])
    } finally {
      stopWaiting?.()
    }
  }

  async #connect(): Promise<LibvirtClient> {
    let client: LibvirtClient | undefined
    try {
      const opened = await this.lane(neverAborts)
      client = opened
      void opened.ended.then(() => this.#onEnd())
      void this.#listen(opened)
      await withDeadline(this.#clock, opensWithin, this.#uri, neverAborts, async inner => {
        this.#version = (await opened.call('connectGetLibVersion', undefined, inner)).version
        await opened.watch(['lifecycle', 'migrationIteration', 'jobCompleted'], inner)
      })
      return opened
    } catch (error) {
      this.#opening = undefined
      await client?.close()
      throw this.#told(error)
    }
  }

  #onEnd(): void {
    this.#opening = undefined
    for (const bell of this.#bells.keys()) {
      bell.push('changed')
      bell.end()
    }
  }

  async #listen(client: LibvirtClient): Promise<void> {
    for await (const event of client.events(neverAborts)) this.#onEvent(event)
  }

  #onEvent(event: LibvirtEvent): void {
    if (event.event === 'jobCompleted') {
      const oldest = this.#ended.keys().next()
      if (this.#ended.size >= statisticsKept && oldest.done !== true) this.#ended.delete(oldest.value)
      this.#ended.set(uuidText(event.dom), event.params)
    }
    this.ring(idOf(event.dom))
  }

  #told(error: unknown): unknown {
    const unreachable =
      error instanceof LibvirtConnectError ||
      error instanceof LibvirtInterrupted ||
      error instanceof LibvirtStateError ||
      error instanceof LibvirtProtocolError ||
      error instanceof DeadlineExceeded
    if (!unreachable) return error
    // Where its keys and programs lie is no news to who wrote it.
    const shown = this.#uri.replace(/\?.*$/, '')
    const said = error.message.replaceAll(this.#uri, shown)
    return new HostUnreachable(said.includes(shown) ? said : `${shown}: ${said}`, { cause: error })
  }
}

export const isNoDomain = (error: unknown): boolean =>
  error instanceof LibvirtCallError && error.code === errorCode.noDomain

/** By its name; a name that Lifeboat cannot use (libvirt allows nearly any) is replaced with the UUID. */
export const idOf = (dom: Domain): VmId => vmId(isId(dom.name) ? dom.name : uuidText(dom))

export function uuidText({ uuid }: Pick<Domain, 'uuid'>): string {
  const hex = Buffer.from(uuid).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function uuidBytes(text: string): Buffer | undefined {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
    ? Buffer.from(text.replaceAll('-', ''), 'hex')
    : undefined
}
