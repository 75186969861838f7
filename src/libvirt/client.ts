/**
 * A libvirt client: the daemon's own RPC protocol over a stream, nothing native. Two halves over one stream, as in qmp/: the upper half
 * sends calls and waits; the bottom half is the one reader, which routes replies by serial, answers keepalive, and puts events aside.
 * Deadlines of calls are the caller's AbortSignals, and so is reconnecting; only a daemon that has fallen silent is noticed here (keepalive.ts).
 *
 *     idle ──connect──> connecting ──authentication, open──> running ──close, end of stream, garbage──> disconnecting ──> idle
 *                            └───────────failure────────────────────────────────────────────────────────────^
 *
 * When a connection ends, every pending call rejects with {@link LibvirtInterrupted}, whose meaning is: outcome unknown.
 */
import type { Duplex } from 'node:stream'
import { type BufferedEvents, EventBuffer } from '../time/event-buffer.ts'
import { neverAborts } from '../time/with-deadline.ts'
import {
  LibvirtError,
  LibvirtInterrupted,
  LibvirtProtocolError,
  LibvirtStateError,
  LibvirtTooManyPending,
} from './errors.ts'
import {
  type Header,
  headerSize,
  longestMessage,
  type Message,
  MessageReader,
  messageStatus,
  messageType,
  program,
  protocolVersion,
  sealMessage,
} from './frame.ts'
import { defaultKeepalive, Keepalive, type KeepaliveOptions } from './keepalive.ts'
import { negotiate, unopened } from './negotiate.ts'
import { PendingCalls } from './pending-calls.ts'
import {
  type ArgsOf,
  type EventName,
  events as eventTable,
  type LibvirtEvent,
  type Procedure,
  type ProcedureName,
  procedures,
  type ResultOf,
} from './procedures.ts'
import { readReply } from './read-reply.ts'
import { openTransport } from './transport.ts'
import { type LibvirtUri, parseLibvirtUri } from './uri.ts'
import { type Codec, decode, XdrError, XdrWriter } from './xdr.ts'

export type Runstate = 'idle' | 'connecting' | 'running' | 'disconnecting'

export interface LibvirtOptions {
  /** Of one message, either way. @default 32 MiB, libvirt's own limit @unit bytes */
  readonly maxMessage?: number
  /**
   * Unanswered calls at one time. A daemon works on 5 of a client at a time by default (`max_client_requests`) and reads no more until
   * one is answered, not even a pong: what blocks for long, like a migration, wants a connection of its own. @default 1024
   */
  readonly maxPending?: number
  /** Events kept for each reader. @default 1024 */
  readonly maxEvents?: number
  /** Pings to a daemon of which nothing is heard; `false` sends none. @default every 5 s, five of them: gone after 30 s */
  readonly keepalive?: KeepaliveOptions | false
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
  /** Events this client knows and could not read; they are lost. */
  readonly undecodedEvents: number
  readonly droppedEvents: number
  readonly pings: number
}

/** src/rpc/virkeepaliveprotocol.x. */
const keepalive = { ping: 1, pong: 2 } as const
/** src/libvirt_internal.h, VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. */
const featureKeepalive = 10
/** `max_client_requests` in libvirtd.conf: with so many calls of one client unanswered a daemon reads nothing more of it, pings neither. */
const readsUntil = 5
/** How long {@link LibvirtClient.close} waits for the daemon. @unit ms */
const leaveWithin = 1_000
/** Behind so much that the daemon has not read, pings are not answered. @unit bytes */
const unreadMost = 1_048_576
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
  readonly #options: LibvirtOptions
  readonly #messages: MessageReader
  readonly #pending = new PendingCalls()
  readonly #readers = new Set<EventBuffer<LibvirtEvent>>()
  readonly #stats = {
    lateReplies: 0,
    unknownReplies: 0,
    unknownEvents: 0,
    undecodedEvents: 0,
    droppedEvents: 0,
    pings: 0,
  }
  #runstate: Runstate = 'idle'
  #endReason: Error | undefined
  /** Why this side ends it, while it takes leave. */
  #leaving: Error | undefined
  #corked = false
  #keepalive: Keepalive | undefined
  /** Resolves, with the reason, when the connection has ended. Never rejects. */
  readonly ended: Promise<Error>
  #settleEnded: (reason: Error) => void = () => undefined

  private constructor(stream: Duplex, options: LibvirtOptions) {
    this.#stream = stream
    this.#options = options
    this.#messages = new MessageReader(options.maxMessage)
    this.ended = new Promise(resolve => {
      this.#settleEnded = resolve
    })
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('error', error => this.#end(error))
    stream.on('close', () => this.#onEnd())
    stream.on('end', () => this.#onEnd())
  }

  /**
   * Connects, authenticates, and opens the hypervisor's driver.
   * @param where a URI as virsh takes it: `qemu:///system`, `qemu+ssh://root@host/system`; or a stream that is open, and the driver's name
   * @throws LibvirtUriError, LibvirtProtocolError; LibvirtConnectError, whose cause is a LibvirtCallError where the daemon refuses; the
   * signal's reason
   */
  static async connect(
    where: string | LibvirtUri | { readonly stream: Duplex; readonly driver: string },
    options: LibvirtOptions,
    signal: AbortSignal,
  ): Promise<LibvirtClient> {
    if (typeof where === 'object' && 'stream' in where)
      return LibvirtClient.#over(where.stream, 'the daemon', where.driver, options, signal)
    const uri = typeof where === 'string' ? parseLibvirtUri(where) : where
    return LibvirtClient.#over(await openTransport(uri, signal), uri.text, uri.driverUri, options, signal)
  }

  static async #over(
    stream: Duplex,
    where: string,
    driver: string,
    options: LibvirtOptions,
    signal: AbortSignal,
  ): Promise<LibvirtClient> {
    const client = new LibvirtClient(stream, options)
    try {
      client.#enter('connecting')
      // What ended before anybody listened says nothing more.
      if (stream.destroyed || !stream.writable) client.#end(stream.errored ?? new LibvirtError('the stream is closed'))
      await negotiate((name, args, until) => client.#send(name, args, until), where, driver, signal)
      if (client.#endReason !== undefined)
        throw unopened(new LibvirtInterrupted('connectOpen', client.#endReason), where)
      client.#enter('running')
      client.#keepAlive()
      return client
    } catch (error) {
      client.#end(error instanceof Error ? error : new LibvirtError(String(error)))
      throw error
    }
  }

  #keepAlive(): void {
    const options = this.#options.keepalive ?? defaultKeepalive
    if (options === false) return
    this.#keepalive = new Keepalive(options, {
      asksForPings: async () =>
        (await this.#send('connectSupportsFeature', { feature: featureKeepalive }, neverAborts)).supported,
      ping: () => this.#sendKeepalive(keepalive.ping),
      mayBeSilent: () => this.#pending.unanswered >= readsUntil,
      onSilent: why => this.#end(new LibvirtError(why)),
    })
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
   * @throws LibvirtStateError, LibvirtTooManyPending, XdrError (nothing sent); LibvirtCallError; LibvirtParseError (it took effect);
   * LibvirtInterrupted (outcome unknown); the signal's reason
   */
  call<P extends ProcedureName>(name: P, args: ArgsOf<P>, signal: AbortSignal): Promise<ResultOf<P>> {
    if (this.#runstate !== 'running') return Promise.reject(new LibvirtStateError(name, this.#runstate))
    return this.#send(name, args, signal)
  }

  #send<P extends ProcedureName>(name: P, args: ArgsOf<P>, signal: AbortSignal): Promise<ResultOf<P>> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#endReason !== undefined) return Promise.reject(new LibvirtInterrupted(name, this.#endReason))
    const limit = this.#options.maxPending ?? 1024
    if (this.#pending.unanswered >= limit) return Promise.reject(new LibvirtTooManyPending(name, limit))
    // The table knows that the arguments fit the procedure; the type of one of its lines does not.
    const procedure = procedures[name] as unknown as Procedure<ArgsOf<P>, ResultOf<P>>
    let message: Buffer
    try {
      message = this.#written(name, procedure.args, args)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise<ResultOf<P>>((resolve, reject) => {
      const settle = (header: Header, body: Buffer): void => {
        try {
          resolve(readReply(name, procedure.result, header, body))
        } catch (error) {
          reject(error)
        }
      }
      const serial = this.#pending.add({ name, procedure: procedure.number, signal, settle, reject })
      this.#write(
        sealMessage(message, {
          program: program[procedure.program],
          version: protocolVersion,
          procedure: procedure.number,
          type: messageType.call,
          serial,
          status: messageStatus.ok,
        }),
      )
    })
  }

  #written<A>(name: string, codec: Codec<A>, args: A): Buffer {
    const writer = new XdrWriter(headerSize)
    codec.write(writer, args)
    const most = this.#options.maxMessage ?? longestMessage
    if (writer.length > most)
      throw new XdrError(`${name}: a message of ${writer.length} bytes; there are up to ${most}`)
    return writer.done()
  }

  /** What is written in one turn leaves in one packet. */
  #write(message: Buffer): void {
    if (!this.#corked) {
      this.#corked = true
      this.#stream.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#stream.uncork()
      })
    }
    this.#stream.write(message)
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

  /** Asks the daemon to send these events, of all domains; asked twice, it sends them twice. @throws as {@link call} */
  async watch(names: readonly EventName[], signal: AbortSignal): Promise<void> {
    const ask = (name: EventName) =>
      this.call('connectDomainEventCallbackRegisterAny', { eventId: eventTable[name].eventId, dom: undefined }, signal)
    await Promise.all(names.map(ask))
  }

  /**
   * Ends the connection; pending calls reject with {@link LibvirtInterrupted} at once. Takes leave first, so that the daemon does not
   * log a broken connection, and waits for its answer until the signal aborts. Idempotent; any run state.
   * @param signal by default of one second
   */
  async close(signal: AbortSignal = AbortSignal.timeout(leaveWithin)): Promise<void> {
    if (this.#leaving === undefined) {
      this.#leaving = new LibvirtError('closed by this side')
      if (this.#runstate === 'running') await this.#leave(this.#leaving, signal)
      this.#end(this.#leaving)
    }
    await this.ended
  }

  async #leave(reason: Error, signal: AbortSignal): Promise<void> {
    this.#enter('disconnecting')
    this.#pending.interrupt(reason)
    for (const reader of this.#readers) reader.end()
    const bidden = this.#send('connectClose', undefined, signal)
    // Whatever comes of it: the connection ends now.
    await bidden.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #onData(chunk: Buffer): void {
    if (this.#endReason !== undefined) return
    this.#keepalive?.heard()
    try {
      for (const message of this.#messages.push(chunk)) this.#onMessage(message)
    } catch (error) {
      this.#end(error instanceof Error ? error : new LibvirtError(String(error)))
    }
  }

  #onEnd(): void {
    const { unfinished } = this.#messages
    const where = unfinished > 0 ? ` in the middle of a message, after ${unfinished} bytes of it` : ''
    this.#end(new LibvirtError(`the other side closed the connection${where}`))
  }

  #onMessage({ header, body }: Message): void {
    if (header.program === program.keepalive) {
      this.#onKeepalive(header)
      return
    }
    // Other programs (lxc), and what QEMU's has to say of its own accord, were not asked for: nothing of theirs is for us.
    if (header.program !== program.remote && !(header.program === program.qemu && header.type === messageType.reply)) {
      this.#stats.unknownEvents += 1
      return
    }
    if (header.version !== protocolVersion)
      throw new LibvirtProtocolError(`version ${header.version} of the protocol; this client speaks ${protocolVersion}`)
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
    this.#sendKeepalive(keepalive.pong)
  }

  #sendKeepalive(procedure: number): void {
    // Who does not read is owed no answer, and a ping more would tell it nothing; they would wait here without bound.
    if (this.#stream.writableLength > unreadMost) return
    this.#write(
      sealMessage(Buffer.alloc(headerSize), {
        program: program.keepalive,
        version: protocolVersion,
        procedure,
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
    let event: LibvirtEvent
    try {
      event = { event: name, ...decode<object>(eventTable[name].body as never, body, name) } as LibvirtEvent
    } catch (error) {
      if (!(error instanceof XdrError)) throw error
      // Where it ends is known all the same: what comes after it is not lost with it.
      this.#stats.undecodedEvents += 1
      return
    }
    for (const reader of this.#readers) reader.push(event)
  }

  #settle(header: Header, body: Buffer): void {
    const pending = this.#pending.take(header.serial)
    if (pending === undefined) {
      if (this.#pending.wasGivenUp(header.serial)) this.#stats.lateReplies += 1
      else this.#stats.unknownReplies += 1
      return
    }
    if (header.procedure === pending.procedure && header.status <= messageStatus.error) {
      pending.settle(header, body)
      return
    }
    const answer = `procedure ${header.procedure}, status ${header.status}`
    const breach = new LibvirtProtocolError(`a reply to procedure ${pending.procedure} that says it is of ${answer}`)
    pending.reject(new LibvirtInterrupted(pending.name, breach))
    throw breach
  }

  #enter(state: Runstate): void {
    if (state === this.#runstate) return
    this.#runstate = state
    this.#options.onRunstate?.(state)
  }

  #end(because: Error): void {
    if (this.#endReason !== undefined) return
    const reason = this.#leaving ?? because
    this.#endReason = reason
    this.#keepalive?.stop()
    if (this.#runstate !== 'idle') this.#enter('disconnecting')
    this.#pending.interrupt(reason)
    for (const reader of this.#readers) reader.end()
    this.#stream.destroy()
    this.#enter('idle')
    this.#settleEnded(reason)
  }
}
