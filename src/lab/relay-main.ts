/**
 * The relay process: the WAN of a lab where the kernel has no netem. Runs in the wan namespace. Each site's gateway sends its VXLAN
 * datagrams here; the inner destination address tells for which site they are; each direction of each link is a {@link RelayPipe}.
 *
 * Started with one argument, the JSON of {@link RelayStart}. Lives until it is killed. Garbage on the wire or on the socket is ignored.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { RelayPipe } from './relay-pipe.ts'
import { type RelayAnswer, relayRequestSchema, relayStartSchema } from './relay-protocol.ts'
import { underlayAddress } from './lab-names.ts'

const vxlanPort = 4789
/** The inner frame's destination address begins after the VXLAN header (RFC 7348); its last byte is the site (lab-names.ts). */
const siteByteAt = 8 + 5
const longestLine = 65_536

const start = relayStartSchema.parse(JSON.parse(process.argv[2] ?? '{}'))
const random = xoroshiro128plus(start.seed)
const chance = (): number => (random.next() >>> 0) / 2 ** 32
const keyOf = (from: number, to: number): number => from * 256 + to
const pipes = new Map(start.pipes.map(({ from, to, settings }) => [keyOf(from, to), new RelayPipe(settings)]))

interface Waiting {
  readonly at: number
  readonly packet: Buffer
}
/** One queue a direction, in order of arrival, because a pipe keeps the order. */
const queues = new Map<number, { head: number; items: Waiting[] }>(
  [...pipes.keys()].map(key => [key, { head: 0, items: [] }]),
)

const wire = createSocket({ type: 'udp4', recvBufferSize: 4 * 1_048_576, sendBufferSize: 4 * 1_048_576 })
wire.on('error', error => {
  process.stderr.write(`wire: ${error.message}\n`)
  process.exit(1)
})
wire.on('message', (packet, from) => {
  const source = Number(from.address.split('.')[2])
  const key = keyOf(source, packet[siteByteAt] ?? 0)
  const pipe = pipes.get(key)
  if (pipe === undefined) return
  const at = pipe.accept(packet.length, performance.now(), chance())
  if (at === undefined) return
  queues.get(key)?.items.push({ at, packet })
  schedule()
})

let scheduled = false
function schedule(): void {
  if (scheduled) return
  scheduled = true
  // One timer for all: a millisecond is a packet and a half of 9000 bytes at 100 Mbit/s.
  setTimeout(deliver, 1)
}

function deliver(): void {
  scheduled = false
  const now = performance.now()
  let waiting = false
  for (const [key, queue] of queues) {
    const address = underlayAddress(key % 256, 'gateway')
    for (let next = queue.items[queue.head]; next !== undefined && next.at <= now; next = queue.items[queue.head]) {
      queue.head += 1
      // A gateway that is gone answers with an error here; its packets are lost, as on a dead line.
      wire.send(next.packet, vxlanPort, address, () => undefined)
    }
    if (queue.head === queue.items.length) {
      queue.items = []
      queue.head = 0
    } else {
      waiting = true
      if (queue.head > 1024) {
        queue.items = queue.items.slice(queue.head)
        queue.head = 0
      }
    }
  }
  if (waiting) schedule()
}

function answer(line: string): RelayAnswer {
  const parsed = relayRequestSchema.safeParse(readJson(line))
  if (!parsed.success) return { ok: false, message: 'not a request', pipes: [] }
  const request = parsed.data
  if (request.do === 'stats') return { ok: true, message: '', pipes: stats() }
  const pipe = pipes.get(keyOf(request.from, request.to))
  if (pipe === undefined) return { ok: false, message: `no link from ${request.from} to ${request.to}`, pipes: [] }
  const { rate, delay, loss, cut } = request.settings
  pipe.change(
    {
      ...(rate === undefined ? {} : { rate }),
      ...(delay === undefined ? {} : { delay }),
      ...(loss === undefined ? {} : { loss }),
      ...(cut === undefined ? {} : { cut }),
    },
    performance.now(),
  )
  return { ok: true, message: '', pipes: [] }
}

function readJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    return error instanceof SyntaxError ? undefined : error
  }
}

const stats = (): RelayAnswer['pipes'] =>
  [...pipes].map(([key, pipe]) => ({
    from: Math.floor(key / 256),
    to: key % 256,
    settings: pipe.settings,
    carriedBytes: pipe.carriedBytes,
    carriedPackets: pipe.carriedPackets,
    droppedPackets: pipe.droppedPackets,
    queuedBytes: Math.round(pipe.queued(performance.now())),
  }))

const control = createServer(socket => {
  let text = ''
  socket.setEncoding('utf8')
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: string) => {
    text += chunk
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      socket.write(`${JSON.stringify(answer(text.slice(0, end)))}\n`)
      text = text.slice(end + 1)
    }
    if (text.length > longestLine) socket.destroy()
  })
})

wire.bind(vxlanPort, '0.0.0.0', () => {
  control.listen(start.socket, () => process.stdout.write('relay ready\n'))
})
