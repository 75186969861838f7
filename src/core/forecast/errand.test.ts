import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aPath, aSnapshot, aVm } from '../../../test/arbitraries.ts'
import { hostId } from '../ids.ts'
import type { Path } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type DirtyModel, type Vm } from '../inventory/vm.ts'
import { policyByName } from '../policy/policy-by-name.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { uncorrected } from './correction.ts'
import {
  errandAhead,
  errandUnderWay,
  habitsOf,
  Roads,
  slow,
  statedCapacity,
  type UnderWay,
  type Way,
} from './errand.ts'
import { preCopyDuration } from './pre-copy-duration.ts'

const MB = 1_000_000
const model = (hot: number, period: number, cold: number): DirtyModel => ({
  hot: bytes(hot),
  period: ms(period),
  cold: bytesPerSecond(cold),
})
const way = (vm: Partial<Vm>, policy = 'finish-first', path: Partial<Path> = {}): Way => {
  const snapshot = aSnapshot({
    paths: [aPath('a', 'b', { capacity: megabitsPerSecond(100), ...path })],
    hosts: [aHost('a-1', 'a', { nic: megabitsPerSecond(1_000) }), aHost('b-1', 'b', { nic: megabitsPerSecond(500) })],
  })
  return {
    vm: aVm('web', 'a-1', { used: bytes(100 * MB), ...vm }),
    road: new Roads(snapshot, statedCapacity, undefined).between(hostId('a-1'), hostId('b-1')),
    habits: habitsOf(policyByName(policy), undefined),
    correction: uncorrected,
  }
}

test('a VM that waits takes what its pre-copy takes, and handshakes of some round trips', () => {
  const dirty = model(2 * MB, 1_000, 100_000)
  const alone = way({ dirty }, 'finish-first', { rtt: ms(40) })
  const handshakes = errandAhead(alone).lasts(12.5e6) - preCopyDuration(bytes(100 * MB), dirty, 12.5e6, ms(300))
  assert.ok(handshakes > 5 * 40 && handshakes < 5 * 40 + 300, `${handshakes}`)
})

test('disks that are not shared are bytes like others', () => {
  const disk = { name: 'vda', size: bytes(50 * MB), used: bytes(50 * MB), write: bytesPerSecond(0), shared: false }
  assert.equal(errandAhead(way({ disks: [disk] })).load, 150 * MB)
  assert.equal(errandAhead(way({ disks: [{ ...disk, shared: true }] })).load, 100 * MB)
})

test('the most it can use: the slower card; one stream, where one is known not to fill the path', () => {
  assert.equal(errandAhead(way({})).most, megabitsPerSecond(500))
  const perFlow = { perFlow: megabitsPerSecond(20) }
  assert.equal(errandAhead(way({}, 'sequential', perFlow)).most, megabitsPerSecond(20))
  assert.equal(errandAhead(way({}, 'finish-first', perFlow)).most, megabitsPerSecond(160), 'ours takes eight')
  const lossy = errandAhead(way({}, 'sequential', { rtt: ms(80), loss: fraction(0.001) })).most
  assert.ok(lossy < megabitsPerSecond(20), `${lossy}`)
})

test('a guest that outruns its path has no end under a policy that does nothing about it; ours throttles it, less surely', () => {
  const dirty = model(40 * MB, 1_000, 0)
  assert.equal(errandAhead(way({ dirty }, 'sequential')).lasts(12.5e6), Number.POSITIVE_INFINITY)
  const ours = errandAhead(way({ dirty }))
  const once = 8_000
  assert.ok(ours.lasts(12.5e6) > once * 1.3 && ours.lasts(12.5e6) < once * 4, `${ours.lasts(12.5e6)}`)
  assert.ok(ours.factors.p90 > errandAhead(way({})).factors.p90)
  const postCopy = errandAhead(way({ dirty, policy: { ...defaultVmPolicy, allow: ['post-copy'] } }))
  // Twice over, then what remains: three times its memory.
  assert.ok(Math.abs(postCopy.lasts(12.5e6) - 3 * once) < 500, `${postCopy.lasts(12.5e6)}`)
})

const under = (change: Partial<UnderWay> = {}): UnderWay => ({
  pass: { remaining: 50 * MB, since: 4_000, all: 100 * MB },
  dirty: undefined,
  wire: 1,
  rate: 12.5e6,
  mark: 50,
  lastPass: false,
  ...change,
})

test('one under way takes what is left; compressed it takes less; standing still it is sent once', () => {
  const half = errandUnderWay(way({}), under()).lasts(12.5e6)
  assert.ok(half >= 4_000 && half < 4_300, `${half}`)
  const packed = errandUnderWay(way({}), under({ wire: 0.5 })).lasts(12.5e6)
  assert.ok(packed >= 2_000 && packed < 2_300, `${packed}`)
  const hot = model(40 * MB, 1_000, 0)
  const still = errandUnderWay(way({}, 'sequential'), under({ dirty: hot, lastPass: true })).lasts(12.5e6)
  assert.ok(still >= 4_000 && still < 4_300, `${still}`)
})

test('who gets more than was thought possible can use that', () => {
  assert.equal(errandUnderWay(way({}), under({ rate: 2e8 })).most, 2e8)
})

test('habits: how many at a time, within the operator’s bound; ours fills its way and helps guests to end', () => {
  assert.deepEqual(habitsOf(policyByName('fixed:4'), undefined), { slots: 4, fills: false, rescues: false })
  assert.deepEqual(habitsOf(policyByName('all-at-once'), 3), { slots: 3, fills: false, rescues: false })
  const ours = habitsOf(policyByName('finish-first'), undefined)
  assert.deepEqual([ours.fills, ours.rescues], [true, true])
})

test('a guest with half of its time writes half as fast', () => {
  const slowed = slow(model(mebibytes(8), 2_000, 1 * MB), 0.5)
  assert.deepEqual([slowed.hot, slowed.period, slowed.cold], [mebibytes(8), 4_000, 500_000])
})

test('what the operator allows together is one more thing to wait at', () => {
  const roads = new Roads(aSnapshot(), statedCapacity, 1e6)
  assert.deepEqual(roads.between(hostId('a-1'), hostId('b-1')).crosses[0], {
    key: 'the bandwidth allowed',
    capacity: 1e6,
  })
})
