import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, aPath, arbSnapshot, aSite, aSnapshot, aVm, runs } from '../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { defaultVmPolicy } from '../core/inventory/vm.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../core/units.ts'
import { LabError } from './lab-error.ts'
import {
  completeLinks,
  defaultLink,
  fillFor,
  guestBaseline,
  guestOverhead,
  insistOnSpec,
  type LabGuest,
  type LabSpec,
  leastMemory,
  linkBetween,
  plainGuest,
  specFromSnapshot,
  usedBy,
} from './lab-spec.ts'

const a = siteId('a')
const b = siteId('b')
const a1 = hostId('a-1')
const guestOf = (change: Partial<LabGuest> = {}): LabGuest => ({
  ...plainGuest(vmId('vm-1'), a1, mebibytes(128)),
  ...change,
})
const specOf = (change: Partial<LabSpec> = {}): LabSpec => ({
  name: 'demo',
  sites: [
    { id: a, safe: false },
    { id: b, safe: true },
  ],
  hosts: [
    { id: a1, site: a, memory: mebibytes(8192) },
    { id: hostId('b-1'), site: b, memory: mebibytes(8192) },
  ],
  links: [],
  guests: [guestOf()],
  ...change,
})
const dirtyOf = (hot: number) => ({ hot: mebibytes(hot), period: ms(2_000), cold: bytesPerSecond(0) })
const complaints = (spec: LabSpec): readonly string[] => {
  try {
    insistOnSpec(spec)
    return []
  } catch (error) {
    assert.ok(error instanceof LabError, String(error))
    const [first, ...wrong] = error.message.split('\n')
    assert.equal(first, 'this lab cannot be made:')
    return wrong.map(line => line.trim())
  }
}

test('a small lab is accepted, down to the least memory a guest boots with', () => {
  assert.deepEqual(complaints(specOf()), [])
  assert.deepEqual(complaints(specOf({ guests: [plainGuest(vmId('vm-1'), a1, leastMemory)] })), [])
  assert.deepEqual(complaints(specOf({ guests: [] })), [])
})

test('a lab’s name is 1 to 16 small letters, digits and hyphens, and begins with no hyphen', () => {
  for (const name of ['a', 'demo', '0', 'a-1', 'x'.repeat(16)]) assert.deepEqual(complaints(specOf({ name })), [], name)
  for (const name of ['', '-a', 'Demo', 'a b', 'a/b', '..', 'a_b', 'x'.repeat(17)])
    assert.match(complaints(specOf({ name })).join('\n'), /a lab's name has 1 to 16 small letters, digits and -/, name)
})

test('a site without a host is named', () => {
  const sites = [...specOf().sites, { id: siteId('c'), safe: true }]
  assert.deepEqual(complaints(specOf({ sites })), ['site c has no host'])
})

test('no more than 200 sites, and 200 hosts in each, have addresses', () => {
  const hosts = Array.from({ length: 201 }, (_, n) => ({ id: hostId(`a-${n + 1}`), site: a, memory: mebibytes(1) }))
  const others = specOf().hosts.filter(({ site }) => site === b)
  assert.deepEqual(complaints(specOf({ hosts: [...hosts, ...others] })), ['site a has 201 hosts: at most 200'])
  assert.deepEqual(complaints(specOf({ hosts: [...hosts.slice(0, 200), ...others] })), [])
  const sites = Array.from({ length: 201 }, (_, n) => ({ id: siteId(`s${n}`), safe: n > 0 }))
  const one = sites.map(({ id }) => ({ id: hostId(`${id}-1`), site: id, memory: mebibytes(1) }))
  assert.deepEqual(complaints(specOf({ sites, hosts: one, guests: [] })), ['201 sites: at most 200'])
})

test('a guest with too little memory to boot is named, with both numbers', () => {
  const guest = guestOf({ memory: mebibytes(79), fill: bytes(0) })
  assert.deepEqual(complaints(specOf({ guests: [guest] })), [
    'vm-1: 79.0 MiB is too little, a guest needs 80.0 MiB to boot',
  ])
})

test('a fill and a hot set that do not fit beside the kernel are named, with all numbers', () => {
  const fits = guestOf({ fill: mebibytes(36), dirty: dirtyOf(20) })
  assert.deepEqual(complaints(specOf({ guests: [fits] })), [])
  assert.deepEqual(complaints(specOf({ guests: [{ ...fits, fill: mebibytes(37) }] })), [
    'vm-1: a fill of 37.0 MiB and a hot set of 20.0 MiB do not fit in 128 MiB beside 72.0 MiB for its kernel',
  ])
})

test('a hot set is copied out of the fill, so the fill is the larger one', () => {
  assert.deepEqual(complaints(specOf({ guests: [guestOf({ fill: mebibytes(20), dirty: dirtyOf(20) })] })), [
    'vm-1: the fill (20.0 MiB) must be larger than the hot set (20.0 MiB)',
  ])
  assert.deepEqual(complaints(specOf({ guests: [guestOf({ fill: mebibytes(21), dirty: dirtyOf(20) })] })), [])
  assert.deepEqual(complaints(specOf({ guests: [guestOf({ fill: bytes(0), dirty: dirtyOf(0) })] })), [])
})

test('several mistakes are told together, and very many of a kind are not told one by one', () => {
  const small = guestOf({ memory: mebibytes(16), fill: bytes(0) })
  const two = complaints(specOf({ name: 'UP', guests: [small] }))
  assert.equal(two.length, 2)
  const many = complaints(specOf({ guests: Array.from({ length: 40 }, (_, n) => ({ ...small, vm: vmId(`vm-${n}`) })) }))
  assert.ok(many.length <= 10, `${many.length} lines`)
  assert.match(many.at(-1) ?? '', /3\d more/)
})

test('what can be filled is what the kernel and the hot set leave, never less than nothing', () => {
  assert.equal(fillFor(mebibytes(128), bytes(0)), mebibytes(56))
  assert.equal(fillFor(mebibytes(128), mebibytes(20)), mebibytes(36))
  assert.equal(fillFor(mebibytes(64), mebibytes(20)), 0)
  assert.equal(fillFor(guestOverhead, bytes(0)), 0)
})

test('what has to leave is the fill, the hot set and what a guest has anyway, never more than its memory', () => {
  assert.equal(usedBy(guestOf({ fill: mebibytes(10), dirty: dirtyOf(5) })), mebibytes(15) + guestBaseline)
  assert.equal(usedBy(guestOf({ memory: mebibytes(80), fill: mebibytes(79) })), mebibytes(80))
})

test('every pair of sites has one link: the one that was given, whichever way round, or the usual one', () => {
  const sites = ['a', 'b', 'c'].map(id => ({ id: siteId(id), safe: true }))
  const given = { between: [b, a] as const, capacity: megabitsPerSecond(10), rtt: ms(5), loss: fraction(0.01) }
  const links = completeLinks(sites, [given])
  assert.deepEqual(links, [
    given,
    { between: [a, siteId('c')], ...defaultLink },
    { between: [b, siteId('c')], ...defaultLink },
  ])
  assert.equal(linkBetween(links, a, b), given)
  assert.equal(linkBetween(links, b, a), given)
  assert.equal(linkBetween(links, a, a), undefined)
})

test('a plain guest is full of random bytes, as far as they fit', () => {
  const guest = plainGuest(vmId('vm-1'), a1, mebibytes(96))
  assert.equal(guest.fill, mebibytes(24))
  assert.equal(usedBy(guest), mebibytes(82))
  assert.equal(guest.policy, defaultVmPolicy)
})

test('a scenario’s inventory becomes a lab with the same names, links and policies', () => {
  const policy = { ...defaultVmPolicy, maxDowntime: ms(2_000) }
  const snapshot = aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true })],
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b')],
    paths: [
      aPath('a', 'b', { capacity: megabitsPerSecond(50), loss: fraction(0.001) }),
      { ...aPath('a', 'b', { capacity: megabitsPerSecond(1) }), from: a1, to: hostId('b-1') },
    ],
    vms: [aVm('db', 'a-1', { value: 20, group: 'shop', policy, disks: [aDisk('vda', { size: mebibytes(64) })] })],
  })
  const spec = specFromSnapshot('demo', snapshot)
  assert.deepEqual(spec.links, [
    { between: [a, b], capacity: megabitsPerSecond(50), rtt: defaultLink.rtt, loss: fraction(0.001) },
  ])
  const [guest] = spec.guests
  assert.deepEqual(
    { ...guest, fill: 0 },
    {
      vm: 'db',
      host: 'a-1',
      memory: mebibytes(1024),
      fill: 0,
      dirty: undefined,
      disks: [{ size: mebibytes(64), shared: true }],
      value: 20,
      group: 'shop',
      policy,
    },
  )
  assert.equal(guest === undefined ? 0 : usedBy(guest), mebibytes(100))
})

test('any inventory becomes a lab of the same sites, hosts and VMs, with one link for every pair of sites', () => {
  fc.assert(
    fc.property(arbSnapshot, snapshot => {
      const spec = specFromSnapshot('demo', snapshot)
      assert.deepEqual(
        spec.sites.map(({ id }) => id),
        snapshot.sites.map(({ id }) => id),
      )
      assert.deepEqual(
        spec.hosts.map(({ id, site }) => [id, site]),
        snapshot.hosts.map(({ id, site }) => [id, site]),
      )
      assert.deepEqual(
        spec.guests.map(({ vm, host, memory }) => [vm, host, memory]),
        snapshot.vms.map(({ id, host, memory }) => [id, host, memory]),
      )
      const n = spec.sites.length
      assert.equal(spec.links.length, (n * (n - 1)) / 2)
      for (const x of spec.sites)
        for (const y of spec.sites)
          assert.equal(spec.links.filter(link => linkBetween([link], x.id, y.id) !== undefined).length, x === y ? 0 : 1)
    }),
    runs(200),
  )
})

test('a guest made from an inventory has in use what the inventory says, as far as a guest can', () => {
  fc.assert(
    fc.property(arbSnapshot, snapshot => {
      specFromSnapshot('demo', snapshot).guests.forEach((guest, at) => {
        const vm = snapshot.vms[at]
        assert.ok(vm !== undefined)
        const hot = vm.dirty?.hot ?? 0
        assert.ok(guest.fill >= 0 && usedBy(guest) <= vm.memory)
        const least = guestBaseline + hot
        const most = vm.memory - guestOverhead + guestBaseline
        if (vm.used >= least && vm.used <= most) assert.equal(usedBy(guest), vm.used)
      })
    }),
    runs(300),
  )
})

test('ssh and tls are refused where no libvirtd is', () => {
  assert.deepEqual(complaints(specOf({ driver: 'libvirt', ssh: true, tls: true })), [])
  for (const way of [{ ssh: true }, { tls: true, driver: 'qemu' as const }])
    assert.match(complaints(specOf(way)).join('; '), /--driver libvirt/)
})
