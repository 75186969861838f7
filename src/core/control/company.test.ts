/** What a VM's policy says of its company and its places, held by `step` at every moment of a run, whatever fails on the way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, arbStory, aSnapshot, aVm, driven, migrationOf, runs, startedFrom } from '../../../test/arbitraries.ts'
import { hostId, vmId } from '../ids.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { isInFlight, type Migration } from '../migration/migration.ts'
import { mebibytes } from '../units.ts'
import type { Evacuation } from './evacuation.ts'

const targetOf = (m: Migration) => (m.phase === 'landed' || isInFlight(m) ? m.target : undefined)

function company(state: Evacuation): readonly (readonly [host: string, name: string])[] {
  return [...state.migrations.values()].flatMap(m => {
    const host = targetOf(m)
    const name = state.vms.get(m.vm)?.policy.antiAffinity
    return host === undefined || name === undefined ? [] : [[host, name] as const]
  })
}

test('no two of one anti-affinity are ever on their way to one host, or there; and none goes where its policy does not', () => {
  let kept = 0
  fc.assert(
    fc.property(arbStory, ({ states }) => {
      for (const state of states) {
        const all = company(state).map(([host, name]) => `${host} ${name}`)
        assert.equal(new Set(all).size, all.length)
        if (all.length > 1) kept += 1
        for (const m of state.migrations.values()) {
          const [target, allowed] = [targetOf(m), state.vms.get(m.vm)?.policy.targets]
          if (target !== undefined && allowed !== undefined) assert.ok(allowed.some(p => p === target || p === 'b'))
        }
      }
    }),
    runs(300),
  )
  assert.ok(kept > 100, `several of one name are out ${kept} times`)
})

const apart = (id: string) => aVm(id, 'a-1', { policy: { ...defaultVmPolicy, antiAffinity: 'db' } })
const full = (id: string) => ({ kind: 'attempt-failed', vm: vmId(id), attempt: 1 }) as const
const outOfMemory = { failure: { code: 'target-out-of-memory', detail: 'for the test' } } as const

test('one that has to go elsewhere after a failure goes to no host that has company for it', () => {
  const hosts = [aHost('a-1', 'a'), ...['b-1', 'b-2', 'b-3'].map(id => aHost(id, 'b'))]
  const snapshot = aSnapshot({ hosts, vms: [apart('db-1'), apart('db-2')] })
  const started = startedFrom(snapshot, { policy: 'fixed:2' })
  assert.deepEqual(
    started.plan.moves.map(({ target }) => target),
    ['b-1', 'b-2'],
  )
  const state = driven([
    [0, started],
    [1, { ...full('db-1'), ...outOfMemory }],
    [5_000, { kind: 'tick' }],
  ])
  assert.equal(targetOf(migrationOf(state, 'db-1')), 'b-3')
})

test('where the only other host has company, it waits, and is told beside whom it would be', () => {
  const snapshot = aSnapshot({
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('b-2', 'b', { memory: mebibytes(16_384) })],
    vms: [apart('db-1'), aVm('db-0', 'b-1', { policy: { ...defaultVmPolicy, antiAffinity: 'db' } })],
  })
  const facts = Array.from({ length: 40 }, (_, n) => {
    const attempt = { ...full('db-1'), attempt: n + 1, ...outOfMemory }
    return [
      [n * 40_000 + 1, attempt],
      [n * 40_000 + 39_000, { kind: 'tick' }],
    ] as const
  }).flat()
  const m = migrationOf(driven([[0, startedFrom(snapshot)], ...facts]), 'db-1')
  assert.equal(m.phase, 'given-up')
  const everywhere = facts.map((_, n) => driven([[0, startedFrom(snapshot)], ...facts.slice(0, n)]))
  for (const state of everywhere) assert.notEqual(targetOf(migrationOf(state, 'db-1')), hostId('b-1'))
})
