/** The replies that fit on one line, and the greeting. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ZodError } from 'zod'
import { parseGreeting } from './greeting.ts'
import { ignoreReply } from './ignore-reply.ts'
import { parseQueryCommands } from './query-commands.ts'
import { parseQueryDirtyRate } from './query-dirty-rate.ts'
import { parseQueryStatus } from './query-status.ts'

describe('the greeting', () => {
  const qemu = { micro: 22, minor: 2, major: 7 }
  test('is read with version, package and capabilities', () => {
    assert.deepEqual(parseGreeting({ version: { qemu, package: 'Debian 1:7.2' }, capabilities: ['oob'] }), {
      version: { major: 7, minor: 2, micro: 22, package: 'Debian 1:7.2' },
      capabilities: ['oob'],
    })
  })
  test('may lack package and capabilities', () => {
    assert.deepEqual(parseGreeting({ version: { qemu } }), { version: { ...qemu, package: '' }, capabilities: [] })
  })
  test('without a version is refused', () => {
    assert.throws(() => parseGreeting({ capabilities: [] }), ZodError)
  })
})

describe('query-status', () => {
  test('is read, and what else QEMU tells is left out', () => {
    const raw = { status: 'postmigrate', singlestep: false, running: false }
    assert.deepEqual(parseQueryStatus(raw), { status: 'postmigrate', running: false })
  })
  test('without its two parts is refused', () => {
    assert.throws(() => parseQueryStatus({ status: 'running' }), ZodError)
    assert.throws(() => parseQueryStatus({ running: true }), ZodError)
  })
})

describe('query-dirty-rate', () => {
  test('a measured rate is MiB/s at QEMU and bytes/s here', () => {
    const raw = { status: 'measured', 'dirty-rate': 108, mode: 'page-sampling' }
    assert.deepEqual(parseQueryDirtyRate(raw), { status: 'measured', rate: 108 * 1_048_576 })
  })
  test('a rate that is not known yet, missing or -1, is 0', () => {
    assert.equal(parseQueryDirtyRate({ status: 'unstarted' }).rate, 0)
    assert.equal(parseQueryDirtyRate({ status: 'measuring', 'dirty-rate': -1 }).rate, 0)
  })
  test('a rate that is a text is refused', () => {
    assert.throws(() => parseQueryDirtyRate({ status: 'measured', 'dirty-rate': '108' }), ZodError)
  })
})

test('query-commands is a list of names', () => {
  assert.deepEqual(parseQueryCommands([{ name: 'migrate' }, { name: 'quit', 'allow-oob': false }]), ['migrate', 'quit'])
  assert.throws(() => parseQueryCommands({ name: 'migrate' }), ZodError)
})

test('a reply that says nothing may be anything', () => {
  for (const raw of [{}, null, 'x', [1]]) assert.equal(ignoreReply(raw), undefined)
})
