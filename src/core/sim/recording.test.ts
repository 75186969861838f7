import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aPath, aSnapshot, aVm } from '../../../test/arbitraries.ts'
import type { Observed } from '../control/observed.ts'
import { siteId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { bytes, bytesPerSecond, mebibytes, ms } from '../units.ts'
import { chanceOf } from './chance.ts'
import { Kernel } from './kernel.ts'
import { Recorder, type Recorded } from './recording.ts'
import { rehearse } from './rehearse.ts'
import { SimWorld } from './sim-world.ts'
import type { TimelineEntry } from './timeline.ts'

const of = (n: number, attempt = 1) => ({ vm: vmId(`vm-${n}`), attempt })
const flowing = (n: number, attempt = 1): Observed => ({ kind: 'memory-flowing', ...of(n, attempt) })
const stopped = (n: number): Observed => ({ kind: 'guest-stopped', ...of(n) })
const landed = (n: number, attempt = 1): Observed => ({
  kind: 'landed',
  ...of(n, attempt),
  downtime: undefined,
  sent: bytes(1),
  needed: bytes(1),
})
const failed = (n: number): Observed => ({
  kind: 'attempt-failed',
  ...of(n),
  failure: { code: 'path-lost', detail: 'cut' },
})
const recordedOf = (facts: readonly (readonly [at: number, event: Observed])[], end = 1_000): Recorded => {
  const recorder = new Recorder()
  for (const [at, event] of facts) recorder.onRow({ at: instant(at), event, commands: [] })
  return recorder.done(end)
}

describe('bars', () => {
  test('one for each attempt, from the first byte to its end, with the moment the guest stopped', () => {
    const { bars, landings } = recordedOf([
      [10, flowing(1)],
      [20, flowing(2)],
      [30, stopped(1)],
      [40, failed(2)],
      [50, landed(1)],
      [60, flowing(2, 2)],
      [90, landed(2, 2)],
    ])
    assert.deepEqual(bars, [
      { vm: 'vm-2', from: 20, switched: undefined, to: 40, ended: 'failed' },
      { vm: 'vm-1', from: 10, switched: 30, to: 50, ended: 'safe' },
      { vm: 'vm-2', from: 60, switched: undefined, to: 90, ended: 'safe' },
    ])
    assert.deepEqual(landings, [50, 90])
  })

  test('in post-copy the guest runs elsewhere from the moment that began, also after it broke and was joined again', () => {
    const { bars } = recordedOf([
      [10, flowing(1)],
      [20, { kind: 'post-copy-began', ...of(1) }],
      [30, { kind: 'post-copy-broke', ...of(1), why: 'cut' }],
      [40, { kind: 'post-copy-began', ...of(1) }],
      [50, landed(1)],
    ])
    assert.deepEqual(bars, [{ vm: 'vm-1', from: 10, switched: 20, to: 50, ended: 'safe' }])
  })

  test('what was still under way at the end is open to there', () => {
    assert.deepEqual(recordedOf([[10, flowing(1)]], 70), {
      landings: [],
      bars: [{ vm: 'vm-1', from: 10, switched: undefined, to: 70, ended: 'open' }],
      end: 70,
      paths: [],
    })
  })

  test('an attempt that failed before memory flowed has none', () => {
    assert.deepEqual(recordedOf([[10, failed(1)]]).bars, [])
  })

  test('what concerns no attempt draws nothing', () => {
    assert.deepEqual(
      recordedOf([
        [10, { kind: 'tick' }],
        [20, stopped(1)],
      ]).bars,
      [],
    )
  })
})

describe('curves', () => {
  const rate = bytesPerSecond
  const snapshot = aSnapshot({
    paths: [aPath('a', 'b', { capacity: rate(1_000) }), aPath('b', 'a', { capacity: rate(500) })],
    vms: [aVm('vm-1', 'a-1')],
  })
  const pair = [siteId('a'), siteId('b')] as const

  test('hold until the next point; a value that stays makes no point, and of one instant the last counts', () => {
    const kernel = new Kernel()
    const world = new SimWorld(snapshot, kernel, chanceOf(1))
    const recorder = new Recorder()
    const seeAt = (at: number, capacity: number): void =>
      void kernel.at(at, () => {
        world.changePath(pair, { capacity: rate(capacity) })
        recorder.onRates(world)
      })
    seeAt(0, 1_000)
    seeAt(10, 1_000)
    seeAt(20, 700)
    seeAt(20, 300)
    seeAt(30, 900)
    while (kernel.step());
    const { paths } = recorder.done(40)
    assert.deepEqual(
      paths.map(({ name }) => name),
      ['a → b', 'b → a'],
    )
    assert.deepEqual(paths[0]?.capacity, [
      [0, 1_000],
      [20, 300],
      [30, 900],
    ])
    assert.deepEqual(paths[0]?.used, [[0, 0]])
  })

  test('without a change of rates there is none', () => {
    assert.deepEqual(recordedOf([]).paths, [])
  })
})

describe('a whole evacuation', () => {
  const mib = 2 ** 20
  const record = (timeline: readonly TimelineEntry[]) => {
    const snapshot = aSnapshot({
      paths: [aPath('a', 'b', { capacity: bytesPerSecond(10 * mib), rtt: ms(40) })],
      vms: [1, 2, 3].map(n => aVm(`vm-${n}`, 'a-1', { used: mebibytes(100) })),
    })
    const recorder = new Recorder()
    const { state, world } = rehearse({
      snapshot,
      timeline,
      policy: 'fixed:2',
      limits: { maxParallel: undefined, bandwidth: undefined },
      seed: 1,
      watch: { onRow: row => recorder.onRow(row), onRates: each => recorder.onRates(each) },
    })
    return { state, recorded: recorder.done(world.kernel.now) }
  }
  const cut: readonly TimelineEntry[] = [
    { at: ms(5_000), jitter: ms(0), what: { kind: 'cut', path: [siteId('a'), siteId('b')] } },
    { at: ms(9_000), jitter: ms(0), what: { kind: 'heal', path: [siteId('a'), siteId('b')] } },
  ]

  test('landings are those of the evacuation, ascending, and each has its bar', () => {
    const { state, recorded } = record(cut)
    const switched = [...state.migrations.in('landed')].map(m => m.switchedAt).sort((a, b) => a - b)
    assert.equal(switched.length, 3)
    assert.deepEqual(recorded.landings, switched)
    assert.deepEqual(
      recorded.bars.filter(({ ended }) => ended === 'safe').map(({ to }) => to),
      switched,
    )
    for (const { from, switched: at, to } of recorded.bars) assert.ok(from <= (at ?? from) && (at ?? from) <= to)
  })

  test('what the curve says was used is what was sent, and never more than the path had', () => {
    const { state, recorded } = record(cut)
    const [path] = recorded.paths
    assert.ok(path !== undefined)
    let total = 0
    path.used.forEach(([at, used], n) => {
      total += (used * ((path.used[n + 1]?.[0] ?? recorded.end) - at)) / 1000
      const capacity = path.capacity.findLast(([since]) => since <= at)?.[1] ?? 0
      assert.ok(used <= capacity + 1e-3, `${used} of ${capacity}`)
    })
    const sent = [...state.migrations.in('landed')].reduce((sum, m) => sum + m.bytesSent, 0)
    assert.equal(sent, 300 * mib)
    // While the last word of one is under way it sends nothing, though it still has its share: that is a few milliseconds each.
    assert.ok(total >= sent - 1 && total <= sent + 3 * mib, `${total} were used, ${sent} sent`)
    assert.deepEqual(
      path.capacity.slice(0, 3).map(([at, value]) => [at > 0 ? at : 0, value]),
      [
        [path.capacity[0]?.[0], 10 * mib],
        [5_000, 0],
        [9_000, 10 * mib],
      ],
    )
  })
})
