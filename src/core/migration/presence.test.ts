import assert from 'node:assert/strict'
import { test } from 'node:test'
import { presences } from '../../../test/arbitraries.ts'
import { showPresence } from './presence.ts'

test('what a host answers is told in its own words', () => {
  assert.deepEqual(presences.map(showPresence), [
    'running',
    'running, sending',
    'paused (paused)',
    'paused (finish-migrate)',
    'paused (postmigrate)',
    'paused (arrived whole)',
    'incoming',
    'post-copy',
    'post-copy, broken',
    'absent (no process)',
    'unreachable (timed out)',
  ])
})
