import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diskFailure } from './disk-failure.ts'

test('a full target is named, whoever says it', () => {
  for (const said of [
    'operation failed: migration of disk vda failed: No space left on device',
    'a disk could not be copied: No space left on device',
    'Disk quota exceeded',
  ]) {
    const failure = diskFailure(said, 'osaka-1')
    assert.equal(failure?.code, 'target-refused')
    assert.match(
      failure !== undefined && 'detail' in failure ? failure.detail : '',
      /^the storage of osaka-1 filled up .*Make room there/,
    )
  }
})

test('other words are left to others', () => {
  for (const said of ['Connection reset by peer', '', 'operation aborted: canceled by client'])
    assert.equal(diskFailure(said, 'osaka-1'), undefined)
})
