import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { namesIn } from '../../config/check-names.ts'
import { parseInventory, printInventory } from '../../config/inventory-file.ts'
import { parseTimeline, printTimeline } from '../../config/timeline-file.ts'
import { rawYaml } from '../../config/yaml-file.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms, parseFraction, printFraction } from '../units.ts'
import { generateWorld, pathKinds, type PathKind, type Sizes, type WorldSpec } from './generate.ts'
import type { Timeline } from './timeline.ts'

const capacity = megabitsPerSecond(1_000)
const usual: WorldSpec = {
  endangered: 1,
  safe: 1,
  hosts: 2,
  vms: 20,
  memory: { kind: 'lognormal', median: mebibytes(2048), spread: 2 },
  activity: { warm: 0.3, hot: 0.1 },
  path: { kind: 'steady', capacity, rtt: ms(20) },
  room: 1.5,
  deadline: undefined,
  seed: 1,
}

const arbMebibytes = fc.integer({ min: 1, max: 65_536 }).map(mebibytes)
const arbSizes: fc.Arbitrary<Sizes> = fc.oneof(
  fc.record({ kind: fc.constant('fixed' as const), size: arbMebibytes }),
  fc.record({ kind: fc.constant('uniform' as const), from: arbMebibytes, to: arbMebibytes }),
  fc.record({
    kind: fc.constant('lognormal' as const),
    median: arbMebibytes,
    spread: fc.double({ min: 1, max: 3, noNaN: true }),
  }),
)
const arbSpec: fc.Arbitrary<WorldSpec> = fc.record({
  endangered: fc.integer({ min: 1, max: 3 }),
  safe: fc.integer({ min: 1, max: 3 }),
  hosts: fc.integer({ min: 1, max: 4 }),
  vms: fc.nat({ max: 15 }),
  memory: arbSizes,
  activity: fc.double({ min: 0, max: 1, noNaN: true }).map(warm => ({ warm, hot: (1 - warm) / 2 })),
  path: fc.record({
    kind: fc.constantFrom(...pathKinds),
    capacity: fc
      .oneof(fc.integer({ min: 1, max: 100_000 }), fc.double({ min: 0.001, max: 1e5, noNaN: true }))
      .map(megabitsPerSecond),
    rtt: fc.double({ min: 0, max: 1_000, noNaN: true }).map(ms),
  }),
  room: fc.double({ min: 0, max: 3, noNaN: true }),
  deadline: fc.option(fc.nat({ max: 3_600_000 }).map(ms), { nil: undefined }),
  seed: fc.nat(),
})

/** As it is read from a text: with the keys that are not said, and losses exact only to the last bits of a double. */
const asRead = (timeline: Timeline): Timeline =>
  timeline.map(entry => {
    if (entry.what.kind !== 'path') return entry
    const { capacity: to, rtt, loss, perFlow, background } = entry.what.change
    const change = {
      capacity: to,
      rtt,
      loss: loss === undefined ? undefined : parseFraction(printFraction(loss)),
      perFlow,
      background,
    }
    return { ...entry, what: { ...entry.what, change } }
  })

describe('any generated world', () => {
  test('can be written to a scenario folder and read from it again', () => {
    fc.assert(
      fc.property(arbSpec, spec => {
        const { snapshot, timeline } = generateWorld(spec)
        const inventory = printInventory(snapshot, 'generated')
        assert.deepEqual(parseInventory(inventory, 'inventory.yaml'), snapshot)
        const read = parseTimeline(printTimeline(timeline), 'timeline.yaml', namesIn(rawYaml(inventory)))
        assert.deepEqual(read, asRead(timeline))
      }),
      runs(60),
    )
  })

  test('has the sites, hosts, VMs and paths that were asked for; all VMs stand in sites to be left', () => {
    fc.assert(
      fc.property(arbSpec, spec => {
        const { snapshot } = generateWorld(spec)
        const safe = snapshot.sites.filter(site => site.safe)
        assert.deepEqual([snapshot.sites.length - safe.length, safe.length], [spec.endangered, spec.safe])
        for (const { id } of snapshot.sites)
          assert.equal(snapshot.hosts.filter(({ site }) => site === id).length, spec.hosts)
        assert.equal(snapshot.vms.length, spec.vms)
        assert.equal(new Set(snapshot.vms.map(({ id }) => id)).size, spec.vms)
        assert.equal(snapshot.paths.length, spec.endangered * spec.safe)
        for (const path of snapshot.paths)
          assert.deepEqual([path.capacity, path.rtt], [spec.path.capacity, spec.path.rtt])
        assert.equal(snapshot.deadline, spec.deadline)
        const left = snapshot.hosts.filter(({ site }) => !safe.some(({ id }) => id === site)).map(({ id }) => id)
        const counts = left.map(id => snapshot.vms.filter(({ host }) => host === id).length)
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          spec.vms,
        )
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, 'spread evenly')
      }),
      runs(150),
    )
  })

  test('has no host with more guests than memory, and safe hosts with the room that was asked for', () => {
    fc.assert(
      fc.property(arbSpec, spec => {
        const { sites, hosts, vms } = generateWorld(spec).snapshot
        for (const { id, memory } of hosts) {
          const theirs = vms.filter(({ host }) => host === id).reduce((sum, vm) => sum + vm.memory, 0)
          assert.ok(theirs <= memory, `${id} has ${memory} for ${theirs}`)
        }
        const total = vms.reduce((sum, vm) => sum + vm.memory, 0)
        const largest = Math.max(0, ...vms.map(({ memory }) => memory))
        const safe = hosts.filter(({ site }) => sites.some(({ id, safe: yes }) => yes && id === site))
        const room = safe.reduce((sum, { memory }) => sum + memory, 0)
        assert.ok(room >= total * spec.room - 4096 * safe.length, 'too little room')
        for (const { memory } of safe) assert.ok(memory >= largest * 2, 'no room for the largest')
      }),
      runs(150),
    )
  })

  test('has guests that use some of their memory, write no more than they use, and are of some value', () => {
    fc.assert(
      fc.property(arbSpec, spec => {
        for (const { memory, used, dirty, value } of generateWorld(spec).snapshot.vms) {
          assert.ok(used >= memory * 0.4 - 4096 && used <= memory * 0.95 + 4096 && used <= memory)
          assert.ok(value >= 1)
          if (dirty === undefined) continue
          assert.ok(dirty.hot <= used && dirty.hot > 0 && dirty.period > 0 && dirty.cold < used)
        }
      }),
      runs(150),
    )
  })

  test('is the same for the same numbers and seed', () => {
    fc.assert(
      fc.property(arbSpec, spec => {
        assert.deepEqual(generateWorld(structuredClone(spec)), generateWorld(spec))
      }),
      runs(50),
    )
  })

  test('is another on another seed', () => {
    fc.assert(
      fc.property(arbSpec, fc.nat(), (spec, seed) => {
        fc.pre(seed !== spec.seed && spec.vms >= 3)
        const used = (world: WorldSpec): readonly number[] =>
          generateWorld(world).snapshot.vms.map(vm => vm.used / vm.memory)
        assert.notDeepEqual(used({ ...spec, seed }), used(spec))
      }),
      runs(100),
    )
  })

  test('keeps its guests when its paths are of another kind: only one thing is varied at a time', () => {
    fc.assert(
      fc.property(arbSpec, fc.constantFrom(...pathKinds), (spec, kind) => {
        const { vms, hosts } = generateWorld({ ...spec, path: { ...spec.path, kind } }).snapshot
        const { snapshot } = generateWorld(spec)
        assert.deepEqual([vms, hosts], [snapshot.vms, snapshot.hosts])
      }),
      runs(50),
    )
  })

  test('without a VM is a world all the same', () => {
    const { snapshot, timeline } = generateWorld({ ...usual, vms: 0 })
    assert.deepEqual([snapshot.vms, timeline], [[], []])
    assert.ok(snapshot.hosts.every(({ memory }) => memory >= mebibytes(64)))
  })
})

describe('the guests of a large generated world', () => {
  const memoryOf = (memory: Sizes, vms = 4_000): readonly number[] =>
    generateWorld({ ...usual, vms, memory })
      .snapshot.vms.map(vm => vm.memory)
      .sort((a, b) => a - b)
  const shareOf = <T>(all: readonly T[], which: (one: T) => boolean): number => all.filter(which).length / all.length
  const about = (actual: number, expected: number, off: number): void =>
    assert.ok(Math.abs(actual - expected) <= off, `${actual} is not about ${expected}`)

  test('are all of the fixed size', () => {
    const sizes = memoryOf({ kind: 'fixed', size: mebibytes(1536) }, 100)
    assert.ok(sizes.every(size => size === mebibytes(1536)))
  })

  test('are spread evenly between two sizes, whichever is named first', () => {
    const [from, to] = [mebibytes(1024), mebibytes(5120)]
    for (const sizes of [memoryOf({ kind: 'uniform', from, to }), memoryOf({ kind: 'uniform', from: to, to: from })]) {
      assert.ok(sizes.every(size => size >= from && size <= to))
      for (const quarter of [1, 2, 3])
        about(
          shareOf(sizes, size => size < from + (quarter * (to - from)) / 4),
          quarter / 4,
          0.03,
        )
    }
  })

  test('are half below the median, and two thirds within the factor of it', () => {
    const median = mebibytes(4096)
    for (const spread of [1.5, 2, 3]) {
      const sizes = memoryOf({ kind: 'lognormal', median, spread })
      about(
        shareOf(sizes, size => size < median),
        0.5,
        0.03,
      )
      about(
        shareOf(sizes, size => size >= median / spread && size <= median * spread),
        0.683,
        0.03,
      )
      about(
        shareOf(sizes, size => size > median * spread ** 2),
        0.023,
        0.01,
      )
    }
  })

  test('have at least 64 MiB, in whole pages, whatever the distribution says', () => {
    for (const memory of [
      { kind: 'lognormal', median: mebibytes(64), spread: 3 },
      { kind: 'uniform', from: mebibytes(1), to: mebibytes(128) },
    ] as const) {
      const sizes = memoryOf(memory)
      assert.equal(sizes[0], mebibytes(64))
      assert.ok(sizes.every(size => size % 4096 === 0))
    }
  })

  test('are warm and hot in the shares that were asked for; a hot one writes more of what it uses', () => {
    const kindsOf = (warm: number, hot: number): readonly (number | undefined)[] =>
      generateWorld({ ...usual, vms: 4_000, activity: { warm, hot } }).snapshot.vms.map(
        ({ dirty, used }) => dirty && dirty.hot / used,
      )
    const mixed = kindsOf(0.3, 0.1)
    about(
      shareOf(mixed, share => share === undefined),
      0.6,
      0.03,
    )
    // Half to one and a half times 3 % of the memory used are warm, of 12 % hot: 4.5 % to 6 % is neither.
    about(
      shareOf(mixed, share => share !== undefined && share < 0.05),
      0.3,
      0.03,
    )
    about(
      shareOf(mixed, share => share !== undefined && share > 0.055),
      0.1,
      0.02,
    )
    assert.ok(mixed.every(share => share === undefined || share < 0.046 || share > 0.059))
    assert.ok(kindsOf(0, 0).every(share => share === undefined))
    assert.ok(kindsOf(1, 0).every(share => share !== undefined && share < 0.05))
    assert.ok(kindsOf(0, 1).every(share => share !== undefined && share > 0.055))
  })
})

describe('a path of the kind', () => {
  const worldOf = (kind: PathKind, seed = 1) =>
    generateWorld({ ...usual, endangered: 2, safe: 2, path: { ...usual.path, kind }, seed })
  /** What happens to each path on some seeds, as `[ms, share of the capacity | loss | deed]`. */
  type Told = readonly (readonly [at: number, what: number | string])[]
  const talesOf = (kind: PathKind): readonly Told[] =>
    [1, 2, 3, 4, 5].flatMap(seed => {
      const { snapshot, timeline } = worldOf(kind, seed)
      assert.ok(timeline.every(({ jitter }) => jitter === 0))
      return snapshot.paths.map(({ from, to }) =>
        timeline.flatMap(({ at, what }): Told => {
          if (what.kind !== 'path' && what.kind !== 'cut' && what.kind !== 'heal') return []
          if (what.path[0] !== from || what.path[1] !== to) return []
          if (what.kind !== 'path') return [[at, what.kind]]
          const { capacity: rate, loss, ...others } = what.change
          assert.deepEqual(others, {})
          return [[at, rate === undefined ? `loss ${loss}` : rate / capacity]]
        }),
      )
    })
  const within = (value: number | string | undefined, least: number, most: number): void =>
    assert.ok(typeof value === 'number' && value >= least && value <= most, `${value} is not in ${least} … ${most}`)
  const sharesOf = (tale: Told): readonly number[] => tale.map(([, what]) => Number(Number(what).toFixed(9)))

  for (const kind of pathKinds) {
    test(`${kind} has its luck in order of time, and each path its own where there is any`, () => {
      const { timeline } = worldOf(kind)
      timeline.reduce((before, { at }) => {
        assert.ok(at >= before)
        return at
      }, 0)
      const different = new Set(talesOf(kind).map(tale => JSON.stringify(tale))).size
      assert.equal(different, ['steady', 'one-flow', 'ramp'].includes(kind) ? 1 : 20)
    })
  }

  test('steady stays as it is', () => {
    const { snapshot, timeline } = worldOf('steady')
    assert.deepEqual(timeline, [])
    assert.ok(
      snapshot.paths.every(
        ({ perFlow, loss, background }) => perFlow === undefined && (loss ?? background) === undefined,
      ),
    )
  })

  test('one-flow gives one stream three tenths, and stays so', () => {
    const { snapshot, timeline } = worldOf('one-flow')
    assert.deepEqual(timeline, [])
    for (const { perFlow, capacity: all } of snapshot.paths)
      assert.deepEqual([perFlow, all], [bytesPerSecond(capacity * 0.3), capacity])
  })

  test('step falls once, to a fifth or a half of it, and comes back after one to four minutes', () => {
    for (const tale of talesOf('step')) {
      const [[down, share] = [0, ''], [up, whole] = [0, '']] = tale
      assert.deepEqual([tale.length, whole], [2, 1])
      within(down, 30_000, 90_000)
      within(share, 0.2, 0.5)
      within(up - down, 60_000 - 1, 240_000 + 1)
    }
  })

  test('ramp falls by equal steps to a fifth, in four minutes', () => {
    for (const tale of talesOf('ramp')) {
      assert.deepEqual(
        tale.map(([at]) => at),
        Array.from({ length: 12 }, (_, n) => 20_000 * (n + 1)),
      )
      const shares = [1, ...sharesOf(tale)]
      for (let n = 1; n < shares.length; n += 1)
        assert.ok(Math.abs((shares[n - 1] ?? 0) - (shares[n] ?? 0) - 0.8 / 12) < 1e-6)
      assert.equal(shares.at(-1), 0.2)
    }
  })

  test('saw falls to three tenths and comes back, twenty times in one measure', () => {
    for (const tale of talesOf('saw')) {
      assert.deepEqual(
        sharesOf(tale),
        Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? 0.3 : 1)),
      )
      const half = tale[0]?.[0] ?? 0
      within(half, 10_000, 30_000)
      tale.forEach(([at], n) => within(at, half * (n + 1) - n - 2, half * (n + 1) + n + 2))
    }
  })

  test('bursts loses a little, ten times, and in the end nothing; its capacity stays', () => {
    for (const tale of talesOf('bursts')) {
      const losses = tale.map(([, what]) => Number(String(what).replace('loss ', '')))
      assert.equal(losses.length, 20)
      const some = losses.filter(loss => loss > 0)
      assert.equal(some.length, 10)
      for (const loss of some) within(loss, 0.001, 0.011)
      assert.equal(losses.at(-1), 0)
    }
  })

  test('outage is cut once, and whole again after ten to forty seconds', () => {
    for (const tale of talesOf('outage')) {
      assert.deepEqual(
        tale.map(([, what]) => what),
        ['cut', 'heal'],
      )
      const [cut = 0, healed = 0] = tale.map(([at]) => at)
      within(cut, 18_000, 78_000)
      within(healed - cut, 10_000 - 1, 40_000 + 1)
    }
  })
})
