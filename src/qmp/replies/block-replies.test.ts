import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseQueryBlock } from './query-block.ts'
import { parseQueryJobs } from './query-jobs.ts'
import { parseMemorySize } from './query-memory-size.ts'

test('drives with their chains, and without a medium', () => {
  const base = { filename: '/b.qcow2', format: 'qcow2', 'virtual-size': 1024, 'actual-size': 512 }
  const image = {
    ...base,
    filename: '/t.qcow2',
    'backing-filename': 'b.qcow2',
    'backing-image': base,
    'format-specific': {},
  }
  const drives = parseQueryBlock([
    { device: 'vda', locked: false, inserted: { 'node-name': '#block1', ro: false, drv: 'qcow2', image } },
    { device: 'cd', locked: false, tray_open: false },
  ])
  assert.deepEqual(drives, [
    {
      device: 'vda',
      inserted: {
        node: '#block1',
        readOnly: false,
        image: {
          path: '/t.qcow2',
          format: 'qcow2',
          size: 1024,
          taken: 512,
          backingName: 'b.qcow2',
          backing: {
            path: '/b.qcow2',
            format: 'qcow2',
            size: 1024,
            taken: 512,
            backing: undefined,
            backingName: undefined,
          },
        },
      },
    },
    { device: 'cd', inserted: undefined },
  ])
})

test('jobs, with the error of one that ended', () => {
  const job = { id: 'j', type: 'mirror', status: 'concluded', 'current-progress': 5, 'total-progress': 10, error: 'no' }
  assert.deepEqual(parseQueryJobs([job]), [
    { id: 'j', type: 'mirror', status: 'concluded', done: 5, total: 10, error: 'no' },
  ])
  assert.throws(() => parseQueryJobs([{ ...job, 'total-progress': -1 }]))
})

test('the memory a guest was started with', () => {
  assert.equal(parseMemorySize({ 'base-memory': 4096, 'plugged-memory': 0 }), 4096)
})
