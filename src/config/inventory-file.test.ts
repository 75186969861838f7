/** The text form of a snapshot: fixture, bug report and export at once, so what is written must be what is read. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, aPath, aSite, aSnapshot, aVm, runs } from '../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import type { Host, Path, Site, SitePower, Snapshot } from '../core/inventory/snapshot.ts'
import { type Disk, modesOfLastResort, type Vm } from '../core/inventory/vm.ts'
import { bytes, bytesPerSecond, type Fraction, fraction, ms, parseFraction } from '../core/units.ts'
import { parseInventory, printInventory } from './inventory-file.ts'
import { ConfigError } from './yaml-file.ts'

// ── any snapshot that the format can hold ──

const maybe = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arb, { nil: undefined })
/** Sizes as people choose them, and odd ones. */
const sizeUpTo = (most: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.integer({ min: 0, max: most }),
    fc.constantFrom(0, 1, most),
    fc.nat({ max: 64 }).map(n => Math.min(most, n * 2 ** 30)),
  )
const arbRate = fc
  .oneof(
    fc.double({ min: 0, max: 1e12, noNaN: true }),
    fc.nat().map(n => n * 125_000),
  )
  .map(bytesPerSecond)
const arbCapacity = fc
  .oneof(
    fc.double({ min: 0.001, max: 1e12, noNaN: true }),
    fc.integer({ min: 1, max: 10_000 }).map(n => n * 125_000),
  )
  .map(bytesPerSecond)
const arbTime = fc.oneof(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.nat({ max: 3_600_000 })).map(ms)
/** As they are read from texts: a printed fraction is exact only to the last bits of a double. */
const arbLoss: fc.Arbitrary<Fraction> = fc.nat({ max: 10_000 }).map(n => parseFraction(`${n / 100}%`))
/** What YAML could take for something else: numbers, booleans, nulls, times, quotes, comments, line breaks. */
const tricky = [
  'yes null ~ true 1e3 0x1f 12:30 2024-01-01 - ? : # *x &x !x % @ ` | > \' " { [] << = .inf ... --- \\ 🔑',
]
  .flatMap(words => words.split(' '))
  .concat('- x', 'a: b', 'a #b', ' a ', '\ta', '\n', 'a\n\nb\n', '\r\n', '\u0000', '\u0085', '\u2028', '\ufeff')
const arbWords = fc.oneof(fc.string({ unit: 'grapheme', minLength: 1 }), fc.constantFrom(...tricky))
const arbName = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('a', 'Z', '0', '9'),
      fc.string({ unit: fc.constantFrom(...'bY18._-@:'.split('')), maxLength: 8 }),
    )
    .map(([first, rest]) => `${first}${rest}`),
  fc.constantFrom('null', 'true', 'no', '1', '1e3', '0x1f', '12:30', '1.0', '00', '0o7', '2024-01-01', 'x:'),
)

const arbDisk: fc.Arbitrary<Disk> = fc
  .tuple(arbWords, sizeUpTo(2 ** 45), sizeUpTo(2 ** 45), arbRate, fc.boolean())
  .map(([name, size, used, write, shared]) => ({ name, size: bytes(size), used: bytes(used), write, shared }))

interface Shape {
  readonly names: readonly string[]
  readonly sites: readonly { readonly site: Omit<Site, 'id'>; readonly hosts: readonly Omit<Host, 'id' | 'site'>[] }[]
  readonly paths: readonly { readonly path: Omit<Path, 'from' | 'to'>; readonly from: number; readonly to: number }[]
  readonly vms: readonly {
    readonly vm: Omit<Vm, 'id' | 'host' | 'memory' | 'used'> & {
      /** Places its policy binds it to, by number. */
      readonly bound: readonly number[] | undefined
    }
    readonly at: number
    readonly memoryShare: number
    readonly usedShare: number
  }[]
  readonly power: readonly { readonly site: number; readonly runtime: SitePower['runtime'] }[]
  readonly deadline: Snapshot['deadline']
}
const share = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }))
const arbShape: fc.Arbitrary<Shape> = fc.record({
  names: fc.uniqueArray(arbName, { minLength: 24, maxLength: 24 }),
  sites: fc.array(
    fc.record({
      site: fc.record({ safe: fc.boolean(), uplink: maybe(arbRate) }),
      hosts: fc.array(fc.record({ memory: sizeUpTo(2 ** 44).map(bytes), nic: maybe(arbRate), cpu: maybe(arbWords) }), {
        maxLength: 3,
      }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  paths: fc.array(
    fc.record({
      path: fc.record({
        capacity: maybe(arbCapacity),
        rtt: maybe(arbTime),
        loss: maybe(arbLoss),
        perFlow: maybe(arbRate.filter(rate => rate > 0)),
        background: maybe(arbRate),
      }),
      from: fc.nat(),
      to: fc.nat(),
    }),
    { maxLength: 5 },
  ),
  vms: fc.array(
    fc.record({
      vm: fc.record({
        dirty: maybe(
          fc
            .tuple(
              sizeUpTo(2 ** 40).map(bytes),
              arbTime.filter(time => time > 0),
              arbRate,
            )
            .map(([hot, period, cold]) => ({ hot, period, cold })),
        ),
        disks: fc.array(arbDisk, { maxLength: 2 }),
        value: fc.oneof(fc.constant(1), fc.nat(), fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })),
        group: maybe(fc.oneof(fc.constant(''), arbWords)),
        policy: fc
          .tuple(
            fc.oneof(fc.constant(ms(300)), arbTime),
            fc.subarray([...modesOfLastResort]),
            fc.constantFrom('move' as const, 'stay' as const),
            maybe(arbWords),
          )
          .map(([maxDowntime, allow, action, antiAffinity]) => ({
            maxDowntime,
            allow,
            action,
            targets: undefined,
            antiAffinity,
          })),
        bound: maybe(fc.array(fc.nat(), { minLength: 1, maxLength: 3 })),
        paused: fc.boolean(),
      }),
      at: fc.nat(),
      memoryShare: share,
      usedShare: share,
    }),
    { maxLength: 6 },
  ),
  power: fc.array(fc.record({ site: fc.nat(), runtime: arbTime }), { maxLength: 2 }),
  deadline: maybe(arbTime),
})

function snapshotOf({ names, sites, paths, vms, power, deadline }: Shape): Snapshot {
  const left = [...names]
  const take = (): string => left.shift() ?? 'no-name-left'
  const named = sites.map(({ site, hosts }) => ({ site: { ...site, id: siteId(take()) }, hosts }))
  const hosts = named.flatMap(({ site, hosts: its }) =>
    its.map((host): Host => ({ ...host, id: hostId(take()), site: site.id })),
  )
  const siteIds = named.map(({ site }) => site.id)
  const ends = [...siteIds, ...hosts.map(({ id }) => id)]
  const vmsOn = hosts.length === 0 ? [] : vms
  return {
    takenAt: instant(0),
    sites: named.map(({ site }) => site),
    hosts,
    paths: paths.flatMap(({ path, from, to }) => {
      const [a, b] = [ends[from % ends.length], ends[to % ends.length]]
      return a === undefined || b === undefined || a === b ? [] : [{ ...path, from: a, to: b }]
    }),
    vms: vmsOn.flatMap(({ vm: { bound, ...vm }, at, memoryShare, usedShare }) => {
      const host = hosts[at % hosts.length]
      if (host === undefined) return []
      const memory = bytes(Math.floor(host.memory * memoryShare))
      const targets = bound?.flatMap(pick => ends[pick % ends.length] ?? [])
      return [
        {
          ...vm,
          policy: { ...vm.policy, targets },
          id: vmId(take()),
          host: host.id,
          memory,
          used: bytes(Math.floor(memory * usedShare)),
        },
      ]
    }),
    unreachable: [],
    power: power.flatMap(({ site, runtime }) => {
      const id = siteIds[site % siteIds.length]
      return id === undefined ? [] : [{ site: id, runtime }]
    }),
    deadline,
  }
}

describe('an inventory that is printed', () => {
  test('is the same snapshot when it is read, whatever is in it', () => {
    fc.assert(
      fc.property(arbShape, fc.oneof(fc.constant('taken now'), arbWords), (shape, comment) => {
        const snapshot = snapshotOf(shape)
        assert.deepEqual(parseInventory(printInventory(snapshot, comment), 'inventory.yaml'), snapshot)
      }),
      runs(300),
    )
  })

  test('says no more than there is to say', () => {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true, uplink: bytesPerSecond(1.25e9) })],
      hosts: [aHost('a-1', 'a', { memory: bytes(8 * 2 ** 30) }), aHost('b-1', 'b', { cpu: 'Skylake' })],
      paths: [aPath('a', 'b-1', { capacity: bytesPerSecond(1.25e8), loss: fraction(0.0001) })],
      vms: [
        aVm('web-1', 'a-1', { memory: bytes(2 ** 30), used: bytes(2 ** 30) }),
        aVm('db-1', 'a-1', {
          memory: bytes(2 ** 30),
          used: bytes(2 ** 20),
          disks: [aDisk('vda', { size: bytes(2 ** 32), used: bytes(2 ** 32), shared: true })],
          value: 20,
          group: 'shop',
          policy: {
            maxDowntime: ms(2_000),
            allow: ['post-copy'],
            action: 'stay',
            targets: [siteId('b')],
            antiAffinity: 'db',
          },
          paused: true,
        }),
      ],
    })
    assert.equal(
      printInventory(snapshot, 'two lines\nof comment'),
      `# two lines
# of comment
sites:
  - name: a
    hosts:
      - name: a-1
        memory: 8GiB
  - name: b
    safe: true
    uplink: 10Gbit/s
    hosts:
      - name: b-1
        memory: 8GiB
        cpu: Skylake
paths:
  - from: a
    to: b-1
    capacity: 1Gbit/s
    loss: 0.01%
vms:
  - name: web-1
    host: a-1
    memory: 1GiB
  - name: db-1
    host: a-1
    memory: 1GiB
    used: 1MiB
    disks:
      - name: vda
        size: 4GiB
        used: 4GiB
        write: 0bit/s
        shared: true
    value: 20
    group: shop
    policy:
      maxDowntime: 2s
      allow:
        - post-copy
      action: stay
      targets:
        - b
      antiAffinity: db
    paused: true
`,
    )
  })
})

describe('an inventory that is written by hand', () => {
  const twoSites = `sites:
  - name: a
    hosts:
      - { name: a-1, memory: 8GiB }
  - name: b
    safe: true
    hosts:
      - { name: b-1, memory: 8GiB }
`
  function mistakes(text: string): readonly string[] {
    try {
      parseInventory(text, 'inventory.yaml')
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error))
      return error.problems.map(({ line, column, where, message }) => `${line}:${column} ${where}: ${message}`)
    }
    return []
  }

  test('has the defaults that the format promises', () => {
    const { vms, sites, paths, power, deadline } = parseInventory(
      `${twoSites}vms: [{ name: web-1, host: a-1, memory: 1GiB, disks: [{ name: vda, size: 4GiB }] }]\n`,
      'inventory.yaml',
    )
    assert.deepEqual(vms, [
      {
        id: 'web-1',
        host: 'a-1',
        memory: 2 ** 30,
        used: 2 ** 30,
        dirty: undefined,
        disks: [{ name: 'vda', size: 2 ** 32, used: 2 ** 32, write: 0, shared: false }],
        value: 1,
        group: undefined,
        policy: { maxDowntime: 300, allow: [], action: 'move', targets: undefined, antiAffinity: undefined },
        paused: false,
      },
    ])
    assert.deepEqual(
      sites.map(({ safe }) => safe),
      [false, true],
    )
    assert.deepEqual([paths, power, deadline], [[], [], undefined])
  })

  test('an end of a path is the site of that name, else the host', () => {
    const { paths } = parseInventory(`${twoSites}paths: [{ from: a, to: b-1 }, { from: a-1, to: b }]\n`, 'f')
    assert.deepEqual(
      paths.map(({ from, to }) => [from, to]),
      [
        ['a', 'b-1'],
        ['a-1', 'b'],
      ],
    )
  })

  const vm = 'name: web-1, host: a-1, memory: 1GiB'
  const refusals: readonly (readonly [what: string, more: string, mistake: string])[] = [
    [
      'a VM that is larger than its host',
      'vms: [{ name: web-1, host: a-1, memory: 9GiB }]',
      '9:33 vms[0].memory: 9.00 GiB is more than its host a-1 has (8.00 GiB)',
    ],
    [
      'a VM that uses more than it has',
      `vms: [{ ${vm}, used: 2GiB }]`,
      '9:47 vms[0].used: 2.00 GiB is more than its memory (1.00 GiB)',
    ],
    [
      'a VM on a host that is not there',
      'vms: [{ name: web-1, host: c-1, memory: 1GiB }]',
      '9:22 vms[0].host: no host is named "c-1"',
    ],
    ['a VM on a site', 'vms: [{ name: web-1, host: a, memory: 1GiB }]', '9:22 vms[0].host: no host is named "a"'],
    [
      'two VMs of one name',
      `vms: [{ ${vm} }, { ${vm} }]`,
      '9:51 vms[1].name: "web-1" is the name of another VM already',
    ],
    [
      'a size without a unit',
      'vms: [{ name: web-1, host: a-1, memory: 1024 }]',
      '9:33 vms[0].memory: the bare number 1024 has no unit; expected a size like 64MiB',
    ],
    [
      'a path of no capacity',
      'paths: [{ from: a, to: b, capacity: 0bit/s }]',
      '9:27 paths[0].capacity: is zero: cut it in timeline.yaml instead',
    ],
    ['a path to itself', 'paths: [{ from: a, to: a }]', '9:20 paths[0].to: a path from "a" to itself'],
    [
      'a path from nowhere',
      'paths: [{ from: c, to: b }]',
      '9:11 paths[0].from: no site or host is named "c"; there are: a, a-1, b, b-1',
    ],
    [
      'power of a site that is not there',
      'power: [{ site: c, runtime: 25m }]',
      '9:11 power[0].site: no site is named "c"',
    ],
    ['power of a host', 'power: [{ site: a-1, runtime: 25m }]', '9:11 power[0].site: no site is named "a-1"'],
    [
      'a deadline without a unit',
      'deadline: 20',
      '9:1 deadline: the bare number 20 has no unit; expected a time like 40ms',
    ],
    ['an unknown key of a VM', `vms: [{ ${vm}, colour: red }]`, '9:47 vms[0].colour: unknown key'],
  ]
  for (const [what, more, mistake] of refusals) {
    test(`${what} is refused, with its place`, () => assert.deepEqual(mistakes(`${twoSites}${more}\n`), [mistake]))
  }

  test('two sites, two hosts, and a site and a host of one name are refused', () => {
    assert.deepEqual(
      mistakes(`sites:
  - name: a
    hosts: [{ name: x, memory: 1GiB }]
  - name: a
    hosts: [{ name: x, memory: 1GiB }, { name: a, memory: 1GiB }]
`),
      [
        '4:5 sites[1].name: "a" is the name of a site already',
        '5:15 sites[1].hosts[0].name: "x" is the name of a host already',
        '5:42 sites[1].hosts[1].name: "a" is the name of a site already',
      ],
    )
  })

  test('a VM may fill its host, use all it has, and bear the name of a host', () => {
    const text = `${twoSites}vms: [{ name: a-1, host: a-1, memory: 8GiB, used: 8GiB }]\n`
    assert.deepEqual(mistakes(text), [])
  })

  test('mistakes of every sort are told at once', () => {
    assert.deepEqual(
      mistakes(`${twoSites}colour: red
paths: [{ from: a, to: b, capacity: 0bit/s }]
vms: [{ name: web-1, host: c-1, memory: 1 }]
power: [{ site: c, runtime: 25m }]
`),
      [
        '9:1 colour: unknown key',
        '10:27 paths[0].capacity: is zero: cut it in timeline.yaml instead',
        '11:22 vms[0].host: no host is named "c-1"',
        '11:33 vms[0].memory: the bare number 1 has no unit; expected a size like 64MiB',
        '12:11 power[0].site: no site is named "c"',
      ],
    )
  })

  test('without a site it is refused', () => {
    assert.deepEqual(mistakes('sites: []\n'), ['1:1 sites: name at least one site'])
  })
})
