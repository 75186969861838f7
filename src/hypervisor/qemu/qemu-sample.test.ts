import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, bytesPerSecond, mebibytes } from '../../core/units.ts'
import { noSample } from '../no-sample.ts'
import type { CopyState } from './mirrors.ts'
import { withDisks } from './qemu-sample.ts'

const memory = mebibytes(80)
const disk = { copied: mebibytes(10), remaining: mebibytes(6), total: mebibytes(16) }
const copy: CopyState = { stage: 'disks', error: undefined, failure: undefined, disk, writes: bytesPerSecond(100) }
const flowing = {
  ...noSample,
  status: 'active',
  sent: mebibytes(20),
  remaining: mebibytes(50),
  total: memory,
  round: 1,
  dirtyRate: bytesPerSecond(1_000),
} as const

test('memory counts whole until it flows, whatever an earlier migration left of its counters', () => {
  const setUp = { ...noSample, status: 'starting' } as const
  for (const [said, stage] of [
    [flowing, 'disks'],
    [setUp, 'memory'],
  ] as const) {
    const sample = withDisks(said, { ...copy, stage }, memory)
    assert.deepEqual([sample.status, sample.round, sample.sent], ['active', 0, disk.copied])
    assert.deepEqual([sample.remaining, sample.total], [disk.remaining + memory, disk.total + memory])
    assert.equal(sample.dirtyRate, 100)
  }
})

test('then both are one: bytes, and what the guest writes', () => {
  const sample = withDisks(flowing, { ...copy, stage: 'memory' }, memory)
  assert.deepEqual([sample.sent, sample.remaining, sample.total], [mebibytes(30), mebibytes(56), mebibytes(96)])
  assert.deepEqual([sample.dirtyRate, sample.round, sample.disk], [1_100, 1, disk])
  const unmeasured = withDisks({ ...flowing, dirtyRate: undefined }, { ...copy, stage: 'memory' }, memory)
  assert.equal(unmeasured.dirtyRate, undefined)
})

test('a copy that ended says so, with its reason', () => {
  assert.equal(withDisks(flowing, { ...copy, stage: 'cancelled' }, memory).status, 'cancelled')
  const failure = { code: 'target-refused', detail: 'full' } as const
  const failed = withDisks(flowing, { ...copy, stage: 'failed', error: 'no space', failure }, memory)
  assert.deepEqual([failed.status, failed.error, failed.failure], ['failed', 'no space', failure])
  assert.ok(failed.sent > bytes(0))
})
