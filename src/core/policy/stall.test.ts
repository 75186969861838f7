import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aProgress, aSnapshot, driven, migrationOf, someVms, startedFrom } from '../../../test/arbitraries.ts'
import { vmId } from '../ids.ts'
import type { PreCopy } from '../migration/migration.ts'
import type { Progress } from '../migration/progress.ts'
import { mebibytes, megabitsPerSecond } from '../units.ts'
import { mayGoPostCopy, stalled } from './stall.ts'

/** 100 MiB in use. */
const [vm] = someVms(1)
assert.ok(vm !== undefined)
const flowing = migrationOf(
  driven([
    [0, startedFrom(aSnapshot({ vms: [vm] }))],
    [1, { kind: 'target-ready', vm: vmId('vm-1'), attempt: 1 }],
  ]),
  'vm-1',
)
const after = (progress: Partial<Progress> | undefined): PreCopy => {
  assert.ok(flowing.phase === 'pre-copy')
  return { ...flowing, progress: progress === undefined ? undefined : aProgress(progress) }
}

test('a migration that has not been seen yet has not stalled', () => {
  assert.equal(stalled(vm, after(undefined)), undefined)
})

test('many rounds over little memory, or few over much, are not a stall', () => {
  assert.equal(stalled(vm, after({ round: 29, sent: mebibytes(10_000) })), undefined)
  assert.equal(stalled(vm, after({ round: 500, sent: mebibytes(399) })), undefined)
})

test('from the thirtieth round on, with four times the memory sent, it has', () => {
  assert.notEqual(stalled(vm, after({ round: 30, sent: mebibytes(400) })), undefined)
})

test('the reason has the numbers: sent, needed, rounds, dirty rate, rate', () => {
  const progress = {
    round: 31,
    sent: mebibytes(420),
    rate: megabitsPerSecond(95),
    dirtyRate: megabitsPerSecond(120),
  }
  assert.equal(
    stalled(vm, after(progress)),
    'does not converge: 420 MiB sent for 100 MiB in 31 rounds, dirties 120 Mbit/s against 95.0 Mbit/s',
  )
})

test('a dirty rate that nobody measured is not made up', () => {
  assert.match(stalled(vm, after({ round: 30, sent: mebibytes(400) })) ?? '', /dirties unknown against 100 Mbit\/s/)
})

test('a slow link does not look like a stall: seconds do not count, rounds do', () => {
  const crawling = { round: 2, sent: mebibytes(90), rate: megabitsPerSecond(0.1) }
  assert.equal(stalled(vm, after(crawling)), undefined)
})

test('post-copy helps where memory flows, not while disks are copied', () => {
  const allowed = { ...vm, policy: { ...vm.policy, allow: ['post-copy'] as const } }
  const disk = { copied: mebibytes(10), remaining: mebibytes(50), total: mebibytes(60) }
  assert.ok(mayGoPostCopy(allowed, after(undefined)))
  assert.ok(mayGoPostCopy(allowed, after({ round: 1, disk })))
  assert.ok(!mayGoPostCopy(allowed, after({ round: 0, disk })))
  assert.ok(!mayGoPostCopy(vm, after({ round: 1 })))
})
