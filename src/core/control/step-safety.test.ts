/** What `step` must not do past the point of no return: sequences in which a source was, or could be, resumed that must stay down. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aDisk, aSnapshot, driven, migrationOf, someVms, startedFrom } from '../../../test/arbitraries.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy, type Disk } from '../inventory/vm.ts'
import { bytes } from '../units.ts'
import type { Observed } from './observed.ts'
import { step } from './step.ts'

type Timed = readonly [at: number, event: Observed]
const of = { vm: vmId('vm-1'), attempt: 1 } as const
const started = startedFrom(aSnapshot({ vms: someVms(1, { policy: { ...defaultVmPolicy, allow: ['post-copy'] } }) }))
const flowing: readonly Timed[] = [
  [0, started],
  [1, { kind: 'target-ready', ...of }],
]
const left = { state: 'paused', as: 'left', detail: 'postmigrate' } as const
const gone = { state: 'absent', detail: 'no process' } as const
const landed: Observed = { kind: 'landed', ...of, downtime: undefined, sent: bytes(1), needed: bytes(1) }

/** The kinds of command that this fact leads to, after those before. */
const commandsOn = (before: readonly Timed[], event: Observed): readonly string[] => {
  const at = instant((before.at(-1)?.[0] ?? 0) + 1)
  return step(driven(before), event, at).commands.map(({ kind }) => kind)
}

test('a guest that ran at its target in post-copy is not resumed at home when the target is found gone', () => {
  const lost: readonly Timed[] = [
    ...flowing,
    [2, { kind: 'post-copy-began', ...of }],
    [3, { kind: 'sent-whole', ...of }],
    [4, { kind: 'controller-restarted', by: 'test' }],
  ]
  const found = { kind: 'whereabouts', ...of, where: { source: left, target: gone } } as const
  assert.ok(!commandsOn(lost, found).includes('roll-back'), 'the source would go on from before the post-copy')
  const { phase } = migrationOf(driven([...lost, [5, found]]), 'vm-1')
  assert.ok(phase === 'uncertain' || phase === 'given-up', phase)
})

test('a doubt that arises in post-copy remembers that the target was told to run', () => {
  const m = migrationOf(
    driven([
      ...flowing,
      [2, { kind: 'post-copy-began', ...of }],
      [3, { kind: 'attempt-unclear', ...of, why: 'no answer' }],
    ]),
    'vm-1',
  )
  assert.ok(m.phase === 'uncertain' && m.finishing)
})

test('a migration that is said to have broken after the target was told to run is doubted, not rolled back', () => {
  const told: readonly Timed[] = [...flowing, [2, { kind: 'sent-whole', ...of }]]
  const broke = { kind: 'migration-broke', ...of, failure: { code: 'path-lost', detail: 'cut' } } as const
  assert.deepEqual(commandsOn(told, broke), ['reconcile'])
})

test('an evacuation has not ended while the copy at home is being ended a second time', () => {
  const lingers: readonly Timed[] = [
    ...flowing,
    [2, { kind: 'sent-whole', ...of }],
    [3, landed],
    [4, { kind: 'source-lingers', ...of, why: 'no answer' }],
  ]
  assert.equal(driven(lingers).endedAt, undefined)
  assert.deepEqual(commandsOn(lingers, { kind: 'tick' }), [], 'a pause comes first')
  const retried: readonly Timed[] = [...lingers, [10_000, { kind: 'tick' }]]
  assert.equal(driven(retried).endedAt, undefined, 'the answer to the second try is still awaited')
  assert.equal(driven([...retried, [10_001, { kind: 'source-ended', ...of }]]).endedAt, 10_001)
})

test('an evacuation ends when the copy at home could not be ended in the last of a few tries', () => {
  const facts: Timed[] = [...flowing, [2, { kind: 'sent-whole', ...of }], [3, landed]]
  let tries = 1
  for (let at = 10_000; at < 600_000 && driven(facts).endedAt === undefined; at += 10_000) {
    facts.push([at, { kind: 'source-lingers', ...of, why: 'no answer' }])
    if (driven(facts).endedAt !== undefined) break
    facts.push([at + 9_000, { kind: 'tick' }])
    tries += 1
  }
  assert.equal(tries, 6)
  assert.notEqual(driven(facts).endedAt, undefined)
})

test('a copy of a disk that nobody finished is taken away at the target, though no VM is found there', () => {
  const where = { source: { state: 'running', migrating: false }, target: gone } as const
  const found: Observed = { kind: 'whereabouts', ...of, where }
  const after = (disks: readonly Disk[]): readonly string[] => {
    const own = startedFrom(aSnapshot({ vms: someVms(1, { disks }) }))
    const restarted: readonly Timed[] = [
      [0, own],
      [1, { kind: 'target-ready', ...of }],
      [2, { kind: 'controller-restarted', by: 'test' }],
    ]
    return commandsOn(restarted, found)
  }
  assert.deepEqual(after([aDisk('vda', { shared: false })]), ['roll-back'])
  assert.ok(!after([aDisk('vda')]).includes('roll-back'))
})
