import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aDisk, aHost, aProgress, aSnapshot, aVm, driven, migrationOf, startedFrom } from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { siteId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { planEvacuation } from '../plan/plan-evacuation.ts'
import { bytes, mebibytes, ms } from '../units.ts'

type Timed = readonly [at: number, event: Observed]
const gib = (n: number) => mebibytes(n * 1024)

const start = (homes: string, change: Partial<Vm> = {}): Timed => {
  const snapshot = aSnapshot({
    hosts: [
      ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: gib(256) })),
      ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: gib(256) })),
    ],
    vms: homes.split(' ').map((home, n) => aVm(`vm-${n + 1}`, home, change)),
  })
  const plan = planEvacuation({
    snapshot,
    endangered: [siteId('a')],
    targets: [siteId('b')],
    policy: 'nova',
    slots: Infinity,
    bandwidth: undefined,
  })
  return [0, startedFrom(snapshot, { policy: 'nova', plan })]
}
const of = (n: number, attempt = 1) => ({ vm: vmId(`vm-${n}`), attempt })
const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', ...of(n, attempt) })
const tick: Observed = { kind: 'tick' }
const onTick = (facts: readonly Timed[], at: number): readonly Command[] =>
  step(driven(facts), tick, instant(at)).commands
const waits = (facts: readonly Timed[]): readonly string[] =>
  [...driven(facts).migrations.in('queued')].map(({ vm }) => vm)

/** The downtime limit set by the decision at this moment; undefined where none was. */
const limitSetAt = (facts: readonly Timed[], at: number): number | undefined => {
  const [command] = onTick(facts, at)
  if (command === undefined) return undefined
  assert.ok(command.kind === 'adjust', command.kind)
  assert.equal(command.why, 'the next downtime step')
  return command.tuning.downtimeLimit
}
/** What is set when a step is due, ten times over; a millisecond before and after all of them nothing is. */
const schedule = (change: Partial<Vm>, every: number): readonly (number | undefined)[] => {
  const facts: Timed[] = [start('a-1', change), [1_000, ready(1)]]
  const limits = Array.from({ length: 10 }, (_, n) => {
    const at = 1_000 + every * (n + 1)
    assert.equal(limitSetAt(facts, at - 1), undefined, `a millisecond before step ${n + 1}`)
    const limit = limitSetAt(facts, at)
    facts.push([at, tick])
    return limit
  })
  assert.equal(limitSetAt(facts, 1_000 + every * 10.5), undefined)
  return limits
}

test('one at a time out of each host, and as many hosts as there are', () => {
  assert.deepEqual(waits([start('a-1 a-1 a-2 a-2 a-3 a-3')]), ['vm-2', 'vm-4', 'vm-6'])
})

test('the next of a host comes when the one before has landed; other hosts do not wait for it', () => {
  const facts: Timed[] = [start('a-1 a-1 a-2 a-2'), [1, ready(1)], [2, { kind: 'sent-whole', ...of(1) }]]
  assert.deepEqual(waits(facts), ['vm-2', 'vm-4'])
  facts.push([3, { kind: 'landed', ...of(1), downtime: ms(20), sent: bytes(1), needed: bytes(1) }])
  assert.deepEqual(waits(facts), ['vm-4'])
})

test('a plain stream, no cap, and 50 ms of downtime at first, whatever the owner allows', () => {
  const policy = { ...defaultVmPolicy, maxDowntime: ms(2_000), allow: ['post-copy'] as const }
  const m = migrationOf(driven([start('a-1', { policy }), [1, ready(1)]]), 'vm-1')
  assert.ok(m.phase === 'pre-copy')
  assert.deepEqual(m.tuning, { rate: undefined, downtimeLimit: 50 })
  const prepared = migrationOf(driven([start('a-1', { policy })]), 'vm-1')
  assert.ok(prepared.phase === 'preparing')
  assert.deepEqual(prepared.options, { channels: 1, compression: 'none', autoConverge: false, postCopy: false })
})

test('the downtime limit rises by 45 ms each 75 s per GiB, in ten steps to 500 ms, and no further', () => {
  const limits = [95, 140, 185, 230, 275, 320, 365, 410, 455, 500]
  assert.deepEqual(schedule({ memory: gib(2), used: gib(2) }, 150_000), limits)
  // It is the size of the flavour that counts, not what is used of it.
  assert.deepEqual(schedule({ memory: gib(4), used: gib(1) }, 300_000), limits)
})

test('a VM of less than 2 GiB counts as one of 2', () => {
  for (const memory of [mebibytes(64), gib(1), gib(2)]) {
    const facts: readonly Timed[] = [start('a-1', { memory, used: memory }), [1_000, ready(1)]]
    assert.equal(limitSetAt(facts, 1_000 + 149_999), undefined)
    assert.equal(limitSetAt(facts, 1_000 + 150_000), 95)
  }
})

test('a disk that is copied along counts, one that the target reaches does not', () => {
  const disks = [aDisk('vda', { shared: false, used: gib(4) }), aDisk('vdb', { shared: true, used: gib(50) })]
  const facts: readonly Timed[] = [start('a-1', { memory: gib(2), disks }), [1_000, ready(1)]]
  assert.equal(limitSetAt(facts, 1_000 + 6 * 75_000 - 1), undefined)
  assert.equal(limitSetAt(facts, 1_000 + 6 * 75_000), 95)
})

test('after a pause in which nobody looked, the limit is that of now, not the next one', () => {
  const facts: readonly Timed[] = [start('a-1', { memory: gib(2) }), [1_000, ready(1)]]
  assert.equal(limitSetAt(facts, 1_000 + 700_000), 230)
})

test('a limit that is set already is not set again', () => {
  const facts: readonly Timed[] = [start('a-1', { memory: gib(2) }), [1_000, ready(1)], [151_000, tick]]
  assert.deepEqual(onTick(facts, 151_001), [])
})

test('800 s per GiB are allowed, a millisecond more is not; how far it got does not matter', () => {
  for (const [memory, allowed] of [
    [gib(1), 1_600_000],
    [gib(2), 1_600_000],
    [gib(8), 6_400_000],
  ] as const) {
    const facts: readonly Timed[] = [
      start('a-1', { memory }),
      [1_000, ready(1)],
      [1_000_000, { kind: 'progress', ...of(1), progress: aProgress({ remaining: mebibytes(1) }) }],
      // Every step of the downtime is done.
      [1_000 + allowed - 1, tick],
    ]
    assert.deepEqual(onTick(facts, 1_000 + allowed), [])
    const [command, ...rest] = onTick(facts, 1_000 + allowed + 1)
    assert.ok(command?.kind === 'cancel')
    assert.match(command.why, /^not complete after /)
    assert.deepEqual(rest, [])
  }
})

test('what was called back stays: nobody tries again', () => {
  const facts: readonly Timed[] = [start('a-1', { memory: gib(2) }), [1_000, ready(1)], [1_601_001, tick]]
  const [rollBack] = step(
    driven(facts),
    { kind: 'migration-broke', ...of(1), failure: { code: 'path-lost', detail: 'whatever the hypervisor says' } },
    instant(1_601_100),
  ).commands
  assert.ok(rollBack?.kind === 'roll-back')
  const state = driven([...facts, [1_601_200, { kind: 'attempt-failed', ...of(1), failure: rollBack.failure }]])
  const m = migrationOf(state, 'vm-1')
  assert.ok(m.phase === 'given-up')
  assert.equal(m.failure.code, 'cancelled')
  assert.notEqual(state.endedAt, undefined)
})

test('a new attempt starts at the first step again', () => {
  const facts: readonly Timed[] = [
    start('a-1', { memory: gib(2) }),
    [1_000, ready(1)],
    [800_000, tick],
    [800_001, { kind: 'attempt-failed', ...of(1), failure: { code: 'path-lost', detail: 'cut' } }],
    [802_000, tick],
    [803_000, ready(1, 2)],
  ]
  const m = migrationOf(driven(facts), 'vm-1')
  assert.ok(m.phase === 'pre-copy' && m.attempt === 2)
  assert.equal(m.tuning.downtimeLimit, 50)
  assert.equal(limitSetAt(facts, 803_000 + 149_999), undefined)
  assert.equal(limitSetAt(facts, 803_000 + 150_000), 95)
})
