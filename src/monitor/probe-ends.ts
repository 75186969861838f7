/**
 * Both ends of a throughput probe: a listener at the target, a sender at the source, with what hosts have. Nothing is sent before it is
 * seen that our own tool has the port. Whatever is started is in {@link Probe.opened}; whoever made the probe ends it.
 */
import type { HostId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'
import type { ProbeSample } from '../core/network/probe-judge.ts'
import { isKnown, type NotKnown } from '../core/network/reading.ts'
import { type Bytes, type Milliseconds, ms, showTime } from '../core/units.ts'
import type { Remote, RemoteProcess } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { isNumericAddress } from './discover.ts'
import type { HostSession } from './host-session.ts'
import { parseUptime } from './parse-proc.ts'
import { plainAddress } from './parse-ss.ts'
import { listenCommand, type Listener, sendCommand, type Sender } from './probe-tools.ts'
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

/** Between two looks at the probe's connection. */
export const lookEvery = ms(100)
/** From "sender started" to "its connection is there"; longer than a round trip and the start of a slow interpreter. @unit ms */
export const connectsWithin = 4_000
/** One look at the connection. */
const looksWithin = ms(3_000)
const portsTried = 4
/** The start of a slow interpreter. @unit ms */
const listensWithin = 3_000

export interface Probe {
  readonly options: ProbeOptions
  readonly session: HostSession
  readonly targetSession: HostSession
  /** Everything started, to be ended in any case. */
  readonly opened: Opened[]
  /** After which hosts end both sides by themselves. */
  readonly seconds: number
}

/** A process of one of the ends, and how it ended. */
export interface Opened {
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

export interface Connected {
  readonly port: number
  readonly sender: Opened
  /** Undefined when all was sent before anybody looked. */
  readonly first: ProbeSample | undefined
}

/** The first tool and port, from the top of the range of migrations, where bytes arrive. QEMU begins at its bottom. */
export async function connect(
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
      const holders = await whoListens(probe, port, signal)
      if (holders !== undefined) {
        refusals.push(`port ${port} is taken by ${holders.join(', ') || 'another user'}`)
        continue
      }
      const listener = await open(
        probe,
        to.remote,
        listenCommand(tool, { address: to.address, port, seconds: probe.seconds }),
        signal,
      )
      const why = await listens(probe, listener, tool, port, signal)
      const connected = why === undefined ? await send(probe, canSend, listener, port, signal) : undefined
      if (connected !== undefined) return connected
      listener.process.kill()
      const said = why ?? listener.end?.said ?? 'ended'
      refusals.push(`${tool} on port ${port}: ${said}`)
      // Anything but a port that is taken will be the same on the next.
      if (!/in use|taken/i.test(said)) break
    }
  }
  throw new ProbeImpossible(`nothing can listen on ${to.host} at ${to.address}: ${refusals.join('; ')}`)
}

/**
 * Waits until it is our own tool that listens there. Bytes to whoever else has the port, a target that waits for a migration
 * perhaps, would do harm: nothing is sent before this is seen.
 * @returns undefined when it listens; else why it does not
 */
async function listens(
  probe: Probe,
  listener: Opened,
  tool: Listener,
  port: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { clock } = probe.options
  const until = clock.now() + listensWithin
  while (clock.now() < until) {
    const names = await whoListens(probe, port, signal)
    if (listener.end !== undefined) return listener.end.said
    if (names?.some(name => name === tool || (tool === 'python3' && name.startsWith('python'))) === true)
      return undefined
    if (names !== undefined) return `the port is taken by ${names.join(', ') || 'another user'}`
    await clock.sleep(lookEvery, signal)
  }
  return `did not listen within ${showTime(listensWithin)}`
}

/** Names of the programs that listen on this port there, none where they are another user's; undefined when it is free. */
async function whoListens(
  { options: { to }, targetSession }: Probe,
  port: number,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const { mark, text } = await targetSession.run(`l ${port}`, looksWithin, signal)
  const sections = sectionsOf(text, mark)
  const said = sections.get('ss') ?? ''
  if (sections.get('code') !== '0')
    throw new ProbeImpossible(
      `${to.host}: ss is missing or refuses (${lastLine(said)}): nothing is sent to a port that may be another's`,
    )
  return said.trim() === '' ? undefined : [...said.matchAll(/users:\(\("([^"]*)"/g)].map(found => found[1] ?? '')
}

/**
 * A tool may be a name with nothing behind it: tried again, with the next one, until the time is up or the listener has ended, whose
 * port may be another's from then on.
 * @returns undefined when the listener ended
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
  const refused = (): boolean => listener.end !== undefined
  let said = ''
  for (let turn = 0; clock.now() < until; turn += 1) {
    const tool = tools[turn % tools.length]
    if (refused() || tool === undefined) return undefined
    const ends = { address: to.address, port, seconds: probe.seconds }
    const sender = await open(probe, from.remote, sendCommand(tool, ends, most.bytes), signal)
    while (sender.end === undefined && clock.now() < until) {
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

/** @throws ProbeImpossible where there is nothing to see a queue with */
export async function lookOnce(
  { options, session }: Probe,
  port: number,
  signal: AbortSignal,
): Promise<ProbeSample | undefined> {
  const sample = await look(session, options.to.address, port, options.clock, signal)
  if (!isKnown(sample)) throw new ProbeImpossible(`${options.from.host}: ${sample.why}: a probe could not see a queue`)
  return 'acked' in sample ? sample : undefined
}

/** Its connection now; `gone` when there is none (yet, or any more). */
async function look(
  session: HostSession,
  address: string,
  port: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeSample | { readonly gone: true } | NotKnown> {
  const { mark, text } = await session.run(`q ${port}`, looksWithin, signal)
  const sections = sectionsOf(text, mark)
  const flows = flowsFrom(sections.get('ss') ?? '', sections.get('code') ?? '')
  if (!isKnown(flows)) return flows
  // A migration from here to another host may have the same port.
  const flow = flows.find(
    ({ peerPort, peerAddress }) =>
      peerPort === port && (!isNumericAddress(address) || peerAddress === plainAddress(address)),
  )
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
