import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aProgress, aSnapshot, aVm, driven, migrationOf, startedFrom } from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { isInFlight } from '../migration/migration.ts'
import { bytes, mebibytes, ms } from '../units.ts'

type Timed = readonly [at: number, event: Observed]

const start = (vms: number, policy = 'proxmox', change: Partial<Vm> = {}, room = 65_536): Timed => {
  const snapshot = aSnapshot({
    hosts: [
      aHost('a-1', 'a', { memory: mebibytes(65_536) }),
      ...[1, 2].map(n => aHost(`b-${n}`, 'b', { memory: mebibytes(room) })),
    ],
    vms: Array.from({ length: vms }, (_, n) => aVm(`vm-${n + 1}`, 'a-1', change)),
  })
  return [0, startedFrom(snapshot, { policy })]
}
const of = (n: number, attempt = 1) => ({ vm: vmId(`vm-${n}`), attempt })
const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', ...of(n, attempt) })
const sample = (sent: number, remaining: number, attempt = 1): Observed => ({
  kind: 'progress',
  ...of(1, attempt),
  progress: aProgress({ sent: mebibytes(sent), remaining: mebibytes(remaining) }),
})
const tick: Observed = { kind: 'tick' }
const onTick = (facts: readonly Timed[], at: number): readonly Command[] =>
  step(driven(facts), tick, instant(at)).commands
const busy = (facts: readonly Timed[]): number => [...driven(facts).migrations.values()].filter(isInFlight).length

/** Samples a second apart, each looked at. @returns the downtime limit after each */
function limits(samples: readonly (readonly [sent: number, remaining: number])[]): readonly number[] {
  const facts: Timed[] = [start(1), [500, ready(1)], [1_000, tick]]
  return samples.map(([sent, remaining], n) => {
    facts.push([1_000 * (n + 2), sample(sent, remaining)], [1_000 * (n + 2), tick])
    const m = migrationOf(driven(facts), 'vm-1')
    assert.ok(m.phase === 'pre-copy')
    return m.tuning.downtimeLimit
  })
}
const from1 = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n + 1)

test('four workers, or as many as are asked for', () => {
  assert.equal(busy([start(9)]), 4)
  assert.equal(busy([start(9, 'proxmox:1')]), 1)
  assert.equal(busy([start(9, 'proxmox:7')]), 7)
})

test('a worker is free again only when its VM has landed', () => {
  const facts: Timed[] = [start(9), [1, ready(1)], [2, { kind: 'sent-whole', ...of(1) }]]
  assert.equal(migrationOf(driven(facts), 'vm-5').phase, 'queued')
  facts.push([3, { kind: 'landed', ...of(1), downtime: ms(20), sent: bytes(1), needed: bytes(1) }])
  assert.equal(migrationOf(driven(facts), 'vm-5').phase, 'preparing')
})

test('auto-converge, one stream, no cap, no post-copy whatever the owner allows, and 100 ms of downtime', () => {
  const policy = { ...defaultVmPolicy, maxDowntime: ms(2_000), allow: ['post-copy'] as const }
  const prepared = migrationOf(driven([start(1, 'proxmox', { policy })]), 'vm-1')
  assert.ok(prepared.phase === 'preparing')
  assert.deepEqual(prepared.options, { channels: 1, compression: 'none', autoConverge: true, postCopy: false })
  const m = migrationOf(driven([start(1, 'proxmox', { policy }), [1, ready(1)]]), 'vm-1')
  assert.ok(m.phase === 'pre-copy')
  assert.deepEqual(m.tuning, { rate: undefined, downtimeLimit: 100 })
})

test('all go to the first target host, whatever was planned, and elsewhere once it is full', () => {
  const targets = (facts: readonly Timed[]): readonly (string | undefined)[] =>
    [...driven(facts).migrations.values()].map(m => (isInFlight(m) ? m.target : undefined))
  assert.deepEqual(targets([start(4)]), ['b-1', 'b-1', 'b-1', 'b-1'])
  // Each needs 1 GiB.
  assert.deepEqual(targets([start(4, 'proxmox', {}, 2048)]), ['b-1', 'b-1', 'b-2', 'b-2'])
})

test('the downtime limit doubles when what remains has risen at six samples', () => {
  const rising = from1(14).map(n => [n, 10 + n] as const)
  // The first sample is lower than nothing known.
  assert.deepEqual(limits(rising), [100, 100, 100, 100, 100, 100, 200, 200, 200, 200, 200, 200, 400, 400])
})

test('samples at which it falls do not take back those at which it rose', () => {
  const wavering = from1(12).map(n => [n, n % 2 === 0 ? 60 : 50] as const)
  assert.deepEqual(limits(wavering).slice(10), [100, 200])
})

test('what falls all the way is let alone', () => {
  assert.ok(limits(from1(30).map(n => [n, 100 - n] as const)).every(limit => limit === 100))
})

test('nothing remaining counts as a rise: then it is the switchover that does not come', () => {
  assert.deepEqual(limits(from1(7).map(n => [n, 0] as const)), [100, 100, 100, 100, 100, 200, 200])
})

test('a sample in which nothing more was sent counts for nothing', () => {
  assert.ok(limits(from1(20).map(n => [5, 10 + n] as const)).every(limit => limit === 100))
})

test('the limit stops at 2 000 s', () => {
  const all = limits(from1(6 * 16 + 1).map(n => [n, 10 + n] as const))
  assert.equal(Math.max(...all), 2_000_000)
  assert.equal(all.at(-1), 2_000_000)
  assert.ok(all.includes(1_638_400))
})

test('no time is too long', () => {
  const facts: readonly Timed[] = [start(1), [500, ready(1)], [1_000, tick], [2_000, sample(1, 50)]]
  assert.deepEqual(onTick(facts, 100_000_000), [])
})

test('a new attempt begins at 100 ms, and its rises are counted anew', () => {
  const facts: Timed[] = [start(1), [500, ready(1)], [1_000, tick]]
  for (const n of from1(6)) facts.push([1_000 * (n + 1), sample(n, 10 + n)], [1_000 * (n + 1), tick])
  facts.push([9_000, { kind: 'attempt-failed', ...of(1), failure: { code: 'path-lost', detail: 'cut' } }])
  facts.push([10_000, tick], [11_000, ready(1, 2)], [12_000, tick])
  for (const n of from1(6)) facts.push([12_000 + 1_000 * n, sample(n, 10 + n, 2)], [12_000 + 1_000 * n, tick])
  const before = migrationOf(driven(facts), 'vm-1')
  assert.ok(before.phase === 'pre-copy' && before.attempt === 2)
  assert.equal(before.tuning.downtimeLimit, 100)
  const [command] = onTick([...facts, [19_000, sample(7, 17, 2)]], 19_000)
  assert.ok(command?.kind === 'adjust')
  assert.deepEqual([command.tuning.downtimeLimit, command.why], [200, 'does not converge'])
})
