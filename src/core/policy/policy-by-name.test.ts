import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { defaultPolicy, policyByName, policyNames, UnknownPolicy } from './policy-by-name.ts'

test('sequential has one slot, fixed:N has N, all-at-once has no bound', () => {
  assert.equal(policyByName('sequential').slots, 1)
  assert.equal(policyByName('fixed:1').slots, 1)
  assert.equal(policyByName('fixed:9999').slots, 9_999)
  assert.equal(policyByName('all-at-once').slots, Number.POSITIVE_INFINITY)
})

test('every number of slots from 1 on has its policy, which keeps the name it was asked by', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9_999 }), n => {
      const policy = policyByName(`fixed:${n}`)
      assert.deepEqual([policy.name, policy.slots], [`fixed:${n}`, n])
    }),
    runs(200),
  )
})

test('every peer has its name, and the migrations it has at one time', () => {
  for (const [name, slots] of [
    ['aimd', 1],
    ['kubevirt', 5],
    ['nova', Number.POSITIVE_INFINITY],
    ['ovirt', Number.POSITIVE_INFINITY],
    ['proxmox', 4],
    ['proxmox:1', 1],
    ['proxmox:12', 12],
    ['proxmox:9999', 9_999],
  ] as const) {
    const policy = policyByName(name)
    assert.deepEqual([policy.name, policy.slots], [name, slots])
  }
})

test('every name in the list names a policy, with 3 for N', () => {
  for (const listed of policyNames) {
    const name = listed.replace('N', '3')
    assert.equal(policyByName(name).name, name)
  }
})

test('a policy is new each time: nobody gets one with another’s memory', () => {
  for (const name of ['aimd', 'kubevirt', 'ovirt', 'proxmox']) assert.notEqual(policyByName(name), policyByName(name))
})

test('a number of workers that is none is refused', () => {
  for (const name of [
    'proxmox:',
    'proxmox:0',
    'proxmox:-1',
    'proxmox:1.5',
    'proxmox:04',
    'proxmox:10000',
    'kubevirt:3',
  ])
    assert.throws(() => policyByName(name), UnknownPolicy, name)
})

test('the default is one of those there are', () => {
  assert.equal(policyByName(defaultPolicy).name, defaultPolicy)
})

test('a name nobody knows is refused with those there are', () => {
  for (const name of ['', 'fastest', 'Sequential', 'sequential ', 'all', 'constructor', 'toString', '__proto__']) {
    assert.throws(
      () => policyByName(name),
      (error: unknown) =>
        error instanceof UnknownPolicy &&
        error.message.includes(`"${name}"`) &&
        policyNames.every(known => error.message.includes(known)),
      name,
    )
  }
})

test('a fixed number that is none is refused with an example', () => {
  for (const name of ['fixed', 'fixed:', 'fixed:0', 'fixed:-1', 'fixed:1.5', 'fixed:04', 'fixed:10000', 'fixed:four'])
    assert.throws(() => policyByName(name), /N is a whole number from 1, like fixed:4/, name)
})
