import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbRequest, aSite, aSnapshot, aVm, runs, someVms } from '../../../test/arbitraries.ts'
import { type HostId, hostId, siteId } from '../ids.ts'
import type { Path, Snapshot } from '../inventory/snapshot.ts'
import { planEvacuation } from '../plan/plan-evacuation.ts'
import { type Bytes, bytes, bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { type BoundsQuestion, boundsOf, type MustLeave, planBounds } from './bounds.ts'

/** 1000 bytes a second, so that bytes are milliseconds. */
const rate = bytesPerSecond(1_000)
const pipe = [aPath('a', 'b', { capacity: rate })]
const questionOf = (change: Partial<Snapshot> = {}, other: Partial<BoundsQuestion> = {}): BoundsQuestion => ({
  snapshot: aSnapshot({ paths: pipe, ...change }),
  endangered: [siteId('a')],
  targets: [siteId('b')],
  deadline: undefined,
  ...other,
})
const leave = (needed: number, source = 'a-1'): MustLeave => ({ source: hostId(source), needed: bytes(needed) })
const unbounded = { makespan: undefined, meanDuration: undefined, meanCompletion: undefined }

test('nobody to bring out takes no time', () => {
  assert.deepEqual(boundsOf(questionOf(), []), { makespan: 0, meanDuration: 0, meanCompletion: 0, maxSafe: 0 })
  assert.deepEqual(boundsOf(questionOf({ paths: [] }), []).makespan, 0)
})

test('one VM on one pipe: all three are its size over the rate', () => {
  assert.deepEqual(boundsOf(questionOf(), [leave(500)]), {
    makespan: 500,
    meanDuration: 500,
    meanCompletion: 500,
    maxSafe: 1,
  })
})

test('three VMs on one pipe: the sum, the mean of each alone, and shortest first', () => {
  // Alone: 1, 2 and 9 s. Shortest first they are through after 1, 3 and 12 s.
  assert.deepEqual(boundsOf(questionOf(), [leave(9_000), leave(1_000), leave(2_000)]), {
    makespan: 12_000,
    meanDuration: 4_000,
    meanCompletion: (16 / 3) * 1_000,
    maxSafe: 3,
  })
})

test('VMs that need nothing count, and take no time', () => {
  assert.deepEqual(boundsOf(questionOf(), [leave(0), leave(400)]), {
    makespan: 400,
    meanDuration: 200,
    meanCompletion: 200,
    maxSafe: 2,
  })
})

test('the most that can be safe by a deadline are the smallest, and one through at the deadline is safe', () => {
  const three = [leave(600), leave(100), leave(200)]
  const safeBy = (deadline: number): number => boundsOf(questionOf({}, { deadline: ms(deadline) }), three).maxSafe
  assert.deepEqual([0, 99, 100, 299, 300, 899, 900].map(safeBy), [0, 0, 1, 1, 2, 2, 3])
})

test('the site’s uplink binds where it is narrower than the paths', () => {
  const sites = [aSite('a', { uplink: bytesPerSecond(250) }), aSite('b', { safe: true })]
  assert.equal(boundsOf(questionOf({ sites }), [leave(500), leave(500)]).makespan, 4_000)
})

test('what the safe sites take in together binds too', () => {
  const sites = [aSite('a'), aSite('b', { safe: true, uplink: bytesPerSecond(100) })]
  assert.equal(boundsOf(questionOf({ sites }), [leave(500)]).makespan, 5_000)
})

test('two safe sites, each on a path of its own, take in twice as much', () => {
  const sites = [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })]
  const hosts = [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c')]
  const paths = [...pipe, aPath('a', 'c', { capacity: rate })]
  const both = questionOf({ sites, hosts, paths }, { targets: [siteId('b'), siteId('c')] })
  assert.equal(boundsOf(both, [leave(500), leave(500)]).makespan, 500)
  assert.equal(boundsOf({ ...both, targets: [siteId('b')] }, [leave(500), leave(500)]).makespan, 1_000)
})

test('two endangered sites leave side by side, and the fuller one sets the makespan', () => {
  const sites = [aSite('a'), aSite('c'), aSite('b', { safe: true })]
  const hosts = [aHost('a-1', 'a'), aHost('c-1', 'c'), aHost('b-1', 'b')]
  const paths = [...pipe, aPath('c', 'b', { capacity: rate })]
  const both = questionOf({ sites, hosts, paths }, { endangered: [siteId('a'), siteId('c')] })
  assert.equal(boundsOf(both, [leave(900), leave(100, 'c-1')]).makespan, 900)
})

test('a host’s own network card binds for its VMs, together and one by one', () => {
  const hosts = [aHost('a-1', 'a', { nic: bytesPerSecond(100) }), aHost('a-2', 'a'), aHost('b-1', 'b')]
  const { makespan, meanDuration } = boundsOf(questionOf({ hosts }), [leave(50), leave(50), leave(800, 'a-2')])
  assert.equal(makespan, 1_000)
  assert.equal(meanDuration, (500 + 500 + 800) / 3)
})

test('where a capacity is not known no time is stated, and everybody may be safe', () => {
  for (const paths of [[], [aPath('a', 'b')]]) {
    const { maxSafe, ...times } = boundsOf(questionOf({ paths }, { deadline: ms(1) }), [leave(500)])
    assert.deepEqual(times, unbounded)
    assert.equal(maxSafe, 1)
  }
})

test('where a path is unknown but the uplink is known, the uplink bounds', () => {
  const sites = [aSite('a', { uplink: rate }), aSite('b', { safe: true })]
  assert.equal(boundsOf(questionOf({ sites, paths: [] }), [leave(500)]).makespan, 500)
})

/** Paths between single hosts are resources of their own: all of them together carry what leaves. */
const between = (from: string, to: string, capacity: number): Path => ({
  ...aPath('a', 'b', { capacity: bytesPerSecond(capacity) }),
  from: hostId(from),
  to: hostId(to),
})
test('paths from host to host carry together: no bound is above what they reach side by side', () => {
  const hosts = [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b'), aHost('b-2', 'b')]
  const two = questionOf({ hosts, paths: [between('a-1', 'b-1', 1_000), between('a-2', 'b-1', 1_000)] })
  const bounds = boundsOf(two, [leave(500), leave(500, 'a-2')])
  // Side by side both are through after 500 ms.
  assert.ok((bounds.makespan ?? 0) <= 500, `makespan ${bounds.makespan}`)
  assert.ok((bounds.meanCompletion ?? 0) <= 500, `mean completion ${bounds.meanCompletion}`)
})

test('a fast path to the second host of a site is not overlooked for a slow one to the first', () => {
  const paths = [between('a-1', 'b-1', 100), between('a-1', 'b-2', 1_000)]
  const { makespan } = boundsOf(questionOf({ paths }), [leave(1_000)])
  assert.ok((makespan ?? 0) <= 1_000, `makespan ${makespan}, but over a-1 → b-2 it takes 1000`)
})

test('where paths are declared, one that is not declared carries nothing: the bound can still be stated', () => {
  const hosts = [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b'), aHost('b-2', 'b')]
  const two = questionOf({ hosts, paths: [between('a-1', 'b-1', 1_000), between('a-2', 'b-2', 1_000)] })
  assert.equal(boundsOf(two, [leave(500), leave(500, 'a-2')]).makespan, 500)
})

interface Carried {
  readonly durations: readonly number[]
  readonly completions: readonly number[]
}
/** Shortest first, each on the pipe that is free first and carries it alone. What a plain scheduler reaches. @unit ms */
function greedy(sizes: readonly Bytes[], pipes: readonly number[]): Carried {
  const freeAt = pipes.map(() => 0)
  const durations: number[] = []
  const completions: number[] = []
  for (const size of [...sizes].sort((a, b) => a - b)) {
    const ends = freeAt.map((free, p) => free + (size / (pipes[p] ?? 1)) * 1000)
    const best = ends.indexOf(Math.min(...ends))
    durations.push((size / (pipes[best] ?? 1)) * 1000)
    freeAt[best] = ends[best] ?? 0
    completions.push(ends[best] ?? 0)
  }
  return { durations, completions }
}
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
const arbSizes = fc.array(fc.integer({ min: 0, max: 10_000_000_000 }).map(bytes), { minLength: 1, maxLength: 12 })

test('no bound is above what shortest first on one pipe reaches, and there the makespan and the mean completion are reached', () => {
  fc.assert(
    fc.property(
      arbSizes,
      fc.integer({ min: 1, max: 1_250_000_000 }),
      fc.nat({ max: 3_600_000 }),
      (sizes, capacity, by) => {
        const { durations, completions } = greedy(sizes, [capacity])
        const paths = [aPath('a', 'b', { capacity: bytesPerSecond(capacity) })]
        const bounds = boundsOf(
          questionOf({ paths }, { deadline: ms(by) }),
          sizes.map(needed => ({ source: hostId('a-1'), needed })),
        )
        const near = (bound: number | undefined, reached: number): void =>
          assert.ok(bound !== undefined && Math.abs(bound - reached) <= 1e-9 * reached + 1e-9, `${bound}, ${reached}`)
        near(bounds.makespan, Math.max(...completions))
        near(bounds.meanCompletion, mean(completions))
        near(bounds.meanDuration, mean(durations))
        assert.ok(bounds.maxSafe >= completions.filter(done => done <= by * (1 - 1e-12)).length)
        assert.ok(bounds.maxSafe <= completions.filter(done => done <= by * (1 + 1e-9) + 1e-6).length)
      },
    ),
    runs(500),
  )
})

test('no bound is above what shortest first reaches on several paths, behind uplinks and network cards wide enough', () => {
  const arbPipes = fc.array(fc.integer({ min: 1_000, max: 1_250_000_000 }), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(arbSizes, arbPipes, fc.nat({ max: 3_600_000 }), (sizes, pipes, by) => {
      const safe = pipes.map((_, p) => `s${p}`)
      const { durations, completions } = greedy(sizes, pipes)
      const bounds = boundsOf(
        questionOf(
          {
            sites: [aSite('a'), ...safe.map(id => aSite(id, { safe: true }))],
            hosts: [aHost('a-1', 'a'), aHost('a-2', 'a'), ...safe.map(id => aHost(`${id}-1`, id))],
            paths: safe.map((id, p) => aPath('a', id, { capacity: bytesPerSecond(pipes[p] ?? 1) })),
          },
          { targets: safe.map(siteId), deadline: ms(by) },
        ),
        sizes.map((needed, v) => ({ source: hostId(v % 2 === 0 ? 'a-1' : 'a-2'), needed })),
      )
      const within = (bound: number | undefined, reached: number): void =>
        assert.ok(bound !== undefined && bound <= reached * (1 + 1e-9) + 1e-9, `${bound}, reached ${reached}`)
      within(bounds.makespan, Math.max(...completions))
      within(bounds.meanCompletion, mean(completions))
      within(bounds.meanDuration, mean(durations))
      assert.ok(bounds.maxSafe >= completions.filter(done => done <= by * (1 - 1e-12)).length)
    }),
    runs(500),
  )
})

test('bounds are numbers in order wherever they are stated: the mean is not above the makespan', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const { snapshot } = request
      const plan = planEvacuation(request)
      const bounds = planBounds(snapshot, request, plan)
      assert.ok(bounds.maxSafe >= 0 && bounds.maxSafe <= plan.moves.length)
      const { makespan, meanDuration, meanCompletion } = bounds
      for (const bound of [makespan, meanDuration, meanCompletion])
        assert.ok(bound === undefined || (Number.isFinite(bound) && bound >= 0))
      if (makespan === undefined) return
      for (const bound of [meanDuration, meanCompletion])
        assert.ok(bound !== undefined && bound <= makespan * (1 + 1e-9), `mean ${bound}, makespan ${makespan}`)
    }),
    runs(1_000),
  )
})

test('a plan’s bounds count what its moves have in use, not those who stay', () => {
  const snapshot = aSnapshot({ vms: [...someVms(2), aVm('huge', 'a-1', { memory: mebibytes(7_000) })] })
  const request = { endangered: [siteId('a')], targets: [siteId('b')] }
  const sources = (names: readonly string[]) =>
    names.map((vm): { vm: (typeof snapshot.vms)[number]['id']; source: HostId } => {
      const found = snapshot.vms.find(({ id }) => id === vm)
      assert.ok(found !== undefined)
      return { vm: found.id, source: found.host }
    })
  const moves = sources(['vm-1', 'vm-2']).map(move => ({
    ...move,
    target: hostId('b-1'),
    start: undefined,
    end: undefined,
  }))
  const bounds = planBounds(snapshot, request, { policy: 'by hand', moves, unplaced: [] })
  assert.deepEqual(
    bounds,
    boundsOf({ ...request, snapshot, deadline: undefined }, [leave(mebibytes(100)), leave(mebibytes(100))]),
  )
  assert.equal(bounds.makespan, ((2 * mebibytes(100)) / megabitsPerSecond(100)) * 1000)
})
