import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, aSite, aSnapshot, runs } from '../../../test/arbitraries.ts'
import { fullness, type SeenOnPath } from '../forecast/path-signal.ts'
import { type HostId, hostId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Host, Path, Snapshot } from '../inventory/snapshot.ts'
import { plainStart } from '../migration/start-options.ts'
import { bytesPerSecond, fraction, ms } from '../units.ts'
import { seenOnPaths } from './monitor.ts'
import { SimNetwork } from './network.ts'
import type { Transfer } from './transfer.ts'

const [a1, a2, b1, c1] = [hostId('a-1'), hostId('a-2'), hostId('b-1'), hostId('c-1')]
const rate = bytesPerSecond
/** 100 from a to b, 200 from a to c. */
const networkOf = (toB: Partial<Path> = {}, change: Partial<Snapshot> = {}): SimNetwork =>
  new SimNetwork(
    aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
      hosts: [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c')],
      paths: [aPath('a', 'b', { capacity: rate(100), rtt: ms(20), ...toB }), aPath('a', 'c', { capacity: rate(200) })],
      ...change,
    }),
  )
const flow = (network: SimNetwork, source: HostId, target: HostId, now: number): Transfer => ({
  vm: vmId('vm-1'),
  source,
  target,
  options: plainStart,
  crosses: network.crossed(source, target),
  status: 'active',
  disk: undefined,
  total: 1_000,
  remaining: 500,
  sent: 500,
  round: 1,
  roundBegan: 0,
  judged: { at: 0, sent: 0, dirtied: 0 },
  outrun: 0,
  throttle: 0,
  dirtyRate: undefined,
  rate: now,
  cap: Number.POSITIVE_INFINITY,
  downtimeLimit: 300,
  stoppedAt: undefined,
  downtime: undefined,
  error: undefined,
  startedAt: 0,
  closing: false,
  settledAt: 0,
  milestone: undefined,
  patience: undefined,
  postCopyAsked: false,
  silentUntil: 0,
})
type Flows = readonly (readonly [from: HostId, to: HostId, rate: number])[]
const seen = (network: SimNetwork, ...flows: Flows): readonly SeenOnPath[] =>
  seenOnPaths(
    network,
    flows.map(([from, to, now]) => flow(network, from, to, now)),
  )
const isFull = (network: SimNetwork, ...flows: Flows): readonly string[] =>
  seen(network, ...flows).map(each => `${each.to} ${fullness({ ...each, at: instant(0) }, instant(0))}`)

describe('what a monitor sees', () => {
  test('a queue where what flows fills a path, none where it does not', () => {
    const network = networkOf()
    assert.deepEqual(seen(network, [a1, b1, 100]), [{ from: 'a', to: 'b', queueing: 40, loss: 0 }])
    assert.deepEqual(seen(network, [a1, b1, 90]), [{ from: 'a', to: 'b', queueing: 0, loss: 0 }])
    assert.deepEqual(isFull(network, [a1, b1, 60], [a2, b1, 40]), ['b full'])
  })

  test('of paths that are not in use it sees nothing, nor of those through which nothing goes', () => {
    assert.deepEqual(seen(networkOf()), [])
    assert.deepEqual(isFull(networkOf(), [a1, b1, 0], [a1, c1, 10]), ['c not full'])
    assert.deepEqual(seen(networkOf(), [a1, a2, 10]), [], 'within a site there is no path')
  })

  test('other people’s traffic fills it too, as far as there is room for it', () => {
    assert.deepEqual(isFull(networkOf({ background: rate(30) }), [a1, b1, 70]), ['b full'])
    assert.deepEqual(isFull(networkOf({ background: rate(30) }), [a1, b1, 60]), ['b not full'])
    assert.deepEqual(isFull(networkOf({ background: rate(300) }), [a1, b1, 1]), ['b full'])
  })

  test('a full card or uplink on the way queues as well: more at a time would not bring more through it', () => {
    const hosts: readonly Host[] = [
      aHost('a-1', 'a', { nic: rate(40) }),
      aHost('a-2', 'a'),
      aHost('b-1', 'b'),
      aHost('c-1', 'c'),
    ]
    assert.deepEqual(isFull(networkOf({}, { hosts }), [a1, b1, 40]), ['b full'])
    // Of those on a path one is enough: it is what is sent over that path that waits.
    assert.deepEqual(isFull(networkOf({}, { hosts }), [a2, b1, 10], [a1, b1, 40]), ['b full'])
    const sites = [aSite('a', { uplink: rate(150) }), aSite('b', { safe: true }), aSite('c', { safe: true })]
    assert.deepEqual(isFull(networkOf({}, { sites }), [a1, b1, 75], [a1, c1, 75]), ['b full', 'c full'])
  })

  test('where packets are lost at random nothing queues, however much goes through, and the losses show', () => {
    assert.deepEqual(seen(networkOf({ loss: fraction(0.01) }), [a1, b1, 100]), [
      { from: 'a', to: 'b', queueing: 0, loss: 0.01 },
    ])
  })

  test('a path that was changed is seen as it is now; one that is cut carries nothing to see', () => {
    const network = networkOf()
    const [path] = network.paths
    assert.ok(path !== undefined)
    network.change(path, { capacity: rate(50) })
    assert.deepEqual(isFull(network, [a1, b1, 50]), ['b full'])
    network.cut(path, 0)
    assert.deepEqual(seen(network, [a1, b1, 0]), [])
  })

  test('whatever flows, each path in use is told of once, with what there is to be told', () => {
    const arbFlows = fc.array(
      fc.tuple(fc.constantFrom(a1, a2), fc.constantFrom(b1, c1, a1), fc.double({ min: 0, max: 1e10, noNaN: true })),
      { maxLength: 8 },
    )
    fc.assert(
      fc.property(arbFlows, fc.integer({ min: 0, max: 500 }), (flows, background) => {
        const paths = seen(networkOf({ background: rate(background) }), ...flows)
        assert.equal(new Set(paths.map(({ from, to }) => `${from} ${to}`)).size, paths.length)
        for (const { queueing, loss } of paths) assert.ok((queueing === 0 || queueing === 40) && loss === 0)
        for (const { to } of paths) assert.ok(flows.some(([, host, now]) => now > 0 && host === hostId(`${to}-1`)))
      }),
      runs(200),
    )
  })
})
