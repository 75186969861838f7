import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aPath, aProgress, aSnapshot, aVm, driven, migrationOf, startedFrom } from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { afterFailure } from '../migration/failure.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../units.ts'

type Timed = readonly [at: number, event: Observed]
const minutes = 60_000

/** VMs by their homes: `a-1 a-1 a-2`. */
const start = (homes: string, change: Partial<Vm> = {}): Timed => {
  const snapshot = aSnapshot({
    hosts: [
      ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: mebibytes(65_536) })),
      ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: mebibytes(65_536) })),
    ],
    paths: [aPath('a', 'b', { capacity: megabitsPerSecond(1000) })],
    vms: homes.split(' ').map((home, n) => aVm(`vm-${n + 1}`, home, change)),
  })
  return [0, startedFrom(snapshot, { policy: 'kubevirt' })]
}
const of = (n: number, attempt = 1) => ({ vm: vmId(`vm-${n}`), attempt })
const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', ...of(n, attempt) })
const remaining = (size: number, n = 1, attempt = 1): Observed => ({
  kind: 'progress',
  ...of(n, attempt),
  progress: aProgress({ remaining: mebibytes(size) }),
})
const tick: Observed = { kind: 'tick' }
const onTick = (facts: readonly Timed[], at: number): readonly Command[] =>
  step(driven(facts), tick, instant(at)).commands
const busy = (facts: readonly Timed[]): readonly string[] =>
  [...driven(facts).migrations.in('preparing', 'pre-copy', 'switchover')].map(({ vm }) => vm)

/** As much memory as is used, so that it does not matter which of the two counts. */
const ofSize = (size: number): Partial<Vm> => ({ memory: bytes(size), used: bytes(size) })

test('five at a time, two out of each node, in the plan’s order', () => {
  const first = start('a-1 a-1 a-1 a-2 a-2 a-2 a-3 a-3')
  assert.deepEqual(busy([first]), ['vm-1', 'vm-2', 'vm-4', 'vm-5', 'vm-7'])
})

test('a slot is free again only when the VM has landed', () => {
  const facts: Timed[] = [start('a-1 a-1 a-1 a-2'), [1, ready(1)]]
  assert.deepEqual(busy(facts), ['vm-1', 'vm-2', 'vm-4'])
  facts.push([2, { kind: 'guest-stopped', ...of(1) }], [3, { kind: 'sent-whole', ...of(1) }])
  assert.deepEqual(busy(facts), ['vm-1', 'vm-2', 'vm-4'])
  facts.push([4, { kind: 'landed', ...of(1), downtime: ms(20), sent: bytes(1), needed: bytes(1) }])
  assert.deepEqual(busy(facts), ['vm-2', 'vm-3', 'vm-4'])
})

test('a VM in doubt does not cost the others their turn', () => {
  const facts: readonly Timed[] = [
    start('a-1 a-1 a-1'),
    [1, ready(1)],
    [2, { kind: 'attempt-unclear', ...of(1), why: 'nobody answers' }],
  ]
  assert.equal(migrationOf(driven(facts), 'vm-1').phase, 'uncertain')
  assert.deepEqual(busy(facts), ['vm-2', 'vm-3'])
})

test('eight channels, no cap, no auto-converge, no post-copy whatever the owner allows, the owner’s downtime', () => {
  const policy = { ...defaultVmPolicy, maxDowntime: ms(700), allow: ['post-copy'] as const }
  const facts: readonly Timed[] = [start('a-1', { policy }), [1, ready(1)]]
  const prepared = migrationOf(driven([start('a-1', { policy })]), 'vm-1')
  assert.ok(prepared.phase === 'preparing')
  assert.deepEqual(prepared.options, { channels: 8, compression: 'none', autoConverge: false, postCopy: false })
  const flowing = migrationOf(driven(facts), 'vm-1')
  assert.ok(flowing.phase === 'pre-copy')
  assert.deepEqual(flowing.tuning, { rate: undefined, downtimeLimit: 700 })
})

test('150 s in which the remaining bytes never fell are borne, a millisecond more is not', () => {
  const facts: readonly Timed[] = [
    start('a-1', ofSize(4e9)),
    [1_000, ready(1)],
    [2_000, remaining(50)],
    [2_500, tick],
    [3_000, remaining(60)],
    [3_500, tick],
  ]
  assert.deepEqual(onTick(facts, 2_500 + 150_000), [])
  const [command, ...rest] = onTick(facts, 2_500 + 150_001)
  assert.ok(command?.kind === 'cancel')
  assert.match(command.why, /^no progress for /)
  assert.deepEqual(rest, [])
})

test('one sample lower than the one before is progress, though it was lower still earlier', () => {
  const facts: readonly Timed[] = [
    start('a-1', ofSize(4e9)),
    [1_000, ready(1)],
    [2_000, remaining(50)],
    [2_500, tick],
    [100_000, remaining(90)],
    [100_500, tick],
    [101_000, remaining(80)],
    [101_500, tick],
  ]
  assert.deepEqual(onTick(facts, 101_500 + 150_000), [])
  assert.equal(onTick(facts, 101_500 + 150_001)[0]?.kind, 'cancel')
})

test('a sample that says the same again is no progress', () => {
  const facts: readonly Timed[] = [
    start('a-1', ofSize(4e9)),
    [1_000, ready(1)],
    [2_000, remaining(50)],
    [2_500, tick],
    [100_000, remaining(50)],
    [100_500, tick],
  ]
  assert.equal(onTick(facts, 2_500 + 150_001)[0]?.kind, 'cancel')
})

test('150 s are allowed for each started gigabyte of 10⁹ bytes, to the millisecond', () => {
  for (const [size, gigabytes] of [
    [1, 1],
    [1e9, 1],
    [1e9 + 1, 2],
    [4e9, 4],
  ] as const) {
    const allowed = gigabytes * 150_000
    const facts: Timed[] = [start('a-1', ofSize(size)), [1_000, ready(1)]]
    // It gets on all the time.
    for (let at = 50_000, left = 900; at < allowed; at += 100_000, left -= 1)
      facts.push([at, remaining(left)], [at, tick])
    assert.deepEqual(onTick(facts, 1_000 + allowed), [], `${size} bytes`)
    const [command] = onTick(facts, 1_000 + allowed + 1)
    assert.ok(command?.kind === 'cancel', `${size} bytes`)
    assert.match(command.why, /^not complete after /)
  }
})

/** Called back for lack of progress, and home again. */
const timedOut = (): Timed[] => {
  const facts: Timed[] = [start('a-1', ofSize(4e9)), [1_000, ready(1)], [2_000, tick], [152_001, tick]]
  const [rollBack] = step(
    driven(facts),
    { kind: 'migration-broke', ...of(1), failure: { code: 'cancelled', detail: 'called off at the hypervisor' } },
    instant(152_100),
  ).commands
  assert.ok(rollBack?.kind === 'roll-back')
  return [...facts, [152_500, { kind: 'attempt-failed', ...of(1), failure: rollBack.failure }]]
}

test('what timed out is queued again, says so, and is tried again after its pause', () => {
  const facts = timedOut()
  const m = migrationOf(driven(facts), 'vm-1')
  assert.ok(m.phase === 'queued')
  assert.equal(m.lastFailure?.code, 'timed-out')
  assert.equal(m.notBefore, 153_500)
  assert.deepEqual(onTick(facts, 153_499), [])
  const [command] = onTick(facts, 153_500)
  assert.ok(command?.kind === 'prepare')
  assert.equal(command.attempt, 2)
})

test('a new attempt has all its patience: nothing is remembered of the one before', () => {
  const facts: readonly Timed[] = [...timedOut(), [154_000, tick], [155_000, ready(1, 2)], [156_000, tick]]
  const m = migrationOf(driven(facts), 'vm-1')
  assert.ok(m.phase === 'pre-copy' && m.attempt === 2)
  assert.deepEqual(onTick(facts, 156_000 + 150_000), [])
  assert.equal(onTick(facts, 156_000 + 150_001)[0]?.kind, 'cancel')
})

test('it is tried again and again, as long as the table of failures allows', () => {
  const { attempts } = afterFailure['timed-out']
  let now = 0
  let state = driven([start('a-1', ofSize(4e9))])
  const see = (event: Observed, later: number): void => {
    now += later
    state = step(state, event, instant(now)).state
  }
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    see(tick, 31_000)
    see(ready(1, attempt), 0)
    see(tick, 1)
    see(tick, 5 * minutes)
    const m = migrationOf(state, 'vm-1')
    assert.ok(m.phase === 'pre-copy' && m.cancelling !== undefined, `attempt ${attempt}`)
    see({ kind: 'attempt-failed', ...of(1, attempt), failure: m.cancelling }, 1)
  }
  const m = migrationOf(state, 'vm-1')
  assert.ok(m.phase === 'given-up')
  assert.deepEqual([m.attempts, m.failure.code], [attempts, 'timed-out'])
})
