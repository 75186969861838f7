import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { arbTimeline, placesOf } from '../../../test/arbitrary-timeline.ts'
import { arbSnapshot, aSite, aSnapshot, runs } from '../../../test/arbitraries.ts'
import { type SiteId, siteId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { ms, seconds } from '../units.ts'
import { chanceOf } from './chance.ts'
import { realTimeline } from './real-timeline.ts'
import type { Happening, Timeline, TimelineEntry } from './timeline.ts'

const [a, b] = [siteId('a'), siteId('b')]
const at = (second: number, what: Happening, jitter = 0): TimelineEntry => ({
  at: seconds(second),
  jitter: seconds(jitter),
  what,
})
const off = (second: number, site = a): TimelineEntry => at(second, { kind: 'power-off', site })
const forecast = (second: number, runtime: number, site = a, jitter = 0): TimelineEntry =>
  at(second, { kind: 'power', site, runtime: seconds(runtime) }, jitter)
const calm = at(1, { kind: 'crash', lasts: seconds(1) })

/** When sites lose their power, as `SITE SECONDS`. Site a is endangered. */
function powerOff(
  change: Partial<Snapshot>,
  timeline: Timeline,
  endangered: readonly SiteId[] = [a],
): readonly string[] {
  return realTimeline(aSnapshot(change), timeline, endangered, chanceOf(1)).flatMap(({ at: when, what }) =>
    what.kind === 'power-off' ? [`${what.site} ${when / 1000}`] : [],
  )
}
const ups = (runtime: number, site = a): Snapshot['power'][number] => ({ site, runtime: seconds(runtime) })

describe('a site loses its power', () => {
  test('never, where nothing says so', () => {
    assert.deepEqual(powerOff({}, []), [])
    assert.deepEqual(powerOff({}, [calm]), [])
  })

  test('when the timeline says so, whatever its UPS and the deadline said, and only then', () => {
    const said = { power: [ups(60)], deadline: seconds(90) }
    assert.deepEqual(powerOff(said, [off(300)]), ['a 300'])
    assert.deepEqual(powerOff(said, [forecast(10, 20), off(30)]), ['a 30'])
  })

  test('when its UPS said at the alarm, where the timeline is silent, endangered or not', () => {
    assert.deepEqual(powerOff({ power: [ups(600)] }, [calm]), ['a 600'])
    assert.deepEqual(powerOff({ power: [ups(600, b)] }, [calm]), ['b 600'])
  })

  test('when its UPS said last: so long after it said so', () => {
    assert.deepEqual(powerOff({ power: [ups(600)] }, [forecast(60, 120)]), ['a 180'])
    assert.deepEqual(powerOff({ power: [ups(600)] }, [forecast(60, 3_600)]), ['a 3660'])
    assert.deepEqual(powerOff({ power: [ups(600)] }, [forecast(60, 120), forecast(90, 600)]), ['a 690'])
    assert.deepEqual(powerOff({}, [forecast(60, 120)]), ['a 180'])
  })

  test('once: what a UPS says after that comes too late', () => {
    assert.deepEqual(powerOff({ power: [ups(600)] }, [forecast(600, 3_600)]), ['a 600'])
    assert.deepEqual(powerOff({ power: [ups(600)] }, [forecast(60, 30), forecast(120, 3_600)]), ['a 90'])
  })

  test('at the deadline, if it is endangered and no UPS said anything', () => {
    assert.deepEqual(powerOff({ deadline: seconds(900) }, [calm]), ['a 900'])
    assert.deepEqual(powerOff({ deadline: seconds(900) }, [calm], []), [])
    assert.deepEqual(powerOff({ deadline: seconds(900) }, [], [a, b]), ['a 900', 'b 900'])
  })

  test('before the deadline, if its UPS says so', () => {
    assert.deepEqual(powerOff({ power: [ups(600)], deadline: seconds(900) }, []), ['a 600'])
  })

  test('by what is said of itself, not of another', () => {
    const change = { power: [ups(600), ups(1_200, b)], deadline: seconds(900) }
    assert.deepEqual(powerOff(change, [forecast(1, 5, b), off(300)]), ['b 6', 'a 300'])
    const three = { sites: [aSite('a'), aSite('b'), aSite('c')], deadline: seconds(900) }
    assert.deepEqual(powerOff(three, [off(5), off(7, b)], [a, b, siteId('c')]), ['a 5', 'b 7', 'c 900'])
  })
})

describe('what really happens', () => {
  const arbWorld = arbSnapshot.chain(snapshot =>
    arbTimeline(placesOf(snapshot)).map(timeline => ({ snapshot, timeline })),
  )

  test('is all that was said, each thing within its jitter and not before the alarm, in order, for certain', () => {
    fc.assert(
      fc.property(arbWorld, fc.nat(), ({ snapshot, timeline }, seed) => {
        const real = realTimeline(snapshot, timeline, [a], chanceOf(seed))
        const left = new Set(real)
        for (const said of timeline) {
          const done = real.find(({ what }) => what === said.what)
          assert.ok(done !== undefined, `${said.what.kind} is missing`)
          left.delete(done)
          assert.ok(done.at >= Math.max(0, said.at - said.jitter), `${done.at} is too early`)
          assert.ok(done.at <= said.at + said.jitter, `${done.at} is too late`)
          if (said.jitter === 0) assert.equal(done.at, said.at)
        }
        for (const { what } of left) assert.equal(what.kind, 'power-off')
        for (const { jitter } of real) assert.equal(jitter, 0)
        real.reduce((before, { at: now }) => {
          assert.ok(now >= before, 'out of order')
          return now
        }, 0)
      }),
      runs(300),
    )
  })

  test('has no site lose its power twice that the timeline did not take down itself', () => {
    fc.assert(
      fc.property(arbWorld, fc.nat(), ({ snapshot, timeline }, seed) => {
        const endangered = snapshot.sites.map(({ id }) => id)
        const lost = (entries: Timeline, site: SiteId): number =>
          entries.filter(({ what }) => what.kind === 'power-off' && what.site === site).length
        const real = realTimeline(snapshot, timeline, endangered, chanceOf(seed))
        for (const { id } of snapshot.sites) {
          const said = lost(timeline, id)
          const forecasts = timeline.some(({ what }) => what.kind === 'power' && what.site === id)
          const otherwise = snapshot.deadline !== undefined || forecasts ? 1 : 0
          assert.equal(lost(real, id), said > 0 ? said : otherwise)
        }
      }),
      runs(200),
    )
  })

  test('is spread over the whole of its jitter, both ways alike, and each thing on its own', () => {
    const timeline = Array.from({ length: 2_000 }, (_, n) => at(3_600, { kind: 'crash', lasts: ms(n) }, 10))
    const shifts = realTimeline(aSnapshot(), timeline, [], chanceOf(3)).map(entry => entry.at - 3_600_000)
    assert.ok(Math.min(...shifts) < -9_900 && Math.max(...shifts) > 9_900)
    assert.ok(Math.abs(shifts.reduce((sum, shift) => sum + shift, 0) / shifts.length) < 500)
    assert.ok(new Set(shifts).size > 1_990)
  })

  test('is the same on the same seed, and another on another', () => {
    const timeline = [forecast(100, 600, a, 50), at(200, { kind: 'cut', path: [a, b] }, 50)]
    const on = (seed: number): Timeline => realTimeline(aSnapshot(), timeline, [a], chanceOf(seed))
    assert.deepEqual(on(1), on(1))
    const moments = new Set(Array.from({ length: 50 }, (_, seed) => on(seed)[0]?.at))
    assert.equal(moments.size, 50)
  })

  test('moves the end with the forecast that jitters', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const real = realTimeline(aSnapshot(), [forecast(100, 600, a, 50)], [a], chanceOf(seed))
      assert.equal(real[1]?.at, (real[0]?.at ?? 0) + 600_000)
    }
  })

  test('leaves what was said as it was', () => {
    const timeline = [off(300), forecast(400, 5, b, 30)]
    const before = structuredClone(timeline)
    realTimeline(aSnapshot(), timeline, [a], chanceOf(1))
    assert.deepEqual(timeline, before)
  })
})
