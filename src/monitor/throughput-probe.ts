/**
 * A short stream of bytes from one host to another, to see what the path between them gives. It watches its own connection by `ss` and
 * ends at the first sign of a queue (core/network/probe-judge.ts), so others on the path hardly notice it; in any case after some
 * seconds and bytes. Without `ss` there is nothing to see a queue with, and it is not begun.
 *
 *     look for tools ─> listen at the target ─> send from the source ─> watch … stop ─> both ends closed, whatever happened
 */
import type { HostId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'
import { judgeProbe, type ProbeLimits, type ProbeSample, type ProbeVerdict } from '../core/network/probe-judge.ts'
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
/** A listener that cannot listen says so within this. @unit ms */
const refusesWithin = 400

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
  const [canSend] = senders.filter(tool => sending.has(tool))
  if (canSend === undefined)
    throw new ProbeImpossible(`${from.host} has nothing to send bytes with: install one of ${needToSend}`)
  const canListen = listeners.filter(tool => listening.has(tool))
  if (canListen.length === 0)
    throw new ProbeImpossible(`${to.host} has nothing to take bytes with: install one of ${needToListen}`)
  const seconds = Math.ceil((Number(most.time) + connectsWithin + grace) / 1000)
  const session = new HostSession({ remote: from.remote, clock, prelude: watchPrelude })
  const opened: RemoteProcess[] = []
  try {
    const { port, listener } = await listen(options, canListen, seconds, signal)
    opened.push(listener)
    const begun = clock.now()
    const sender = await startSender(
      options,
      senders.filter(tool => sending.has(tool)),
      port,
      seconds,
      opened,
      session,
      signal,
    )
    return await watch(options, { session, port, sender, begun }, signal)
  } finally {
    for (const each of opened) each.kill()
    session.close()
  }
}

async function toolsOf({ remote }: ProbeEnd, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { stdout } = await remote.run(['sh', '-c', toolsScript], { maxOutput: 4_096 }, signal)
  return new Set(stdout.split('\n').map(line => line.trim()))
}

/** The first tool and port, from the top of the range of migrations, where something listens. QEMU begins at its bottom. */
async function listen(
  { to, clock }: ProbeOptions,
  tools: readonly Listener[],
  seconds: number,
  signal: AbortSignal,
): Promise<{ readonly port: number; readonly listener: RemoteProcess }> {
  const refusals: string[] = []
  for (const tool of tools) {
    for (let n = 0; n < portsTried; n += 1) {
      const port = migrationPorts.last - n
      const listener = await to.remote.start(listenCommand(tool, { address: to.address, port, seconds }), signal)
      const ended = await firstOf(clock, refusesWithin, listener.ended, signal, listener)
      if (ended === undefined) return { port, listener }
      refusals.push(`${tool} on port ${port}: ${lastLine(ended.complaint) || `ended with ${ended.code}`}`)
      // Anything but a port that is taken will be the same on the next.
      if (!/in use/i.test(ended.complaint)) break
    }
  }
  throw new ProbeImpossible(`nothing can listen on ${to.host} at ${to.address}: ${refusals.join('; ')}`)
}

/** Undefined when nothing came within `span`. */
async function firstOf<T>(
  clock: Clock,
  span: number,
  event: Promise<T>,
  signal: AbortSignal,
  process: RemoteProcess,
): Promise<T | undefined> {
  const timer = new AbortController()
  try {
    return await Promise.race([
      event,
      clock.sleep(ms(span), AbortSignal.any([signal, timer.signal])).then(() => undefined),
    ])
  } catch (error) {
    process.kill()
    throw error
  } finally {
    timer.abort()
  }
}

interface Sending {
  readonly process: RemoteProcess
  /** All was sent before anybody looked: the path is fast, or the bytes were few. @unit ms */
  readonly sentWithin: number | undefined
}

/** A slow interpreter may not listen yet when the first sender comes; one without its program ends at once. Tried again until the time is up. */
async function startSender(
  { from, to, clock, most }: ProbeOptions,
  tools: readonly Sender[],
  port: number,
  seconds: number,
  opened: RemoteProcess[],
  session: HostSession,
  signal: AbortSignal,
): Promise<Sending> {
  const until = clock.now() + connectsWithin
  let said = ''
  for (let turn = 0; clock.now() < until; turn += 1) {
    const tool = tools[turn % tools.length]
    if (tool === undefined) break
    const process = await from.remote.start(
      sendCommand(tool, { address: to.address, port, seconds }, most.bytes),
      signal,
    )
    opened.push(process)
    const started = clock.now()
    const fate: { said: string | undefined; sentWithin: number | undefined } = {
      said: undefined,
      sentWithin: undefined,
    }
    void process.ended.then(({ code, complaint }) => {
      if (code === 0) fate.sentWithin = clock.now() - started
      fate.said = lastLine(complaint) || `ended with ${code}`
    })
    while (fate.said === undefined && clock.now() < until) {
      const sample = await look(session, port, clock, signal)
      if (!isKnown(sample)) throw new ProbeImpossible(`${from.host}: ${sample.why}: a probe could not see a queue`)
      if ('acked' in sample && sample.acked > 0) return { process, sentWithin: undefined }
      await clock.sleep(lookEvery, signal)
    }
    if (fate.sentWithin !== undefined) return { process, sentWithin: fate.sentWithin }
    said = `${tool}: ${fate.said ?? 'no connection came about'}`
    await clock.sleep(lookEvery, signal)
  }
  throw new ProbeImpossible(
    `${from.host} sends nothing to ${to.address} port ${port} (${said}): open ports ${migrationPorts.first} to ${migrationPorts.last} between the sites, migrations need them too`,
  )
}

interface Watched {
  readonly session: HostSession
  readonly port: number
  readonly sender: Sending
  readonly begun: Instant
}

async function watch(
  options: ProbeOptions,
  { session, port, sender, begun }: Watched,
  signal: AbortSignal,
): Promise<ThroughputReading> {
  const { from, to, clock, most } = options
  const limits: ProbeLimits = { time: most.time, bytes: most.bytes, restRtt: options.restRtt }
  if (sender.sentWithin !== undefined) {
    const took = Math.max(1, sender.sentWithin)
    const rate = (most.bytes / took) * 1000
    const ends = { from: from.host, to: to.host, at: clock.now(), sent: most.bytes, took: ms(took) }
    return { ...ends, rate, bound: 'at-least', stoppedBy: 'byte-limit', rtt: undefined, minRtt: undefined }
  }
  const samples: ProbeSample[] = []
  let ended = false
  void sender.process.ended.then(() => {
    ended = true
  })
  for (;;) {
    const sample = await look(session, port, clock, signal)
    if (!isKnown(sample)) throw new ProbeImpossible(`${from.host}: ${sample.why}: a probe could not see a queue`)
    if ('acked' in sample) samples.push(sample)
    let verdict: ProbeVerdict = judgeProbe(samples, limits)
    // All bytes are sent, or somebody ended it: what was seen is what there is.
    if (verdict.kind === 'go-on' && (ended || !('acked' in sample)))
      verdict = judgeProbe(samples, { ...limits, bytes: 0 })
    if (verdict.kind === 'go-on' && clock.now() - begun > most.time + connectsWithin)
      verdict = judgeProbe(samples, { ...limits, time: 0 })
    if (verdict.kind === 'stop') {
      sender.process.kill()
      const last = samples.at(-1)
      const least = samples.flatMap(({ minRtt }) => (minRtt === undefined ? [] : [minRtt]))
      return {
        from: from.host,
        to: to.host,
        at: clock.now(),
        rate: verdict.rate,
        bound: verdict.bound,
        stoppedBy: verdict.stoppedBy,
        sent: bytes(Math.min(Number.MAX_SAFE_INTEGER, last?.sent ?? 0)),
        took: ms(clock.now() - begun),
        rtt: last?.rtt === undefined ? undefined : ms(last.rtt),
        minRtt: least.length === 0 ? undefined : ms(Math.min(...least)),
      }
    }
    await clock.sleep(lookEvery, signal)
  }
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
