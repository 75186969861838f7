import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbSnapshot, aSite, aSnapshot, runs } from '../../../test/arbitraries.ts'
import { hostId, siteId } from '../ids.ts'
import { findSite, type Snapshot } from '../inventory/snapshot.ts'
import { bytesPerSecond, fraction, ms } from '../units.ts'
import { infinite, SimNetwork, type SimPath } from './network.ts'
import { lossLimit } from '../forecast/tcp.ts'
import { backgroundStreams } from './physics/timings.ts'

const [a, b] = [siteId('a'), siteId('b')]
const [a1, a2, b1, b2] = [hostId('a-1'), hostId('a-2'), hostId('b-1'), hostId('b-2')]
const rate = bytesPerSecond

/** NICs of 10 at a-1 and b-1, uplinks of 50 and 60, 100 from a to b, and a narrow way of 7 from a-2 to b-2. */
const world = (change: Partial<Snapshot> = {}): Snapshot =>
  aSnapshot({
    sites: [aSite('a', { uplink: rate(50) }), aSite('b', { uplink: rate(60), safe: true })],
    hosts: [
      aHost('a-1', 'a', { nic: rate(10) }),
      aHost('a-2', 'a'),
      aHost('b-1', 'b', { nic: rate(10) }),
      aHost('b-2', 'b'),
    ],
    paths: [
      aPath('a', 'b', { capacity: rate(100), rtt: ms(40) }),
      { ...aPath('a', 'b', { capacity: rate(7) }), from: a2, to: b2 },
    ],
    ...change,
  })
const only = (network: SimNetwork, at = 0): SimPath => {
  const path = network.paths[at]
  assert.ok(path !== undefined)
  return path
}
const capacities = (network: SimNetwork, from = a1, to = b1): readonly number[] =>
  network.crossed(from, to).map(({ capacity }) => capacity)

describe('paths', () => {
  test('the most exact one counts, in its own direction only', () => {
    const network = new SimNetwork(world())
    assert.equal(network.pathOf(a1, b1), only(network, 0))
    assert.equal(network.pathOf(a2, b1), only(network, 0))
    assert.equal(network.pathOf(a2, b2), only(network, 1))
    assert.equal(network.pathOf(b1, a1), undefined)
  })

  test('where paths are declared, hosts without one do not reach each other; where none is, everybody does', () => {
    const network = new SimNetwork(world())
    assert.ok(network.connects(a1, b1))
    assert.ok(!network.connects(b1, a1))
    assert.ok(!network.connects(a1, a2))
    const open = new SimNetwork(world({ paths: [] }))
    assert.ok(open.connects(a1, b1) && open.connects(b1, a1))
  })

  test('what the inventory does not say bounds nothing and takes no time', () => {
    const network = new SimNetwork(world({ paths: [aPath('a', 'b')] }))
    const { capacity, rtt, perFlow, loss, lossy, background, cut } = only(network)
    assert.deepEqual(
      [capacity, rtt, perFlow, loss, lossy, background, cut],
      [infinite, 0, infinite, 0, false, 0, false],
    )
    assert.equal(network.perStream(a1, b1), infinite)
  })

  test('those between two places are found from either end, in both directions, and no others', () => {
    const both = world({ paths: [aPath('a', 'b'), aPath('b', 'a'), { ...aPath('a', 'b'), from: a2, to: b2 }] })
    const network = new SimNetwork(both)
    for (const ends of [
      [a, b],
      [b, a],
    ] as const)
      assert.deepEqual(network.between(ends), [only(network, 0), only(network, 1)])
    assert.deepEqual(network.between([b2, a2]), [only(network, 2)])
    assert.deepEqual(network.between([a1, b1]), [])
  })
})

describe('what a flow crosses', () => {
  test('the NIC it leaves by, the uplink, the path, the other uplink, the NIC it enters by', () => {
    const network = new SimNetwork(world())
    assert.deepEqual(capacities(network), [10, 50, 100, 60, 10])
    assert.deepEqual(capacities(network, a2, b2), [50, 7, 60])
  })

  test('within a site no uplink, and where there is no path none', () => {
    assert.deepEqual(capacities(new SimNetwork(world()), a1, a2), [10])
    assert.deepEqual(capacities(new SimNetwork(world({ paths: [] })), a1, b1), [10, 50, 60, 10])
  })

  test('flows of one host, one site or one path share the same things, so that what one uses the other lacks', () => {
    const network = new SimNetwork(world())
    const [nic, uplink, path, downlink] = network.crossed(a1, b1)
    assert.equal(network.crossed(a1, b2)[0], nic)
    assert.equal(network.crossed(a2, b1)[0], uplink)
    assert.equal(network.crossed(a2, b1)[1], path)
    assert.equal(network.crossed(a2, b2)[2], downlink)
    assert.equal(path, only(network, 0))
  })

  test('as the paths of any inventory say', () => {
    let unknown = 0
    fc.assert(
      fc.property(arbSnapshot, snapshot => {
        const network = new SimNetwork(snapshot)
        for (const from of snapshot.hosts)
          for (const to of snapshot.hosts) {
            const path = network.pathOf(from.id, to.id)
            assert.equal(network.connects(from.id, to.id), snapshot.paths.length === 0 || path !== undefined)
            const crossed = network.crossed(from.id, to.id)
            assert.equal(path !== undefined && crossed.includes(path), path !== undefined)
            const uplinks =
              from.site === to.site ? [] : [from.site, to.site].map(site => findSite(snapshot, site)?.uplink)
            const along = path === undefined ? [] : [path.path.capacity ?? infinite]
            const ends = [...uplinks, from.nic, to.nic].filter(each => each !== undefined)
            const bySize = (all: readonly number[]) => [...all].sort((x, y) => (x < y ? -1 : 1))
            assert.deepEqual(bySize(crossed.map(({ capacity }) => capacity)), bySize([...ends, ...along]))
            if (path !== undefined && path.capacity === infinite) unknown += 1
          }
      }),
      runs(100),
    )
    assert.ok(unknown > 10, 'some paths have no known capacity')
  })
})

describe('what happens to a path', () => {
  test('cut, it carries nothing and connects nobody; whole again, it is as it was', () => {
    const network = new SimNetwork(world())
    const path = only(network)
    network.cut(path, 5_000)
    assert.deepEqual([path.capacity, path.cutAt], [0, 5_000])
    assert.ok(!network.connects(a1, b1))
    assert.ok(network.connects(a2, b2), 'others are not touched')
    network.heal(path)
    assert.equal(path.capacity, 100)
    assert.ok(network.connects(a1, b1))
  })

  test('cut again, it is cut since the first time', () => {
    const network = new SimNetwork(world())
    const path = only(network)
    network.cut(path, 5_000)
    network.cut(path, 9_000)
    assert.equal(path.cutAt, 5_000)
    network.heal(path)
    network.cut(path, 20_000)
    assert.equal(path.cutAt, 20_000)
  })

  test('a change while it is cut shows when it is whole again', () => {
    const network = new SimNetwork(world())
    const path = only(network)
    network.cut(path, 0)
    network.change(path, { capacity: rate(30), rtt: ms(80) })
    assert.deepEqual([path.capacity, path.rtt], [0, 80])
    network.heal(path)
    assert.equal(path.capacity, 30)
  })

  test('what a change does not name stays', () => {
    const network = new SimNetwork(world())
    const path = only(network)
    network.change(path, { capacity: rate(30) })
    network.change(path, { background: rate(5) })
    network.change(path, { perFlow: rate(20) })
    network.change(path, { loss: fraction(0.01) })
    const { capacity, rtt, background, perFlow, loss, lossy } = path
    assert.deepEqual([capacity, rtt, background, perFlow, loss, lossy], [30, 40, 5, 20, 0.01, true])
    network.change(path, { loss: fraction(0) })
    assert.deepEqual([path.loss, path.lossy, path.capacity], [0, false, 30])
  })

  test('a capacity of nothing is a capacity, not the lack of one', () => {
    const network = new SimNetwork(world())
    network.change(only(network), { capacity: rate(0) })
    assert.equal(only(network).capacity, 0)
    assert.ok(network.connects(a1, b1), 'it is not cut: connections wait, none breaks')
  })

  test('in whatever order it is cut, healed and changed, it carries what it should', () => {
    const arbDeed = fc.oneof(
      fc.constantFrom('cut' as const, 'heal' as const),
      fc.integer({ min: 0, max: 1000 }).map(rate),
    )
    fc.assert(
      fc.property(fc.array(arbDeed), deeds => {
        const network = new SimNetwork(world())
        const path = only(network)
        let [cut, whole] = [false, 100]
        for (const deed of deeds) {
          if (deed === 'cut') network.cut(path, 1)
          else if (deed === 'heal') network.heal(path)
          else network.change(path, { capacity: deed })
          if (typeof deed === 'number') whole = deed
          else cut = deed === 'cut'
          assert.deepEqual([path.cut, path.capacity], [cut, cut ? 0 : whole])
          assert.equal(network.connects(a1, b1), !cut)
        }
      }),
      runs(100),
    )
  })
})

describe('one stream', () => {
  const perStream = (change: Parameters<typeof aPath>[2]): number =>
    new SimNetwork(world({ paths: [aPath('a', 'b', change)] })).perStream(a1, b1)

  test('gets what the path says, or less where packets are lost', () => {
    assert.equal(perStream({ perFlow: rate(20) }), 20)
    const lost = { rtt: ms(100), loss: fraction(0.01) }
    assert.equal(perStream(lost), lossLimit(100, 0.01))
    assert.equal(perStream({ ...lost, perFlow: rate(20) }), 20)
    assert.equal(perStream({ ...lost, perFlow: rate(1e12) }), lossLimit(100, 0.01))
  })

  test('follows what changes', () => {
    const network = new SimNetwork(world({ paths: [aPath('a', 'b', { perFlow: rate(20) })] }))
    network.change(only(network), { perFlow: rate(5) })
    assert.equal(network.perStream(a1, b1), 5)
  })

  test('is bounded by nothing where there is no path', () => {
    assert.equal(new SimNetwork(world({ paths: [] })).perStream(a1, b1), infinite)
  })
})

describe('other people’s traffic', () => {
  test('is there on each path that has some, with the weight of several streams, and wants no more than it wants', () => {
    const network = new SimNetwork(
      world({ paths: [aPath('a', 'b', { capacity: rate(100), background: rate(30) }), aPath('b', 'a')] }),
    )
    assert.deepEqual(network.background(), [{ weight: backgroundStreams, most: 30, crosses: [only(network)] }])
  })

  test('is gone while the path is cut', () => {
    const network = new SimNetwork(world({ paths: [aPath('a', 'b', { background: rate(30) })] }))
    network.cut(only(network), 0)
    assert.deepEqual(network.background(), [])
    network.heal(only(network))
    assert.equal(network.background().length, 1)
  })
})
