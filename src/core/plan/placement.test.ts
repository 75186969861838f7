import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, aPath, arbRequest, aSite, aSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { mebibytes } from '../units.ts'
import { freeMemory, openLedger, release, reserve } from './ledger.ts'
import { place, type PlacementView, refuse } from './placement.ts'
import { type Refusal, showRefusal } from './refusal.ts'

const snapshot = aSnapshot({
  sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
  hosts: [
    aHost('a-1', 'a'),
    aHost('b-1', 'b', { memory: mebibytes(4096) }),
    aHost('b-2', 'b', { memory: mebibytes(6144) }),
    aHost('c-1', 'c'),
  ],
  paths: [aPath('a', 'b')],
})
const vm = aVm('web', 'a-1', { memory: mebibytes(2048) })
const target = aHost('b-1', 'b', { memory: mebibytes(4096) })
const viewOf = (change: Partial<PlacementView> = {}): PlacementView => ({
  snapshot,
  ledger: openLedger(snapshot),
  endangered: [siteId('a')],
  targets: [siteId('b')],
  down: new Map(),
  excluded: [],
  ...change,
})

test('a host that answers, is chosen, is connected and has room is not refused', () => {
  assert.equal(refuse(vm, target, viewOf()), undefined)
})

const apart = (name: string) => ({ policy: { ...defaultVmPolicy, antiAffinity: name } })

interface Case {
  readonly view?: Partial<PlacementView>
  readonly vm?: typeof vm
  readonly host?: typeof target
  readonly refusal: Refusal
  readonly says: string
}
/** Each filter by its reason; a reason without a case does not type-check. */
const cases: Readonly<Record<Exclude<Refusal['why'], 'local-disk'>, Case>> = {
  endangered: {
    view: { endangered: [siteId('a'), siteId('b')] },
    refusal: { why: 'endangered', site: siteId('b') },
    says: 'is in b, which is endangered itself',
  },
  'not-chosen': {
    view: { targets: [siteId('c')] },
    refusal: { why: 'not-chosen', site: siteId('b') },
    says: 'is in b, which is not among the targets',
  },
  'not-allowed': {
    vm: { ...vm, policy: { ...vm.policy, targets: [siteId('c'), hostId('b-2')] } },
    refusal: { why: 'not-allowed', allowed: [siteId('c'), hostId('b-2')] },
    says: 'its policy allows only c, b-2',
  },
  'anti-affinity': {
    view: { ledger: reserve(openLedger(snapshot), hostId('b-1'), aVm('db-1', 'a-1', apart('db'))) },
    vm: { ...vm, ...apart('db') },
    refusal: { why: 'anti-affinity', name: 'db', beside: vmId('db-1') },
    says: 'beside VM db-1, which has the same anti-affinity "db"',
  },
  unreachable: {
    view: { down: new Map([[hostId('b-1'), 'no route to host']]) },
    refusal: { why: 'unreachable', detail: 'no route to host' },
    says: 'does not answer: no route to host',
  },
  'failed-before': {
    view: { excluded: [hostId('b-1')] },
    refusal: { why: 'failed-before', detail: 'an earlier attempt to this host failed' },
    says: 'an earlier attempt to this host failed',
  },
  'no-path': {
    view: { targets: [siteId('b'), siteId('c')] },
    host: aHost('c-1', 'c'),
    refusal: { why: 'no-path', from: siteId('a'), to: siteId('c') },
    says: 'no path from a to c',
  },
  memory: {
    vm: { ...vm, memory: mebibytes(8192) },
    refusal: { why: 'memory', need: mebibytes(8192), free: mebibytes(4096) },
    says: 'needs 8.00 GiB of memory, 4.00 GiB free (short by 4.00 GiB)',
  },
}
for (const [why, { view, vm: other, host, refusal, says }] of Object.entries(cases)) {
  test(`a host is refused for ${why}, and the sentence says it with what there is to say`, () => {
    assert.deepEqual(refuse(other ?? vm, host ?? target, viewOf(view)), refusal)
    assert.equal(showRefusal(refusal), says)
  })
}

test('a disk of its own keeps no VM from a host', () => {
  const own = { ...vm, disks: [aDisk('vda', { shared: false, size: mebibytes(20_480) })] }
  assert.equal(refuse(own, target, viewOf()), undefined)
})

test('of several reasons the one that nothing here cures is told', () => {
  const everything = {
    endangered: [siteId('b')],
    targets: [],
    down: new Map([[hostId('b-1'), 'dead']]),
    excluded: [hostId('b-1')],
  }
  const heavy = { ...vm, memory: mebibytes(65_536), disks: [aDisk('vda', { shared: false })] }
  assert.equal(refuse(heavy, target, viewOf(everything))?.why, 'endangered')
  assert.equal(refuse(heavy, target, viewOf({ ...everything, endangered: [] }))?.why, 'not-chosen')
  assert.equal(
    refuse(heavy, target, viewOf({ ...everything, endangered: [], targets: [siteId('b')] }))?.why,
    'unreachable',
  )
  assert.equal(refuse(heavy, target, viewOf({ excluded: [hostId('b-1')] }))?.why, 'failed-before')
  assert.equal(refuse(heavy, target, viewOf())?.why, 'memory')
})

test('where no path is declared at all, every host is connected', () => {
  const open = { ...snapshot, paths: [] }
  const view = viewOf({ snapshot: open, targets: [siteId('b'), siteId('c')] })
  assert.equal(refuse(vm, aHost('c-1', 'c'), view), undefined)
})

test('a path to one host of a site does not connect the others', () => {
  const only = { ...snapshot, paths: [{ ...aPath('a', 'b'), to: hostId('b-2') }] }
  assert.equal(refuse(vm, target, viewOf({ snapshot: only }))?.why, 'no-path')
  assert.equal(refuse(vm, aHost('b-2', 'b'), viewOf({ snapshot: only })), undefined)
})

test('memory that fits to the last byte is enough', () => {
  const ledger = reserve(openLedger(snapshot), hostId('b-1'), aVm('other', 'a-1', { memory: mebibytes(2048) }))
  assert.equal(refuse(vm, target, viewOf({ ledger })), undefined)
  const tight = reserve(ledger, hostId('b-1'), aVm('other', 'a-1', { memory: mebibytes(1) }))
  assert.deepEqual(refuse(vm, target, viewOf({ ledger: tight })), {
    why: 'memory',
    need: mebibytes(2048),
    free: mebibytes(2047),
  })
})

test('a disk on shared storage keeps nobody from moving', () => {
  assert.equal(refuse({ ...vm, disks: [aDisk('vda')] }, target, viewOf()), undefined)
})

test('the host with the most memory left is chosen, and the first of equals', () => {
  assert.deepEqual(place(vm, viewOf(), undefined), { placed: true, host: 'b-2' })
  const even = reserve(openLedger(snapshot), hostId('b-2'), aVm('other', 'a-1', { memory: mebibytes(2048) }))
  assert.deepEqual(place(vm, viewOf({ ledger: even }), undefined), { placed: true, host: 'b-1' })
})

test('the host that was planned is kept as long as it accepts', () => {
  assert.deepEqual(place(vm, viewOf(), hostId('b-1')), { placed: true, host: 'b-1' })
  assert.deepEqual(place(vm, viewOf({ excluded: [hostId('b-1')] }), hostId('b-1')), { placed: true, host: 'b-2' })
  assert.deepEqual(place(vm, viewOf(), hostId('c-1')), { placed: true, host: 'b-2' })
})

test('where nobody accepts, every host of the chosen sites has its reason', () => {
  const view = viewOf({ down: new Map([[hostId('b-1'), 'dead']]), excluded: [hostId('b-2')] })
  assert.deepEqual(place(vm, view, hostId('b-1')), {
    placed: false,
    refusals: [
      ['b-1', { why: 'unreachable', detail: 'dead' }],
      ['b-2', { why: 'failed-before', detail: 'an earlier attempt to this host failed' }],
    ],
  })
})

test('a place is found exactly when some host is not refused, and it is one of those', () => {
  fc.assert(
    fc.property(arbRequest, fc.nat(), ({ snapshot: any, endangered, targets }, pick) => {
      fc.pre(any.vms.length > 0)
      const some = any.vms[pick % any.vms.length]
      assert.ok(some !== undefined)
      const view = viewOf({ snapshot: any, ledger: openLedger(any), endangered, targets })
      const willing = any.hosts.filter(host => refuse(some, host, view) === undefined)
      const placement = place(some, view, undefined)
      assert.equal(placement.placed, willing.length > 0)
      if (!placement.placed) return
      const chosen = willing.find(({ id }) => id === placement.host)
      assert.ok(chosen !== undefined)
      for (const host of willing) assert.ok(freeMemory(view.ledger, chosen.id) >= freeMemory(view.ledger, host.id))
    }),
    runs(500),
  )
})

test('a VM goes where its policy names the host, or the host’s site', () => {
  for (const place of [siteId('b'), hostId('b-1')])
    assert.equal(refuse({ ...vm, policy: { ...vm.policy, targets: [place] } }, target, viewOf()), undefined)
})

test('anti-affinity is of one name and one host, and not with oneself', () => {
  const there = reserve(openLedger(snapshot), hostId('b-1'), aVm('db-1', 'a-1', apart('db')))
  const refusal = (other: typeof vm, host: string, ledger = there) =>
    refuse(other, aHost(host, 'b'), viewOf({ ledger }))?.why
  assert.equal(refusal({ ...vm, ...apart('db') }, 'b-1'), 'anti-affinity')
  assert.equal(refusal({ ...vm, ...apart('web') }, 'b-1'), undefined)
  assert.equal(refusal(vm, 'b-1'), undefined)
  assert.equal(refusal({ ...vm, ...apart('db') }, 'b-2'), undefined)
  assert.equal(refusal(aVm('db-1', 'a-1', apart('db')), 'b-1'), undefined)
  const gone = release(there, hostId('b-1'), aVm('db-1', 'a-1', apart('db')))
  assert.equal(refusal({ ...vm, ...apart('db') }, 'b-1', gone), undefined)
})

test('anti-affinity counts VMs that live at the target already', () => {
  const lived = { ...snapshot, vms: [aVm('old', 'b-1', apart('db'))] }
  assert.deepEqual(refuse({ ...vm, ...apart('db') }, target, viewOf({ snapshot: lived, ledger: openLedger(lived) })), {
    why: 'anti-affinity',
    name: 'db',
    beside: 'old',
  })
})
