import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { hostId, vmId } from '../ids.ts'
import { plainStart } from '../migration/start-options.ts'
import { bytesPerSecond, mebibytes, ms } from '../units.ts'
import { dirtiedWithin, type Guest, pageSize } from './physics/guest-memory.ts'
import { channelBuffer, leastRound, wireShare } from './physics/timings.ts'
import {
  copiesDisks,
  endPass,
  flowOf,
  hasEnded,
  isConnected,
  leftOf,
  milestoneIn,
  settle,
  type Transfer,
  type TransferStatus,
  wirePerByte,
} from './transfer.ts'

const mib = 2 ** 20
/** 100 MiB to go at 10 MiB/s; what goes over within 300 ms is 3 MiB. */
const aTransfer = (change: Partial<Transfer> = {}): Transfer => ({
  vm: vmId('vm-1'),
  source: hostId('a-1'),
  target: hostId('b-1'),
  options: plainStart,
  crosses: [],
  status: 'active',
  total: 100 * mib,
  disk: undefined,
  remaining: 100 * mib,
  sent: 0,
  round: 1,
  roundBegan: 0,
  judged: { at: 0, sent: 0, dirtied: 0 },
  outrun: 0,
  throttle: 0,
  dirtyRate: undefined,
  rate: 10 * mib,
  cap: Number.POSITIVE_INFINITY,
  downtimeLimit: 300,
  stoppedAt: undefined,
  downtime: undefined,
  error: undefined,
  settledAt: 0,
  milestone: undefined,
  patience: undefined,
  startedAt: 0,
  closing: false,
  postCopyAsked: false,
  silentUntil: 0,
  ...change,
})
const idle: Guest = { dirty: undefined, used: 100 * mib, diskUsed: 0, diskWrites: 0, throttle: 0 }
/** Writes so many bytes a second, all of them different. */
const busy = (rate: number): Guest => ({
  ...idle,
  used: 1000 * mib,
  dirty: { hot: mebibytes(0), period: ms(1), cold: bytesPerSecond(rate) },
})
const statuses: readonly TransferStatus[] = [
  'starting',
  'active',
  'stopping',
  'post-copy',
  'post-copy-broken',
  'completed',
  'failed',
  'cancelled',
]
const near = (a: number | undefined, b: number): void =>
  assert.ok(a !== undefined && Math.abs(a - b) <= 1e-6 * Math.max(1, b), `${a} is not ${b}`)

describe('a transfer', () => {
  test('flows while it is active, stops its guest or is in post-copy; it has ended in three ways', () => {
    assert.deepEqual(
      statuses.filter(status => isConnected(aTransfer({ status }))),
      ['active', 'stopping', 'post-copy'],
    )
    assert.deepEqual(
      statuses.filter(status => hasEnded(aTransfer({ status }))),
      ['completed', 'failed', 'cancelled'],
    )
  })

  test('a flow weighs as many streams as it has channels, and each stream has its own limit and the cap all of them', () => {
    const of = (channels: number, change: Partial<Transfer> = {}) =>
      flowOf(aTransfer({ options: { ...plainStart, channels }, ...change }), 100, 1)
    assert.deepEqual(of(1), { weight: 1, most: 100, crosses: [] })
    assert.deepEqual(of(8), { weight: 8, most: 800, crosses: [] })
    const capped = (channels: number, cap: number): number =>
      flowOf(aTransfer({ options: { ...plainStart, channels }, cap }), 10_000_000, 1).most
    assert.equal(capped(8, 25_000_000), 25_000_000)
    // Packets of 128 pages, ten looks at the cap a second: less than that is not kept over channels.
    assert.deepEqual([capped(2, 1_000_000), capped(1, 1_000_000)], [5_242_880, 1_000_000])
    assert.equal(of(0).weight, 1)
    // While the guest stands still QEMU takes the cap off: nobody else is worth its users' waiting.
    assert.deepEqual(
      statuses.filter(status => of(1, { status, cap: 50 }).most === 100),
      ['stopping'],
    )
    // One thread of QEMU fills 10 Gbit/s and no more, however good the path.
    assert.equal(flowOf(aTransfer(), Infinity, 1).most, 1.25e9)
    // … of a processor that it has to itself, and squeezing keeps it busier.
    assert.equal(flowOf(aTransfer(), Infinity, 0.1).most, 1.25e8)
    const zstd = aTransfer({ options: { ...plainStart, channels: 2, compression: 'zstd' } })
    assert.equal(flowOf(zstd, Infinity, 0.5).most, 3e8 * wireShare.zstd)
  })
})

describe('settling', () => {
  test('takes in what went over', () => {
    const transfer = aTransfer()
    settle(transfer, 2_500)
    assert.equal(transfer.sent, 25 * mib)
    assert.equal(transfer.remaining, 75 * mib)
    assert.equal(transfer.settledAt, 2_500)
  })

  test('nothing more goes over than there is', () => {
    const transfer = aTransfer()
    settle(transfer, 1_000_000)
    assert.deepEqual([transfer.remaining, transfer.sent], [0, 100 * mib])
  })

  test('compressed, a byte of memory is less on the wire, and so more of them go over', () => {
    const transfer = aTransfer({ options: { ...plainStart, compression: 'zstd' } })
    assert.equal(wirePerByte(transfer), wireShare.zstd)
    settle(transfer, 1_000)
    near(transfer.sent, 10 * mib)
    near(transfer.remaining, 100 * mib - (10 * mib) / wireShare.zstd)
  })

  test('what does not flow stays as it is, and the time is not made up for later', () => {
    for (const status of statuses.filter(each => !isConnected(aTransfer({ status: each })))) {
      const transfer = aTransfer({ status })
      settle(transfer, 5_000)
      assert.deepEqual([transfer.remaining, transfer.sent, transfer.settledAt], [100 * mib, 0, 5_000], status)
      transfer.status = 'active'
      settle(transfer, 6_000)
      assert.equal(transfer.sent, 10 * mib)
    }
  })

  test('no byte is lost or made: what remains and what went over are what there was, however often it is settled', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 36 }),
        fc.constantFrom('none' as const, 'zlib' as const, 'zstd' as const),
        fc.constantFrom('active' as const, 'stopping' as const, 'post-copy' as const),
        fc.array(
          fc.record({
            after: fc.double({ min: 0, max: 60_000, noNaN: true }),
            rate: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1.25e9, noNaN: true })),
          }),
          { maxLength: 20 },
        ),
        (remaining, compression, status, spans) => {
          const options = { ...plainStart, compression }
          const transfer = aTransfer({ remaining, status, options })
          let now = 0
          let most = 0
          for (const { after, rate } of spans) {
            transfer.rate = rate
            now += after
            most += (rate * after) / 1000
            const before = { ...transfer }
            settle(transfer, now)
            assert.ok(transfer.remaining <= before.remaining && transfer.remaining >= 0)
            assert.ok(transfer.sent >= before.sent)
          }
          const all = transfer.remaining + transfer.sent / wirePerByte(transfer)
          assert.ok(Math.abs(all - remaining) <= 1e-9 * Math.max(1, remaining) + 1e-3, `${all} of ${remaining}`)
          assert.ok(transfer.sent <= most * (1 + 1e-9) + 1e-3, 'no faster than it was given')
          const again = { ...transfer }
          settle(transfer, now)
          assert.deepEqual(transfer, again)
        },
      ),
      runs(300),
    )
  })

  test('settled in between or not comes to the same', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 20_000, noNaN: true }),
        fc.double({ min: 0, max: 20_000, noNaN: true }),
        (a, b) => {
          const [once, twice] = [aTransfer(), aTransfer()]
          settle(once, a + b)
          settle(twice, a)
          settle(twice, a + b)
          assert.ok(Math.abs(once.sent - twice.sent) < 1)
        },
      ),
      runs(100),
    )
  })
})

describe('the end of a pass', () => {
  test('what was written since it began is to be sent again', () => {
    const transfer = aTransfer({ remaining: 3 * mib, sent: 97 * mib, settledAt: 9_700 })
    assert.equal(endPass(transfer, busy(mib), 9_700), false)
    assert.equal(transfer.remaining, 3 * mib + dirtiedWithin(busy(mib), 9_700))
    assert.deepEqual([transfer.round, transfer.roundBegan], [2, 9_700])
    assert.deepEqual(transfer.judged, { at: 9_700, sent: 97 * mib, dirtied: 0 })
    near(transfer.dirtyRate, (dirtiedWithin(busy(mib), 9_700) / 9_700) * 1000)
  })

  test('says that the guest can be stopped when the rest goes over within the downtime limit, and a page', () => {
    const endsWith = (remaining: number): boolean => endPass(aTransfer({ remaining }), idle, 1_000)
    assert.ok(endsWith(0))
    assert.ok(endsWith(3 * mib))
    assert.ok(endsWith(3 * mib + pageSize))
    assert.ok(!endsWith(3 * mib + pageSize + 1))
    assert.ok(endPass(aTransfer({ remaining: 6 * mib, downtimeLimit: 600 }), idle, 1_000))
    // On the wire it is less.
    const options = { ...plainStart, compression: 'zstd' } as const
    assert.ok(endPass(aTransfer({ remaining: 4 * mib, options }), idle, 1_000))
  })

  test('what was written counts before the guest can be stopped', () => {
    assert.ok(!endPass(aTransfer({ remaining: 3 * mib }), busy(10 * mib), 1_000))
  })

  test('a pass that took no time wrote nothing', () => {
    const transfer = aTransfer({ roundBegan: 500, remaining: 50 * mib })
    endPass(transfer, busy(10 * mib), 500)
    assert.deepEqual([transfer.remaining, transfer.dirtyRate, transfer.round], [50 * mib, 0, 2])
  })
})

describe('auto-converge', () => {
  const options = { ...plainStart, autoConverge: true }
  /** Passes of a second in which 10 MiB are sent and so much is written. @returns the throttle after each */
  const throttles = (writes: readonly number[], change: Partial<Transfer> = {}): readonly number[] => {
    const transfer = aTransfer({ remaining: 10 * mib, options, ...change })
    return writes.map((written, n) => {
      const now = (n + 1) * 1_000
      settle(transfer, now)
      transfer.remaining = 0
      endPass(transfer, busy(written), now)
      transfer.remaining = 10 * mib
      return transfer.throttle
    })
  }
  const [little, much] = [4 * mib, 6 * mib]

  test('after two passes, the first included, in which the guest wrote over half of what was sent it is slowed', () => {
    assert.deepEqual(throttles([much, much]), [0, 0.2])
  })

  test('passes shorter than a second are judged together, when a second is over', () => {
    const transfer = aTransfer({ remaining: 100 * mib, options })
    const seen = Array.from({ length: 24 }, (_, n) => {
      const now = (n + 1) * 100
      settle(transfer, now)
      endPass(transfer, busy(10 * mib), now)
      return transfer.throttle
    })
    assert.deepEqual([seen[18], seen[19]], [0, 0.2])
    near(transfer.dirtyRate, dirtiedWithin(busy(10 * mib), 100) * 10)
  })

  test('after each two passes more it is slowed more, to 99 % and no further', () => {
    const all = throttles(Array.from({ length: 25 }, () => much))
    assert.deepEqual(
      all.slice(0, 9).map(throttle => Math.round(throttle * 100)),
      [0, 20, 20, 30, 30, 40, 40, 50, 50],
    )
    assert.equal(all.at(-1), 0.99)
  })

  test('half of what was sent is borne', () => {
    assert.ok(throttles(Array.from({ length: 10 }, () => 5 * mib)).every(throttle => throttle === 0))
    assert.deepEqual(throttles([little, 5 * mib + pageSize, 5 * mib + pageSize]), [0, 0, 0.2])
  })

  test('the two passes need not follow on each other', () => {
    assert.deepEqual(throttles([little, much, little, little, much]), [0, 0, 0, 0, 0.2])
  })

  test('it compares memory with memory where the wire carries less', () => {
    const zstd = { ...options, compression: 'zstd' } as const
    // 10 MiB on the wire were 15.9 MiB of memory.
    const change = { options: zstd, rate: 10 * mib * wireShare.zstd }
    assert.deepEqual(throttles([much, much], change), [0, 0.2])
    assert.ok(throttles([little, little, little, little], change).every(throttle => throttle === 0))
  })

  test('without it nobody is slowed', () => {
    const all = throttles(
      Array.from({ length: 10 }, () => 10 * mib),
      { options: plainStart },
    )
    assert.ok(all.every(throttle => throttle === 0))
  })
})

describe('the next milestone', () => {
  test('of a pass: when the rest would go over within the downtime limit', () => {
    near(milestoneIn(aTransfer(), 0), 9_700)
    near(milestoneIn(aTransfer({ downtimeLimit: 0 }), 0), 10_000)
    near(milestoneIn(aTransfer({ remaining: 53 * mib, settledAt: 4_700 }), 4_700), 5_000)
    const options = { ...plainStart, compression: 'zstd' } as const
    // … and what the channel that squeezing goes over has in its buffers.
    near(milestoneIn(aTransfer({ options }), 0), 10_000 * wireShare.zstd - 300 - (channelBuffer / (10 * mib)) * 1000)
  })

  test('of the rest of a guest that is stopped, or runs elsewhere: when all is over', () => {
    for (const status of ['stopping', 'post-copy'] as const) near(milestoneIn(aTransfer({ status }), 0), 10_000)
  })

  test('there is none while nothing moves', () => {
    for (const status of ['active', 'stopping', 'post-copy'] as const)
      assert.equal(milestoneIn(aTransfer({ status, rate: 0 }), 0), undefined, status)
  })

  test('a pass over clean memory takes its time too, so that passes do not follow on each other without end', () => {
    assert.equal(milestoneIn(aTransfer({ remaining: 0 }), 0), leastRound)
    assert.equal(milestoneIn(aTransfer({ remaining: 0, roundBegan: 100 }), 104), leastRound - 4)
    assert.equal(milestoneIn(aTransfer({ remaining: 0 }), 5_000), 0)
    assert.equal(milestoneIn(aTransfer({ remaining: 2 * mib }), 5_000), 0)
  })

  test('what is settled at its milestone ends its pass, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 36 }),
        fc.double({ min: 1, max: 1.25e9, noNaN: true }),
        fc.integer({ min: 0, max: 5_000 }),
        fc.constantFrom('none' as const, 'zlib' as const, 'zstd' as const),
        fc.integer({ min: 0, max: 1_000_000 }),
        (remaining, rate, downtimeLimit, compression, now) => {
          const transfer = aTransfer({
            remaining,
            rate,
            downtimeLimit,
            options: { ...plainStart, compression },
            settledAt: now,
            roundBegan: now,
          })
          const span = milestoneIn(transfer, now)
          assert.ok(span !== undefined && span >= leastRound - 1e-6)
          settle(transfer, now + span)
          assert.ok(endPass(transfer, idle, now + span), `${transfer.remaining} are left`)
        },
      ),
      runs(300),
    )
  })
})

describe('disks', () => {
  const writing = (rate: number): Guest => ({ ...idle, diskUsed: 50 * mib, diskWrites: rate })
  const copying = (): Transfer =>
    aTransfer({
      round: 0,
      remaining: 50 * mib,
      total: 150 * mib,
      disk: { copied: 0, total: 50 * mib, waiting: 100 * mib },
    })

  test('go first, whole; then memory begins with its first pass', () => {
    const transfer = copying()
    assert.equal(milestoneIn(transfer, 0), 5_000)
    settle(transfer, 5_000)
    assert.deepEqual([transfer.sent, transfer.disk?.copied, leftOf(transfer)], [50 * mib, 50 * mib, 100 * mib])
    assert.ok(!endPass(transfer, idle, 5_000))
    assert.deepEqual([transfer.round, transfer.remaining, copiesDisks(transfer)], [1, 100 * mib, false])
  })

  test('what is written meanwhile is copied again, until next to nothing is left', () => {
    const transfer = copying()
    settle(transfer, 5_000)
    assert.ok(!endPass(transfer, writing(5 * mib), 5_000))
    assert.deepEqual([transfer.round, transfer.remaining, transfer.disk?.total], [0, 25 * mib, 75 * mib])
    let now = 5_000
    for (let n = 0; copiesDisks(transfer); n += 1) {
      assert.ok(n < 20, 'half of its rate is caught up with')
      now += milestoneIn(transfer, now) ?? 0
      settle(transfer, now)
      endPass(transfer, writing(5 * mib), now)
    }
    assert.ok(transfer.remaining >= 100 * mib && transfer.remaining < 101 * mib)
    assert.equal(transfer.disk?.copied, transfer.disk?.total)
  })

  test('what is written while memory flows goes along with it', () => {
    const transfer = aTransfer({ disk: { copied: 50 * mib, total: 50 * mib, waiting: 0 }, remaining: 0 })
    assert.ok(!endPass(transfer, writing(10 * mib), 1_000))
    assert.equal(transfer.remaining, 10 * mib)
    assert.equal(transfer.disk?.total, 60 * mib)
  })
})
