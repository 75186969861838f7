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
      ...['-M', 'none', '-nodefaults', '-display', 'none'],
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
      const bareCall = () => bare.call('{"execute":"query-status"}\n')
      await perSecond(ourCall)
      await perSecond(bareCall)
      const ours: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < rounds; round += 1) {
        ours.push(await perSecond(ourCall))
        theirs.push(await perSecond(bareCall))
        onProgress(
          `round ${round + 1} of ${rounds}: ours ${ours.at(-1)?.toFixed(0)}, bare ${theirs.at(-1)?.toFixed(0)}`,
        )
      }
      await client.close()
      socket.destroy()
      const ratio = median(ours.map((value, at) => value / (theirs[at] ?? value)))
      const rows = [
        ['lifeboat/qmp', median(ours).toFixed(0), percent(ratio)],
        ['bare, splits lines only', median(theirs).toFixed(0), '100.0 %'],
      ]
      return {
        columns: [{ title: 'client' }, { title: 'calls/s', align: 'right' }, { title: 'ratio', align: 'right' }],
        rows,
        figures: { oursPerSecond: median(ours), barePerSecond: median(theirs), ratio, wantedAtLeast: wanted },
        verdict: `asked: at least ${percent(wanted)} of the bare client; reached: ${percent(ratio)}`,
      }
    } finally {
      qemu.kill()
      if (qemu.exitCode === null && qemu.signalCode === null) await once(qemu, 'exit')
      rmSync(dir, { recursive: true, force: true })
    }
  },
}
