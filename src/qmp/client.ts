/**
 * A QMP client: two halves over one stream. The upper half sends commands and waits; the bottom half is the one reader, which routes
 * replies by id and puts events aside. Nothing here waits on a clock: deadlines are the caller's AbortSignals.
 *
 *     idle ──connect──> connecting ──greeting, capabilities──> running ──close, end of stream, garbage──> disconnecting ──> idle
 *                            └────────────failure────────────────────────────────────────────────────────────^
 *
 * Each method states the run state it needs. When a connection ends, every pending command rejects with {@link QmpInterrupted},
 * whose meaning is: outcome unknown.
 */
import type { Duplex } from 'node:stream'
import { openAddress, type QmpAddress, showAddress } from './address.ts'
import {
  QmpCapabilityError,
  QmpCommandError,
  QmpConnectError,
  QmpError,
  QmpInterrupted,
  QmpParseError,
  QmpProtocolError,
  QmpStateError,
  QmpTooManyPending,
} from './errors.ts'
import { EventBuffer } from '../time/event-buffer.ts'
import type { QmpEvent, QmpEvents } from './event.ts'
import { FrameReader } from './frame-reader.ts'
import { type Message, parseMessage } from './message.ts'
import { parseGreeting, type QmpVersion } from './replies/greeting.ts'
import { parseQueryCommands } from './replies/query-commands.ts'

export type Runstate = 'idle' | 'connecting' | 'running' | 'disconnecting'

export interface QmpOptions {
  /** Capabilities to enable, such as `oob`; connecting fails where one is missing. @default none */
  readonly capabilities?: readonly string[]
  /** Capabilities to enable where the monitor offers them; {@link QmpClient.enabled} says which it did. @default none */
  readonly optionalCapabilities?: readonly string[]
  /** Commands this QEMU must know; looked up once at connect. @default none */
  readonly requireCommands?: readonly string[]
  /** @default 10 MiB @unit bytes */
  readonly maxFrame?: number
  /** Unanswered commands at one time, those included whose caller gave up waiting. @default 1024 */
  readonly maxPending?: number
  /** Events kept for each reader. @default 1024 */
  readonly maxEvents?: number
  /** Told of each run state as it is entered. */
  readonly onRunstate?: (state: Runstate) => void
}

export interface QmpStats {
  /** Replies to commands whose caller gave up waiting. */
  readonly lateReplies: number
  /** Replies with an id that was never given out. */
  readonly unknownReplies: number
  /** Events lost by slow readers, all together. */
  readonly droppedEvents: number
}

/** Ids of one digit. */
const shortIds = 9

function isEmpty(args: object): boolean {
  for (const key in args) if (Object.hasOwn(args, key)) return false
  return true
}

interface Greeting {
  readonly version: QmpVersion
  readonly capabilities: readonly string[]
}

interface Pending {
  readonly command: string
  resolve(value: unknown): void
  reject(error: unknown): void
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/**
 * A connection to one QEMU monitor. A monitor serves one client at a time.
 *
 * @example
 * const qmp = await QmpClient.connect({ kind: 'unix', path: '/run/vm/qmp.sock' }, {}, AbortSignal.timeout(3000))
 * const { status } = await qmp.execute('query-status', {}, parseQueryStatus, AbortSignal.timeout(1000))
 * await qmp.close()
 */
export class QmpClient {
  readonly #stream: Duplex
  readonly #where: string
  readonly #options: QmpOptions
  readonly #frames: FrameReader
  readonly #pending = new Map<number, Pending>()
  readonly #readers = new Set<EventBuffer<QmpEvent>>()
  readonly #stats = { lateReplies: 0, unknownReplies: 0, droppedEvents: 0 }
  /** Ids whose caller does not wait any more, and whose reply did not come yet. */
  readonly #givenUp = new Set<number>()
  #runstate: Runstate = 'idle'
  #lastShortId = 0
  #lastLongId = shortIds
  #enabled: readonly string[] = []
  #greeted: ((message: Message) => void) | undefined
  #greeting: Greeting | undefined
  #endReason: Error | undefined
  /** Resolves, with the reason, when the connection has ended. Never rejects. */
  readonly ended: Promise<Error>
  #settleEnded: (reason: Error) => void = () => undefined

  private constructor(stream: Duplex, where: string, options: QmpOptions) {
    this.#stream = stream
    this.#where = where
    this.#options = options
    this.#frames = new FrameReader(options.maxFrame ?? 10 * 1_048_576)
    this.ended = new Promise(resolve => {
      this.#settleEnded = resolve
    })
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('error', error => this.#end(error))
    stream.on('close', () => this.#end(new QmpError('the other side closed the connection')))
    stream.on('end', () => this.#end(new QmpError('the other side closed the connection')))
  }

  /**
   * Connects, waits for the greeting, enables capabilities, and looks up the commands that are required.
   * @param where an address, or a stream that is open already
   * @throws QmpConnectError when there is no connection or no greeting; QmpCapabilityError; QmpProtocolError; the signal's reason
   */
  static async connect(where: QmpAddress | Duplex, options: QmpOptions, signal: AbortSignal): Promise<QmpClient> {
    const isAddress = 'kind' in where
    const stream = isAddress ? await openAddress(where, signal) : where
    const client = new QmpClient(stream, isAddress ? showAddress(where) : 'the monitor', options)
    try {
      await client.#negotiate(signal)
      return client
    } catch (error) {
      client.#end(error instanceof Error ? error : new QmpError(String(error)))
      throw error
    }
  }

  get runstate(): Runstate {
    return this.#runstate
  }

  /** QEMU's version, from the greeting. */
  get version(): QmpVersion {
    return this.#greeted_().version
  }

  /** Capabilities the monitor offers. */
  get capabilities(): readonly string[] {
    return this.#greeted_().capabilities
  }

  /** Capabilities that are in force on this connection. */
  get enabled(): readonly string[] {
    return this.#enabled
  }

  get stats(): QmpStats {
    let { droppedEvents } = this.#stats
    for (const reader of this.#readers) droppedEvents += reader.dropped
    return { ...this.#stats, droppedEvents }
  }

  #greeted_(): Greeting {
    if (this.#greeting === undefined) throw new QmpStateError('greeting', this.#runstate)
    return this.#greeting
  }

  /**
   * Sends a command and waits for its reply. Aborting gives up the wait: the command may still take effect.
   * Needs run state `running`.
   * @param parse turns what QEMU returned into something typed; may throw
   * @throws QmpStateError, QmpTooManyPending (nothing sent); QmpCommandError; QmpParseError; QmpInterrupted (outcome unknown); the signal's reason
   */
  execute<T>(command: string, args: object, parse: (raw: unknown) => T, signal: AbortSignal): Promise<T> {
    if (this.#runstate !== 'running') return Promise.reject(new QmpStateError(command, this.#runstate))
    return this.#send('execute', command, args, parse, signal)
  }

  /**
   * As {@link execute}, past the commands that wait: QEMU carries it out in the monitor's own thread, also while its main thread is
   * stuck (a post-copy target that waits for a page is). Only few commands allow it (qapi `allow-oob`): `migrate-recover`, `migrate-pause`, …
   * @throws as {@link execute}; QmpCapabilityError when the capability `oob` is not enabled
   */
  executeOutOfBand<T>(command: string, args: object, parse: (raw: unknown) => T, signal: AbortSignal): Promise<T> {
    if (this.#runstate !== 'running') return Promise.reject(new QmpStateError(command, this.#runstate))
    if (!this.#enabled.includes('oob')) return Promise.reject(new QmpCapabilityError('capabilities', ['oob']))
    return this.#send('exec-oob', command, args, parse, signal)
  }

  #send<T>(
    how: 'execute' | 'exec-oob',
    command: string,
    args: object,
    parse: (raw: unknown) => T,
    signal: AbortSignal,
  ): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#endReason !== undefined) return Promise.reject(this.#endReason)
    const limit = this.#options.maxPending ?? 1024
    if (this.#pending.size + this.#givenUp.size >= limit) return Promise.reject(new QmpTooManyPending(command, limit))
    return new Promise<T>((resolve, reject) => {
      const id = this.#takeId()
      const onAbort = (): void => {
        this.#pending.delete(id)
        this.#givenUp.add(id) // its reply may still come, and is then no surprise
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#pending.set(id, {
        command,
        signal,
        onAbort,
        reject,
        resolve: value => {
          try {
            resolve(parse(value))
          } catch (error) {
            reject(new QmpParseError(command, error))
          }
        },
      })
      // Bounded by maxPending: commands are small, and a stream that does not drain keeps them pending.
      const frame = isEmpty(args) ? { [how]: command, id } : { [how]: command, arguments: args, id }
      this.#stream.write(`${JSON.stringify(frame)}\n`)
    })
  }

  /**
   * Short ids, taken in turn, for QEMU reads a monitor byte by byte (monitor/monitor.c, monitor_can_read) and each costs as much as a
   * system call. In turn, so that a reply that comes twice finds nobody. Longer ones, never used again, when the short ones are out.
   */
  #takeId(): number {
    for (let n = 0; n < shortIds; n += 1) {
      this.#lastShortId = (this.#lastShortId % shortIds) + 1
      const id = this.#lastShortId
      if (!this.#pending.has(id) && !this.#givenUp.has(id)) return id
    }
    this.#lastLongId += 1
    return this.#lastLongId
  }

  /**
   * Events from now on, in order; ends when the connection does or the signal aborts. Each reader has its own bounded buffer.
   * Needs run state `running`.
   * @throws QmpStateError
   */
  events(signal: AbortSignal): QmpEvents {
    if (this.#runstate !== 'running') throw new QmpStateError('events', this.#runstate)
    const buffer = new EventBuffer<QmpEvent>(this.#options.maxEvents ?? 1024, signal, closed => {
      this.#readers.delete(closed)
      this.#stats.droppedEvents += closed.dropped
    })
    // Under a signal that has aborted already it has ended, and nobody will take it out again.
    if (!signal.aborted) this.#readers.add(buffer)
    return buffer
  }

  /** Ends the connection; pending commands reject with {@link QmpInterrupted}. Idempotent; any run state. */
  async close(): Promise<void> {
    this.#end(new QmpError('closed by this side'))
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #negotiate(signal: AbortSignal): Promise<void> {
    this.#enter('connecting')
    const greeting = await this.#awaitGreeting(signal)
    if (greeting.kind !== 'greeting')
      throw new QmpProtocolError(`${this.#where}: expected a greeting, got ${greeting.kind}`)
    this.#greeting = this.#readGreeting(greeting.qmp)
    const wanted = this.#options.capabilities ?? []
    const missing = wanted.filter(capability => !this.capabilities.includes(capability))
    if (missing.length > 0) throw new QmpCapabilityError('capabilities', missing)
    const optional = (this.#options.optionalCapabilities ?? []).filter(name => this.capabilities.includes(name))
    const enable = [...new Set([...wanted, ...optional])]
    await this.#send('execute', 'qmp_capabilities', enable.length === 0 ? {} : { enable }, () => undefined, signal)
    this.#enabled = enable
    const required = this.#options.requireCommands ?? []
    if (required.length > 0) {
      const known = new Set(await this.#send('execute', 'query-commands', {}, parseQueryCommands, signal))
      const unknown = required.filter(command => !known.has(command))
      if (unknown.length > 0) throw new QmpCapabilityError('commands', unknown)
    }
    if (this.#endReason !== undefined) throw this.#endReason
    this.#enter('running')
  }

  #readGreeting(raw: unknown): Greeting {
    try {
      return parseGreeting(raw)
    } catch (error) {
      throw new QmpProtocolError(`${this.#where}: a greeting without a version`, { cause: error })
    }
  }

  #awaitGreeting(signal: AbortSignal): Promise<Message> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        const hint = 'no greeting: a monitor serves one client at a time, perhaps another one is connected'
        reject(new QmpConnectError(`${this.#where}: ${hint}`, { cause: signal.reason }))
      }
      if (signal.aborted) {
        onAbort()
        return
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#greeted = message => {
        signal.removeEventListener('abort', onAbort)
        resolve(message)
      }
      void this.ended.then(reason => {
        signal.removeEventListener('abort', onAbort)
        reject(
          reason instanceof QmpProtocolError
            ? reason
            : new QmpConnectError(`${this.#where}: ended before the greeting: ${reason.message}`, { cause: reason }),
        )
      })
    })
  }

  #onData(chunk: Buffer): void {
    if (this.#endReason !== undefined) return
    try {
      for (const line of this.#frames.push(chunk)) this.#onMessage(parseMessage(line))
    } catch (error) {
      this.#end(error instanceof Error ? error : new QmpError(String(error)))
    }
  }

  #onMessage(message: Message): void {
    if (this.#greeted !== undefined) {
      const greeted = this.#greeted
      this.#greeted = undefined
      greeted(message)
      return
    }
    switch (message.kind) {
      case 'event':
        for (const reader of this.#readers) reader.push(message.event)
        return
      case 'reply': {
        this.#settle(message.id, pending => pending.resolve(message.value))
        return
      }
      case 'error': {
        // QEMU could not even read the id: it is no use to go on, nobody knows which command failed.
        if (message.id === undefined) throw new QmpProtocolError(`QEMU did not understand a frame: ${message.desc}`)
        this.#settle(message.id, pending =>
          pending.reject(new QmpCommandError(pending.command, message.errorClass, message.desc)),
        )
        return
      }
      case 'greeting':
        throw new QmpProtocolError('a second greeting')
    }
  }

  #settle(id: unknown, how: (pending: Pending) => void): void {
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined
    if (typeof id !== 'number' || pending === undefined) {
      if (typeof id === 'number' && this.#givenUp.delete(id)) this.#stats.lateReplies += 1
      else this.#stats.unknownReplies += 1
      return
    }
    this.#pending.delete(id)
    pending.signal.removeEventListener('abort', pending.onAbort)
    how(pending)
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
      pending.reject(new QmpInterrupted(pending.command, reason))
    }
    this.#pending.clear()
    this.#givenUp.clear()
    for (const reader of this.#readers) reader.end()
    this.#stream.destroy()
    this.#enter('idle')
    this.#settleEnded(reason)
  }
}
