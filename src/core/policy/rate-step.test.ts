import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aSnapshot } from '../../../test/arbitraries.ts'
import { hostId } from '../ids.ts'
import { bytesPerSecond } from '../units.ts'
import { inSteps, rateStepOf } from './rate-step.ts'

test('a cap is rounded down to what its hypervisor keeps, and never to nothing', () => {
  const mebibyte = 1_048_576
  assert.equal(inSteps(3.9 * mebibyte, mebibyte), 3 * mebibyte)
  assert.equal(inSteps(3 * mebibyte, mebibyte), 3 * mebibyte)
  assert.equal(inSteps(64 * 1024, mebibyte), mebibyte)
  assert.equal(inSteps(65_537, 1), 65_537)
})

test('a host of which nothing is said keeps caps to the byte', () => {
  const snapshot = aSnapshot({ hosts: [aHost('a-1', 'a', { rateStep: bytesPerSecond(4096) }), aHost('a-2', 'a')] })
  assert.deepEqual(
    ['a-1', 'a-2', 'nowhere'].map(host => rateStepOf(snapshot, hostId(host))),
    [4096, 1, 1],
  )
})
