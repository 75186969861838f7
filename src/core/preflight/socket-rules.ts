/**
 * What a host's kernel lets stand unsent in a socket. QEMU takes it for sent, so it is in no downtime limit, and a guest that stands still
 * for its switchover waits until the path has carried it.
 */
import type { SiteId } from '../ids.ts'
import {
  type Bytes,
  bytes,
  type BytesPerSecond,
  bytesPerSecond,
  mebibytes,
  type Milliseconds,
  ms,
  showBytes,
  showRate,
  showTime,
  transferMs,
} from '../units.ts'
import type { SourceRule, Table } from './reason.ts'

interface Unsent {
  /** net.ipv4.tcp_notsent_lowat of the host. */
  readonly lowat: Bytes
  /** What may stand in one socket for all that: no more than tcp_wmem lets it hold. */
  readonly most: Bytes
  /** The strictest of the guests that would leave. */
  readonly limit: Milliseconds
}
export interface SocketReasons {
  readonly 'unsent-bytes': Unsent & {
    readonly to: SiteId
    readonly rate: BytesPerSecond
    readonly takes: Milliseconds
  }
  readonly 'unsent-unknown': Unsent & {
    readonly to: SiteId
    /** On a slower path they take too long. */
    readonly below: BytesPerSecond
  }
}

const setting = 'net.ipv4.tcp_notsent_lowat=131072'
const cure = `sysctl -w ${setting} there; to make it stay: echo ${setting} > /etc/sysctl.d/90-lifeboat.conf`
const stand = ({ lowat, most }: Unsent): string =>
  `up to ${showBytes(most)} may stand unsent in a socket there (net.ipv4.tcp_notsent_lowat is ${lowat}), and a guest at its switchover stands still until they are gone`

export const socketTable: Table<SocketReasons> = {
  'unsent-bytes': {
    severity: 'note',
    says: reason =>
      `${stand(reason)}: ${showTime(reason.takes)} at the ${showRate(reason.rate)} to ${reason.to}, beyond the ${showTime(reason.limit)} that its limit allows`,
    next: () => cure,
  },
  'unsent-unknown': {
    severity: 'note',
    says: reason =>
      `${stand(reason)}; what the way to ${reason.to} carries is not known: below ${showRate(reason.below)} that is more than a third of the ${showTime(reason.limit)} of its limit`,
    next: ({ to }) => `measure it (lifeboat links --probe), or state the capacity of the path to ${to}; or ${cure}`,
  },
}

/** A host that is set to no more than this has been thought of. */
const enough = mebibytes(1)
/** Of the downtime limit: less is lost among what a switchover takes anyway. */
const bearable = 1 / 3

const unsent: SourceRule<SocketReasons> = ({ system }, { ways, strictest: limit }) => {
  const { tcpUnsentMost: lowat, tcpBufferMost: buffer } = system ?? {}
  if (lowat === undefined || buffer === undefined || limit === undefined || lowat <= enough) return []
  const most = bytes(Math.min(lowat, buffer))
  const about = { lowat, most, limit }
  // A path that carries nothing has worse troubles.
  const known = ways.flatMap(({ to, rate }) => (rate === undefined || rate === 0 ? [] : [{ to, rate }]))
  const [slowest] = known.toSorted((a, b) => a.rate - b.rate)
  if (slowest !== undefined) {
    const takes = ms(transferMs(most, slowest.rate))
    if (takes > limit * bearable) return [{ rule: 'unsent-bytes', ...about, ...slowest, takes }]
  }
  const dark = ways.find(({ rate }) => rate === undefined)
  if (dark === undefined || limit === 0) return []
  const below = bytesPerSecond(most / ((limit * bearable) / 1000))
  return [{ rule: 'unsent-unknown', ...about, to: dark.to, below }]
}

export const socketSourceRules: readonly SourceRule<SocketReasons>[] = [unsent]
