/** The limit of one lossy stream, against RFC 9438's own formulas and tables (§5.1, RTT in seconds, windows in segments). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { lossLimit } from './tcp.ts'

/** 1500 bytes on the wire, less 20 of IP, 20 of TCP and 12 of timestamps. */
const payload = 1500 - 20 - 20 - 12
/** The window behind a limit: what is delivered is the window's payload each round trip, less what was lost. */
const windowOf = (rtt: number, loss: number): number => (lossLimit(rtt, loss) * rtt) / 1000 / payload / (1 - loss)

const [c, beta] = [0.4, 0.7]
/** Figure 5: the fourth root of C(3+β)/4(1−β), times that of (RTT/p)³. */
const cubicWindow = (rtt: number, loss: number): number =>
  Math.sqrt(Math.sqrt(((c * (3 + beta)) / (4 * (1 - beta))) * (rtt / 1000 / loss) ** 3))
/** §4.3, AIMD(α, β) with Reno's α = 1, β = ½. */
const renoWindow = (loss: number): number => Math.sqrt((1 * (1 + 0.5)) / (2 * (1 - 0.5) * loss))

const near = (actual: number, expected: number, share: number, what = ''): void =>
  assert.ok(Math.abs(actual - expected) <= share * expected, `${what} ${actual} is not ${expected}`)

const arbRtt = fc.double({ min: 0.01, max: 5_000, noNaN: true })
/** Small ones as likely as large. */
const arbLoss = fc.double({ min: -9, max: -0.001, noNaN: true }).map(exponent => 10 ** exponent)

describe('what one stream gets of a path that loses packets', () => {
  test("is CUBIC's average window, never less than Reno's, once a round trip", () => {
    fc.assert(
      fc.property(arbRtt, arbLoss, (rtt, loss) => {
        near(windowOf(rtt, loss), Math.max(cubicWindow(rtt, loss), renoWindow(loss)), 0.001)
      }),
      runs(500),
    )
  })

  /** Tables 1 and 2 of the RFC, the column C = 0.4. Where Reno decides they take its constant as 1.2 (RFC 3649), we as √1.5. */
  const tables: readonly (readonly [rtt: number, loss: number, window: number])[] = [
    [100, 1e-2, 12],
    [100, 1e-3, 38],
    [100, 1e-4, 187],
    [100, 1e-5, 1054],
    [100, 1e-6, 5926],
    [100, 1e-7, 33_325],
    [100, 1e-8, 187_400],
    [10, 1e-2, 12],
    [10, 1e-3, 38],
    [10, 1e-4, 120],
    [10, 1e-5, 379],
    [10, 1e-6, 1200],
    [10, 1e-7, 5926],
    [10, 1e-8, 33_325],
  ]
  for (const [rtt, loss, window] of tables) {
    test(`at ${rtt} ms and a loss of ${loss} has the RFC's window of ${window} segments`, () => {
      near(windowOf(rtt, loss), window, window < 50 ? 0.04 : 0.025)
      if (cubicWindow(rtt, loss) > renoWindow(loss)) near(windowOf(rtt, loss), window, 0.003)
    })
  }

  test('in numbers: 0.1 % lost over 20 ms leaves some 22 Mbit/s, 0.01 % over 80 ms some 23', () => {
    // √(1.5 · 1000) = 38.73 segments; 38.73 · 1448 B · 0.999 / 20 ms
    near(lossLimit(20, 0.001), 2_801_199, 0.0001)
    // 1.054 · 0.08^0.75 · 10⁴^0.75 = 158.6 segments; 158.6 · 1448 B · 0.9999 / 80 ms
    near(lossLimit(80, 0.0001), 2_869_572, 0.001)
  })

  test('is the less, the more is lost', () => {
    fc.assert(
      fc.property(arbRtt, arbLoss, arbLoss, (rtt, a, b) => {
        fc.pre(b > a * (1 + 1e-9))
        assert.ok(lossLimit(rtt, a) > lossLimit(rtt, b))
      }),
      runs(300),
    )
  })

  test('is the less, the longer the way', () => {
    fc.assert(
      fc.property(arbRtt, arbRtt, arbLoss, (a, b, loss) => {
        fc.pre(b > a * (1 + 1e-9))
        assert.ok(lossLimit(a, loss) > lossLimit(b, loss))
      }),
      runs(300),
    )
  })

  test('is no limit where nothing is lost or there is no way to go, and nothing where all is lost', () => {
    assert.equal(lossLimit(20, 0), Infinity)
    assert.equal(lossLimit(0, 0), Infinity)
    assert.equal(lossLimit(0, 0.01), Infinity)
    assert.equal(lossLimit(20, 1), 0)
  })
})
