import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { showPresence } from '../../core/migration/presence.ts'
import { type DomainSeen, presenceOf } from './libvirt-presence.ts'

/** State, reason and job as libvirt 9.0 was seen to answer; what is said of it. */
const seen: readonly (readonly [what: string, DomainSeen, string])[] = [
  ['booted here', { state: 1, reason: 1, job: 'none' }, 'running'],
  ['while memory leaves', { state: 1, reason: 1, job: 'out' }, 'running, sending'],
  ['arrived, while its target job ends', { state: 1, reason: 2, job: 'in' }, 'running'],
  ['at the target while memory comes', { state: 3, reason: 2, job: 'in' }, 'incoming'],
  ['at the target while it is made', { state: 3, reason: 11, job: 'in' }, 'incoming'],
  ['paused by somebody', { state: 3, reason: 1, job: 'none' }, 'paused (paused, reason 1)'],
  ['post-copy, source', { state: 3, reason: 12, job: 'out' }, 'post-copy'],
  ['post-copy, target', { state: 1, reason: 10, job: 'in' }, 'post-copy'],
  ['post-copy broke, source', { state: 3, reason: 13, job: 'out' }, 'post-copy, broken'],
  ['post-copy broke, target', { state: 1, reason: 11, job: 'in' }, 'post-copy, broken'],
  ['shut off', { state: 5, reason: 4, job: 'none' }, 'absent (shut off)'],
]

describe('what a domain does, from what libvirt says', () => {
  for (const [what, domain, says] of seen) test(what, () => assert.equal(showPresence(presenceOf(domain)), says))

  test('stopped for the last part it leaves; with nobody at work on it, it has left', () => {
    const paused = { state: 3, reason: 2 }
    assert.deepEqual(
      (['out', 'none'] as const).map(job => {
        const presence = presenceOf({ ...paused, job })
        return presence.state === 'paused' ? presence.as : presence.state
      }),
      ['leaving', 'left'],
    )
  })
})
