/**
 * RTT and loss of paths at rest, and what stands on those that are shared: a handful of echoes by the host's own `ping`, some 500 bytes each time. Where there is no
 * ping, or no answer to it, that is said; a path on which echoes are filtered is not called lossy.
 */
import { randomUUID } from 'node:crypto'
import type { HostId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'
import type { PingReading } from '../core/network/reading.ts'
import { fraction, ms } from '../core/units.ts'
import type { Remote } from '../remote/remote.ts'
import { sectionsOf } from './reading-script.ts'

export interface PingTarget {
  readonly to: HostId
  readonly address: string
}

/**
 * Not faster than five a second: those who are not root may not (ping(8), -i). And not in step with QEMU, which sends what a cap lets it ten
 * times a second: in 100 ms each of the five comes at another moment.
 */
const echoes = 5
const echoEvery = 0.23

/** All targets at the same time; each answer is one write, so that they do not mix. */
const script = `PATH=$PATH:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL; m=$1; shift
n=0; for a; do n=$((n+1)); ( o=$(ping -q -c ${echoes} -i ${echoEvery} -W 2 -- "$a" 2>&1); c=$?; printf '%s:%s %s\\n%s:said%s\\n%s\\n' "$m" "$n" "$c" "$m" "$n" "$o" ) & done; wait`

/** @throws HostUnreachable, or the signal's reason */
export async function pingFrom(
  remote: Remote,
  from: HostId,
  targets: readonly PingTarget[],
  now: () => Instant,
  signal: AbortSignal,
): Promise<readonly PingReading[]> {
  const mark = randomUUID()
  const argv = ['sh', '-c', script, 'sh', mark, ...targets.map(({ address }) => address)]
  const { stdout } = await remote.run(argv, { maxOutput: 262_144 }, signal)
  const sections = sectionsOf(stdout, mark)
  return targets.map(({ to }, n) => ({
    from,
    to,
    at: now(),
    result: pingResult(from, sections.get(String(n + 1)) ?? '', sections.get(`said${n + 1}`) ?? ''),
  }))
}

/** @param code as the shell has it; 127 is: there is no ping */
export function pingResult(from: HostId, code: string, said: string): PingReading['result'] {
  if (code === '127') return { why: `ping is not installed on ${from}` }
  const counts = /(\d{1,9}) packets transmitted, (\d{1,9}) (?:packets )?received/.exec(said)
  const sent = Number(counts?.[1] ?? 0)
  const received = Number(counts?.[2] ?? 0)
  const times = /= (\d{1,9}(?:\.\d{1,9})?)\/(\d{1,9}(?:\.\d{1,9})?)\//.exec(said)
  if (sent === 0 || received > sent) return { why: `ping on ${from} failed${lastWords(said)}` }
  if (received === 0 || times === null)
    return { why: `no answer to ${sent} echoes from ${from}: the path is cut, or filters them` }
  const [least, mean] = [Number(times[1]), Number(times[2])]
  return { rtt: ms(mean), minRtt: ms(Math.min(least, mean)), loss: fraction(1 - received / sent), sent }
}

const lastWords = (said: string): string => {
  const line = said.trim().split('\n')[0] ?? ''
  return line === '' ? '' : `: ${line.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 160)}`
}
