/** The QMP client against a bare one that does nothing but write a line and wait for the next, on the same real QEMU, in turns. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseQueryStatus, QmpClient } from '../src/qmp/public.ts'
import { type Bench, median, percent } from './result.ts'

const rounds = 9
const callsPerRound = 4_000
const wanted = 0.85

/** Splits lines, looks into none of them. */
class BareClient {
  readonly #socket: Socket
  #rest = ''
  #wake: ((line: string) => void) | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      this.#rest += chunk
      for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n')) {
        const line = this.#rest.slice(0, end)
        this.#rest = this.#rest.slice(end + 1)
        this.#wake?.(line)
      }
    })
  }
  line(): Promise<string> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
  call(text: string): Promise<string> {
    const reply = this.line()
    this.#socket.write(text)
    return reply
  }
}

async function perSecond(call: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  for (let n = 0; n < callsPerRound; n += 1) await call()
  return callsPerRound / ((performance.now() - began) / 1000)
}

export const qmp: Bench = {
  question: `round trips of query-status a second on a unix socket, ${rounds} rounds of ${callsPerRound} in turns, medians`,
  async run(onProgress) {
    const dir = mkdtempSync(join(tmpdir(), 'lifeboat-bench-'))
    const sockets = [join(dir, 'ours.sock'), join(dir, 'bare.sock')]
    const qemu = spawn('qemu-system-x86_64', [
      '-M',
      'none',
      '-nodefaults',
      '-display',
      'none',
      ...sockets.flatMap(path => ['-qmp', `unix:${path},server=on,wait=off`]),
    ])
    try {
      while (!sockets.every(path => existsSync(path))) await sleep(20)
      const signal = new AbortController().signal
      const client = await QmpClient.connect({ kind: 'unix', path: sockets[0] ?? '' }, {}, signal)
      const socket = connect(sockets[1] ?? '')
      const bare = new BareClient(socket)
      await bare.line()
      await bare.call('{"execute":"qmp_capabilities"}\n')
      const ourCall = () => client.execute('query-status', {}, parseQueryStatus, signal)
      const bareCall = () => bare.call('{"execute":"query-status","id":1}\n')
      const shortestCall = () => bare.call('{"execute":"query-status"}\n')
      for (const call of [ourCall, bareCall, shortestCall]) await perSecond(call)
      const ours: number[] = []
      const theirs: number[] = []
      const shortest: number[] = []
      for (let round = 0; round < rounds; round += 1) {
        ours.push(await perSecond(ourCall))
        theirs.push(await perSecond(bareCall))
        shortest.push(await perSecond(shortestCall))
        const [a, b, c] = [ours, theirs, shortest].map(each => each.at(-1)?.toFixed(0))
        onProgress(`round ${round + 1} of ${rounds}: ours ${a}, bare ${b}, bare without id ${c}`)
      }
      await client.close()
      socket.destroy()
      const against = (others: readonly number[]): number =>
        median(ours.map((value, at) => value / (others[at] ?? value)))
      const ratio = against(theirs)
      const ratioToShortest = against(shortest)
      return {
        columns: [
          { title: 'client' },
          { title: 'calls/s', align: 'right' },
          { title: 'ours against it', align: 'right' },
        ],
        rows: [
          ['lifeboat/qmp', median(ours).toFixed(0), '100.0 %'],
          ['bare, same lines', median(theirs).toFixed(0), percent(ratio)],
          ['bare, without an id', median(shortest).toFixed(0), percent(ratioToShortest)],
        ],
        figures: {
          oursPerSecond: median(ours),
          barePerSecond: median(theirs),
          ratio,
          bareWithoutIdPerSecond: median(shortest),
          ratioToBareWithoutId: ratioToShortest,
          wantedAtLeast: wanted,
        },
        verdict: `asked: at least ${percent(wanted)} of a bare client; reached: ${percent(ratio)} of one that sends the same lines, ${percent(ratioToShortest)} of one that sends no id
(QEMU reads a monitor byte by byte: the seven bytes of an id cost it more than all that the client does)`,
      }
    } finally {
      qemu.kill()
      if (qemu.exitCode === null && qemu.signalCode === null) await once(qemu, 'exit')
      rmSync(dir, { recursive: true, force: true })
    }
  },
}
