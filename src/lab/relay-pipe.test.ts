import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { type PipeSettings, RelayPipe } from './relay-pipe.ts'

/** 100 Mbit/s, 20 ms one way: a packet of 1250 bytes takes a tenth of a millisecond. */
const settings: PipeSettings = { rate: 12_500_000, delay: 20, loss: 0, cut: false }
const pipeOf = (change: Partial<PipeSettings> = {}): RelayPipe => new RelayPipe({ ...settings, ...change })
/** Never lost. */
const lucky = 0.999_999

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < 1e-6, `${actual}, expected ${expected}`)

test('a packet on an idle link takes its size over the rate, then the delay', () => {
  near(pipeOf().accept(1_250, 1_000, lucky), 1_020.1)
  near(pipeOf({ delay: 0 }).accept(125_000, 0, lucky), 10)
})

test('packets that come at once leave one after the other at the rate', () => {
  const pipe = pipeOf()
  for (let n = 1; n <= 10; n += 1) near(pipe.accept(1_250, 0, lucky), 20 + n * 0.1)
})

test('a link that was idle does not save up what it could have carried', () => {
  const pipe = pipeOf()
  near(pipe.accept(1_250, 0, lucky), 20.1)
  near(pipe.accept(1_250, 5_000, lucky), 5_020.1)
  near(pipe.accept(1_250, 5_000, lucky), 5_020.2)
})

test('the queue holds what the link carries in 100 ms; what comes then is dropped, until there is room again', () => {
  const pipe = pipeOf()
  let taken = 0
  while (pipe.accept(1_250, 0, lucky) !== undefined) taken += 1
  assert.ok(taken >= 999 && taken <= 1_000, `${taken} of 1250 bytes`)
  assert.ok(Math.abs(pipe.queued(0) - 1_250_000) <= 1_250)
  assert.equal(pipe.accept(1_250, 0.05, lucky), undefined)
  assert.notEqual(pipe.accept(1_250, 0.2, lucky), undefined)
  assert.equal(pipe.queued(200), 0)
})

test('on a slow link the queue still holds a few large packets', () => {
  const pipe = pipeOf({ rate: 10_000 })
  assert.notEqual(pipe.accept(65_536, 0, lucky), undefined)
  assert.notEqual(pipe.accept(65_000, 0, lucky), undefined)
  assert.equal(pipe.accept(9_000, 0, lucky), undefined)
})

test('a packet is lost when chance is below the loss, and only then', () => {
  const pipe = pipeOf({ loss: 0.25 })
  assert.equal(pipe.accept(100, 0, 0), undefined)
  assert.equal(pipe.accept(100, 0, 0.249_999), undefined)
  assert.notEqual(pipe.accept(100, 0, 0.25), undefined)
  assert.deepEqual([pipe.carriedPackets, pipe.droppedPackets], [1, 2])
  assert.notEqual(pipeOf({ loss: 0 }).accept(100, 0, 0), undefined, 'no loss loses nothing, whatever the chance')
  assert.equal(pipeOf({ loss: 1 }).accept(100, 0, lucky), undefined, 'a loss of all carries nothing')
})

test('a lost packet takes no time on the wire', () => {
  const pipe = pipeOf({ loss: 0.5 })
  pipe.accept(125_000, 0, 0)
  near(pipe.accept(1_250, 0, lucky), 20.1)
})

test('a link that is cut carries nothing until it is healed', () => {
  const pipe = pipeOf()
  pipe.change({ cut: true }, 0)
  assert.equal(pipe.accept(100, 1, lucky), undefined)
  pipe.change({ cut: false }, 10)
  near(pipe.accept(1_250, 10, lucky), 30.1)
})

test('a rate of zero carries nothing, and forgets nothing it was told when it comes back', () => {
  const pipe = pipeOf()
  pipe.change({ rate: 0 }, 0)
  assert.equal(pipe.accept(100, 1, lucky), undefined)
  assert.equal(pipe.queued(1), 0)
  pipe.change({ rate: 12_500_000 }, 10)
  near(pipe.accept(1_250, 10, lucky), 30.1)
})

test('what is changed is what was given; the rest stays', () => {
  const pipe = pipeOf()
  pipe.change({ delay: 5 }, 0)
  pipe.change({ loss: 0.1 }, 0)
  assert.deepEqual(pipe.settings, { rate: 12_500_000, delay: 5, loss: 0.1, cut: false })
})

test('bytes that wait when the rate drops are still in front, at the new pace', () => {
  const pipe = pipeOf()
  pipe.accept(125_000, 0, lucky) // on the wire until 10 ms
  pipe.change({ rate: 1_250_000 }, 0)
  near(pipe.queued(0), 125_000)
  // 100 ms for the bytes in front, 1 ms for its own 1250.
  near(pipe.accept(1_250, 0, lucky), 121)
})

test('bytes that wait when the rate rises leave sooner, and nobody overtakes them', () => {
  const pipe = pipeOf()
  const first = pipe.accept(125_000, 0, lucky)
  near(first, 30)
  pipe.change({ rate: 125_000_000 }, 0)
  near(pipe.queued(0), 125_000)
  near(pipe.accept(1_250, 0, lucky), 30)
  near(pipe.accept(125_000, 20, lucky), 41)
})

test('when the delay shrinks, packets still arrive in the order in which they came', () => {
  const pipe = pipeOf()
  near(pipe.accept(1_250, 0, lucky), 20.1)
  pipe.change({ delay: 1 }, 1)
  near(pipe.accept(1_250, 1, lucky), 20.1)
  near(pipe.accept(1_250, 30, lucky), 31.1)
})

const arbPackets = fc.array(
  fc.record({
    size: fc.integer({ min: 1, max: 65_536 }),
    after: fc.double({ min: 0, max: 50, noNaN: true }),
    chance: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  }),
  { minLength: 1, maxLength: 80 },
)
const arbSettings = fc.record({
  rate: fc.integer({ min: 1_000, max: 1_250_000_000 }),
  delay: fc.double({ min: 0, max: 500, noNaN: true }),
  loss: fc.constantFrom(0, 0, 0.01, 0.3),
})

test('never faster than the rate: between two arrivals lies at least the time of all bytes since the first', () => {
  fc.assert(
    fc.property(arbSettings, arbPackets, (given, packets) => {
      const pipe = pipeOf(given)
      let now = 0
      const arrived: { readonly at: number; readonly size: number }[] = []
      for (const { size, after, chance } of packets) {
        now += after
        const at = pipe.accept(size, now, chance)
        if (at === undefined) continue
        assert.ok(at >= now + (size / given.rate) * 1000 + given.delay - 1e-6, 'and never sooner than the light')
        arrived.push({ at, size })
      }
      let since = 0
      arrived.forEach(({ at, size }, n) => {
        if (n > 0) since += size
        const first = arrived[0]?.at ?? 0
        assert.ok(at - first >= (since / given.rate) * 1000 - 1e-6, `${at - first} ms for ${since} bytes`)
      })
    }),
    runs(500),
  )
})

test('whatever is changed in flight, order is kept, and every packet is counted once', () => {
  const arbStep = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        size: fc.integer({ min: 1, max: 65_536 }),
        chance: fc.double({ min: 0, max: 0.999, noNaN: true }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record(
        {
          rate: fc.constantFrom(0, 10_000, 1_250_000, 125_000_000),
          delay: fc.integer({ min: 0, max: 300 }),
          loss: fc.constantFrom(0, 0.2),
          cut: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
    },
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(arbStep, fc.integer({ min: 0, max: 200 })), { maxLength: 120 }), steps => {
      const pipe = pipeOf()
      let now = 0
      let last = 0
      let offered = 0
      let bytes = 0
      for (const [action, after] of steps) {
        now += after
        if (!('size' in action)) {
          pipe.change(action, now)
          continue
        }
        offered += 1
        const at = pipe.accept(action.size, now, action.chance)
        if (at === undefined) continue
        bytes += action.size
        assert.ok(Number.isFinite(at) && at >= last && at >= now, `${at} after ${last}`)
        last = at
      }
      assert.equal(pipe.carriedPackets + pipe.droppedPackets, offered)
      assert.equal(pipe.carriedBytes, bytes)
      assert.ok(pipe.queued(now) >= 0)
    }),
    runs(500),
  )
})
