/**
 * When a throughput probe has seen enough. A queue that stays is both the sign to stop and the moment in which the stream gets
 * exactly what the path gives; so the rate is taken from the samples around it. Pure: samples in, a verdict out.
 */
import { queueFloor, queueShare } from './link-usage.ts'
import type { StoppedBy } from './reading.ts'

/** The probe's own connection, as `ss` shows it some ten times a second. */
export interface ProbeSample {
  /** By the clock of the host that sends. @unit ms */
  readonly at: number
  /** @unit bytes */
  readonly acked: number
  /** @unit bytes */
  readonly sent: number
  /** @unit bytes */
  readonly retransmitted: number
  /** @unit ms */
  readonly rtt: number | undefined
  /** @unit ms */
  readonly minRtt: number | undefined
  /** The kernel's own estimate. @unit bytes per second */
  readonly deliveryRate: number | undefined
}

export interface ProbeLimits {
  /** @unit ms */
  readonly time: number
  /** @unit bytes */
  readonly bytes: number
  /** Least round trip known before: a queue of others stood there already when the probe began. @unit ms */
  readonly restRtt: number | undefined
}

export type ProbeVerdict =
  | { readonly kind: 'go-on' }
  | {
      readonly kind: 'stop'
      readonly stoppedBy: StoppedBy
      /** @unit bytes per second */
      readonly rate: number
      readonly bound: 'full' | 'at-least'
    }

/** @unit ms, by a clock that has steps of 10 */
const leastBetween = 80
/** One sample alone may be a hiccup of the host. */
const samplesToBelieve = 2
/** The bursts of a stream that rises queue for a moment before the path is full; so long it may show that it still rises. */
const mostSigns = 4
const rises = 1.15
/** A queue that doubles the round trip is nobody's moment: then it ends at once. @unit ms */
const deepFloor = 20
/** Of what was sent since the last sample but one. */
const lossToStop = 0.05
/** Losses of a few packets are no share. @unit bytes */
const leastForLoss = 128 * 1024
/** A rate by acknowledgements is an average over at least this. @unit ms */
const leastWindow = 150
/** Where nothing is full the stream has settled, and a longer average is a better one. @unit ms */
const lastSecond = 1_000
/** The rise of a stream doubles it in a round trip: its end is at most this much above the average of its last part. */
const burst = 2.5

export function judgeProbe(samples: readonly ProbeSample[], limits: ProbeLimits): ProbeVerdict {
  const [first] = samples
  const last = samples.at(-1)
  if (first === undefined || last === undefined) return { kind: 'go-on' }
  const stop = (stoppedBy: StoppedBy, bound: 'full' | 'at-least'): ProbeVerdict => ({
    kind: 'stop',
    stoppedBy,
    bound,
    rate: bound === 'full' ? rateOfFullPath(samples) : ackedRate(samples, lastSecond),
  })
  const least = samples.reduce(
    (lowest, { minRtt, rtt }) => Math.min(lowest, minRtt ?? rtt ?? lowest),
    limits.restRtt ?? Number.POSITIVE_INFINITY,
  )
  const threshold = Math.max(queueFloor, least * queueShare)
  const calm = samples.findLastIndex(({ rtt }) => rtt === undefined || rtt - least <= threshold)
  const signs = samples.slice(calm + 1)
  // Two looks at one moment are one look.
  if (signs.length >= samplesToBelieve && last.at - (signs[0]?.at ?? last.at) >= leastBetween) {
    const deep = (last.rtt ?? 0) - least > Math.max(deepFloor, least)
    if (deep || signs.length >= mostSigns || !stillRises(signs)) return stop('queueing', 'full')
  }
  const since = samples.at(-1 - samplesToBelieve) ?? first
  const sent = last.sent - since.sent
  // A path that drops instead of queueing (a policer) is full too, but a lossy one looks the same: no more than "at least".
  if (sent >= leastForLoss && last.retransmitted - since.retransmitted > sent * lossToStop)
    return stop('loss', 'at-least')
  if (last.sent >= limits.bytes) return stop('byte-limit', 'at-least')
  if (last.at - first.at >= limits.time) return stop('time-limit', 'at-least')
  return { kind: 'go-on' }
}

/**
 * What arrives at the end: the kernel's estimate, which looks at one round trip (tcp_rate.c takes the longer of the times between
 * sending and between arriving). What was acknowledged in a longer stretch still has the rise of the stream in it, and so is a lower
 * bound; but an estimate far above it is of a burst, on a host that was busy with something else.
 */
export function rateOfFullPath(samples: readonly ProbeSample[]): number {
  const acked = ackedRate(samples, leastWindow)
  const estimate = samples
    .slice(-mostSigns)
    .reduce((highest, { deliveryRate }) => Math.max(highest, deliveryRate ?? 0), 0)
  return estimate > 0 && (acked === 0 || estimate <= acked * burst) ? estimate : acked
}

function stillRises(signs: readonly ProbeSample[]): boolean {
  const [before, now] = signs.slice(-2).map(({ deliveryRate }) => deliveryRate)
  return before !== undefined && now !== undefined && now > before * rises
}

/** Average over at least `window`, or over all there is. @param window @unit ms @returns bytes per second */
function ackedRate(samples: readonly ProbeSample[], window: number): number {
  const last = samples.at(-1)
  const from = last === undefined ? undefined : (samples.findLast(({ at }) => last.at - at >= window) ?? samples[0])
  if (last === undefined || from === undefined || !(last.at > from.at)) return 0
  return Math.max(0, ((last.acked - from.acked) / (last.at - from.at)) * 1000)
}
