import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  aProgress,
  arbProgress,
  aSnapshot,
  aVm,
  driven,
  migrationOf,
  runs,
  someVms,
} from '../../../../test/arbitraries.ts'
import {
  allowing,
  decide,
  gib,
  hundred,
  onePath,
  pathOf,
  preCopyOf,
  progress,
  ready,
  roomy,
  startOf,
  tended,
  tick,
  type Timed,
} from '../../../../test/finish-first-facts.ts'
import { lived } from '../../../../test/finish-first-worlds.ts'
import { unlearned } from '../../forecast/dirty-model.ts'
import { hostId, vmId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import { defaultVmPolicy, modesOfLastResort, type Vm } from '../../inventory/vm.ts'
import type { PreCopy, Tuning } from '../../migration/migration.ts'
import type { Progress } from '../../migration/progress.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../../units.ts'
import { ladder } from './ladder.ts'

const aGuest = (change: Partial<Vm> = {}): Vm => aVm('vm-1', 'a-1', change)
const whole: Tuning = { rate: undefined, downtimeLimit: ms(300) }
const half: Tuning = { rate: undefined, downtimeLimit: ms(150) }

/** Writes 95 % of what is sent, after its 100 MiB were sent so many times. */
const losing = (times: number, change: Partial<Progress> = {}): Progress =>
  aProgress({ sent: mebibytes(100 * times), rate: hundred, dirtyRate: bytesPerSecond(hundred * 0.95), ...change })
const untold: Partial<Progress> = { dirtyRate: undefined }
const flowing = (told: Progress | undefined, tuning = whole, change: Partial<PreCopy> = {}): PreCopy => ({
  phase: 'pre-copy',
  vm: vmId('vm-1'),
  source: hostId('a-1'),
  target: hostId('b-1'),
  attempt: 1,
  excluded: [],
  wasted: 0,
  startedAt: instant(0),
  progress: told,
  tuning,
  streams: 1,
  learner: unlearned(undefined, instant(0)),
  said: [],
  mode: 'pre-copy',
  cancelling: undefined,
  switching: false,
  ...change,
})
const rung = (told: Progress | undefined, change: Partial<Vm> = {}, tuning = whole, awaited = true) =>
  ladder(flowing(told, tuning), aGuest(change), awaited)
const kindOf = (...asked: Parameters<typeof rung>): string | undefined => rung(...asked)[0]?.kind

describe('a guest that outruns its path', () => {
  test('has all of its owner’s downtime before anything stronger, once all of it was sent one and a half times', () => {
    for (const mode of modesOfLastResort) assert.deepEqual(rung(losing(1.4), allowing(mode), half), [])
    for (const [times, mode] of [
      [1.5, 'post-copy'],
      [9, 'stop-copy'],
      [50, 'save'],
    ] as const) {
      const [intent, ...more] = rung(losing(times, { throttle: fraction(0.99) }), allowing(mode), half)
      assert.deepEqual(more, [])
      assert.ok(intent?.kind === 'adjust' && intent.mode === undefined)
      assert.deepEqual(intent.tuning, whole)
      assert.match(intent.why, /^[\d.]+ times sent: its whole downtime of 300 ms is used$/)
    }
  })

  test('crosses by post-copy where its owner allows it, once twice its memory was sent in vain', () => {
    assert.deepEqual(rung(losing(1.9), allowing('post-copy')), [])
    const [intent, ...more] = rung(losing(2.1), allowing('post-copy', 'stop-copy'))
    assert.deepEqual(more, [])
    assert.ok(intent?.kind === 'post-copy')
    assert.match(intent.why, /^does not converge: 210 MiB sent for 100 MiB, dirties 95.0 Mbit\/s against 100 Mbit\/s$/)
  })

  test('stands still while the rest is sent, half as long again as that should take, where its owner allows stop-copy', () => {
    const [intent, ...more] = rung(losing(2.1, { remaining: mebibytes(50) }), allowing('stop-copy'))
    assert.deepEqual(more, [])
    assert.ok(intent?.kind === 'adjust' && intent.mode === 'stop-copy')
    // 52.4 MB at 12.5 MB/s.
    assert.equal(intent.tuning.downtimeLimit, Math.ceil(4_194.304 * 1.5))
    assert.match(intent.why, /its owner allows it to stand still while the rest is sent, some 4\.2 s$/)
    assert.deepEqual(rung(losing(2.1, { rate: bytesPerSecond(0) }), allowing('stop-copy')), [], 'no rate, no time')
  })

  test('never stands still for longer than QEMU can be told, nor for less than its owner allows', () => {
    const limit = (remaining: number, rate: number, maxDowntime = 300): number => {
      const policy = { ...defaultVmPolicy, allow: ['stop-copy'] as const, maxDowntime: ms(maxDowntime) }
      const tuning = { rate: undefined, downtimeLimit: ms(maxDowntime) }
      const told = losing(3, { remaining: mebibytes(remaining), rate: bytesPerSecond(rate) })
      const [intent] = rung(told, { policy, memory: gib(64) }, tuning)
      assert.ok(intent?.kind === 'adjust')
      return intent.tuning.downtimeLimit
    }
    assert.equal(limit(60_000, 1_000), 2_000_000)
    assert.equal(limit(0, 12_500_000), 300)
    assert.equal(limit(1, 12_500_000, 5_000), 5_000)
  })

  test('is called back when no throttle is left and all of it was sent ten times while others wait, or thirty times alone', () => {
    const out = { throttle: fraction(0.99) }
    assert.equal(kindOf(losing(9.9, out)), undefined)
    assert.equal(kindOf(losing(10, out)), 'cancel')
    assert.equal(kindOf(losing(29.9, out), {}, whole, false), undefined)
    assert.equal(kindOf(losing(30, out), {}, whole, false), 'cancel')
    assert.equal(kindOf(losing(500, { throttle: fraction(0.9) })), undefined, 'it may yet be slowed')
    const [intent] = rung(losing(10, out))
    assert.ok(intent?.kind === 'cancel' && intent.again === false)
    assert.match(intent.why, /; allow post-copy or stop-copy for it$/)
  })
})

describe('left in peace is', () => {
  test('a guest that is being caught up with, however often it was sent', () => {
    for (const mode of modesOfLastResort)
      assert.deepEqual(rung(losing(3, { dirtyRate: bytesPerSecond(hundred * 0.89) }), allowing(mode), half), [])
    assert.equal(kindOf(losing(3, { dirtyRate: bytesPerSecond(hundred * 0.9) }), {}, half), 'adjust')
  })

  test('one of which nothing was seen yet', () => {
    assert.deepEqual(rung(undefined, allowing('post-copy'), half), [])
  })

  test('one that is about to be in post-copy, or is told to stand still: it is asked for once', () => {
    const allowed = aGuest(allowing('post-copy', 'stop-copy'))
    assert.deepEqual(ladder(flowing(losing(50), whole, { switching: true }), allowed, true), [])
    assert.deepEqual(ladder(flowing(losing(50), whole, { mode: 'stop-copy' }), allowed, true), [])
  })
})

describe('where the hypervisor does not tell how fast a guest writes', () => {
  test('it is taken for one that does not converge once all of it was sent four times', () => {
    assert.deepEqual(rung(losing(3.9, untold), allowing('post-copy'), half), [])
    assert.equal(kindOf(losing(4, untold), allowing('post-copy'), half), 'adjust')
    const [intent] = rung(losing(4, untold), allowing('post-copy'))
    assert.ok(intent?.kind === 'post-copy')
    assert.match(intent.why, /dirties an unknown rate against 100 Mbit\/s$/)
  })

  test('nor does it tell how it is throttled: it is called back all the same', () => {
    assert.equal(kindOf(losing(9.9, untold)), undefined)
    assert.equal(kindOf(losing(10, untold)), 'cancel')
  })

  test('it does not hold the path for ever: after its whole downtime, post-copy or a call back', () => {
    const endless = progress(1, { sent: gib(500), total: gib(1), round: 5_000, rate: hundred, dirtyRate: undefined })
    const day = 86_400_000
    const facts = (change: Partial<Vm>): readonly Timed[] => [
      onePath(2, change),
      [1, ready(1)],
      [2, ready(2)],
      [day, endless],
      [day, tick],
    ]
    const first = preCopyOf(driven(facts(allowing('post-copy'))), 'vm-1')
    assert.deepEqual([first.tuning.downtimeLimit, first.switching], [300, false])
    assert.equal(preCopyOf(driven([...facts(allowing('post-copy')), [day, tick]]), 'vm-1').switching, true)
    assert.equal(preCopyOf(driven([...facts({}), [day, tick]]), 'vm-1').cancelling?.code, 'cancelled')
  })
})

describe('by facts', () => {
  /** … at 60 s, and two looks at it. */
  const seen = (before: readonly Timed[], told = losing(11, { throttle: fraction(0.99) })): readonly Timed[] => {
    const event = { kind: 'progress', vm: vmId('vm-1'), attempt: 1, progress: told } as const
    return [...before, [60_000, event], [60_000, tick], [60_000, tick]]
  }

  test('patience is counted in what has to leave, not in zero pages', () => {
    // 1 GiB of 64 in use; 20 GiB were sent for it, which is less than QEMU’s `total`.
    const change = { ...allowing('post-copy'), memory: gib(64), used: gib(1) }
    const snapshot = aSnapshot({ hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')], vms: someVms(1, change) })
    const before: readonly Timed[] = [
      [0, startOf(snapshot)],
      [1, ready(1)],
    ]
    const outruns = aProgress({ sent: gib(20), total: gib(64), rate: hundred, dirtyRate: hundred })
    assert.equal(preCopyOf(driven(seen(before, outruns)), 'vm-1').switching, true)
  })

  test('what the operator bounds or the neighbours take makes no difference: who leads and does not converge is helped', () => {
    const bounded = { maxParallel: undefined, bandwidth: megabitsPerSecond(50) }
    const rate = megabitsPerSecond(49)
    for (const start of [
      onePath(2, allowing('post-copy'), bounded),
      onePath(2, allowing('post-copy'), undefined, { background: megabitsPerSecond(50) }),
    ])
      assert.equal(
        preCopyOf(driven(seen([start, [1, ready(1)]], losing(3, { rate, dirtyRate: rate }))), 'vm-1').switching,
        true,
      )
  })

  test('one that is being called back is neither told anything nor called back again, and the next waits for its end', () => {
    const state = driven(seen([onePath(2), [1, ready(1)], [2, ready(2)]]))
    assert.equal(preCopyOf(state, 'vm-1').cancelling?.code, 'cancelled')
    assert.deepEqual(tended(decide(state, 61_000)), [])
  })

  test('alone it has three times the patience of one that others wait for', () => {
    assert.equal(preCopyOf(driven(seen([onePath(1), [1, ready(1)]])), 'vm-1').cancelling, undefined)
  })
})

test('in a world: alone a guest is sent thirty times before it is called back; where its owner allows stop-copy it comes out', () => {
  const dirty = { hot: mebibytes(96), period: ms(500), cold: bytesPerSecond(3_000_000) }
  const worldOf = (change: Partial<Vm>) =>
    aSnapshot({
      hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')],
      paths: [pathOf(13)],
      vms: [aVm('vm-1', 'a-1', { used: mebibytes(800), dirty, ...change })],
    })
  const stays = migrationOf(lived(worldOf({})).state, 'vm-1')
  assert.ok(stays.phase === 'given-up' && stays.failure.code === 'cancelled')
  assert.match(stays.failure.detail, /allow post-copy or stop-copy/)
  assert.ok(stays.wasted >= 30 * mebibytes(800) && stays.wasted < 31 * mebibytes(800), `${stays.wasted} sent`)
  const leaves = migrationOf(lived(worldOf(allowing('stop-copy'))).state, 'vm-1')
  assert.ok(leaves.phase === 'landed' && leaves.mode === 'stop-copy', leaves.phase)
})

test('whatever is seen of a guest, at most one thing is wanted, within what its owner allows', () => {
  const seen = new Set<string>()
  const arbAllowed = fc.subarray([...modesOfLastResort])
  const arbLimits = fc.tuple(fc.integer({ min: 0, max: 3_000_000 }), fc.double({ min: 0, max: 1, noNaN: true }))
  fc.assert(
    fc.property(arbProgress, arbAllowed, arbLimits, fc.boolean(), (told, allow, [maxDowntime, share], awaited) => {
      const vm = aGuest({ policy: { ...defaultVmPolicy, allow, maxDowntime: ms(maxDowntime) } })
      const tuning: Tuning = { rate: undefined, downtimeLimit: ms(maxDowntime * share) }
      const intents = ladder(flowing(told, tuning), vm, awaited)
      assert.ok(intents.length <= 1)
      for (const intent of intents) {
        seen.add(intent.kind)
        assert.ok('why' in intent && !/NaN|undefined|Infinity/.test(intent.why), 'why' in intent ? intent.why : '')
        if (intent.kind === 'post-copy') assert.ok(allow.includes('post-copy'))
        if (intent.kind === 'cancel') assert.ok(!allow.includes('post-copy') && !intent.again)
        if (intent.kind !== 'adjust') continue
        const { downtimeLimit } = intent.tuning
        assert.ok(downtimeLimit > tuning.downtimeLimit || intent.mode === 'stop-copy')
        if (intent.mode === 'stop-copy') assert.ok(allow.includes('stop-copy') && downtimeLimit <= 2_000_000)
        else assert.equal(downtimeLimit, maxDowntime)
      }
    }),
    runs(1_000),
  )
  assert.deepEqual([...seen].sort(), ['adjust', 'cancel', 'post-copy'])
})
