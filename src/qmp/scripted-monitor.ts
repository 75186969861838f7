/**
 * A monitor for tests: a real server on a unix socket or on loopback that follows a script, one run of it for each client. It can say
 * anything in any packets, be silent, and leave half-way; what QEMU would not do as well as what it would.
 *
 * Role: the other side of the QMP client's tests. Every wait ends when the signal it was started with aborts. Never used in production.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { QmpAddress } from './address.ts'

/** One command that a client sent. */
export interface Asked {
  readonly command: string
  /** `{}` also where the client left them out, which means the same. */
  readonly args: unknown
  readonly id: unknown
  readonly outOfBand: boolean
}

/** The client left while the script waited for it. Ends the script in silence: leaving is a client's right. */
class ClientLeft extends Error {
  override readonly name = 'ClientLeft'
}

export const greeting = (capabilities: readonly string[] = ['oob']): object => ({
  QMP: { version: { qemu: { micro: 22, minor: 2, major: 7 }, package: 'Debian 1:7.2+dfsg-7' }, capabilities },
})
export const eventFrame = (name: string, data: object = {}): object => ({
  event: name,
  data,
  timestamp: { seconds: 1_700_000_000, microseconds: 250 },
})
/** As QEMU ends its lines. */
export const frame = (value: object): string => `${JSON.stringify(value)}\r\n`

/** Where the next object ends: at its closing brace, as for QEMU's parser, whatever stands between two. 0 when it is not complete. */
function endOfObject(text: string, from: number): number {
  let depth = 0
  for (const token of text.slice(from).matchAll(/"(?:\\.|[^"\\])*"|[{}]/g)) {
    if (token[0] === '{') depth += 1
    if (token[0] === '}') depth -= 1
    if (token[0] === '}' && depth === 0) return from + token.index + 1
  }
  return 0
}

/** One client, as the script sees it. */
export class Caller {
  readonly #socket: Socket
  readonly #log: Asked[]
  #waiting: Asked[] = []
  #text = ''
  #read = 0
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
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.#onText(text))
  }

  #onText(text: string): void {
    this.#text += text
    for (let end = endOfObject(this.#text, this.#read); end > 0; end = endOfObject(this.#text, this.#read)) {
      const raw = JSON.parse(this.#text.slice(this.#read, end)) as Readonly<Record<string, unknown>>
      this.#read = end
      const asked: Asked = {
        command: String(raw['execute'] ?? raw['exec-oob']),
        args: raw['arguments'] ?? {},
        id: raw['id'],
        outOfBand: 'exec-oob' in raw,
      }
      this.#waiting.push(asked)
      this.#log.push(asked)
    }
    this.#wake()
  }

  /** Everything this client has sent, to the byte. */
  get sent(): string {
    return this.#text
  }

  /** The next command of this client. */
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

  /** Frames, all in one write. */
  say(...frames: readonly object[]): void {
    this.raw(frames.map(frame).join(''))
  }

  raw(what: string | Uint8Array): void {
    this.#socket.write(what)
  }

  /** Packets that arrive one by one: each is on its way before the next is written. */
  async packets(parts: Iterable<string | Uint8Array>): Promise<void> {
    this.#socket.setNoDelay(true)
    for (const part of parts) {
      await new Promise<void>(resolve => {
        this.#socket.write(part, () => setImmediate(resolve))
      })
    }
  }

  answer(asked: Asked, value: unknown = {}): void {
    this.say({ return: value, id: asked.id })
  }

  /** Says no more; the client reads to the end of what was said. */
  leave(): void {
    this.#socket.end()
  }

  /** Greets and grants what is asked. @returns what was asked */
  async welcome(capabilities?: readonly string[]): Promise<Asked> {
    this.say(greeting(capabilities))
    const asked = await this.next()
    this.answer(asked)
    return asked
  }
}

export interface ScriptedMonitor extends AsyncDisposable {
  readonly address: QmpAddress
  /** Every command of every client, in order of arrival. */
  readonly asked: readonly Asked[]
}

/** @param script runs for each client; where it throws, the end of the monitor does too */
export async function startMonitor(
  over: QmpAddress['kind'],
  script: (caller: Caller) => Promise<void>,
  signal: AbortSignal,
): Promise<ScriptedMonitor> {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-monitor-'))
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
  const address = await listen(server, over, folder)
  return {
    address,
    asked,
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', stop)
      stop()
      server.close()
      await once(server, 'close')
      await rm(folder, { recursive: true, force: true })
      if (failures.length > 0) throw new AggregateError(failures, 'the script of the monitor failed')
    },
  }
}

async function listen(server: Server, over: QmpAddress['kind'], folder: string): Promise<QmpAddress> {
  const path = join(folder, 'qmp.sock')
  if (over === 'unix') server.listen(path)
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  if (over === 'unix') return { kind: 'unix', path }
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error(`not a TCP address: ${bound}`)
  return { kind: 'tcp', host: bound.address, port: bound.port }
}
