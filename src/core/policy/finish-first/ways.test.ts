import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSnapshot, driven, someVms } from '../../../../test/arbitraries.ts'
import { roomy, startOf, twoWays, viewOf } from '../../../../test/finish-first-facts.ts'
import { hostId, siteId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import { megabitsPerSecond } from '../../units.ts'
import type { PolicyView } from '../policy.ts'
import { Lanes } from './lanes.ts'
import { hostsTo, rateOf, waysFrom } from './ways.ts'

const view = (snapshot: Snapshot): PolicyView => viewOf(driven([[0, startOf(snapshot)]]), instant(0))
const a = hostId('a-1')

describe('ways out of a host', () => {
  test('hosts of the sites that receive, by the path that leads to them', () => {
    const world = twoWays(100, 100, someVms(2))
    const more = view({ ...world, hosts: [...world.hosts, roomy('b-2', 'b')] })
    assert.deepEqual(waysFrom(more, a), [[hostId('b-1'), hostId('b-2')], [hostId('c-1')]])
    assert.deepEqual(hostsTo(more, a), ['b-1', 'b-2', 'c-1'].map(hostId))
  })

  test('none leads where no path does; where no path is declared at all, one leads to each site', () => {
    const { paths, ...world } = twoWays(100, 100, someVms(2))
    assert.deepEqual(hostsTo(view({ ...world, paths: paths.slice(0, 1) }), a), [hostId('b-1')])
    assert.deepEqual(waysFrom(view({ ...world, paths: [] }), a), [[hostId('b-1')], [hostId('c-1')]])
  })

  test('a path to one host of a site is a way of its own', () => {
    const paths = [aPath('a', 'b'), { ...aPath('a', 'b'), to: hostId('b-2') }]
    assert.deepEqual(waysFrom(view(aSnapshot({ paths })), a), [[hostId('b-1')], [hostId('b-2')]])
  })

  test('sites that do not receive any more are no way', () => {
    const all = view(twoWays(100, 100, someVms(2)))
    assert.equal(hostsTo(all, a).length, 2)
    assert.deepEqual(hostsTo({ ...all, targets: [siteId('c')] }, a), [hostId('c-1')])
    assert.deepEqual(hostsTo({ ...all, targets: [] }, a), [])
    assert.equal(hostsTo(all, a).length, 2)
  })
})

test('a way of which nothing is known is not taken for a fast one, nor one that carries nothing for one without end', () => {
  const rate = (capacity: number | undefined, nic?: number): number => {
    const hosts = [roomy('a-1', 'a', nic), aHost('b-1', 'b')]
    const known = capacity === undefined ? undefined : megabitsPerSecond(capacity)
    const paths = [aPath('a', 'b', { capacity: known })]
    return rateOf(new Lanes(aSnapshot({ hosts, paths }), new Map(), undefined).lane(a, hostId('b-1')))
  }
  assert.equal(rate(undefined), megabitsPerSecond(100))
  assert.equal(rate(300), megabitsPerSecond(300))
  assert.equal(rate(300, 40), megabitsPerSecond(40))
  assert.equal(rate(undefined, 400), megabitsPerSecond(400))
  assert.equal(rate(0), 65_536)
})
