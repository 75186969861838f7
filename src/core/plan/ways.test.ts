import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbRequest, aSite, aSnapshot, aVm, runs, someVms } from '../../../test/arbitraries.ts'
import { hostId, siteId } from '../ids.ts'
import type { Path, Snapshot } from '../inventory/snapshot.ts'
import { mebibytes, megabitsPerSecond } from '../units.ts'
import { openLedger, reserve } from './ledger.ts'
import type { PlacementView } from './placement.ts'
import { planEvacuation } from './plan-evacuation.ts'
import { Ways } from './ways.ts'

const [b, c] = [siteId('b'), siteId('c')]
const mbit = (n: number | undefined) => (n === undefined ? undefined : megabitsPerSecond(n))
/** One site to leave, two to go to, each by a path of its own. */
const twoWays = (toB: Partial<Path>, toC: Partial<Path>, change: Partial<Snapshot> = {}): Snapshot =>
  aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [
      aHost('a-1', 'a', { memory: mebibytes(65_536) }),
      aHost('b-1', 'b', { memory: mebibytes(65_536) }),
      aHost('c-1', 'c', { memory: mebibytes(65_536) }),
    ],
    paths: [aPath('a', 'b', toB), aPath('a', 'c', toC)],
    vms: someVms(8),
    ...change,
  })
const viewOf = (snapshot: Snapshot): PlacementView => ({
  snapshot,
  ledger: openLedger(snapshot),
  endangered: [siteId('a')],
  targets: [b, c],
  down: new Map(),
  excluded: [],
})
const waysOf = (snapshot: Snapshot): Ways => new Ways({ snapshot, targets: [b, c] })
/** Where each of `n` alike goes that is given out one after the other. */
function dealt(snapshot: Snapshot, n: number): Readonly<Record<string, number>> {
  const ways = waysOf(snapshot)
  const count: Record<string, number> = {}
  for (let at = 0; at < n; at += 1) {
    const vm = aVm(`vm-${at}`, 'a-1')
    const host = ways.soonest(vm, viewOf(snapshot))
    assert.ok(host !== undefined)
    ways.load(vm, host)
    count[host] = (count[host] ?? 0) + 1
  }
  return count
}

describe('what a VM could get at most', () => {
  test('what the best of its ways leaves for us', () => {
    const snapshot = twoWays({ capacity: mbit(100) }, { capacity: mbit(1_000), background: mbit(700) })
    assert.equal(waysOf(snapshot).best(hostId('a-1')), megabitsPerSecond(300))
  })

  test('no more than cards and uplinks on it let through', () => {
    const paths = [aPath('a', 'b', { capacity: mbit(1_000) }), aPath('a', 'c', { capacity: mbit(1_000) })]
    const bestOf = (change: Partial<Snapshot>): number =>
      waysOf(twoWays({}, {}, { paths, ...change })).best(hostId('a-1'))
    assert.equal(bestOf({}), megabitsPerSecond(1_000))
    const hosts = [aHost('a-1', 'a', { nic: mbit(400) }), aHost('b-1', 'b'), aHost('c-1', 'c')]
    assert.equal(bestOf({ hosts }), megabitsPerSecond(400))
    const sites = [aSite('a'), aSite('b', { safe: true, uplink: mbit(200) }), aSite('c', { safe: true })]
    assert.equal(bestOf({ sites }), megabitsPerSecond(1_000), 'c has no such uplink')
    assert.equal(bestOf({ sites: [aSite('a', { uplink: mbit(50) }), ...sites.slice(1)] }), megabitsPerSecond(50))
  })

  test('a way of which nothing is stated is an ordinary one of 1 Gbit/s: neither better nor worse than those that are known', () => {
    const best = (known: number): number => waysOf(twoWays({ capacity: mbit(known) }, {})).best(hostId('a-1'))
    assert.equal(best(100), megabitsPerSecond(1_000))
    assert.equal(best(10_000), megabitsPerSecond(10_000))
  })

  test('it is a rate, whatever the inventory', () => {
    fc.assert(
      fc.property(arbRequest, request => {
        const ways = new Ways(request)
        for (const { id } of request.snapshot.hosts) assert.ok(Number.isFinite(ways.best(id)) && ways.best(id) > 0)
      }),
      runs(300),
    )
  })
})

describe('where a VM is home soonest', () => {
  test('ways of like speed are given the like; of ways of different speed each as much as it carries', () => {
    assert.deepEqual(dealt(twoWays({ capacity: mbit(100) }, { capacity: mbit(100) }), 8), { 'b-1': 4, 'c-1': 4 })
    assert.deepEqual(dealt(twoWays({ capacity: mbit(300) }, { capacity: mbit(100) }), 8), { 'b-1': 6, 'c-1': 2 })
  })

  test('other people’s part is not ours', () => {
    const shares = dealt(twoWays({ capacity: mbit(400), background: mbit(300) }, { capacity: mbit(300) }), 8)
    assert.deepEqual(shares, { 'b-1': 2, 'c-1': 6 })
  })

  test('a way nobody knows does not draw all of them, nor does it get none', () => {
    const { moves } = planEvacuation({
      snapshot: twoWays({ capacity: mbit(1_000) }, {}),
      endangered: [siteId('a')],
      targets: [b, c],
      policy: 'finish-first',
      slots: 1,
      bandwidth: undefined,
      order: 'value-per-time',
    })
    const to = (host: string): number => moves.filter(({ target }) => target === hostId(host)).length
    assert.deepEqual([to('b-1'), to('c-1')], [4, 4])
  })

  test('a card into which others go already is busy, another of the same site is not', () => {
    const snapshot = twoWays(
      { capacity: mbit(1_000) },
      { capacity: mbit(10) },
      {
        hosts: [
          aHost('a-1', 'a', { memory: mebibytes(65_536) }),
          aHost('b-1', 'b', { memory: mebibytes(65_536), nic: mbit(100) }),
          aHost('b-2', 'b', { memory: mebibytes(65_536), nic: mbit(100) }),
          aHost('c-1', 'c'),
        ],
      },
    )
    assert.deepEqual(dealt(snapshot, 4), { 'b-1': 2, 'b-2': 2 })
  })

  test('an uplink that both ways end in is shared by them', () => {
    const sites = [aSite('a', { uplink: mbit(50) }), aSite('b', { safe: true }), aSite('c', { safe: true })]
    const snapshot = twoWays({ capacity: mbit(100) }, { capacity: mbit(100) }, { sites })
    const ways = waysOf(snapshot)
    ways.load(aVm('before', 'a-1'), hostId('b-1'))
    // It comes after the one before by either way; b is no worse than c, and the first of equals.
    assert.equal(ways.soonest(aVm('next', 'a-1'), viewOf(snapshot)), hostId('b-1'))
  })

  test('of hosts alike the emptiest, and none that has no room', () => {
    const snapshot = twoWays({ capacity: mbit(100) }, { capacity: mbit(100) })
    const view = viewOf(snapshot)
    const some = {
      ...view,
      ledger: reserve(view.ledger, hostId('b-1'), aVm('there', 'b-1', { memory: mebibytes(1_024) })),
    }
    assert.equal(waysOf(snapshot).soonest(aVm('vm', 'a-1'), some), hostId('c-1'))
    const full = {
      ...view,
      ledger: reserve(view.ledger, hostId('c-1'), aVm('there', 'c-1', { memory: mebibytes(65_536) })),
    }
    assert.equal(waysOf(snapshot).soonest(aVm('vm', 'a-1'), full), hostId('b-1'))
    assert.equal(waysOf(snapshot).soonest(aVm('vm', 'a-1', { memory: mebibytes(131_072) }), full), undefined)
  })
})
