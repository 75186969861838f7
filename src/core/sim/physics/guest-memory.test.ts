import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../../test/arbitraries.ts'
import { bytesPerSecond, mebibytes, ms } from '../../units.ts'
import { dirtiedWithin, type Guest, pageSize } from './guest-memory.ts'

const mib = 2 ** 20
/** Writes 64 MiB every 4 s, and 1 MiB/s beside; uses 256 MiB. */
const aGuest = (change: Partial<Guest> = {}): Guest => ({
  dirty: { hot: mebibytes(64), period: ms(4_000), cold: bytesPerSecond(mib) },
  used: 256 * mib,
  diskUsed: 1024 * mib,
  diskWrites: 0,
  throttle: 0,
  ...change,
})

const arbGuest: fc.Arbitrary<Guest> = fc.record({
  dirty: fc.option(
    fc.record({
      hot: fc.integer({ min: 0, max: 4096 }).map(mebibytes),
      period: fc.integer({ min: 0, max: 60_000 }).map(ms),
      cold: fc.double({ min: 0, max: 1e9, noNaN: true }).map(bytesPerSecond),
    }),
    { nil: undefined },
  ),
  used: fc.integer({ min: 0, max: 4 * 2 ** 30 }),
  diskUsed: fc.integer({ min: 0, max: 4 * 2 ** 30 }),
  diskWrites: fc.double({ min: 0, max: 1e8, noNaN: true }),
  throttle: fc.constantFrom(0, 0.2, 0.5, 0.99),
})
const arbSpan = fc.double({ min: 0, max: 3_600_000, noNaN: true })

describe('the memory a guest writes', () => {
  test('the hot set grows towards its size and stays there, the cold rate goes on', () => {
    const hotOnly = aGuest({ dirty: { hot: mebibytes(64), period: ms(4_000), cold: bytesPerSecond(0) } })
    assert.equal(dirtiedWithin(hotOnly, 1_000), 16 * mib)
    assert.equal(dirtiedWithin(hotOnly, 4_000), 64 * mib)
    assert.equal(dirtiedWithin(hotOnly, 400_000), 64 * mib)
    assert.equal(dirtiedWithin(aGuest(), 1_000), 17 * mib)
    assert.equal(dirtiedWithin(aGuest(), 4_000), 68 * mib)
    assert.equal(dirtiedWithin(aGuest(), 10_000), 74 * mib)
  })

  test('no more becomes dirty than is used', () => {
    assert.equal(dirtiedWithin(aGuest(), 10_000_000), 256 * mib)
    assert.equal(dirtiedWithin(aGuest({ used: mib }), 1_000), mib)
  })

  test('a guest of which nothing is known writes nothing', () => {
    assert.equal(dirtiedWithin(aGuest({ dirty: undefined }), 1_000_000), 0)
  })

  test('in no time nothing is written, nor before it began', () => {
    for (const span of [0, -1, -1_000_000]) assert.equal(dirtiedWithin(aGuest({ diskWrites: 1e9 }), span), 0)
  })

  test('whole pages only', () => {
    const slow = aGuest({ dirty: { hot: mebibytes(0), period: ms(1), cold: bytesPerSecond(pageSize) } })
    assert.equal(dirtiedWithin(slow, 999), 0)
    assert.equal(dirtiedWithin(slow, 1_000), pageSize)
    assert.equal(dirtiedWithin(slow, 1_999), pageSize)
  })

  test('a hot set that is rewritten all the time is dirty after a millisecond', () => {
    const wild = aGuest({ dirty: { hot: mebibytes(64), period: ms(0), cold: bytesPerSecond(0) } })
    assert.equal(dirtiedWithin(wild, 1), 64 * mib)
  })

  test('a throttled guest writes as much as one that had only the time it is left', () => {
    assert.equal(dirtiedWithin(aGuest({ throttle: 0.5 }), 2_000), dirtiedWithin(aGuest(), 1_000))
    assert.equal(dirtiedWithin(aGuest({ throttle: 0.75, diskWrites: mib }), 8_000), 36 * mib)
  })

  test('what is written to disks that are copied along comes on top, whatever memory is used', () => {
    assert.equal(dirtiedWithin(aGuest({ dirty: undefined, diskWrites: 10 * mib }), 3_000), 30 * mib)
    assert.equal(dirtiedWithin(aGuest({ used: mib, diskWrites: 10 * mib }), 3_000), 31 * mib)
    assert.equal(dirtiedWithin(aGuest({ dirty: undefined, diskWrites: 10 * mib, throttle: 0.5 }), 3_000), 15 * mib)
  })

  test('never negative, whole pages, and bounded by what is used and what disks get', () => {
    fc.assert(
      fc.property(arbGuest, arbSpan, (guest, span) => {
        const dirtied = dirtiedWithin(guest, span)
        assert.ok(dirtied >= 0 && dirtied % pageSize === 0)
        const most = guest.used + (guest.diskWrites * span * (1 - guest.throttle)) / 1000
        assert.ok(dirtied <= most + 1e-3, `${dirtied} of ${most}`)
      }),
      runs(500),
    )
  })

  test('more time never makes it less, twice the time at most twice as much', () => {
    fc.assert(
      fc.property(arbGuest, arbSpan, arbSpan, (guest, a, b) => {
        const [short, long] = a < b ? [a, b] : [b, a]
        assert.ok(dirtiedWithin(guest, short) <= dirtiedWithin(guest, long))
        assert.ok(dirtiedWithin(guest, a + b) <= dirtiedWithin(guest, a) + dirtiedWithin(guest, b) + 2 * pageSize)
      }),
      runs(500),
    )
  })

  test('a stronger throttle never makes it more, more memory in use never less', () => {
    fc.assert(
      fc.property(arbGuest, arbSpan, fc.nat(), (guest, span, more) => {
        const dirtied = dirtiedWithin(guest, span)
        assert.ok(dirtiedWithin({ ...guest, throttle: (1 + guest.throttle) / 2 }, span) <= dirtied)
        assert.ok(dirtiedWithin({ ...guest, used: guest.used + more }, span) >= dirtied)
      }),
      runs(500),
    )
  })
})
