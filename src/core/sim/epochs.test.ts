import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { arbTimeline, placesOf } from '../../../test/arbitrary-timeline.ts'
import { aHost, aPath, arbSnapshot, aSnapshot, runs } from '../../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import type { Path, Snapshot } from '../inventory/snapshot.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, seconds } from '../units.ts'
import { endOf, epochsOf, nicOf } from './epochs.ts'
import type { Happening, Timeline, TimelineEntry } from './timeline.ts'

const [a, b] = [siteId('a'), siteId('b')]
const at = (second: number, what: Happening): TimelineEntry => ({ at: seconds(second), jitter: seconds(0), what })
const mbit = (n: number) => megabitsPerSecond(n)
const snapshot = aSnapshot({ paths: [aPath('a', 'b', { capacity: mbit(100) }), aPath('b', 'a')] })
const [there, back] = snapshot.paths

/** `FROM…UNTIL there/back` with seconds and Mbit/s; hosts that are down after a `-`. */
const shown = (timeline: Timeline, world: Snapshot = snapshot): readonly string[] =>
  epochsOf(world, timeline).map(({ from, until, capacity, down }) => {
    const [first, second] = [there, back].map(
      path => (path === undefined ? NaN : (capacity.get(path) ?? NaN)) / 125_000,
    )
    return [`${from / 1000}…${until / 1000} ${first}/${second}`, ...[...down].sort()].join(' -')
  })

describe('the spans of time in which nothing changes', () => {
  test('are one, for ever, where nothing happens', () => {
    assert.deepEqual(shown([]), ['0…Infinity 100/Infinity'])
  })

  test('end where a path changes, is cut or heals, in both directions alike', () => {
    const path = [b, a] as const
    assert.deepEqual(
      shown([
        at(10, { kind: 'path', path, change: { capacity: mbit(20) } }),
        at(20, { kind: 'cut', path }),
        at(30, { kind: 'heal', path }),
      ]),
      ['0…10 100/Infinity', '10…20 20/20', '20…30 0/0', '30…Infinity 20/20'],
    )
  })

  test('know that a path which changes while it is cut heals to what it became', () => {
    const path = [a, b] as const
    assert.deepEqual(
      shown([
        at(10, { kind: 'cut', path }),
        at(20, { kind: 'path', path, change: { capacity: mbit(20) } }),
        at(30, { kind: 'heal', path }),
      ]),
      ['0…10 100/Infinity', '10…20 0/0', '20…30 0/0', '30…Infinity 20/20'],
    )
  })

  test('end where a host goes down or a site loses its power; nothing brings them back', () => {
    const timeline = [
      at(10, { kind: 'host-down', host: hostId('b-1') }),
      at(20, { kind: 'power-off', site: a }),
      at(20, { kind: 'power', site: a, runtime: seconds(60) }),
      at(30, { kind: 'power-off', site: b }),
    ]
    assert.deepEqual(shown(timeline), [
      '0…10 100/Infinity',
      '10…20 100/Infinity -b-1',
      '20…30 100/Infinity -a-1 -b-1',
      '30…Infinity 100/Infinity -a-1 -b-1 -b-2',
    ])
    const epochs = epochsOf(snapshot, timeline)
    assert.deepEqual(
      ['a-1', 'b-1', 'b-2', 'elsewhere'].map(host => endOf(epochs, hostId(host))),
      [20_000, 10_000, 30_000, Infinity],
    )
  })

  test('do not end for what moves neither paths nor hosts', () => {
    const vm = vmId('web-1')
    const model = { hot: mebibytes(1), period: seconds(1), cold: bytesPerSecond(0) }
    assert.deepEqual(
      shown([
        at(10, { kind: 'power', site: a, runtime: seconds(60) }),
        at(20, { kind: 'crash', lasts: seconds(5) }),
        at(30, { kind: 'dirty', vm, model }),
        at(40, { kind: 'fail', vm, how: 'path-lost', times: 1 }),
      ]),
      ['0…Infinity 100/Infinity'],
    )
  })

  test('begin at the alarm with what happens at the alarm; two things at once are one change', () => {
    const path = [a, b] as const
    assert.deepEqual(
      shown([
        at(0, { kind: 'cut', path }),
        at(10, { kind: 'heal', path }),
        at(10, { kind: 'host-down', host: hostId('b-1') }),
      ]),
      ['0…10 0/0', '10…Infinity 100/Infinity -b-1'],
    )
  })

  test('are without a gap, and each holds what the timeline made of the world by then', () => {
    const arbWorld = arbSnapshot.chain(world => arbTimeline(placesOf(world)).map(timeline => ({ world, timeline })))
    fc.assert(
      fc.property(arbWorld, ({ world, timeline }) => {
        const epochs = epochsOf(world, timeline)
        let last = 0
        for (const { from, until, capacity, down } of epochs) {
          assert.equal(from, last)
          assert.ok(until > from)
          last = until
          const before = timeline.filter(entry => entry.at <= from)
          for (const path of world.paths) assert.equal(capacity.get(path), capacityAfter(path, before))
          const gone = before.flatMap(({ what }) =>
            world.hosts.filter(
              host =>
                (what.kind === 'host-down' && what.host === host.id) ||
                (what.kind === 'power-off' && what.site === host.site),
            ),
          )
          assert.deepEqual([...down].sort(), [...new Set(gone.map(({ id }) => id))].sort())
        }
        assert.equal(last, Infinity)
        const moments = new Set([0, ...epochs.map(({ from }) => from)])
        for (const { at: when, what } of timeline)
          if (['path', 'cut', 'heal', 'power-off', 'host-down'].includes(what.kind)) assert.ok(moments.has(when))
      }),
      runs(300),
    )
  })

  test('are the same in whatever order the things of a timeline are given', () => {
    const path = [a, b] as const
    const timeline = [
      at(10, { kind: 'cut', path }),
      at(20, { kind: 'heal', path }),
      at(30, { kind: 'power-off', site: a }),
    ]
    assert.deepEqual(shown(timeline.toReversed()), shown(timeline))
  })
})

/** The slow and obvious way. */
function capacityAfter(path: Path, timeline: Timeline): number {
  let whole: number = path.capacity ?? Infinity
  let cut = false
  for (const { what } of timeline) {
    if (what.kind !== 'path' && what.kind !== 'cut' && what.kind !== 'heal') continue
    if ([...what.path].sort().join(' ') !== [path.from, path.to].sort().join(' ')) continue
    if (what.kind === 'path') whole = what.change.capacity ?? whole
    else cut = what.kind === 'cut'
  }
  return cut ? 0 : whole
}

test("a host's card is as fast as the inventory says, and no bound where it says nothing", () => {
  const world = aSnapshot({ hosts: [aHost('a-1', 'a', { nic: bytesPerSecond(1.25e9) }), aHost('b-1', 'b')] })
  assert.deepEqual(
    ['a-1', 'b-1', 'elsewhere'].map(host => nicOf(world, hostId(host))),
    [1.25e9, Infinity, Infinity],
  )
})
