/** The oracle against small worlds that are solved by hand: 10 MiB a second and VMs of 100 MiB, each ten seconds by itself. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, aPath, aSite, aSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { hostId, type SiteId, siteId } from '../ids.ts'
import type { Path, Snapshot } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { bytesPerSecond, mebibytes, ms } from '../units.ts'
import { type OracleBound, oracleBound } from './oracle.ts'
import type { Happening, TimelineEntry } from './timeline.ts'

const mib = 2 ** 20
const rate = (n: number) => bytesPerSecond(n * mib)
const [a, b] = [siteId('a'), siteId('b')]
const at = (when: number, what: Happening): TimelineEntry => ({ at: ms(when), jitter: ms(0), what })
const powerOff = (when: number, site = a): TimelineEntry => at(when, { kind: 'power-off', site })
const cut = (when: number): TimelineEntry => at(when, { kind: 'cut', path: [a, b] })
const heal = (when: number): TimelineEntry => at(when, { kind: 'heal', path: [a, b] })

const aWay = (change: Partial<Path> = {}): Path => aPath('a', 'b', { capacity: rate(10), rtt: ms(40), ...change })
/** Each needs 256 MiB of room. */
const vmOf = (n: number, used = 100, change: Partial<Vm> = {}): Vm =>
  aVm(`vm-${n}`, 'a-1', { memory: mebibytes(256), used: mebibytes(used), ...change })
const vmsOf = (...used: readonly number[]): readonly Vm[] => used.map((size, n) => vmOf(n + 1, size))

interface Question {
  readonly timeline?: readonly TimelineEntry[]
  readonly endangered?: readonly SiteId[]
  readonly targets?: readonly SiteId[]
  readonly wirePerByte?: number
}
const ask = (snapshot: Snapshot, question: Question = {}): OracleBound =>
  oracleBound({ snapshot, timeline: [], endangered: [a], targets: [b], wirePerByte: 1, ...question })
const ofVms = (vms: readonly Vm[], question: Question = {}, change: Partial<Snapshot> = {}): OracleBound =>
  ask(aSnapshot({ paths: [aWay()], vms, ...change }), question)
/** Whole milliseconds: rates are doubles. */
const whole = (values: readonly number[]): readonly number[] => values.map(Math.round)

describe('one path', () => {
  test('one VM is safe when it has crossed', () => {
    const { kind, safe, value, makespan, meanDuration, meanCompletion, landings } = ofVms(vmsOf(100))
    assert.deepEqual([kind, safe, value], ['bound', 1, 1])
    assert.deepEqual([makespan, meanDuration, meanCompletion], [10_000, 10_000, 10_000])
    assert.deepEqual(landings, [10_000])
  })

  test('the k-th is safe no sooner than the k smallest have crossed; each by itself takes its own time', () => {
    const { landings, makespan, meanDuration, meanCompletion } = ofVms(vmsOf(200, 50, 100))
    assert.deepEqual(landings, [5_000, 15_000, 35_000])
    assert.equal(makespan, 35_000)
    assert.equal(meanDuration, (5_000 + 10_000 + 20_000) / 3)
    assert.equal(meanCompletion, (5_000 + 15_000 + 35_000) / 3)
  })

  test('what is compressed crosses sooner', () => {
    assert.deepEqual(whole(ofVms(vmsOf(100, 100), { wirePerByte: 0.63 }).landings), [6_300, 12_600])
  })

  test('disks that are copied along cross too', () => {
    const disks = [
      aDisk('vda', { used: mebibytes(50), shared: false }),
      aDisk('vdb', { used: mebibytes(500), shared: true }),
    ]
    assert.deepEqual(ofVms([vmOf(1, 100, { disks })]).landings, [15_000])
  })

  test('where nothing is to be moved, nobody is safe and nothing takes time', () => {
    assert.deepEqual(ofVms([]), {
      kind: 'bound',
      safe: 0,
      value: 0,
      makespan: undefined,
      meanDuration: undefined,
      meanCompletion: undefined,
      landings: [],
      quickest: [],
      together: [],
    })
  })

  test('who may not move, and who lives elsewhere, is not counted', () => {
    const stays = vmOf(2, 100, { policy: { ...defaultVmPolicy, action: 'stay' } })
    const vms = [vmOf(1), stays, vmOf(3, 100, { paused: true }), vmOf(4, 100, { host: hostId('b-1') })]
    assert.equal(ofVms(vms).safe, 1)
  })

  test('a VM without a byte in use is safe at once', () => {
    assert.deepEqual(ofVms(vmsOf(0, 100)).landings, [0, 10_000])
  })

  test('where nothing is said to bound anything, nothing does', () => {
    for (const paths of [[], [aWay({ capacity: undefined })]])
      assert.deepEqual(ofVms(vmsOf(100, 200), {}, { paths }).landings, [0, 0])
  })

  test('where paths are declared and none leads there, nobody gets there', () => {
    const { safe, landings, makespan } = ofVms(vmsOf(100), {}, { paths: [aPath('b', 'a', { capacity: rate(10) })] })
    assert.deepEqual([safe, landings, makespan], [0, [], undefined])
  })

  test('a path of no capacity carries nobody', () => {
    assert.equal(ofVms(vmsOf(100), {}, { paths: [aWay({ capacity: rate(0) })] }).safe, 0)
  })

  test('without a target there is nowhere to go', () => {
    assert.equal(ofVms(vmsOf(100), { targets: [] }).safe, 0)
  })

  test('the narrowest of NIC, uplink and path counts, at either end', () => {
    const narrow = (change: Partial<Snapshot>): readonly number[] => ofVms(vmsOf(100, 100), {}, change).landings
    const hosts = (out: number | undefined, into: number | undefined) => [
      aHost('a-1', 'a', { nic: out === undefined ? undefined : rate(out) }),
      aHost('b-1', 'b', { nic: into === undefined ? undefined : rate(into) }),
    ]
    const sites = (out: number | undefined, into: number | undefined) => [
      aSite('a', { uplink: out === undefined ? undefined : rate(out) }),
      aSite('b', { uplink: into === undefined ? undefined : rate(into), safe: true }),
    ]
    assert.deepEqual(narrow({ hosts: hosts(5, undefined) }), [20_000, 40_000])
    assert.deepEqual(narrow({ hosts: hosts(undefined, 5) }), [20_000, 40_000])
    assert.deepEqual(narrow({ sites: sites(5, undefined) }), [20_000, 40_000])
    assert.deepEqual(narrow({ sites: sites(undefined, 5) }), [20_000, 40_000])
    assert.deepEqual(narrow({ hosts: hosts(100, 100), sites: sites(100, 100) }), [10_000, 20_000])
  })

  test('two target hosts with half the speed each take in one VM slowly, and many as fast as the path', () => {
    const hosts = [aHost('a-1', 'a'), ...[1, 2].map(n => aHost(`b-${n}`, 'b', { nic: rate(5) }))]
    assert.deepEqual(ofVms(vmsOf(100, 100, 100), {}, { hosts }).landings, [20_000, 20_000, 30_000])
  })
})

describe('time', () => {
  test('while the path is cut nothing crosses; what crossed before counts', () => {
    assert.deepEqual(ofVms(vmsOf(100, 100), { timeline: [cut(5_000), heal(25_000)] }).landings, [30_000, 40_000])
    assert.deepEqual(ofVms(vmsOf(100, 100), { timeline: [cut(15_000)] }).landings, [10_000])
  })

  test('a path that is never whole again carries what it carried, and no more are safe', () => {
    const { safe, value, makespan } = ofVms(vmsOf(100, 100, 100), { timeline: [cut(25_000)] })
    assert.deepEqual([safe, makespan], [2, 20_000])
    assert.ok(value >= 2 && value <= 2.5 * (1 + 1e-6), `${value}`)
  })

  test('a capacity that changes counts from then on', () => {
    const slower = at(5_000, { kind: 'path', path: [a, b], change: { capacity: rate(5) } })
    // 50 before the fall; the other 50, and the second's 100, at half the rate: each is on its way while it crosses.
    const slow = ofVms(vmsOf(100, 100), { timeline: [slower] })
    assert.deepEqual(whole(slow.quickest), [10_000, 10_000])
    assert.deepEqual(whole(slow.together), [15_000, 35_000])
    assert.equal(Math.round(slow.meanDuration ?? 0), 17_500)
    // Where it comes back, who waits for that is quicker.
    const back = at(25_000, { kind: 'path', path: [a, b], change: { capacity: rate(10) } })
    assert.deepEqual(whole(ofVms(vmsOf(100, 100), { timeline: [slower, back] }).together), [10_000, 20_000])
    assert.deepEqual(ofVms(vmsOf(100, 100), { timeline: [slower] }).landings, [15_000, 35_000])
    const faster = at(5_000, { kind: 'path', path: [a, b], change: { capacity: rate(50) } })
    assert.deepEqual(ofVms(vmsOf(100, 100), { timeline: [faster] }).landings, [6_000, 8_000])
  })

  test('who has not left when the power goes is lost; who arrives at that very moment is safe', () => {
    for (const [off, safe] of [
      [30_000, 3],
      [29_999, 2],
      [20_000, 2],
      [19_999, 1],
      [9_999, 0],
      [0, 0],
    ] as const) {
      const bound = ofVms(vmsOf(100, 100, 100), { timeline: [powerOff(off)] })
      assert.equal(bound.safe, safe, `power goes at ${off} ms`)
      assert.equal(bound.landings.length, safe)
      assert.equal(bound.makespan, safe === 0 ? undefined : safe * 10_000)
    }
  })

  test('the smallest leave first where only the number counts, the precious where it is value', () => {
    const vms = [vmOf(1, 100, { value: 10 }), vmOf(2, 50), vmOf(3, 50)]
    const { safe, value } = ofVms(vms, { timeline: [powerOff(10_000)] })
    assert.equal(safe, 2)
    assert.ok(value >= 10 && value < 10.001, `${value}`)
  })

  test('a host that goes down takes its own VMs with it, not those of others', () => {
    const hosts = [aHost('a-1', 'a'), aHost('a-2', 'a'), aHost('b-1', 'b')]
    const vms = [vmOf(1), vmOf(2, 100, { host: hostId('a-2') })]
    const timeline = [at(5_000, { kind: 'host-down', host: hostId('a-2') })]
    const { safe, landings } = ofVms(vms, { timeline }, { hosts })
    assert.deepEqual([safe, landings], [1, [10_000]])
  })

  test('a target that goes down takes nobody in any more', () => {
    const hosts = [aHost('a-1', 'a'), aHost('b-1', 'b')]
    const timeline = [at(15_000, { kind: 'host-down', host: hostId('b-1') })]
    assert.equal(ofVms(vmsOf(100, 100, 100), { timeline }, { hosts }).safe, 1)
  })

  test('what changes no path and stops no host changes nothing', () => {
    const timeline = [
      at(1_000, { kind: 'power', site: a, runtime: ms(1) }),
      at(2_000, { kind: 'crash', lasts: ms(60_000) }),
      at(3_000, { kind: 'dirty', vm: vmOf(1).id, model: { hot: mebibytes(50), period: ms(1), cold: rate(1) } }),
      at(4_000, { kind: 'fail', vm: vmOf(1).id, how: 'path-lost', times: 3 }),
    ]
    assert.deepEqual(ofVms(vmsOf(100, 100), { timeline }), ofVms(vmsOf(100, 100)))
  })
})

describe('memory', () => {
  const room = (...sizes: readonly number[]) => [
    aHost('a-1', 'a'),
    ...sizes.map((size, n) => aHost(`b-${n + 1}`, 'b', { memory: mebibytes(size) })),
  ]

  test('no more are safe than have room', () => {
    const { safe, value, makespan } = ofVms(vmsOf(100, 100, 100), {}, { hosts: room(600) })
    assert.deepEqual([safe, makespan], [2, 20_000])
    assert.ok(value >= 2 && value <= 600 / 256 + 1e-6, `${value}`)
  })

  test('room that others have taken is none', () => {
    const lives = vmOf(9, 100, { host: hostId('b-1'), memory: mebibytes(400) })
    assert.equal(ofVms([...vmsOf(100, 100), lives], {}, { hosts: room(600) }).safe, 0)
    assert.equal(ofVms([...vmsOf(100, 100), lives], {}, { hosts: room(660) }).safe, 1)
  })

  test('a VM that is larger than any room there is has none, however much there is in all', () => {
    const large = vmOf(1, 100, { memory: mebibytes(500) })
    assert.equal(ofVms([large], {}, { hosts: room(400, 400) }).safe, 0)
    assert.equal(ofVms([large], {}, { hosts: room(400, 500) }).safe, 1)
  })
})

describe('two sites', () => {
  const sites = [aSite('a'), aSite('x'), aSite('b', { safe: true }), aSite('c', { safe: true })]
  const hosts = ['a', 'x', 'b', 'c'].map(site => aHost(`${site}-1`, site))
  const two = (
    paths: readonly Path[],
    question: Question = {},
    vms = [vmOf(1), vmOf(2, 100, { host: hostId('x-1') })],
  ) =>
    ask(aSnapshot({ sites, hosts, paths, vms }), {
      endangered: [a, siteId('x')],
      targets: [b, siteId('c')],
      ...question,
    })
  const way = (from: string, to: string, capacity = 10): Path => aPath(from, to, { capacity: rate(capacity) })

  test('to be left by paths of their own are left at the same time', () => {
    assert.deepEqual(two([way('a', 'b'), way('x', 'b')]).landings, [10_000, 10_000])
  })

  test('with their targets behind one uplink share it', () => {
    const narrow = sites.map(site => (site.id === b ? { ...site, uplink: rate(10) } : site))
    const vms = [vmOf(1), vmOf(2, 100, { host: hostId('x-1') })]
    const snapshot = aSnapshot({ sites: narrow, hosts, paths: [way('a', 'b'), way('x', 'b')], vms })
    assert.deepEqual(ask(snapshot, { endangered: [a, siteId('x')], targets: [b] }).landings, [10_000, 20_000])
  })

  test('to go to are entered by both paths at once, but each VM takes one of them', () => {
    const vms = vmsOf(100, 100, 100)
    assert.deepEqual(two([way('a', 'b'), way('a', 'c')], {}, [...vms]).landings, [10_000, 10_000, 15_000])
  })

  test('of two ways the better one at each moment counts for a VM by itself', () => {
    assert.deepEqual(two([way('a', 'b', 5), way('a', 'c', 20)], {}, [vmOf(1)]).landings, [5_000])
  })

  test('when the power of one goes, those of the other still leave', () => {
    const { safe, landings } = two([way('a', 'b'), way('x', 'b')], { timeline: [powerOff(5_000)] })
    assert.deepEqual([safe, landings], [1, [10_000]])
  })
})

describe('more of anything', () => {
  const arbWorld = fc.record({
    vms: fc.array(
      fc.record({
        home: fc.integer({ min: 1, max: 2 }),
        memory: fc.integer({ min: 64, max: 512 }),
        used: fc.integer({ min: 1, max: 64 }),
        value: fc.integer({ min: 1, max: 9 }),
      }),
      { maxLength: 8 },
    ),
    capacity: fc.integer({ min: 1, max: 50 }),
    later: fc.integer({ min: 0, max: 50 }),
    changesAt: fc.integer({ min: 1, max: 20_000 }),
    off: fc.option(fc.integer({ min: 0, max: 60_000 }), { nil: undefined }),
    room: fc.integer({ min: 64, max: 2_048 }),
    nic: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
    uplink: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
  })
  type World = typeof arbWorld extends fc.Arbitrary<infer T> ? T : never
  const bound = ({ vms, capacity, later, changesAt, off, room, nic, uplink }: World, wirePerByte = 1): OracleBound =>
    ask(
      aSnapshot({
        sites: [aSite('a', { uplink: uplink === undefined ? undefined : rate(uplink) }), aSite('b', { safe: true })],
        hosts: [
          ...[1, 2].map(n => aHost(`a-${n}`, 'a', { nic: nic === undefined ? undefined : rate(nic) })),
          ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: mebibytes(room) })),
        ],
        paths: [aWay({ capacity: rate(capacity) })],
        vms: vms.map(({ home, memory, used, value }, n) =>
          aVm(`vm-${n + 1}`, `a-${home}`, { memory: mebibytes(memory), used: mebibytes(used), value }),
        ),
      }),
      {
        wirePerByte,
        timeline: [
          at(changesAt, { kind: 'path', path: [a, b], change: { capacity: rate(later) } }),
          ...(off === undefined ? [] : [powerOff(off)]),
        ],
      },
    )
  const noWorse = (before: OracleBound, after: OracleBound): void => {
    assert.ok(after.safe >= before.safe, `${after.safe} are safe, ${before.safe} were`)
    assert.ok(after.value >= before.value * (1 - 1e-6), `${after.value} is safe, ${before.value} was`)
    before.landings.forEach((landing, k) => {
      const now = after.landings[k] ?? Infinity
      assert.ok(now <= landing * (1 + 1e-9) + 1e-6, `landing ${k + 1}: ${now} ms, it was ${landing}`)
    })
  }

  test('never makes it worse: capacity, NICs, uplinks, room, time, compression', () => {
    let [some, all] = [0, 0]
    fc.assert(
      fc.property(arbWorld, fc.integer({ min: 1, max: 30 }), (world, more) => {
        const before = bound(world)
        if (before.safe > 0) some += 1
        if (before.safe === world.vms.length) all += 1
        const { nic, uplink, off } = world
        noWorse(before, bound({ ...world, capacity: world.capacity + more }))
        noWorse(before, bound({ ...world, later: world.later + more }))
        noWorse(before, bound({ ...world, room: world.room + more * 32 }))
        noWorse(before, bound({ ...world, nic: nic === undefined ? undefined : nic + more }))
        noWorse(before, bound({ ...world, uplink: uplink === undefined ? undefined : uplink + more }))
        noWorse(before, bound({ ...world, off: off === undefined ? undefined : off + more * 1_000 }))
        noWorse(before, bound({ ...world, off: undefined }))
        noWorse(before, bound(world, 0.5))
      }),
      runs(200),
    )
    assert.ok(some > 20 && all < 190, 'the worlds are neither hopeless nor all saved')
  })

  test('landings ascend, are as many as can be safe, and the numbers agree with each other', () => {
    fc.assert(
      fc.property(arbWorld, world => {
        const { safe, value, landings, makespan, meanCompletion, meanDuration } = bound(world)
        assert.equal(landings.length, safe)
        assert.ok(safe <= world.vms.length)
        assert.ok(value <= world.vms.reduce((sum, vm) => sum + vm.value, 0) + 1e-9)
        landings.forEach((landing, k) => assert.ok(Number.isFinite(landing) && landing >= (landings[k - 1] ?? 0)))
        assert.equal(makespan, landings.at(-1))
        if (safe === 0) assert.deepEqual([meanCompletion, meanDuration], [undefined, undefined])
        else assert.ok((meanDuration ?? Infinity) <= (meanCompletion ?? 0) + 1e-6)
      }),
      runs(200),
    )
  })
})
