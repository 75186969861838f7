import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aProgress, aSnapshot, aVm, driven, migrationOf, startedFrom } from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Limits, Observed } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Host } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../units.ts'

type Timed = readonly [at: number, event: Observed]
const unlimited: Limits = { maxParallel: undefined, bandwidth: undefined }

const start = (homes: string, change: Partial<Vm> = {}, host: Partial<Host> = {}, limits = unlimited): Timed => {
  const snapshot = aSnapshot({
    hosts: [
      ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: mebibytes(65_536), ...host })),
      ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: mebibytes(65_536) })),
    ],
    vms: homes.split(' ').map((home, n) => aVm(`vm-${n + 1}`, home, change)),
  })
  return [0, startedFrom(snapshot, { policy: 'ovirt', limits })]
}
const of = (n: number, attempt = 1) => ({ vm: vmId(`vm-${n}`), attempt })
const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', ...of(n, attempt) })
const inRound = (round: number, attempt = 1): Observed => ({
  kind: 'progress',
  ...of(1, attempt),
  progress: aProgress({ round }),
})
const tick: Observed = { kind: 'tick' }
const onTick = (facts: readonly Timed[], at: number): readonly Command[] =>
  step(driven(facts), tick, instant(at)).commands
const tuningOf = (facts: readonly Timed[], vm = 'vm-1') => {
  const m = migrationOf(driven(facts), vm)
  assert.ok(m.phase === 'pre-copy')
  return m.tuning
}
const waits = (facts: readonly Timed[]): readonly string[] =>
  [...driven(facts).migrations.in('queued')].map(({ vm }) => vm)

/** Memory flows; it is first looked at, and from here the looks are counted. */
const flowing: readonly Timed[] = [start('a-1'), [500, ready(1)], [1_000, tick]]
/** A look every ten seconds, each in the round given. @returns what each decided: a downtime limit, `cancel`, or nothing */
const looks = (rounds: readonly number[]): readonly (number | string | undefined)[] => {
  const facts: Timed[] = [...flowing]
  return rounds.map((round, n) => {
    const at = 1_000 + 10_000 * (n + 1)
    facts.push([at - 1, inRound(round)])
    const [command] = onTick(facts, at)
    facts.push([at, tick])
    return command?.kind === 'adjust' ? command.tuning.downtimeLimit : command?.kind
  })
}

test('two at a time out of each host, and as many hosts as there are', () => {
  assert.deepEqual(waits([start('a-1 a-1 a-1 a-2 a-2 a-2 a-3')]), ['vm-3', 'vm-6'])
})

test('a slot is free again only when the VM has landed', () => {
  const facts: Timed[] = [start('a-1 a-1 a-1'), [1, ready(1)], [2, { kind: 'sent-whole', ...of(1) }]]
  assert.deepEqual(waits(facts), ['vm-3'])
  facts.push([3, { kind: 'landed', ...of(1), downtime: ms(20), sent: bytes(1), needed: bytes(1) }])
  assert.deepEqual(waits(facts), [])
})

test('auto-converge, no post-copy whatever the owner allows, and 100 ms of downtime at first', () => {
  const policy = { ...defaultVmPolicy, maxDowntime: ms(2_000), allow: ['post-copy'] as const }
  const prepared = migrationOf(driven([start('a-1', { policy })]), 'vm-1')
  assert.ok(prepared.phase === 'preparing')
  assert.deepEqual(prepared.options, { channels: 1, compression: 'none', autoConverge: true, postCopy: false })
  assert.equal(tuningOf([start('a-1', { policy }), [1, ready(1)]]).downtimeLimit, 100)
})

test('each may use half the speed of its host’s link; where that is not known there is no cap', () => {
  const linked = start('a-1 a-1', {}, { nic: megabitsPerSecond(1000) })
  assert.equal(tuningOf([linked, [1, ready(1)]]).rate, megabitsPerSecond(500))
  assert.equal(tuningOf([linked, [1, ready(1)], [2, ready(2)], [3, tick]]).rate, megabitsPerSecond(500))
  assert.equal(tuningOf([start('a-1'), [1, ready(1)]]).rate, undefined)
})

test('the operator’s bandwidth holds where half a link would be more', () => {
  const limits = { maxParallel: undefined, bandwidth: megabitsPerSecond(100) }
  const facts: Timed[] = [start('a-1 a-1', {}, { nic: megabitsPerSecond(1000) }, limits), [1, ready(1)]]
  assert.equal(tuningOf(facts).rate, megabitsPerSecond(100))
  facts.push([2, ready(2)])
  assert.equal(tuningOf(facts).rate, megabitsPerSecond(50))
  assert.equal(tuningOf(facts, 'vm-2').rate, megabitsPerSecond(50))
})

test('the downtime limit rises as rounds pass: 150, 200, 300, 400, 500 ms, then it is called back', () => {
  assert.deepEqual(looks([1, 2, 3, 4, 5, 6, 7, 8]), [undefined, 150, 200, 300, 400, undefined, 500, 'cancel'])
})

test('one action a look, however many rounds have passed', () => {
  assert.deepEqual(looks([30, 31, 32, 33, 34, 35]), [150, 200, 300, 400, 500, 'cancel'])
})

test('without a new round nothing is done, for as long as it takes', () => {
  assert.deepEqual(looks([2, 2, 2, 2, 3]), [150, undefined, undefined, undefined, 200])
  assert.deepEqual(looks([2, 3, 4, 5, 7, 7, 7, 7, 8]), [
    150,
    200,
    300,
    400,
    500,
    undefined,
    undefined,
    undefined,
    'cancel',
  ])
})

test('it is looked at every ten seconds, to the millisecond', () => {
  const facts: Timed[] = [...flowing, [1_001, inRound(2)]]
  assert.deepEqual(onTick(facts, 10_999), [])
  assert.equal(onTick(facts, 11_000)[0]?.kind, 'adjust')
  facts.push([11_500, tick], [11_501, inRound(3)])
  assert.deepEqual(onTick(facts, 21_499), [])
  assert.equal(onTick(facts, 21_500)[0]?.kind, 'adjust')
})

test('a guest without a sample is let alone', () => {
  assert.deepEqual(onTick(flowing, 1_000_000), [])
})

test('a step changes the downtime limit and nothing else', () => {
  const linked: readonly Timed[] = [
    start('a-1', {}, { nic: megabitsPerSecond(1000) }),
    [500, ready(1)],
    [1_000, tick],
    [2_000, inRound(2)],
    [11_000, tick],
  ]
  assert.deepEqual(tuningOf(linked), { rate: megabitsPerSecond(500), downtimeLimit: 150 })
})

/** Called back after the last step, and home again. */
function timedOut(): Timed[] {
  const facts: Timed[] = [...flowing]
  for (let n = 1; n <= 6; n += 1) facts.push([10_000 * n, inRound(10 + n)], [1_000 + 10_000 * n, tick])
  const m = migrationOf(driven(facts), 'vm-1')
  assert.ok(m.phase === 'pre-copy' && m.cancelling !== undefined)
  return [...facts, [62_000, { kind: 'attempt-failed', ...of(1), failure: m.cancelling }]]
}

test('what does not converge is queued again, says so, and is tried again after its pause', () => {
  const facts = timedOut()
  const m = migrationOf(driven(facts), 'vm-1')
  assert.ok(m.phase === 'queued')
  assert.deepEqual(m.lastFailure, { code: 'timed-out', detail: 'does not converge: round 16' })
  assert.equal(m.notBefore, 63_000)
  assert.deepEqual(onTick(facts, 62_999), [])
  const [command] = onTick(facts, 63_000)
  assert.ok(command?.kind === 'prepare' && command.attempt === 2)
})

test('a new attempt begins at the first step, with its own ten seconds', () => {
  const facts: Timed[] = [...timedOut(), [63_000, tick], [64_000, ready(1, 2)], [65_000, tick], [65_001, inRound(2, 2)]]
  assert.equal(tuningOf(facts).downtimeLimit, 100)
  assert.deepEqual(onTick(facts, 74_999), [])
  const [command] = onTick(facts, 75_000)
  assert.ok(command?.kind === 'adjust')
  assert.equal(command.tuning.downtimeLimit, 150)
})

test('a guest that is called back is not looked at any more', () => {
  const facts = timedOut().slice(0, -1)
  assert.deepEqual(onTick([...facts, [61_500, inRound(40)]], 1_000_000), [])
})
