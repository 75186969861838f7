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

test('the default is one of those there are', () => {
  assert.equal(policyByName(defaultPolicy).name, defaultPolicy)
})

test('a name nobody knows is refused with those there are', () => {
  for (const name of ['', 'fastest', 'Sequential', 'sequential ', 'all']) {
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
