import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, aVm, driven } from '../../../../test/arbitraries.ts'
import {
  decide,
  inPhase,
  pathOf,
  paused,
  ready,
  roomy,
  startOf,
  tended,
  tick,
  type Timed,
  viewOf,
} from '../../../../test/finish-first-facts.ts'
import type { Observed } from '../../control/observed.ts'
import { hostId, siteId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Path, Snapshot } from '../../inventory/snapshot.ts'
import { fraction, mebibytes, megabitsPerSecond } from '../../units.ts'
import { circumstancesOf } from './host-guard.ts'
import { Lanes } from './lanes.ts'
import { optionsFor } from './start-options-for.ts'

const load = (busy: number, host = 'a-1'): Observed => ({
  kind: 'host-load',
  hosts: [{ host: hostId(host), busy: fraction(busy), waiting: fraction(busy) }],
})
/** All squeeze. */
const squeezing = (capacity: number, change: Partial<Snapshot> = {}): Snapshot => {
  const world = aSnapshot({
    hosts: [roomy('a-1', 'a'), roomy('a-2', 'a'), roomy('b-1', 'b')],
    paths: [pathOf(capacity)],
    vms: Array.from({ length: 6 }, (_, n) => aVm(`vm-${n + 1}`, n < 4 ? 'a-1' : 'a-2', { used: mebibytes(500) })),
    ...change,
  })
  return { ...world, hosts: world.hosts.map(host => ({ ...host, compressions: ['zstd'] as const })) }
}

describe('a cap that is a promise', () => {
  const optionsOn = (capacity: number, path: Partial<Path> = {}, bandwidth?: number) => {
    const world = squeezing(capacity)
    const [only] = world.paths
    assert.ok(only !== undefined)
    const state = driven([
      [0, startOf({ ...world, paths: [{ ...only, ...path }] })],
      [0, paused],
    ])
    const view = viewOf(state, instant(1_000), { admitting: true })
    const [queued] = [...state.migrations.in('queued')]
    assert.ok(queued !== undefined)
    const allowed = bandwidth === undefined ? undefined : megabitsPerSecond(bandwidth)
    const lanes = new Lanes(view.snapshot, new Map(), allowed)
    const lane = lanes.lane(hostId('a-1'), hostId('b-1'))
    const { compression, channels } = optionsFor(view.vmOf(queued.vm), lane, circumstancesOf(view, lanes, queued))
    return [compression, channels]
  }

  test('is given to one plain stream where it is too small for channels, which send 42 Mbit/s at least', () => {
    assert.deepEqual(optionsOn(1_000), ['zstd', 3])
    assert.deepEqual(optionsOn(1_000, {}, 10), ['none', 1])
    assert.deepEqual(optionsOn(1_000, {}, 160), ['none', 1])
    assert.deepEqual(optionsOn(1_000, {}, 200), ['zstd', 3])
    assert.deepEqual(optionsOn(1_000, { perFlow: megabitsPerSecond(5) }, 20), ['none', 1])
    assert.deepEqual(optionsOn(100, { background: megabitsPerSecond(40) }), ['none', 1])
    assert.deepEqual(optionsOn(100), ['zstd', 1], 'no promise')
  })
})

describe('an overloaded host', () => {
  const isSpared = (world: Snapshot, busy: number): boolean | undefined => {
    const state = driven([
      [0, startOf(world)],
      [0, paused],
      [0, load(busy)],
    ])
    const view = viewOf(state, instant(1_000), { admitting: true })
    const queued = [...state.migrations.in('queued')].find(({ source }) => source === hostId('a-1'))
    assert.ok(queued !== undefined)
    return circumstancesOf(view, new Lanes(view.snapshot, new Map(), undefined), queued).overloaded
  }

  test('is asked to squeeze only what takes no more than a quarter of a processor', () => {
    // 300 Mbit/s squeezed are 68 MB of memory a second, of the 300 that one thread squeezes.
    assert.deepEqual(
      [100, 300, 350, 1_000].map(capacity => isSpared(squeezing(capacity), 0.99)),
      [false, false, true, true],
    )
    assert.equal(isSpared(squeezing(1_000), 0.5), false)
  })

  test('… by any of its ways: placement has the last word on which it is', () => {
    const world = squeezing(100)
    const c = { ...roomy('c-1', 'c'), compressions: ['zstd'] as const }
    const sites = [...world.sites, { id: siteId('c'), safe: true, uplink: undefined }]
    const both = {
      ...world,
      sites,
      hosts: [...world.hosts, c],
      paths: [...world.paths, { ...pathOf(1_000), to: siteId('c') }],
    }
    assert.equal(isSpared(both, 0.99), true)
  })

  test('has what is ready to be squeezed made ready anew, plain', () => {
    const facts: Timed[] = [
      [0, startOf(squeezing(1_000))],
      [1, ready(1)],
      [2, ready(2)],
      [900, load(0.99)],
      [950, tick],
    ]
    const released = tended(decide(driven(facts.slice(0, -1)), 950)).filter(({ kind }) => kind === 'release')
    assert.deepEqual(
      released.map(each => [each.kind, 'vm' in each ? each.vm : '']),
      [['release', 'vm-2']],
    )
    assert.deepEqual(tended(decide(driven([...facts.slice(0, 3), [900, load(0.6)]]), 950)), [])
  })

  test('keeps none of another host waiting: one of those is made ready too', () => {
    const facts = (busy: number): Timed[] => [
      [0, load(busy)],
      [1, ready(1)],
      [1_000, tick],
      [2_000, tick],
    ]
    const world: Timed = [0, startOf(squeezing(100))]
    const preparing = (busy: number): readonly string[] => inPhase(driven([world, ...facts(busy)]), 'preparing')
    assert.deepEqual(preparing(0.5), ['vm-2', 'vm-3'])
    assert.deepEqual(preparing(0.99), ['vm-2', 'vm-5'])
  })
})
