/**
 * What `ss -tinH` prints, as flows. One connection is a line of addresses and an indented line of `name:value` words (misc/ss.c in
 * iproute2, tcp_stats_print); which words there are depends on the kernel, so those not known are passed over. Nothing it prints can
 * make this throw: a line that is no connection is counted.
 */
import type { FlowReading } from '../core/network/reading.ts'

export interface ParsedFlows {
  readonly flows: readonly FlowReading[]
  /** Lines that were neither addresses nor details of a connection. */
  readonly notUnderstood: number
}

/** A host with more migrations than this has other troubles. */
const mostFlows = 4_096
const longestLine = 8_192

/** State (left out by ss where all have the same), two queues, two ends. */
const addresses = /^(?:[A-Z][A-Z0-9-]*\s+)?\d+\s+\d+\s+(\S+):(\d{1,5})\s+(\S+):(\d{1,5})(?:\s|$)/

export function parseSs(text: string): ParsedFlows {
  const flows: FlowReading[] = []
  let notUnderstood = 0
  let head: RegExpExecArray | undefined
  let details = ''
  const finish = (): void => {
    if (head !== undefined && flows.length < mostFlows) flows.push(flowOf(head, details))
    head = undefined
    details = ''
  }
  for (const line of text.split('\n')) {
    if (line.trim() === '' || /^State\s+Recv-Q/.test(line)) continue
    if (line.length > longestLine) {
      notUnderstood += 1
      continue
    }
    if (/^\s/.test(line)) {
      if (head === undefined) notUnderstood += 1
      else details += ` ${line.trim()}`
      continue
    }
    finish()
    const found = addresses.exec(line)
    if (found === null) {
      notUnderstood += 1
      continue
    }
    head = found
    // With -O all is on one line.
    details = line.slice(found[0].length)
  }
  finish()
  return { flows, notUnderstood }
}

function flowOf(
  [, localAddress = '', localPort = '', peer = '', peerPort = '']: RegExpExecArray,
  details: string,
): FlowReading {
  const words = details.split(/\s+/)
  const named = new Map<string, string>()
  for (const word of words) {
    const colon = word.indexOf(':')
    // Of a name that comes twice, the first counts.
    if (colon > 0 && !named.has(word.slice(0, colon))) named.set(word.slice(0, colon), word.slice(colon + 1))
  }
  const after = (name: string): string | undefined => {
    const at = words.indexOf(name)
    return at < 0 ? undefined : words[at + 1]
  }
  const peerAddress = plainAddress(peer)
  const bytesSent = count(named.get('bytes_sent'))
  return {
    local: `${plainAddress(localAddress)} ${localPort}`,
    peer: `${peerAddress} ${peerPort}`,
    peerAddress,
    peerPort: Number(peerPort),
    bytesSent,
    bytesAcked: count(named.get('bytes_acked')),
    // ss leaves it out while it is 0; kernels that count what is sent (4.19) count this too.
    bytesRetransmitted: count(named.get('bytes_retrans')) ?? (bytesSent === undefined ? undefined : 0),
    segmentsSent: count(named.get('segs_out')),
    deliveryRate: rate(after('delivery_rate')),
    rtt: number(named.get('rtt')?.split('/')[0]),
    minRtt: number(named.get('minrtt')),
    notSent: count(named.get('notsent')),
    unacked: count(named.get('unacked')),
    cwnd: count(named.get('cwnd')),
    appLimited: words.includes('app_limited'),
  }
}

/** `[::ffff:10.0.0.1%eth0]` is 10.0.0.1. */
export function plainAddress(text: string): string {
  const bare = text
    .replace(/^\[|\]$/g, '')
    .replace(/%.*$/, '')
    .toLowerCase()
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare)?.[1] ?? bare
}

const most = 2 ** 64
const count = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,20}$/.test(text)) return undefined
  const n = Number(text)
  return n <= most ? n : undefined
}
const number = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : undefined

const scale: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 }
/** `95.1Mbps`, or plain bits with -n in newer versions. @returns bytes per second */
function rate(text: string | undefined): number | undefined {
  const found = /^(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)bps$/.exec(text ?? '')
  return found === null ? undefined : (Number(found[1]) * (scale[found[2] ?? ''] ?? 1)) / 8
}
