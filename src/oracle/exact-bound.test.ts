/** The exact oracle against small worlds solved by hand, against every assignment there is, and against the bound that is proven. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, aSite, aSnapshot, aVm, runs } from '../../test/arbitraries.ts'
import { hostId, siteId } from '../core/ids.ts'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import type { Vm } from '../core/inventory/vm.ts'
import { type OracleQuestion, oracleBound } from '../core/sim/oracle.ts'
import type { Happening, TimelineEntry } from '../core/sim/timeline.ts'
import { bytesPerSecond, mebibytes, ms } from '../core/units.ts'
import { oracle } from './exact-bound.ts'

const mib = 2 ** 20
const rate = (n: number) => bytesPerSecond(n * mib)
const [a, b] = [siteId('a'), siteId('b')]
const at = (when: number, what: Happening): TimelineEntry => ({ at: ms(when), jitter: ms(0), what })
const powerOff = (when: number): TimelineEntry => at(when, { kind: 'power-off', site: a })
const capacity = (when: number, to: number): TimelineEntry =>
  at(when, { kind: 'path', path: [a, b], change: { capacity: rate(to) } })

/** 10 MiB a second from a to b; VMs of 256 MiB, all on a-1. */
const worldOf = (
  vms: readonly Vm[],
  timeline: readonly TimelineEntry[] = [],
  change: Partial<Snapshot> = {},
): OracleQuestion => ({
  snapshot: aSnapshot({
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b')],
    paths: [aPath('a', 'b', { capacity: rate(10), rtt: ms(40) })],
    vms,
    ...change,
  }),
  timeline,
  endangered: [a],
  targets: [b],
  wirePerByte: 1,
})
const vmOf = (n: number, used: number, change: Partial<Vm> = {}): Vm =>
  aVm(`vm-${n}`, 'a-1', { memory: mebibytes(256), used: mebibytes(used), ...change })
const near = (actual: number | undefined, expected: number): void =>
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) < 1e-3 * Math.max(1, expected),
    `${actual}, not ${expected}`,
  )

/** @param makespan undefined when nobody can be safe @unit ms */
const solved = async (
  question: OracleQuestion,
  safe: number,
  value: number,
  makespan: number | undefined,
): Promise<void> => {
  const exact = await oracle(question)
  assert.deepEqual([exact.kind, exact.safe, exact.value], ['exact', safe, value])
  if (makespan === undefined) assert.equal(exact.makespan, undefined)
  else near(exact.makespan, makespan)
}

describe('worlds solved by hand', () => {
  test('one path: all are safe when all their bytes have crossed', async () => {
    await solved(worldOf([vmOf(1, 100)]), 1, 1, 10_000)
    await solved(worldOf([vmOf(1, 100), vmOf(2, 50, { value: 4 }), vmOf(3, 250)]), 3, 6, 40_000)
  })

  test('what is compressed crosses sooner', async () => {
    await solved({ ...worldOf([vmOf(1, 100), vmOf(2, 100)]), wirePerByte: 0.63 }, 2, 2, 12_600)
  })

  test('where nothing bounds anything, all are safe at once', async () => {
    await solved(worldOf([vmOf(1, 100), vmOf(2, 100)], [], { paths: [] }), 2, 2, 0)
  })

  test('power that goes: as many as have crossed, to the millisecond', async () => {
    const vms = [vmOf(1, 100), vmOf(2, 100), vmOf(3, 100)]
    await solved(worldOf(vms, [powerOff(20_000)]), 2, 2, 20_000)
    await solved(worldOf(vms, [powerOff(19_999)]), 1, 1, 10_000)
    await solved(worldOf(vms, [powerOff(10_000)]), 1, 1, 10_000)
  })

  test('what nobody can leave any more has no exact answer to give', async () => {
    const { safe, value, makespan } = await oracle(worldOf([vmOf(1, 100)], [powerOff(9_999)]))
    assert.deepEqual([safe, value, makespan], [0, 0, undefined])
  })

  test('a precious one before two cheap ones, where there is time for one thing only; the number counts the cheap', async () => {
    const vms = [vmOf(1, 100, { value: 10 }), vmOf(2, 50), vmOf(3, 50)]
    const exact = await oracle(worldOf(vms, [powerOff(10_500)]))
    assert.deepEqual([exact.kind, exact.safe, exact.value], ['exact', 2, 10])
  })

  test('a cut in the middle: bytes that crossed before it count', async () => {
    const timeline = [at(5_000, { kind: 'cut', path: [a, b] }), at(25_000, { kind: 'heal', path: [a, b] })]
    await solved(worldOf([vmOf(1, 100), vmOf(2, 100)], timeline), 2, 2, 40_000)
    await solved(worldOf([vmOf(1, 100), vmOf(2, 100)], timeline.slice(0, 1)), 0, 0, undefined)
    await solved(worldOf([vmOf(1, 40), vmOf(2, 100)], timeline.slice(0, 1)), 1, 1, 4_000)
  })

  test('a path that changes its speed', async () => {
    await solved(worldOf([vmOf(1, 100), vmOf(2, 100)], [capacity(5_000, 5)]), 2, 2, 35_000)
    await solved(worldOf([vmOf(1, 100), vmOf(2, 100)], [capacity(5_000, 50)]), 2, 2, 8_000)
  })

  test('memory in pieces: room for two in all is no room for a third in two halves', async () => {
    const hosts = [aHost('a-1', 'a'), ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: mebibytes(400) }))]
    const vms = [vmOf(1, 100), vmOf(2, 100), vmOf(3, 100)]
    const question = worldOf(vms, [], { hosts })
    assert.equal(oracleBound(question).safe, 3)
    await solved(question, 2, 2, 20_000)
  })

  test('the narrowest of NICs and uplinks', async () => {
    const hosts = [aHost('a-1', 'a', { nic: rate(4) }), aHost('b-1', 'b', { nic: rate(8) })]
    await solved(worldOf([vmOf(1, 100)], [], { hosts }), 1, 1, 25_000)
    const sites = [aSite('a'), aSite('b', { safe: true, uplink: rate(2) })]
    await solved(worldOf([vmOf(1, 100)], [], { hosts, sites }), 1, 1, 50_000)
  })

  test('two paths into two sites are used at once', async () => {
    const question = worldOf([vmOf(1, 100), vmOf(2, 100), vmOf(3, 300)], [], {
      sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c')],
      paths: ['b', 'c'].map(site => aPath('a', site, { capacity: rate(10) })),
    })
    // 300 one way, 200 the other.
    await solved({ ...question, targets: [b, siteId('c')] }, 3, 3, 30_000)
  })

  test('a target that goes down in the middle: a VM goes to one host, and what crossed to another is in vain', async () => {
    const hosts = [aHost('a-1', 'a'), aHost('b-1', 'b', { memory: mebibytes(300) }), aHost('b-2', 'b')]
    const timeline = [at(5_000, { kind: 'host-down', host: hostId('b-2') })]
    await solved(worldOf([vmOf(1, 100)], timeline, { hosts }), 1, 1, 10_000)
    await solved(worldOf([vmOf(1, 100), vmOf(2, 60)], timeline, { hosts }), 1, 1, 6_000)
  })
})

test('a world with too much to decide has the bound, and no world without leavers is asked about', async () => {
  const many = worldOf(
    Array.from({ length: 100 }, (_, n) => vmOf(n + 1, 1, { memory: mebibytes(1) })),
    Array.from({ length: 31 }, (_, n) => capacity((n + 1) * 100, 10 + (n % 2))),
  )
  assert.deepEqual(await oracle(many), oracleBound(many))
  assert.equal((await oracle(many)).kind, 'bound')
  assert.deepEqual(await oracle(worldOf([])), { ...oracleBound(worldOf([])), kind: 'exact' })
})

// ── every assignment there is ──

interface Tiny {
  readonly vms: readonly { readonly memory: number; readonly used: number; readonly value: number }[]
  readonly rooms: readonly number[]
  readonly rates: readonly number[]
  readonly off: number | undefined
}
/** The path has a new capacity each ten seconds. */
const span = 10_000
const arbTiny = (value: fc.Arbitrary<number>): fc.Arbitrary<Tiny> =>
  fc.record({
    vms: fc.array(
      fc.record({ memory: fc.integer({ min: 100, max: 600 }), used: fc.integer({ min: 1, max: 100 }), value }),
      { minLength: 1, maxLength: 5 },
    ),
    rooms: fc.array(fc.integer({ min: 100, max: 1_200 }), { minLength: 1, maxLength: 2 }),
    rates: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 4 }),
    off: fc.option(fc.integer({ min: 1, max: 45_000 }), { nil: undefined }),
  })

const questionOf = ({ vms, rooms, rates, off }: Tiny): OracleQuestion =>
  worldOf(
    vms.map(({ memory, used, value }, n) => vmOf(n + 1, used, { memory: mebibytes(memory), value })),
    [
      ...rates.slice(1).map((to, n) => capacity(span * (n + 1), to)),
      ...(off === undefined ? [] : [powerOff(off)]),
    ].sort((x, y) => x.at - y.at),
    {
      hosts: [aHost('a-1', 'a'), ...rooms.map((room, n) => aHost(`b-${n + 1}`, 'b', { memory: mebibytes(room) }))],
      paths: [aPath('a', 'b', { capacity: rate(rates[0] ?? 0) })],
    },
  )

/** When so many MiB are through, one after the other; infinite when never. @unit ms */
function through({ rates, off = Infinity }: Tiny, size: number): number {
  let left = size
  for (const [n, speed] of rates.entries()) {
    const ends = n === rates.length - 1 ? Infinity : span * (n + 1)
    const needs = left <= 0 ? 0 : (left / speed) * 1000
    const done = span * n + needs
    if (done <= ends) return done <= off ? done : Infinity
    left -= (speed * span) / 1000
  }
  return Infinity
}

/** Every VM to every host, or to none. @returns the most that can be safe, the most value, and when that much can be at the soonest */
function best(tiny: Tiny): { readonly safe: number; readonly value: number; readonly makespan: number } {
  const { vms, rooms } = tiny
  const ways = rooms.length + 1
  let [safe, value, makespan] = [0, 0, 0]
  for (let code = 0; code < ways ** vms.length; code += 1) {
    const free = [...rooms]
    let [size, count, worth, rest, fits] = [0, 0, 0, code, true]
    for (const vm of vms) {
      const to = rest % ways
      rest = Math.floor(rest / ways)
      if (to === 0) continue
      free[to - 1] = (free[to - 1] ?? 0) - vm.memory
      fits &&= (free[to - 1] ?? -1) >= 0
      size += vm.used
      count += 1
      worth += vm.value
    }
    const done = fits ? through(tiny, size) : Infinity
    if (!Number.isFinite(done)) continue
    safe = Math.max(safe, count)
    if (worth > value || (worth === value && done < makespan)) [value, makespan] = [worth, done]
  }
  return { safe, value, makespan }
}

test('on tiny worlds it finds what trying every assignment finds', async () => {
  let some = 0
  await fc.assert(
    fc.asyncProperty(arbTiny(fc.integer({ min: 1, max: 9 })), async tiny => {
      const exact = await oracle(questionOf(tiny))
      const expected = best(tiny)
      assert.deepEqual([exact.safe, exact.value], [expected.safe, expected.value])
      if (expected.safe === 0) assert.equal(exact.makespan, undefined)
      else near(exact.makespan, expected.makespan)
      if (expected.safe > 0 && expected.safe < tiny.vms.length) some += 1
    }),
    runs(40),
  )
  assert.ok(some >= 5, 'some worlds can save a part only')
})

test('it is never above the proven bound, nor sooner where every VM is worth the same', async () => {
  await fc.assert(
    fc.asyncProperty(arbTiny(fc.constant(1)), async tiny => {
      const question = questionOf(tiny)
      const [exact, proven] = [await oracle(question), oracleBound(question)]
      assert.ok(exact.safe <= proven.safe, `${exact.safe} are safe, ${proven.safe} at most`)
      assert.ok(exact.value <= proven.value * (1 + 1e-6), `${exact.value} is safe, ${proven.value} at most`)
      assert.deepEqual(exact.landings, proven.landings.slice(0, exact.safe))
      const soonest = exact.landings.at(-1)
      if (soonest === undefined) assert.equal(exact.makespan, undefined)
      else assert.ok((exact.makespan ?? 0) >= soonest * (1 - 1e-6), `${exact.makespan} ms, ${soonest} at the soonest`)
    }),
    runs(30),
  )
})

test('value is never above the proven bound whatever VMs are worth', async () => {
  await fc.assert(
    fc.asyncProperty(arbTiny(fc.integer({ min: 1, max: 20 })), async tiny => {
      const question = questionOf(tiny)
      const [exact, proven] = [await oracle(question), oracleBound(question)]
      assert.ok(exact.safe <= proven.safe)
      assert.ok(exact.value <= proven.value * (1 + 1e-6), `${exact.value} is safe, ${proven.value} at most`)
      assert.ok(exact.value >= Math.max(0, ...tiny.vms.filter(vm => fitsAlone(tiny, vm)).map(({ value }) => value)))
    }),
    runs(20),
  )
})
const fitsAlone = (tiny: Tiny, vm: Tiny['vms'][number]): boolean =>
  tiny.rooms.some(room => vm.memory <= room) && Number.isFinite(through(tiny, vm.used))
