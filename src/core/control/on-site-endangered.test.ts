import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbStory, aSite, aSnapshot, aVm, driven, runs, startedFrom } from '../../../test/arbitraries.ts'
import { siteId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { siteOf } from '../inventory/snapshot.ts'
import { reportOf } from '../report/report.ts'
import { mebibytes, ms } from '../units.ts'
import { endangeredNow, targetsNow } from './evacuation.ts'
import type { Observed, Started } from './observed.ts'
import { step } from './step.ts'

const [b, c] = [siteId('b'), siteId('c')]
const endanger = (site = b): Observed => ({ kind: 'operator', by: 'test', order: 'endanger', site })

/** Four VMs in a, of which the plan has two go to b and two to c. */
function begun(options: { readonly roomInC?: number } = {}): Started {
  const snapshot = aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c', { memory: mebibytes(options.roomInC ?? 65_536) })],
    paths: [aPath('a', 'b'), aPath('a', 'c')],
    vms: ['vm-1', 'vm-2', 'vm-3', 'vm-4'].map(name => aVm(name, 'a-1', { memory: mebibytes(1_024) })),
  })
  const started = startedFrom(snapshot, { policy: 'fixed:2' })
  const moves = ['b-1', 'c-1', 'b-1', 'c-1'].map((target, n) => ({
    vm: vmId(`vm-${n + 1}`),
    source: snapshot.hosts[0]?.id,
    target: snapshot.hosts.find(({ id }) => id === target)?.id,
    start: undefined,
    end: undefined,
  }))
  return {
    ...started,
    targets: [b, c],
    plan: {
      policy: 'fixed:2',
      moves: moves.flatMap(({ source, target, ...move }) =>
        source === undefined || target === undefined ? [] : [{ ...move, source, target }],
      ),
      unplaced: [],
    },
  }
}

const of = (vm: string, attempt = 1) => ({ vm: vmId(vm), attempt })
type Facts = readonly (readonly [number, Observed])[]
const after = (facts: Facts, event: Observed) => step(driven(facts), event, instant((facts.at(-1)?.[0] ?? 0) + 1))

test('who is queued for it gets another target, and nobody else does', () => {
  const { state } = after([[0, begun()]], endanger())
  const planned = [1, 2, 3, 4].map(n => `vm-${n} ${state.planned.get(vmId(`vm-${n}`))}`)
  assert.deepEqual(planned, ['vm-1 c-1', 'vm-2 c-1', 'vm-3 c-1', 'vm-4 c-1'])
  assert.deepEqual(targetsNow(state), [c])
  assert.deepEqual(endangeredNow(state), ['a', b])
})

test('what is ready there is taken down at once, what is being made ready when it reports, what flows is called back', () => {
  const flowing: Facts = [
    [0, begun()],
    [1, { kind: 'target-ready', ...of('vm-1') }],
    [2, { kind: 'target-ready', ...of('vm-2') }],
  ]
  assert.deepEqual(
    [...driven(flowing).migrations.values()].map(m => m.phase),
    ['pre-copy', 'pre-copy', 'preparing', 'queued'],
  )
  const { state, commands } = after(flowing, endanger())
  assert.deepEqual(
    commands.map(({ kind, vm }) => [kind, vm]),
    [['cancel', 'vm-1']],
  )
  const reported = step(state, { kind: 'target-ready', ...of('vm-3') }, instant(9))
  const [rolledBack] = reported.commands
  assert.ok(rolledBack?.kind === 'roll-back' && rolledBack.failure.code === 'target-endangered')
  const failed = step(
    reported.state,
    { kind: 'attempt-failed', ...of('vm-3'), failure: rolledBack.failure },
    instant(10),
  )
  // No pause, and no attempt is held against it.
  assert.ok(
    failed.commands.some(command => command.kind === 'prepare' && command.vm === 'vm-3' && command.target === 'c-1'),
  )
})

test('on its way into danger is better than at home where nobody else would take it', () => {
  const { commands } = after(
    [
      [0, begun({ roomInC: 100 })],
      [1, { kind: 'target-ready', ...of('vm-1') }],
    ],
    endanger(),
  )
  assert.deepEqual(
    commands.filter(({ kind }) => kind === 'cancel'),
    [],
  )
})

test('past the point of no return nothing is touched; what has landed there is counted and told', () => {
  const over: Facts = [
    [0, begun()],
    [1, { kind: 'target-ready', ...of('vm-1') }],
    [2, { kind: 'guest-stopped', ...of('vm-1') }],
  ]
  const { state, commands } = after(over, endanger())
  assert.ok(!commands.some(({ vm }) => vm === 'vm-1'))
  const landed = [
    { kind: 'sent-whole', ...of('vm-1') },
    { kind: 'landed', ...of('vm-1'), downtime: ms(9), sent: mebibytes(9), needed: mebibytes(9) },
  ] as const
  const last = landed.reduce((now, event, n) => step(now, event, instant(50 + n)).state, state)
  const { summary, vms } = reportOf(last)
  assert.deepEqual([summary.safe, summary.inDanger], [1, 1])
  assert.match(
    vms.find(({ vm }) => vm === 'vm-1')?.reason ?? '',
    /safe for now: b is endangered itself; next: lifeboat evacuate b/,
  )
})

test('said twice, of a site that is being left, or of none there is, it changes nothing', () => {
  const once = after([[0, begun()]], endanger()).state
  for (const site of [b, siteId('a'), siteId('nowhere')]) {
    const { state, commands } = step(once, endanger(site), instant(9))
    assert.deepEqual([commands.length, state.inDanger.size], [0, 1])
  }
})

test('whatever happens, nothing is prepared in a site from the moment it is said to be endangered', () => {
  let told = 0
  fc.assert(
    fc.property(arbStory, ({ facts }) => {
      let state = step(undefined, facts[0]?.[1] ?? { kind: 'tick' }, instant(0)).state
      for (const [at, event] of facts.slice(1)) {
        const { state: next, commands } = step(state, event, instant(at))
        if (next.inDanger.size > state.inDanger.size) told += 1
        for (const command of commands) {
          if (command.kind !== 'prepare') continue
          const site = siteOf(next.started.snapshot, command.target)
          assert.ok(site !== undefined && !endangeredNow(next).includes(site), `${command.vm} to ${command.target}`)
        }
        state = next
      }
    }),
    runs(300),
  )
  assert.ok(told > 10, `${told} sites became endangered`)
})
