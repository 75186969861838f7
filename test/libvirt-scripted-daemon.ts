/**
 * A daemon for tests: a real server on a unix socket that follows a script, one run of it for each client. It can say anything in any
 * packets, be silent, and leave half-way; what libvirtd would not do as well as what it would.
 *
 * Role: the other side of the libvirt client's tests. Every wait ends when the signal it was started with aborts. Never used in production.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Header,
  headerSize,
  MessageReader,
  messageStatus,
  messageType,
  program,
  sealMessage,
} from '../src/libvirt/frame.ts'
import { type ArgsOf, type ProcedureName, procedures, remoteError, type ResultOf } from '../src/libvirt/procedures.ts'
import { type Codec, decode, encode } from '../src/libvirt/xdr.ts'

/** One message that a client sent. */
export interface Asked {
  readonly header: Header
  readonly body: Buffer
  /** Of a call this client's table knows. */
  readonly name: ProcedureName | undefined
}

/** The client left while the script waited for it. Ends the script in silence: leaving is a client's right. */
class ClientLeft extends Error {
  override readonly name = 'ClientLeft'
}

const nameOf = (number: number): ProcedureName | undefined =>
  (Object.keys(procedures) as ProcedureName[]).find(name => procedures[name].number === number)

/** A whole message; by default one of the remote program. */
export const message = (header: Partial<Header>, body: Uint8Array = Buffer.alloc(0)): Buffer =>
  sealMessage(Buffer.concat([Buffer.alloc(headerSize), body]), {
    program: program.remote,
    version: 1,
    procedure: 0,
    type: messageType.reply,
    serial: 0,
    status: messageStatus.ok,
    ...header,
  })

/** What libvirtd says of a call it does not do. */
export const errorBody = (code: number, domain: number, text: string | undefined): Buffer =>
  encode(remoteError, {
    code,
    domain,
    message: text,
    level: 2,
    dom: undefined,
    str1: text,
    str2: undefined,
    str3: undefined,
    int1: -1,
    int2: -1,
    net: undefined,
  })

/** One client, as the script sees it. */
export class Caller {
  readonly #socket: Socket
  readonly #log: Asked[]
  readonly #messages = new MessageReader()
  #waiting: Asked[] = []
  #left = false
  #wake: () => void = () => undefined
  /** Resolves when the client has gone. */
  readonly gone: Promise<void>

  constructor(socket: Socket, log: Asked[]) {
    this.#socket = socket
    this.#log = log
    this.gone = new Promise(resolve => {
      socket.on('close', () => {
        this.#left = true
        this.#wake()
        resolve()
      })
    })
    socket.on('error', () => undefined) // `close` follows
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
  }

  #onData(chunk: Buffer): void {
    for (const { header, body } of this.#messages.push(chunk)) {
      const asked: Asked = {
        header,
        body: Buffer.from(body),
        name: header.program === program.remote ? nameOf(header.procedure) : undefined,
      }
      this.#log.push(asked)
      // Leaving is answered without the script, as a daemon does at any time.
      if (asked.name === 'connectClose') {
        this.answer(asked)
        this.leave()
      } else this.#waiting.push(asked)
    }
    this.#wake()
  }

  /** The next message of this client. */
  async next(): Promise<Asked> {
    for (;;) {
      const asked = this.#waiting.shift()
      if (asked !== undefined) return asked
      if (this.#left) throw new ClientLeft('the client left')
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  raw(...bytes: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(bytes))
  }

  /** Packets that arrive one by one: each is on its way before the next is written. */
  async packets(parts: Iterable<Uint8Array>): Promise<void> {
    for (const part of parts) {
      await new Promise<void>(resolve => {
        this.#socket.write(part, () => setImmediate(resolve))
      })
    }
  }

  answer({ header: { procedure, serial } }: Asked, body?: Uint8Array): void {
    this.raw(message({ procedure, serial }, body))
  }

  /** Answers a call of this procedure with what it returns. */
  returns<P extends ProcedureName>(name: P, asked: Asked, value: ResultOf<P>): void {
    this.answer(asked, encode(procedures[name].result as unknown as Codec<ResultOf<P>>, value))
  }

  refuses({ header: { procedure, serial } }: Asked, body: Uint8Array): void {
    this.raw(message({ procedure, serial, status: messageStatus.error }, body))
  }

  /** Says no more; the client reads to the end of what was said. */
  leave(): void {
    this.#socket.end()
  }

  /** Lets the client in without authentication, and opens the driver it asks for. @returns the driver's URI */
  async welcome(): Promise<string> {
    this.returns('authList', await this.next(), { types: [0] })
    const open = await this.next()
    this.answer(open)
    return argsOf('connectOpen', open).name ?? ''
  }
}

export const argsOf = <P extends ProcedureName>(name: P, { body }: Asked): ArgsOf<P> =>
  decode(procedures[name].args as unknown as Codec<ArgsOf<P>>, body, name)

export interface ScriptedDaemon extends AsyncDisposable {
  /** A URI of its socket. */
  readonly uri: string
  /** Every message of every client, in order of arrival. */
  readonly asked: readonly Asked[]
}

/** @param script runs for each client; where it throws, the end of the daemon does too */
export async function startDaemon(
  script: (caller: Caller) => Promise<void>,
  signal: AbortSignal,
): Promise<ScriptedDaemon> {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-daemon-'))
  const path = join(folder, 'libvirt-sock')
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  const failures: unknown[] = []
  const server = createServer(socket => {
    sockets.add(socket)
    script(new Caller(socket, asked)).catch((error: unknown) => {
      if (!(error instanceof ClientLeft)) failures.push(error)
      socket.destroy()
    })
  })
  const stop = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  server.listen(path)
  await once(server, 'listening')
  return {
    uri: `test:///default?socket=${path}`,
    asked,
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', stop)
      stop()
      server.close()
      await once(server, 'close')
      await rm(folder, { recursive: true, force: true })
      if (failures.length > 0) throw new AggregateError(failures, 'the script of the daemon failed')
    },
  }
}
