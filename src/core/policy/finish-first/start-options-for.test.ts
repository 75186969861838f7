import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbRate, aSnapshot, aVm, runs } from '../../../../test/arbitraries.ts'
import { allowing } from '../../../../test/finish-first-facts.ts'
import { hostId } from '../../ids.ts'
import type { Path } from '../../inventory/snapshot.ts'
import { defaultVmPolicy, modesOfLastResort, type Vm } from '../../inventory/vm.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { type Lane, Lanes } from './lanes.ts'
import { type Circumstances, firstDowntime, optionsFor, roomBeside, streamsFor } from './start-options-for.ts'

/** @param capacity in Mbit/s */
const laneOf = (capacity: number | undefined, path: Partial<Path> = {}, nic?: number): Lane => {
  const known = capacity === undefined ? undefined : megabitsPerSecond(capacity)
  const snapshot = aSnapshot({
    hosts: [aHost('a-1', 'a', { nic: nic === undefined ? undefined : megabitsPerSecond(nic) }), aHost('b-1', 'b')],
    paths: [aPath('a', 'b', { capacity: known, rtt: ms(20), ...path })],
  })
  return new Lanes(snapshot, new Map(), undefined).lane(hostId('a-1'), hostId('b-1'))
}
const guest = (change: Partial<Vm> = {}): Vm => aVm('vm-1', 'a-1', change)
const within = (maxDowntime: number): Partial<Vm> => ({ policy: { ...defaultVmPolicy, maxDowntime: ms(maxDowntime) } })
/** @param share of 100 Mbit/s */
const writing = (share: number, change: Partial<Vm> = {}): Vm =>
  guest({ dirty: { hot: mebibytes(0), period: ms(1_000), cold: bytesPerSecond(12_500_000 * share) }, ...change })

describe('squeezing', () => {
  const how = (
    capacity: number,
    compressions: readonly ('zstd' | 'zlib')[] | undefined,
    change: Partial<Vm> = {},
    circumstances: Circumstances = {},
  ) => {
    const snapshot = aSnapshot({
      hosts: [aHost('a-1', 'a', { compressions }), aHost('b-1', 'b', { compressions: ['zstd'] })],
      paths: [aPath('a', 'b', { capacity: megabitsPerSecond(capacity), rtt: ms(20) })],
    })
    const lane = new Lanes(snapshot, new Map(), undefined).lane(hostId('a-1'), hostId('b-1'))
    return optionsFor(guest(change), lane, circumstances).compression
  }

  test('where both hosts can and the path is slow enough for that to pay, at the first attempt', () => {
    assert.equal(how(100, ['zstd']), 'zstd')
    assert.equal(how(1_000, ['zstd']), 'zstd')
    assert.equal(how(1_100, ['zstd']), 'none')
    assert.equal(how(100, ['zlib']), 'none')
    assert.equal(how(100, undefined), 'none')
    assert.equal(how(100, ['zstd'], {}, { again: true }), 'none')
  })

  test('not where its host is overloaded, and it would take much of it', () => {
    assert.equal(how(100, ['zstd'], {}, { overloaded: true }), 'none')
  })

  test('not for who may go into post-copy: the two do not go together', () => {
    assert.equal(how(100, ['zstd'], { policy: { ...defaultVmPolicy, allow: ['post-copy'] } }), 'none')
  })
})

describe('streams', () => {
  const streams = (capacity: number | undefined, perFlow?: number, change: Partial<Vm> = {}): number =>
    streamsFor(guest(change), laneOf(capacity, perFlow === undefined ? {} : { perFlow: megabitsPerSecond(perFlow) }))

  test('one where it fills the path: what several have in their buffers is waited for while a guest stands still', () => {
    assert.equal(streams(100), 1)
    assert.equal(streams(100, 100), 1)
    assert.equal(streams(600), 1)
  })

  test('as many as fill the path where one is known not to, and no more than eight', () => {
    assert.equal(streams(1_000, 200), 5)
    assert.equal(streams(1_000, 300), 4)
    assert.equal(streams(100, 60), 2)
    assert.equal(streams(1_000, 50), 8)
  })

  test('but not where a stream empties its buffer in more than three times the downtime: more VMs at a time fill that path', () => {
    // 3 MB at 26 Mbit/s are 0.92 s.
    assert.deepEqual(
      [27, 26].map(each => streams(200, each)),
      [8, 1],
    )
    assert.equal(streams(200, 26, within(400)), 8)
    assert.equal(streams(1_000, 10), 3)
    assert.equal(streams(1_000, 0), 3)
  })

  test('as many as needed where losses over that round trip are what holds one back', () => {
    const lossy = (loss: number): number => streamsFor(guest(), laneOf(100, { rtt: ms(50), loss: fraction(loss) }))
    assert.equal(lossy(0), 1)
    assert.equal(lossy(0.000_05), 3)
    assert.equal(lossy(0.1), 1)
  })

  test('several where the path empties their buffers within a quarter of the downtime: they outlast what stops one', () => {
    // 3 MB each: 9.4 MB at 1 Gbit/s in 75 ms.
    assert.equal(streams(1_000), 3)
    assert.equal(streams(2_000), 6)
    assert.equal(streams(10_000), 8)
    assert.equal(streams(1_000, undefined, within(30)), 1)
    assert.equal(streams(1_000, undefined, within(0)), 1)
    assert.equal(streams(100, undefined, within(2_000)), 2)
  })

  test('no more than its card needs', () => {
    assert.equal(streamsFor(guest(), laneOf(1_000, { perFlow: megabitsPerSecond(100) }, 300)), 3)
  })

  test('one where nothing is known of the path, and where its owner allows post-copy, which goes with no more', () => {
    assert.equal(streams(undefined), 1)
    assert.equal(streams(undefined, 100), 1)
    assert.equal(streamsFor(guest(), undefined), 1)
    assert.equal(streams(1_000, 100, allowing('post-copy')), 1)
  })
})

describe('a guest that does not converge', () => {
  test('post-copy is prepared for exactly where it is allowed; everybody else is throttled if need be', () => {
    for (const mode of modesOfLastResort) {
      const { postCopy, autoConverge } = optionsFor(guest(allowing(mode)), laneOf(100))
      assert.deepEqual([postCopy, autoConverge], [mode === 'post-copy', mode !== 'post-copy'])
    }
    const { postCopy, autoConverge } = optionsFor(guest(), laneOf(100))
    assert.deepEqual([postCopy, autoConverge], [false, true])
  })

  test('known to write more than half of what is sent, is throttled at once to where it writes a quarter, by 99 % at most', () => {
    const throttle = (share: number, lane = laneOf(100)) => optionsFor(writing(share), lane).throttle
    assert.equal(optionsFor(guest(), laneOf(100)).throttle, undefined)
    assert.equal(throttle(0.5), undefined)
    for (const share of [0.6, 1, 2, 20]) {
      const initial = throttle(share)?.initial ?? 0
      assert.ok(Math.abs(share * (1 - initial) - 0.25) < 1e-9, `${share}: ${initial}`)
    }
    assert.equal(throttle(1_000)?.initial, 0.99)
    assert.equal(throttle(2)?.step, 0.2)
    // Its card is what it is sent at.
    assert.ok((throttle(0.5, laneOf(1_000, {}, 50))?.initial ?? 0) > 0)
    assert.equal(throttle(1_000, laneOf(undefined)), undefined, 'nobody knows what is sent')
    assert.equal(optionsFor(writing(1_000), undefined).throttle, undefined)
  })
})

const plain = (channels: number) => ({ channels, compression: 'none' }) as const
const squeezed = { channels: 1, compression: 'zstd' } as const

describe('the downtime it is told to keep to at first', () => {
  test('half of its owner’s, so that the next may have half of the path meanwhile', () => {
    for (const maxDowntime of [300, 2_000, 1, 0])
      assert.equal(firstDowntime(guest(within(maxDowntime)), laneOf(100), plain(1)), maxDowntime / 2)
  })

  test('all of it for a guest that writes more than a tenth of what is sent: it needs it to converge', () => {
    assert.equal(firstDowntime(writing(0.1), laneOf(100), plain(1)), 150)
    assert.equal(firstDowntime(writing(0.11), laneOf(100), plain(1)), 300)
  })

  test('less by as long as the buffers of several streams take to be emptied, down to a fifth', () => {
    // 6 MB at 100 Mbit/s: 480 ms.
    assert.equal(firstDowntime(guest(within(2_000)), laneOf(100), plain(2)), 520)
    assert.equal(firstDowntime(writing(0.5, within(2_000)), laneOf(100), plain(2)), 1_520)
    assert.equal(firstDowntime(guest(), laneOf(100), plain(8)), 60)
    // Squeezed memory goes over a channel, be it one.
    assert.equal(firstDowntime(guest(within(2_000)), laneOf(100), squeezed), 760)
    assert.equal(firstDowntime(guest(), laneOf(undefined), plain(8)), 150, 'nobody knows how long that takes')
  })

  test('never more than its owner’s, never nothing of it, whatever the path', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000 }),
        fc.option(arbRate, { nil: undefined }),
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 10, noNaN: true }),
        (maxDowntime, rate, channels, share) => {
          const lane = laneOf(rate === undefined ? undefined : (rate * 8) / 1e6)
          const limit = firstDowntime(writing(share, within(maxDowntime)), lane, plain(channels))
          assert.ok(limit >= maxDowntime * 0.2 && limit <= maxDowntime, `${limit} of ${maxDowntime}`)
        },
      ),
      runs(300),
    )
  })
})

describe('room for the next while a guest stands still', () => {
  const room = (downtimeLimit: number, streams = 1, lane = laneOf(100), change: Partial<Vm> = {}): number =>
    roomBeside(
      { tuning: { rate: undefined, downtimeLimit: ms(downtimeLimit) }, streams, compression: 'none' },
      guest(change),
      lane,
    )

  test('what its downtime limit leaves of its owner’s, and no more than half of the path', () => {
    assert.equal(room(150), 0.5)
    assert.equal(room(60), 0.5)
    assert.ok(Math.abs(room(240) - 0.2) < 1e-9)
    assert.equal(room(300), 0)
    // One that its owner allows to stand still for as long as the rest takes.
    assert.equal(room(20_000), 0)
  })

  test('less by what the buffers of several streams take', () => {
    assert.equal(room(150, 8), 0)
    assert.ok(Math.abs(room(150, 3, laneOf(1_000)) - (1 - 222 / 300)) < 1e-9)
  })
})
