/**
 * A short stream of bytes from one host to another, to see what the path between them gives. It watches its own connection by `ss` and
 * ends at the first sign of a queue (core/network/probe-judge.ts), so others on the path hardly notice it; in any case after some
 * seconds and bytes. Without `ss` there is nothing to see a queue with, and it is not begun.
 *
 *     look for tools ─> listen at the target ─> send from the source ─> watch … stop ─> both ends closed, whatever happened
 */
import type { HostId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'
import { judgeProbe, type ProbeLimits, type ProbeSample } from '../core/network/probe-judge.ts'
import { isKnown, type NotKnown, type ThroughputReading } from '../core/network/reading.ts'
import { type Bytes, bytes, type Milliseconds, ms } from '../core/units.ts'
import type { Remote, RemoteProcess } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { HostSession } from './host-session.ts'
import { parseUptime } from './parse-proc.ts'
import {
  listenCommand,
  type Listener,
  listeners,
  needToListen,
  needToSend,
  sendCommand,
  type Sender,
  senders,
  toolsScript,
  watchPrelude,
} from './probe-tools.ts'
import { flowsFrom, migrationPorts, sectionsOf } from './reading-script.ts'

export interface ProbeEnd {
  readonly host: HostId
  readonly remote: Remote
}
export interface ProbeOptions {
  readonly from: ProbeEnd
  /** `address`: where the source reaches it. */
  readonly to: ProbeEnd & { readonly address: string }
  readonly most: { readonly bytes: Bytes; readonly time: Milliseconds }
  /** Least round trip known of the path. @unit ms */
  readonly restRtt: number | undefined
  readonly clock: Clock
}

/** The probe could not be made; the message says on which host, why, and what would help. The path is not known to be at fault. */
export class ProbeImpossible extends Error {
  override readonly name = 'ProbeImpossible'
}

const lookEvery = ms(100)
/** Looking for tools, starting both ends. */
const preparesWithin = ms(15_000)
/** From "sender started" to "its connection is there"; longer than a round trip and the start of a slow interpreter. @unit ms */
const connectsWithin = 4_000
/** One look at the connection. */
const looksWithin = ms(3_000)
/** Beyond its time, both ends are ended by their hosts. @unit ms */
const grace = 5_000
const portsTried = 4
/** Most tools listen by then, or have said why not. */
const listensWithin = ms(300)

/** @throws ProbeImpossible, HostUnreachable, or the signal's reason */
export async function probeThroughput(options: ProbeOptions, signal: AbortSignal): Promise<ThroughputReading> {
  const { from, to, clock, most } = options
  const [sending, listening] = await withDeadline(
    clock,
    preparesWithin,
    `looking for tools on ${from.host} and ${to.host}`,
    signal,
    inner => Promise.all([toolsOf(from, inner), toolsOf(to, inner)]),
  )
  const canSend = senders.filter(tool => sending.has(tool))
  if (canSend.length === 0)
    throw new ProbeImpossible(`${from.host} has nothing to send bytes with: install one of ${needToSend}`)
  const canListen = listeners.filter(tool => listening.has(tool))
  if (canListen.length === 0)
    throw new ProbeImpossible(`${to.host} has nothing to take bytes with: install one of ${needToListen}`)
  const session = new HostSession({ remote: from.remote, clock, prelude: watchPrelude })
  const opened: Opened[] = []
  const probe: Probe = { options, session, opened, seconds: Math.ceil((most.time + connectsWithin + grace) / 1000) }
  try {
    return await watch(probe, await connect(probe, canListen, canSend, signal), signal)
  } finally {
    for (const { process } of opened) process.kill()
    session.close()
  }
}

interface Probe {
  readonly options: ProbeOptions
  readonly session: HostSession
  /** Everything started, to be ended in any case. */
  readonly opened: Opened[]
  /** After which hosts end both sides by themselves. */
  readonly seconds: number
}

/** A process of one of the ends, and how it ended. */
interface Opened {
  readonly process: RemoteProcess
  readonly started: Instant
  end: { readonly code: number; readonly said: string; readonly at: Instant } | undefined
}

async function open(
  { options: { clock }, opened }: Probe,
  remote: Remote,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<Opened> {
  const process = await remote.start(argv, signal)
  const one: Opened = { process, started: clock.now(), end: undefined }
  opened.push(one)
  void process.ended.then(({ code, complaint }) => {
    one.end = { code, said: lastLine(complaint) || `ended with ${code}`, at: clock.now() }
  })
  return one
}

async function toolsOf({ remote }: ProbeEnd, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { stdout } = await remote.run(['sh', '-c', toolsScript], { maxOutput: 4_096 }, signal)
  return new Set(stdout.split('\n').map(line => line.trim()))
}

interface Connected {
  readonly port: number
  readonly sender: Opened
  /** Undefined when all was sent before anybody looked. */
  readonly first: ProbeSample | undefined
}

/** The first tool and port, from the top of the range of migrations, where bytes arrive. QEMU begins at its bottom. */
async function connect(
  probe: Probe,
  canListen: readonly Listener[],
  canSend: readonly Sender[],
  signal: AbortSignal,
): Promise<Connected> {
  const { to } = probe.options
  const refusals: string[] = []
  for (const tool of canListen) {
    for (let n = 0; n < portsTried; n += 1) {
      const port = migrationPorts.last - n
      const listener = await open(
        probe,
        to.remote,
        listenCommand(tool, { address: to.address, port, seconds: probe.seconds }),
        signal,
      )
      const connected = await send(probe, canSend, listener, port, signal)
      if (connected !== undefined) return connected
      const said = listener.end?.said ?? ''
      refusals.push(`${tool} on port ${port}: ${said}`)
      // Anything but a port that is taken will be the same on the next.
      if (!/in use/i.test(said)) break
    }
  }
  throw new ProbeImpossible(`nothing can listen on ${to.host} at ${to.address}: ${refusals.join('; ')}`)
}

/**
 * A slow interpreter may not listen yet when the first sender comes, and a tool may be a name with nothing behind it: tried again, with
 * the next tool, until the time is up.
 * @returns undefined when the listener gave up
 */
async function send(
  probe: Probe,
  tools: readonly Sender[],
  listener: Opened,
  port: number,
  signal: AbortSignal,
): Promise<Connected | undefined> {
  const { from, to, clock, most } = probe.options
  const until = clock.now() + connectsWithin
  const refused = (): boolean => listener.end !== undefined && listener.end.code !== 0
  let said = ''
  await clock.sleep(listensWithin, signal)
  for (let turn = 0; clock.now() < until; turn += 1) {
    const tool = tools[turn % tools.length]
    if (refused() || tool === undefined) return undefined
    const ends = { address: to.address, port, seconds: probe.seconds }
    const sender = await open(probe, from.remote, sendCommand(tool, ends, most.bytes), signal)
    while (sender.end === undefined && !refused() && clock.now() < until) {
      const sample = await lookOnce(probe, port, signal)
      if (sample !== undefined && sample.acked > 0) return { port, sender, first: sample }
      await clock.sleep(lookEvery, signal)
    }
    if (sender.end?.code === 0) return { port, sender, first: undefined }
    said = `${tool}: ${sender.end?.said ?? 'no connection came about'}`
    sender.process.kill()
    await clock.sleep(lookEvery, signal)
  }
  if (refused()) return undefined
  throw new ProbeImpossible(
    `${from.host} sends nothing to ${to.address} port ${port} (${said}): open ports ${migrationPorts.first} to ${migrationPorts.last} between the sites, migrations need them too`,
  )
}

async function watch(
  probe: Probe,
  { port, sender, first }: Connected,
  signal: AbortSignal,
): Promise<ThroughputReading> {
  const { options } = probe
  const { clock, most } = options
  const limits: ProbeLimits = { time: most.time, bytes: most.bytes, restRtt: options.restRtt }
  const samples: ProbeSample[] = first === undefined ? [] : [first]
  for (;;) {
    const over = sender.end
    const verdict = judgeProbe(samples, limits)
    if (verdict.kind === 'stop') {
      sender.process.kill()
      return readingOf(options, samples, verdict, ms(clock.now() - sender.started))
    }
    // All is sent, or somebody ended it: the average over its whole life is what there is, at least.
    if (over !== undefined || clock.now() - sender.started > most.time + connectsWithin) {
      const took = Math.max(1, (over?.at ?? clock.now()) - sender.started)
      const sent = over?.code === 0 ? most.bytes : (samples.at(-1)?.acked ?? 0)
      const stoppedBy = over?.code === 0 ? 'byte-limit' : 'time-limit'
      return readingOf(options, samples, { stoppedBy, bound: 'at-least', rate: (sent / took) * 1000 }, ms(took), sent)
    }
    const sample = await lookOnce(probe, port, signal)
    if (sample !== undefined) samples.push(sample)
    await clock.sleep(lookEvery, signal)
  }
}

function readingOf(
  { from, to, clock }: ProbeOptions,
  samples: readonly ProbeSample[],
  verdict: Pick<ThroughputReading, 'stoppedBy' | 'bound' | 'rate'>,
  took: Milliseconds,
  sent = samples.at(-1)?.sent ?? 0,
): ThroughputReading {
  const last = samples.at(-1)
  const least = samples.flatMap(({ minRtt }) => (minRtt === undefined ? [] : [minRtt]))
  return {
    from: from.host,
    to: to.host,
    at: clock.now(),
    rate: verdict.rate,
    bound: verdict.bound,
    stoppedBy: verdict.stoppedBy,
    sent: bytes(Math.min(Number.MAX_SAFE_INTEGER, sent)),
    took,
    rtt: last?.rtt === undefined ? undefined : ms(last.rtt),
    minRtt: least.length === 0 ? undefined : ms(Math.min(...least)),
  }
}

/** @throws ProbeImpossible where there is nothing to see a queue with */
async function lookOnce(
  { options, session }: Probe,
  port: number,
  signal: AbortSignal,
): Promise<ProbeSample | undefined> {
  const sample = await look(session, port, options.clock, signal)
  if (!isKnown(sample)) throw new ProbeImpossible(`${options.from.host}: ${sample.why}: a probe could not see a queue`)
  return 'acked' in sample ? sample : undefined
}

/** Its connection now; `gone` when there is none (yet, or any more). */
async function look(
  session: HostSession,
  port: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeSample | { readonly gone: true } | NotKnown> {
  const { mark, text } = await session.run(`q ${port}`, looksWithin, signal)
  const sections = sectionsOf(text, mark)
  const flows = flowsFrom(sections.get('ss') ?? '', sections.get('code') ?? '')
  if (!isKnown(flows)) return flows
  const flow = flows.find(({ peerPort }) => peerPort === port)
  const sent = flow?.bytesSent ?? flow?.bytesAcked
  if (flow === undefined || sent === undefined) return { gone: true }
  return {
    at: parseUptime(sections.get('uptime') ?? '') ?? clock.now(),
    acked: flow.bytesAcked ?? sent - (flow.bytesRetransmitted ?? 0),
    sent,
    retransmitted: flow.bytesRetransmitted ?? 0,
    rtt: flow.rtt,
    minRtt: flow.minRtt,
    deliveryRate: flow.deliveryRate,
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 160) ?? ''
