/**
 * A short stream of bytes from one host to another, to see what the path between them gives. It watches its own connection by `ss` and
 * ends at the first sign of a queue (core/network/probe-judge.ts), so others on the path hardly notice it; in any case after some
 * seconds and bytes. Without `ss` there is nothing to see a queue with, and it is not begun.
 *
 *     look for tools ─> listen at the target ─> send from the source ─> watch … stop ─> both ends closed, whatever happened
 */
import { judgeProbe, type ProbeLimits, type ProbeSample } from '../core/network/probe-judge.ts'
import type { ThroughputReading } from '../core/network/reading.ts'
import { bytes, type Milliseconds, ms } from '../core/units.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { HostSession } from './host-session.ts'
import {
  connect,
  type Connected,
  connectsWithin,
  lookEvery,
  lookOnce,
  type Opened,
  type Probe,
  type ProbeEnd,
  ProbeImpossible,
  type ProbeOptions,
} from './probe-ends.ts'
import { listeners, needToListen, needToSend, senders, toolsScript, watchPrelude } from './probe-tools.ts'

/** Looking for tools, starting both ends. */
const preparesWithin = ms(15_000)
/** Beyond its time, both ends are ended by their hosts. @unit ms */
const grace = 5_000

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
  const targetSession = new HostSession({ remote: to.remote, clock, prelude: watchPrelude })
  const opened: Opened[] = []
  const probe: Probe = {
    options,
    session,
    targetSession,
    opened,
    seconds: Math.ceil((most.time + connectsWithin + grace) / 1000),
  }
  try {
    return await watch(probe, await connect(probe, canListen, canSend, signal), signal)
  } finally {
    for (const { process } of opened) process.kill()
    session.close()
    targetSession.close()
  }
}

async function toolsOf({ remote }: ProbeEnd, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { stdout } = await remote.run(['sh', '-c', toolsScript], { maxOutput: 4_096 }, signal)
  return new Set(stdout.split('\n').map(line => line.trim()))
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
    await clock.sleep(lookEvery, signal)
    const sample = await lookOnce(probe, port, signal)
    if (sample !== undefined) samples.push(sample)
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
