/** What one TCP stream gets on a path that loses packets at random, however much capacity there is. */

/** Payload of a full segment on Ethernet: 1500 bytes less IP and TCP headers with timestamps. @unit bytes */
const segment = 1448
/** RFC 9438 (CUBIC) §5.1, C = 0.4, beta = 0.7: average window ≈ 1.054 · RTT^0.75 / p^0.75 segments. */
const cubicWindow = 1.054
/** RFC 9438 §4.3: never less than Reno would have, whose average window is √(3/2p) segments. */
const renoWindow = Math.sqrt(1.5)
/** With so few segments in flight a loss is a timeout, and formulas of windows end. */
const leastWindow = 1

/**
 * @param rtt @unit ms
 * @param loss share of packets lost, 0 … 1
 * @returns bytes per second; infinite where nothing is lost
 */
export function lossLimit(rtt: number, loss: number): number {
  if (loss <= 0 || rtt <= 0) return Number.POSITIVE_INFINITY
  const roundTrip = rtt / 1000
  const cubic = (cubicWindow * roundTrip ** 0.75) / loss ** 0.75
  const reno = renoWindow / Math.sqrt(loss)
  // What is lost is sent again.
  return ((Math.max(leastWindow, cubic, reno) * segment) / roundTrip) * (1 - loss)
}
