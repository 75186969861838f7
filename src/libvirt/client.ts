/**
 * A libvirt client: the daemon's own RPC protocol over a stream, nothing native. Two halves over one stream, as in qmp/: the upper half
 * sends calls and waits; the bottom half is the one reader, which routes replies by serial, answers keepalive, and puts events aside.
 * Nothing here waits on a clock: deadlines are the caller's AbortSignals. Reconnecting is the caller's too.
 *
 *     idle ──connect──> connecting ──authentication, open──> running ──close, end of stream, garbage──> disconnecting ──> idle
 *                            └───────────failure────────────────────────────────────────────────────────────^
 *
 * When a connection ends, every pending call rejects with {@link LibvirtInterrupted}, whose meaning is: outcome unknown.
 */
import type { Duplex } from 'node:stream'
import { type BufferedEvents, EventBuffer } from '../time/event-buffer.ts'
import {
  LibvirtCallError,
  LibvirtConnectError,
  LibvirtError,
  LibvirtInterrupted,
  LibvirtProtocolError,
  LibvirtStateError,
  LibvirtTooManyPending,
} from './errors.ts'
import {
  type Header,
  headerSize,
  type Message,
  MessageReader,
  messageStatus,
  messageType,
  program,
  protocolVersion,
  sealMessage,
} from './frame.ts'
import {
  type ArgsOf,
  type EventName,
  events as eventTable,
  type LibvirtEvent,
  type Procedure,
  type ProcedureName,
  procedures,
  remoteError,
  type ResultOf,
} from './procedures.ts'
import { openTransport } from './transport.ts'
import { type LibvirtUri, parseLibvirtUri } from './uri.ts'
import { decode, XdrError, XdrWriter } from './xdr.ts'

export type Runstate = 'idle' | 'connecting' | 'running' | 'disconnecting'

export interface LibvirtOptions {
  /** @default 32 MiB, libvirt's own limit @unit bytes */
  readonly maxMessage?: number
  /** Unanswered calls at one time. A daemon reads 5 of a client at a time by default (`max_client_requests`); the rest wait. @default 1024 */
  readonly maxPending?: number
  /** Events kept for each reader. @default 1024 */
  readonly maxEvents?: number
  /** Told of each run state as it is entered. */
  readonly onRunstate?: (state: Runstate) => void
}

export interface LibvirtStats {
  /** Replies to calls whose caller gave up waiting. */
  readonly lateReplies: number
  /** Replies with a serial that was never given out. */
  readonly unknownReplies: number
  /** Messages of procedures this client does not know: newer daemons have more events. */
  readonly unknownEvents: number
  readonly droppedEvents: number
  readonly pings: number
}

interface Pending {
  readonly name: string
  resolve(body: Buffer): void
  reject(error: unknown): void
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/** src/remote/remote_protocol.x, remote_auth_type. */
const authType = { none: 0, sasl: 1, polkit: 2 } as const
const keepalive = { ping: 1, pong: 2 } as const
const serialMost = 2 ** 32 - 1
const eventsByNumber = new Map(
  (Object.keys(eventTable) as EventName[]).map(name => [eventTable[name].number as number, name]),
)

/**
 * A connection to one libvirt daemon (libvirtd, or virtqemud).
 *
 * @example
 * const libvirt = await LibvirtClient.connect('qemu+ssh://root@host/system', {}, AbortSignal.timeout(10_000))
 * const { domains } = await libvirt.call('connectListAllDomains', { needResults: true, flags: 0 }, AbortSignal.timeout(5000))
 * await libvirt.close()
 */
export class LibvirtClient {
  readonly #stream: Duplex
  readonly #where: string
  readonly #options: LibvirtOptions
  readonly #messages: MessageReader
  readonly #pending = new Map<number, Pending>()
  readonly #givenUp = new Set<number>()
  readonly #readers = new Set<EventBuffer<LibvirtEvent>>()
  readonly #stats = { lateReplies: 0, unknownReplies: 0, unknownEvents: 0, droppedEvents: 0, pings: 0 }
  #runstate: Runstate = 'idle'
  #serial = 0
  #endReason: Error | undefined
  /** Resolves, with the reason, when the connection has ended. Never rejects. */
  readonly ended: Promise<Error>
  #settleEnded: (reason: Error) => void = () => undefined

  private constructor(stream: Duplex, where: string, options: LibvirtOptions) {
    this.#stream = stream
    this.#where = where
    this.#options = options
    this.#messages = new MessageReader(options.maxMessage)
    this.ended = new Promise(resolve => {
      this.#settleEnded = resolve
    })
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('error', error => this.#end(error))
    stream.on('close', () => this.#end(new LibvirtError('the other side closed the connection')))
    stream.on('end', () => this.#end(new LibvirtError('the other side closed the connection')))
  }

  /**
   * Connects, authenticates, and opens the hypervisor's driver.
   * @param where a URI as virsh takes it: `qemu:///system`, `qemu+ssh://root@host/system`; or a stream that is open, and the driver's name
   * @throws LibvirtUriError, LibvirtConnectError, LibvirtProtocolError; LibvirtCallError when the daemon refuses; the signal's reason
   */
  static async connect(
    where: string | LibvirtUri | { readonly stream: Duplex; readonly driver: string },
    options: LibvirtOptions,
    signal: AbortSignal,
  ): Promise<LibvirtClient> {
    const uri = typeof where === 'string' ? parseLibvirtUri(where) : 'stream' in where ? undefined : where
    const isStream = typeof where === 'object' && 'stream' in where
    const stream = isStream ? where.stream : await openTransport(uri ?? unreachable(), signal)
    const client = new LibvirtClient(stream, uri?.text ?? 'the daemon', options)
    try {
      await client.#negotiate(isStream ? where.driver : (uri?.driverUri ?? ''), signal)
      return client
    } catch (error) {
      client.#end(error instanceof Error ? error : new LibvirtError(String(error)))
      throw error
    }
  }

  get runstate(): Runstate {
    return this.#runstate
  }

  get stats(): LibvirtStats {
    let { droppedEvents } = this.#stats
    for (const reader of this.#readers) droppedEvents += reader.dropped
    return { ...this.#stats, droppedEvents }
  }

  /**
   * Calls a procedure and waits for its reply. Aborting gives up the wait: the call may still take effect.
   * Needs run state `running`.
   * @throws LibvirtStateError, LibvirtTooManyPending, XdrError (nothing sent); LibvirtCallError; LibvirtInterrupted (outcome unknown);
   * the signal's reason
   */
  call<P extends ProcedureName>(name: P, args: ArgsOf<P>, signal: AbortSignal): Promise<ResultOf<P>> {
    if (this.#runstate !== 'running') return Promise.reject(new LibvirtStateError(name, this.#runstate))
    return this.#send(name, procedures[name] as unknown as Procedure<ArgsOf<P>, ResultOf<P>>, args, signal)
  }

  #send<A, R>(name: string, procedure: Procedure<A, R>, args: A, signal: AbortSignal): Promise<R> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#endReason !== undefined) return Promise.reject(this.#endReason)
    const limit = this.#options.maxPending ?? 1024
    if (this.#pending.size + this.#givenUp.size >= limit) return Promise.reject(new LibvirtTooManyPending(name, limit))
    const writer = new XdrWriter(headerSize)
    try {
      procedure.args.write(writer, args)
    } catch (error) {
      return Promise.reject(error)
    }
    const serial = this.#nextSerial()
    const header: Header = {
      program: program.remote,
      version: protocolVersion,
      procedure: procedure.number,
      type: messageType.call,
      serial,
      status: messageStatus.ok,
    }
    return new Promise<R>((resolve, reject) => {
      const onAbort = (): void => {
        this.#pending.delete(serial)
        this.#givenUp.add(serial) // its reply may still come, and is then no surprise
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#pending.set(serial, {
        name,
        signal,
        onAbort,
        reject,
        resolve: body => {
          try {
            resolve(decode(procedure.result, body, `the result of ${name}`))
          } catch (error) {
            reject(error)
          }
        },
      })
      this.#stream.write(sealMessage(writer.done(), header))
    })
  }

  #nextSerial(): number {
    this.#serial = this.#serial >= serialMost ? 1 : this.#serial + 1
    return this.#serial
  }

  /**
   * Events from now on, in order; ends when the connection does or the signal aborts. The daemon sends only what it was asked for with
   * {@link watch}. Needs run state `running`.
   * @throws LibvirtStateError
   */
  events(signal: AbortSignal): BufferedEvents<LibvirtEvent> {
    if (this.#runstate !== 'running') throw new LibvirtStateError('events', this.#runstate)
    const buffer = new EventBuffer<LibvirtEvent>(this.#options.maxEvents ?? 1024, signal, closed => {
      this.#readers.delete(closed)
      this.#stats.droppedEvents += closed.dropped
    })
    if (!signal.aborted) this.#readers.add(buffer)
    return buffer
  }

  /** Asks the daemon to send these events, of all domains. @throws as {@link call} */
  async watch(names: readonly EventName[], signal: AbortSignal): Promise<void> {
    const ask = (name: EventName) =>
      this.call('connectDomainEventCallbackRegisterAny', { eventId: eventTable[name].eventId, dom: undefined }, signal)
    await Promise.all(names.map(ask))
  }

  /** Takes leave, then ends the connection; pending calls reject with {@link LibvirtInterrupted}. Idempotent; any run state. */
  async close(): Promise<void> {
    this.#end(new LibvirtError('closed by this side'))
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #negotiate(driver: string, signal: AbortSignal): Promise<void> {
    this.#enter('connecting')
    const refused = (error: unknown): never => {
      if (!(error instanceof LibvirtInterrupted)) throw error
      throw new LibvirtConnectError(`${this.#where}: ended while it was opened: ${reasonOf(error)}`, { cause: error })
    }
    const { types } = await this.#send('authList', procedures.authList, undefined, signal).catch(refused)
    await this.#authenticate(types, signal).catch(refused)
    await this.#send('connectOpen', procedures.connectOpen, { name: driver, flags: 0 }, signal).catch(refused)
    if (this.#endReason !== undefined) throw this.#endReason
    this.#enter('running')
  }

  async #authenticate(types: readonly number[], signal: AbortSignal): Promise<void> {
    if (types.length === 0 || types.includes(authType.none)) return
    if (types.includes(authType.polkit)) {
      await this.#send('authPolkit', procedures.authPolkit, undefined, signal).catch((error: unknown) => {
        if (!(error instanceof LibvirtCallError)) throw error
        throw new LibvirtConnectError(
          `${this.#where}: polkit does not let this user in: ${error.said}\nbe root, or allow org.libvirt.unix.manage to this user (polkit rules)`,
          { cause: error },
        )
      })
      return
    }
    const name = types.includes(authType.sasl) ? 'SASL' : `of type ${types.join(', ')}`
    throw new LibvirtConnectError(
      `${this.#where}: the daemon wants authentication ${name}, which Lifeboat does not speak; use qemu+ssh, qemu+tls with client certificates, or auth_… = "none" in libvirtd.conf`,
    )
  }

  #onData(chunk: Buffer): void {
    if (this.#endReason !== undefined) return
    try {
      for (const message of this.#messages.push(chunk)) this.#onMessage(message)
    } catch (error) {
      this.#end(error instanceof Error ? error : new LibvirtError(String(error)))
    }
  }

  #onMessage({ header, body }: Message): void {
    if (header.program === program.keepalive) {
      this.#onKeepalive(header)
      return
    }
    // Other programs (lxc, qemu agent) are not asked for anything, so nothing of theirs is for us.
    if (header.program !== program.remote) {
      this.#stats.unknownEvents += 1
      return
    }
    switch (header.type) {
      case messageType.reply:
        this.#settle(header, body)
        return
      case messageType.message:
        this.#onEvent(header.procedure, body)
        return
      case messageType.stream:
        throw new LibvirtProtocolError('a stream that nobody opened')
      default:
        throw new LibvirtProtocolError(`a message of type ${header.type}`)
    }
  }

  #onKeepalive({ procedure }: Header): void {
    if (procedure !== keepalive.ping) return
    this.#stats.pings += 1
    const pong = Buffer.alloc(headerSize)
    this.#stream.write(
      sealMessage(pong, {
        program: program.keepalive,
        version: protocolVersion,
        procedure: keepalive.pong,
        type: messageType.message,
        serial: 0,
        status: messageStatus.ok,
      }),
    )
  }

  #onEvent(number: number, body: Buffer): void {
    const name = eventsByNumber.get(number)
    if (name === undefined) {
      this.#stats.unknownEvents += 1
      return
    }
    const event = { event: name, ...decodeEvent(name, body) } as LibvirtEvent
    for (const reader of this.#readers) reader.push(event)
  }

  #settle({ serial, status }: Header, body: Buffer): void {
    const pending = this.#pending.get(serial)
    if (pending === undefined) {
      if (this.#givenUp.delete(serial)) this.#stats.lateReplies += 1
      else this.#stats.unknownReplies += 1
      return
    }
    this.#pending.delete(serial)
    pending.signal.removeEventListener('abort', pending.onAbort)
    if (status === messageStatus.ok) {
      pending.resolve(body)
      return
    }
    const { code, domain, message } = decode(remoteError, body, 'an error')
    pending.reject(new LibvirtCallError(pending.name, code, domain, message ?? `error ${code} of domain ${domain}`))
  }

  #enter(state: Runstate): void {
    this.#runstate = state
    this.#options.onRunstate?.(state)
  }

  #end(reason: Error): void {
    if (this.#endReason !== undefined) return
    this.#endReason = reason
    if (this.#runstate !== 'idle') this.#enter('disconnecting')
    for (const pending of this.#pending.values()) {
      pending.signal.removeEventListener('abort', pending.onAbort)
      pending.reject(new LibvirtInterrupted(pending.name, reason))
    }
    this.#pending.clear()
    this.#givenUp.clear()
    for (const reader of this.#readers) reader.end()
    this.#stream.destroy()
    this.#enter('idle')
    this.#settleEnded(reason)
  }
}

const decodeEvent = (name: EventName, body: Buffer): object => {
  try {
    return decode<object>(eventTable[name].body as never, body, `the event ${name}`)
  } catch (error) {
    if (error instanceof XdrError) throw new LibvirtProtocolError(error.message, { cause: error })
    throw error
  }
}

const reasonOf = (error: LibvirtInterrupted): string =>
  error.cause instanceof Error ? error.cause.message : error.message
const unreachable = (): never => {
  throw new LibvirtError('neither a URI nor a stream')
}
