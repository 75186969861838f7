/** The fold: from readings to what is known of a path. Two sites, one host each but where said; a reading a second. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aSite, runs } from '../../../test/arbitraries.ts'
import { hostId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Path, Snapshot } from '../inventory/snapshot.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, ms } from '../units.ts'
import { hostsOf, linksOf } from './conclude-links.ts'
import type { LinkState } from './link-state.ts'
import { networkMap } from './network-map.ts'
import { emptyNetwork, type NetworkState } from './network-memory.ts'
import { observeAddresses, observePing, observeReading, observeSilence, observeThroughput } from './network-state.ts'
import type { FlowReading, HostReading } from './reading.ts'

const a1 = hostId('a-1')
const a2 = hostId('a-2')
const b1 = hostId('b-1')
const began = 1_000_000

const snapshot = (paths: readonly Path[] = []): Snapshot => ({
  takenAt: instant(0),
  sites: [aSite('a'), aSite('b', { safe: true })],
  hosts: [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b')],
  paths,
  vms: [],
  unreachable: [],
  power: [],
  deadline: undefined,
})

const fresh = (paths: readonly Path[] = []): NetworkState => {
  const state = emptyNetwork(networkMap(snapshot(paths)))
  return [[a1, '10.0.1.1'] as const, [a2, '10.0.1.2'] as const, [b1, '10.0.2.1'] as const].reduce(
    (next, [host, address]) => observeAddresses(next, host, [address]),
    state,
  )
}

const flow = (change: Partial<FlowReading> = {}): FlowReading => ({
  local: '10.0.1.1 40000',
  peer: '10.0.2.1 49152',
  peerAddress: '10.0.2.1',
  peerPort: 49_152,
  bytesSent: 0,
  bytesAcked: 0,
  bytesRetransmitted: 0,
  segmentsSent: 0,
  deliveryRate: 0,
  rtt: 40,
  minRtt: 40,
  notSent: 0,
  unacked: 0,
  cwnd: 10,
  appLimited: false,
  ...change,
})

const reading = (second: number, change: Partial<HostReading> = {}): HostReading => ({
  host: a1,
  hostClock: 50_000 + second * 1000,
  receivedAt: instant(began + second * 1000),
  interfaces: [{ name: 'eth0', sent: 0, received: 0, speed: undefined }],
  cpu: { total: 1000 + second * 200, idle: 500 + second * 100, stolen: second * 20 },
  memoryAvailable: bytes(4_000_000_000),
  pressure: { cpu: fraction(0.1), memory: fraction(0), io: fraction(0) },
  flows: [],
  ...change,
})
const sentBy = (sent: number) => ({ interfaces: [{ name: 'eth0', sent, received: 0, speed: undefined }] })

const folded = (readings: readonly HostReading[], from: NetworkState = fresh()): NetworkState =>
  readings.reduce(observeReading, from)
const link = (state: NetworkState, second: number, name = 'a → b'): LinkState => {
  const found = linksOf(state, instant(began + second * 1000)).find(each => each.link.name === name)
  assert.ok(found)
  return found
}

describe('a path', () => {
  test('is used by us and by others: migrations are ours, the rest of the interface is not', () => {
    const state = folded(
      [0, 1, 2].map(n =>
        reading(n, {
          ...sentBy(n * 1_000_000),
          flows: [flow({ bytesSent: n * 500_000, bytesAcked: n * 500_000, segmentsSent: n * 400 })],
        }),
      ),
    )
    const { inUse, byUs, byOthers, flows } = link(state, 2)
    assert.equal(inUse, 1_000_000)
    assert.equal(byUs, 500_000 + 400 * 66, 'headers are ours too')
    assert.equal(byOthers, 500_000 - 400 * 66)
    assert.equal(flows, 1)
  })

  test('hosts at its beginning count together, and one that falls silent no more', () => {
    const both = folded(
      [0, 1].flatMap(n => [reading(n, sentBy(n * 1_000)), reading(n, { host: a2, ...sentBy(n * 500) })]),
    )
    assert.equal(link(both, 1).inUse, 1_500)
    const one = observeSilence(both, a2, 'its shell ended', instant(began + 1_200))
    assert.equal(link(one, 1).inUse, 1_000)
    assert.deepEqual(link(one, 1).remarks, ['a-2 is not read: its shell ended'])
  })

  test('a connection to somebody who is no host of ours is not ours', () => {
    const state = folded(
      [0, 1].map(n =>
        reading(n, {
          ...sentBy(n * 1_000),
          flows: [flow({ peer: '8.8.8.8 49152', peerAddress: '8.8.8.8', bytesSent: n * 900 })],
        }),
      ),
    )
    assert.equal(link(state, 1).byUs, 0)
    assert.equal(link(state, 1).byOthers, 1_000)
  })

  test('an address that two hosts have is neither host', () => {
    const shared = observeAddresses(fresh(), a2, ['10.0.2.1'])
    const state = folded(
      [0, 1].map(n => reading(n, { flows: [flow({ bytesSent: n * 900 })] })),
      observeAddresses(shared, b1, ['10.0.2.1']),
    )
    assert.equal(link(state, 1).flows, 0)
  })

  test('a connection that was not there a second ago counts from its first byte', () => {
    const state = folded([
      reading(0),
      reading(1, { ...sentBy(700_000), flows: [flow({ bytesSent: 600_000, bytesAcked: 600_000, segmentsSent: 500 })] }),
    ])
    assert.equal(link(state, 1).byUs, 633_000)
  })

  test('queueing is the smoothed round trip less the least of the path, also where the least was seen by an echo', () => {
    const pinged = observePing(fresh(), {
      from: a1,
      to: b1,
      at: instant(began),
      result: { rtt: ms(41), minRtt: ms(40), loss: fraction(0), sent: 5 },
    })
    assert.equal(link(pinged, 0).rtt, 41)
    const state = folded(
      [0, 1].map(n => reading(n, { flows: [flow({ rtt: 140, minRtt: 90, bytesSent: n })] })),
      pinged,
    )
    assert.equal(link(state, 1).queueingDelay, 100)
    assert.equal(link(state, 1).minRtt, 40)
  })

  test('what stands on it is told by the quickest of a few echoes, against the least seen or stated, for ten seconds', () => {
    const echoes = (n: number, minRtt: number) => ({
      from: a1,
      to: b1,
      at: instant(began + n * 1_000),
      result: { rtt: ms(minRtt + 20), minRtt: ms(minRtt), loss: fraction(0), sent: 5 },
    })
    const stands = (state: NetworkState, n: number) => link(state, n).standingDelay
    assert.deepEqual(stands(fresh(), 0), { why: 'no echo was asked for just now' })
    const first = observePing(fresh(), echoes(0, 40))
    assert.equal(stands(first, 0), 0)
    assert.deepEqual(
      [stands(observePing(first, echoes(5, 130)), 14), stands(observePing(first, echoes(5, 41)), 14)],
      [90, 1],
    )
    assert.deepEqual(stands(first, 11), { why: 'no echo was asked for just now' })
  })

  test('its capacity is what went through while a queue stood for two seconds; else at least what went through', () => {
    const at = (n: number, rtt: number) =>
      reading(n, {
        ...sentBy(n * 1_000_000),
        flows: [flow({ rtt, bytesSent: n * 900_000, bytesAcked: n * 900_000, segmentsSent: 0 })],
      })
    const free = link(folded([at(0, 40), at(1, 41), at(2, 41)]), 2).measured
    assert.ok('rate' in free && free.bound === 'at-least' && Math.round(free.rate) === 900_000)
    const first = link(folded([at(0, 40), at(1, 140)]), 1).measured
    assert.ok('rate' in first && first.bound === 'at-least', 'one second has the rise of the stream in it')
    const full = link(folded([at(0, 40), at(1, 140), at(2, 140)]), 2).measured
    assert.ok('rate' in full && full.bound === 'full' && Math.round(full.rate) === 900_000)
  })

  describe('what one stream gets', () => {
    /** Both hosts of a answer; each connection of a-1 sends so much in each of these seconds, since its first. */
    const seconds = (rates: readonly (readonly number[])[]): NetworkState => {
      const sent = new Map<number, number>()
      return folded(
        rates.flatMap((each, n) => {
          for (const [at, rate] of each.entries()) sent.set(at, (sent.get(at) ?? 0) + rate)
          const flows = each.map((_, at) =>
            flow({ local: `10.0.1.1 ${40_000 + at}`, bytesSent: sent.get(at) ?? 0, bytesAcked: sent.get(at) ?? 0 }),
          )
          return [reading(n, { flows }), reading(n, { host: a2 })]
        }),
      )
    }
    const loneFlow = (rates: readonly (readonly number[])[]) => link(seconds(rates), rates.length - 1).loneFlow

    test('is what the only one got, not what one of several did', () => {
      const four = [250, 250, 250, 250]
      const shared = [four, four, four, four, four, four]
      assert.deepEqual(loneFlow(shared), { why: 'no migration had it alone within the last minute' })
      assert.equal(link(seconds(shared), 5).bestFlow, 250)
      assert.equal(loneFlow([[], [100], [700], [900], [800], four]), 900)
    })

    test('is told after three seconds alone: it rises, and takes what others have just left', () => {
      assert.ok(typeof loneFlow([[], [100], [700]]) === 'object')
      assert.ok(typeof loneFlow([[], [500, 500], [500], [600]]) === 'object')
      assert.equal(loneFlow([[], [500, 500], [500], [600], [990]]), 990)
    })

    test('is not known while a host at its beginning does not say which connections it has', () => {
      const silent = { why: 'ss is not permitted' }
      const one = (n: number) => reading(n, { flows: [flow({ bytesSent: n * 900, bytesAcked: n * 900 })] })
      const rest = (flows: HostReading['flows']) =>
        folded([0, 1, 2, 3, 4].flatMap(n => [reading(n, { host: a2, flows }), one(n)]))
      assert.equal(link(rest([]), 4).loneFlow, 900)
      assert.ok(typeof link(rest(silent), 4).loneFlow === 'object')
      assert.ok(typeof link(folded([0, 1, 2, 3, 4].map(one)), 4).loneFlow === 'object')
    })
  })

  test("others' bytes are not taken for capacity: they may go elsewhere", () => {
    const { measured } = link(folded([0, 1, 2].map(n => reading(n, sentBy(n * 1e8)))), 2)
    assert.ok('why' in measured)
  })

  test('loss is the share sent again within half a minute; too little sent says nothing', () => {
    const lossy = (n: number) =>
      reading(n, {
        flows: [flow({ bytesSent: n * 1_000_000, bytesAcked: n * 980_000, bytesRetransmitted: n * 20_000 })],
      })
    assert.deepEqual(link(folded([0, 1, 2, 3].map(lossy)), 3).loss, { share: 0.02, from: 'retransmissions' })
    const { loss } = link(folded([0, 1].map(n => reading(n, { flows: [flow({ bytesSent: n * 100 })] }))), 1)
    assert.ok('why' in loss)
  })

  test('where ss is not permitted there are byte counts only, and that is said', () => {
    const denied = { why: 'ss is not permitted: Operation not permitted' }
    const state = folded([0, 1].map(n => reading(n, { ...sentBy(n * 1_000), flows: denied })))
    const { inUse, byUs, byOthers, remarks } = link(state, 1)
    assert.equal(inUse, 1_000)
    assert.deepEqual(byUs, denied)
    assert.deepEqual(byOthers, denied)
    assert.deepEqual(remarks.slice(0, 1), ['a-1: ss is not permitted: Operation not permitted; byte counts only'])
  })

  test('what is old is not the present', () => {
    const state = folded([0, 1].map(n => reading(n, sentBy(n * 1_000))))
    assert.equal(link(state, 5).inUse, 1_000)
    assert.ok(typeof link(state, 9).inUse === 'object')
  })

  test('a more exact path takes the connections of its host', () => {
    const none = { capacity: undefined, rtt: undefined, loss: undefined, perFlow: undefined, background: undefined }
    const direct: Path = { from: a1, to: b1, ...none, capacity: bytesPerSecond(0) }
    const state = folded(
      [0, 1].map(n => reading(n, { flows: [flow({ bytesSent: n * 1_000_000, bytesAcked: n * 1_000_000 })] })),
      fresh([direct]),
    )
    assert.equal(link(state, 1, 'a-1 → b-1').flows, 1)
    assert.equal(link(state, 1).flows, 0)
  })

  test('a probe that found less than is known does not take it back; one that found a queue does', () => {
    const probe = {
      from: a1,
      to: b1,
      at: instant(began),
      rate: 100,
      bound: 'at-least',
      stoppedBy: 'time-limit',
      sent: mebibytes(1),
      took: ms(1),
      rtt: undefined,
      minRtt: undefined,
    } as const
    const once = observeThroughput(fresh(), { ...probe, rate: 500 })
    const measured = (state: NetworkState) => {
      const found = link(state, 0).measured
      return 'rate' in found ? Number(found.rate) : undefined
    }
    assert.equal(measured(observeThroughput(once, probe)), 500)
    assert.equal(measured(observeThroughput(once, { ...probe, bound: 'full' })), 100)
    for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      assert.equal(measured(observeThroughput(once, { ...probe, rate })), 500, `a probe of ${rate} is no probe`)
  })
})

describe('readings that cannot be believed', () => {
  const second = reading(1, sentBy(1_000))
  for (const [what, older, newer, why] of [
    ['a clock that runs backwards', reading(5), reading(4), 'clock-backwards'],
    ['a host that started anew', reading(5), reading(6, { hostClock: 300 }), 'clock-backwards'],
    ['a clock that jumps', reading(0), reading(1, { hostClock: 50_000 + 25_000 }), 'clock-jump'],
    ['a long gap', reading(0), reading(40), 'gap'],
    ['a counter that begins again', reading(0, sentBy(5e9)), second, 'counter-reset'],
    ['a counter beyond any link', reading(0), reading(1, sentBy(1e15)), 'absurd-rate'],
    [
      'processor time that runs backwards',
      reading(0),
      reading(1, { cpu: { total: 10, idle: 5, stolen: 0 } }),
      'counter-reset',
    ],
  ] as const) {
    test(`${what}: counted as ${why}, and the next second is right again`, () => {
      const state = folded([older, newer])
      const [host] = hostsOf(state, [a1], newer.receivedAt)
      assert.equal(host?.dropped[why], 1)
      const next: HostReading = {
        ...newer,
        hostClock: newer.hostClock + 1_000,
        receivedAt: instant(newer.receivedAt + 1_000),
        interfaces: [{ name: 'eth0', sent: counter(newer) + 2_000, received: 0, speed: undefined }],
      }
      const after = observeReading(state, next)
      assert.equal(linksOf(after, next.receivedAt)[0]?.inUse, 2_000)
    })
  }

  test('two readings at once are one', () => {
    const state = folded([
      reading(0),
      reading(1, sentBy(1_000)),
      reading(1.05, sentBy(1_000)),
      reading(2, sentBy(2_000)),
    ])
    assert.equal(link(state, 2).inUse, 1_000)
    assert.equal(hostsOf(state, [a1], instant(began + 2_000))[0]?.dropped['too-soon'], 1)
  })

  test('a wrapped counter is no trouble at all', () => {
    const state = folded([reading(0, sentBy(2 ** 32 - 400)), reading(1, sentBy(600))])
    assert.equal(link(state, 1).inUse, 1_000)
    assert.deepEqual(hostsOf(state, [a1], instant(began + 1_000))[0]?.dropped, {})
  })

  test('whatever hosts say, every number that comes out is finite and not negative', () => {
    const odd = fc.oneof(fc.nat(), fc.double(), fc.constantFrom(0, 2 ** 32, 2 ** 53, 2 ** 64, 1e300, -5))
    const maybe = fc.option(odd, { nil: undefined })
    const anyFlow = fc
      .record({
        bytesSent: maybe,
        bytesAcked: maybe,
        bytesRetransmitted: maybe,
        segmentsSent: maybe,
        deliveryRate: maybe,
        rtt: maybe,
        minRtt: maybe,
        peerAddress: fc.constantFrom('10.0.2.1', '10.0.1.2', '::', ''),
      })
      .map(change => flow(change))
    const unknown = fc.constant({ why: 'no' })
    const anyReading = fc
      .record({
        second: fc.double({ min: 0, max: 6, noNaN: true }),
        host: fc.constantFrom(a1, a2, b1),
        hostClock: fc.oneof(odd, fc.nat({ max: 5_000 })),
        interfaces: fc.oneof(
          unknown,
          fc.array(fc.record({ name: fc.constantFrom('eth0', 'eth1'), sent: odd, received: odd, speed: maybe }), {
            maxLength: 3,
          }),
        ),
        cpu: fc.oneof(unknown, fc.record({ total: odd, idle: odd, stolen: odd })),
        flows: fc.oneof(unknown, fc.array(anyFlow, { maxLength: 4 })),
      })
      .map(({ second: at, ...change }) => reading(at, change))
    fc.assert(
      fc.property(fc.array(anyReading, { maxLength: 12 }), readings => {
        const state = folded(readings)
        const now = instant(began + 6_000)
        const walk = (value: unknown, where: string): void => {
          if (typeof value === 'number') assert.ok(Number.isFinite(value) && value >= 0, `${where} is ${value}`)
          else if (Array.isArray(value)) value.forEach((each, n) => walk(each, `${where}[${n}]`))
          else if (typeof value === 'object' && value !== null)
            for (const [key, each] of Object.entries(value)) walk(each, `${where}.${key}`)
        }
        walk(
          linksOf(state, now).map(({ link: _link, ...rest }) => rest),
          'links',
        )
        walk(hostsOf(state, [a1, a2, b1], now), 'hosts')
        for (const memory of state.links.values()) assert.ok(memory.window.length <= 60 && memory.minimums.length <= 31)
      }),
      runs(500),
    )
  })
})

function counter({ interfaces }: HostReading): number {
  return 'why' in interfaces ? 0 : (interfaces[0]?.sent ?? 0)
}
