import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failures } from '../../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import { mebibytes } from '../units.ts'
import { afterFailure, MigrationError, showFailure, showRefusals } from './failure.ts'

test('there is an example of every failure, and each is told by its code and what happened', () => {
  assert.deepEqual(failures.map(({ code }) => code).sort(), Object.keys(afterFailure).sort())
  for (const failure of failures) {
    if (failure.code === 'no-target') continue
    assert.equal(showFailure(failure), `${failure.code}: ${failure.detail}`)
  }
})

test('a VM without a target is told what each host said, with numbers', () => {
  const refusals = [
    [hostId('b-1'), { why: 'memory', need: mebibytes(8192), free: mebibytes(6349) }],
    [hostId('c-1'), { why: 'no-path', from: siteId('a'), to: siteId('c') }],
  ] as const
  assert.equal(
    showFailure({ code: 'no-target', refusals }),
    'no target: b-1: needs 8.00 GiB of memory, 6.20 GiB free (short by 1.80 GiB); c-1: no path from a to c',
  )
  assert.equal(showRefusals([]), 'no safe host is known')
})

test('a target that refused for itself is not asked next; a path that broke is tried again to the same target', () => {
  assert.equal(afterFailure['target-out-of-memory'].next, 'other-target')
  assert.equal(afterFailure['target-unreachable'].next, 'other-target')
  assert.equal(afterFailure['target-refused'].next, 'other-target')
  assert.equal(afterFailure['target-unfit'].next, 'other-target')
  assert.ok(afterFailure['target-unfit'].attempts < afterFailure['target-refused'].attempts)
  assert.equal(afterFailure['path-lost'].next, 'same-target')
})

test('what the operator called off, what died, and what no attempt can cure is not tried again', () => {
  for (const code of ['cancelled', 'vm-died', 'cannot-move', 'not-there', 'no-target', 'may-not-move'] as const)
    assert.equal(afterFailure[code].next, 'give-up', code)
})

test('links and hosts that may come back are tried for longer than a hypervisor that says no', () => {
  assert.ok(afterFailure['path-lost'].attempts > afterFailure['target-refused'].attempts)
  for (const [code, { next, attempts }] of Object.entries(afterFailure))
    assert.ok(next === 'give-up' ? attempts === 1 : attempts > 1, code)
})

test('what a driver throws carries the failure, names the VM, and keeps its cause', () => {
  const failure = { code: 'target-refused', detail: 'Device needed by the guest is missing' } as const
  const cause = new Error('from below')
  const error = new MigrationError(vmId('web'), failure, { cause })
  assert.equal(error.failure, failure)
  assert.equal(error.message, 'web: target-refused: Device needed by the guest is missing')
  assert.equal(error.cause, cause)
})
