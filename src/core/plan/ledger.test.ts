import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, arbSnapshot, aSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { hostId } from '../ids.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { mebibytes } from '../units.ts'
import { freeMemory, keptAwayBy, LedgerDraft, openLedger, release, reserve } from './ledger.ts'

const b1 = hostId('b-1')
const snapshot = aSnapshot({
  hosts: [aHost('b-1', 'b', { memory: mebibytes(4096) })],
  vms: [aVm('one', 'b-1', { memory: mebibytes(1024) }), aVm('two', 'b-1', { memory: mebibytes(512) })],
})

test('what is free is what the host has less what lives there', () => {
  assert.equal(freeMemory(openLedger(snapshot), b1), mebibytes(2560))
})

test('what is promised is not free', () => {
  const promised = [
    [b1, mebibytes(512)],
    [b1, mebibytes(48)],
  ] as const
  assert.equal(freeMemory(openLedger(snapshot, promised), b1), mebibytes(2000))
})

test('a promise at a host nobody knows changes nothing, and such a host has no room', () => {
  const ledger = openLedger(snapshot, [[hostId('x'), mebibytes(1)]])
  assert.deepEqual(ledger, openLedger(snapshot))
  assert.equal(freeMemory(ledger, hostId('x')), 0)
})

test('a host that is over-committed already has no room, and its debt is remembered', () => {
  const over = openLedger({ ...snapshot, hosts: [aHost('b-1', 'b', { memory: mebibytes(1024) })] })
  assert.equal(freeMemory(over, b1), 0)
  assert.equal(over.free.get(b1), -512 * 1_048_576)
})

test('a reservation makes a new ledger and leaves the old one as it was', () => {
  const before = openLedger(snapshot)
  const after = reserve(before, b1, aVm('x', 'a-1', { memory: mebibytes(560) }))
  assert.equal(freeMemory(before, b1), mebibytes(2560))
  assert.equal(freeMemory(after, b1), mebibytes(2000))
})

test('memory is neither made nor lost: free, used and reserved add up to what hosts have', () => {
  const arbTaken = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 4096 })), { maxLength: 20 })
  fc.assert(
    fc.property(arbSnapshot, arbTaken, (any, taken) => {
      let ledger = openLedger(any)
      let reserved = 0
      for (const [pick, mib] of taken) {
        const host = any.hosts[pick % any.hosts.length]
        assert.ok(host !== undefined)
        ledger = reserve(ledger, host.id, aVm('x', 'a-1', { memory: mebibytes(mib) }))
        reserved += mebibytes(mib)
      }
      const free = [...ledger.free.values()].reduce((a, b) => a + b, 0)
      const used = any.vms.reduce((total, vm) => total + vm.memory, 0)
      assert.equal(
        free + used + reserved,
        any.hosts.reduce((total, { memory }) => total + memory, 0),
      )
    }),
    runs(300),
  )
})

test('what is taken back leaves a ledger as it was, company and all', () => {
  const [one, two] = ['one', 'two'].map(id =>
    aVm(id, 'a-1', { policy: { ...defaultVmPolicy, antiAffinity: 'db' }, memory: mebibytes(64) }),
  )
  assert.ok(one !== undefined && two !== undefined)
  const with1 = reserve(openLedger(snapshot), b1, one)
  assert.equal(keptAwayBy(with1, b1, two), 'one')
  assert.equal(keptAwayBy(with1, b1, one), undefined)
  const without = release(with1, b1, one)
  assert.equal(keptAwayBy(without, b1, two), undefined)
  assert.deepEqual(without.free, openLedger(snapshot).free)
  assert.equal(keptAwayBy(with1, b1, two), 'one', 'the older ledger is as it was')
})

test('a draft says what a ledger would say after the same promises, and leaves the one it was made from alone', () => {
  const snapshot = aSnapshot({ vms: [aVm('home', 'a-1')] })
  const open = openLedger(snapshot)
  const draft = new LedgerDraft(open)
  let ledger = open
  for (const [n, antiAffinity] of [undefined, 'db', 'db', 'web'].entries()) {
    const vm = aVm(`vm-${n}`, 'a-1', { policy: { ...defaultVmPolicy, antiAffinity } })
    ledger = reserve(ledger, hostId('b-1'), vm)
    draft.reserve(hostId('b-1'), vm)
  }
  assert.deepEqual([draft.free, draft.apart], [ledger.free, ledger.apart])
  assert.deepEqual(open, openLedger(snapshot))
})
