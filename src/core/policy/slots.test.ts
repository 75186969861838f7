import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, arbStory, aSnapshot, aVm, driven, runs, startedFrom } from '../../../test/arbitraries.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Limits, Observed } from '../control/observed.ts'
import { hostId, vmId } from '../ids.ts'
import { type Instant, instant } from '../instant.ts'
import { type Migration, phasesInFlight } from '../migration/migration.ts'
import { plainStart } from '../migration/start-options.ts'
import { mebibytes, ms } from '../units.ts'
import type { Intent, PolicyView } from './policy.ts'
import { fillSlots, heldThroughout, type Slots } from './slots.ts'

type Timed = readonly [at: number, event: Observed]

const viewOf = ({ started, migrations, vms }: Evacuation, now: Instant): PolicyView => ({
  now,
  snapshot: started.snapshot,
  targets: started.targets,
  limits: started.limits,
  admitting: true,
  plannedTo: () => undefined,
  network: new Map(),
  hostLoads: new Map(),
  mayGo: () => true,
  freeAt: () => mebibytes(1_048_576),
  migrations,
  vmOf: id => {
    const vm = vms.get(id)
    assert.ok(vm !== undefined)
    return vm
  },
})
const whileFlowing = ['pre-copy', 'post-copy'] as const
const slots = (change: Partial<Slots> = {}): Slots => ({
  total: Infinity,
  perSource: Infinity,
  heldIn: heldThroughout,
  readyAhead: 0,
  optionsFor: () => plainStart,
  tuningFor: vm => ({ rate: undefined, downtimeLimit: vm.policy.maxDowntime }),
  ...change,
})
const startedIn = (intents: readonly Intent[]): readonly string[] =>
  intents.flatMap(intent => (intent.kind === 'start' ? [intent.vm] : []))
/** Those that would be made ready if each found a place, as `step` takes them. */
const preparedIn = (
  state: Evacuation,
  intents: readonly Intent[],
): { readonly vms: readonly string[]; readonly atMost: number } => {
  const [prepare, ...more] = intents.filter(intent => intent.kind === 'prepare')
  assert.deepEqual(more, [])
  if (prepare === undefined) return { vms: [], atMost: 0 }
  const leaving = new Map(prepare.perSource?.leaving)
  const vms = [...prepare.candidates].flatMap(({ vm }) => {
    const source = state.migrations.get(vm)?.source
    assert.ok(source !== undefined)
    const already = leaving.get(source) ?? 0
    if (already >= (prepare.perSource?.atMost ?? Infinity)) return []
    leaving.set(source, already + 1)
    return [vm]
  })
  return { vms, atMost: prepare.atMost }
}

/** VMs by their homes, with as many targets made ready as `all-at-once` has: all. Those named are ready, or flow. */
function worldOf(
  homes: string,
  { ready = 0, unready = 0 }: { readonly ready?: number; readonly unready?: number },
): Evacuation {
  const snapshot = aSnapshot({
    hosts: [
      ...[1, 2, 3].map(n => aHost(`a-${n}`, 'a', { memory: mebibytes(65_536) })),
      aHost('b-1', 'b', { memory: mebibytes(65_536) }),
    ],
    vms: homes.split(' ').map((home, n) => aVm(`vm-${n + 1}`, home)),
  })
  // Paused, so that what is ready stays so.
  const facts: Timed[] = [
    [0, startedFrom(snapshot, { policy: ready + unready === 0 ? 'sequential' : `fixed:${ready + unready}` })],
    [0, { kind: 'operator', by: 'test', order: 'pause' }],
  ]
  for (let n = 1; n <= ready; n += 1) facts.push([n, { kind: 'target-ready', vm: vmId(`vm-${n}`), attempt: 1 }])
  return driven(facts)
}
const limited = (view: PolicyView, limits: Limits): PolicyView => ({ ...view, limits })
const fill = (state: Evacuation, change: Partial<Slots>, at = 1_000): readonly Intent[] =>
  fillSlots(viewOf(state, instant(at)), slots(change))

test('a slot is held from the first deed to the last, but not while a VM is in doubt', () => {
  assert.deepEqual(
    heldThroughout,
    phasesInFlight.filter(phase => phase !== 'uncertain'),
  )
})

test('what is ready starts in the plan’s order, as far as there are slots', () => {
  const state = worldOf('a-1 a-1 a-1 a-1', { ready: 3 })
  assert.deepEqual(startedIn(fill(state, { heldIn: whileFlowing, total: 2 })), ['vm-1', 'vm-2'])
  // Where a slot is taken with the first deed, what is ready has one already.
  assert.deepEqual(startedIn(fill(state, { total: 2 })), ['vm-1', 'vm-2', 'vm-3'])
})

test('of one host only so many start; those of others go ahead of them', () => {
  const state = worldOf('a-1 a-1 a-2 a-2 a-3', { ready: 5 })
  assert.deepEqual(startedIn(fill(state, { heldIn: whileFlowing, perSource: 1 })), ['vm-1', 'vm-3', 'vm-5'])
  assert.deepEqual(startedIn(fill(state, { heldIn: whileFlowing, perSource: 1, total: 2 })), ['vm-1', 'vm-3'])
})

test('a target that is still being made ready does not start', () => {
  assert.deepEqual(startedIn(fill(worldOf('a-1 a-1', { unready: 2 }), { heldIn: whileFlowing })), [])
})

test('one more than there are slots is made ready ahead, if that is asked for', () => {
  const state = worldOf('a-1 a-1 a-1 a-1 a-1', { unready: 0 })
  // `sequential` has made two ready itself: one, and one ahead.
  assert.equal(state.migrations.count('preparing'), 2)
  assert.deepEqual(preparedIn(state, fill(state, { total: 3 })), { vms: ['vm-3', 'vm-4', 'vm-5'], atMost: 1 })
  assert.deepEqual(preparedIn(state, fill(state, { total: 3, readyAhead: 2 })), {
    vms: ['vm-3', 'vm-4', 'vm-5'],
    atMost: 3,
  })
  assert.deepEqual(preparedIn(state, fill(state, { total: 3, heldIn: whileFlowing, readyAhead: 1 })).atMost, 2)
  assert.deepEqual(fill(state, { total: 2 }), [])
})

test('those made ready out of one host are no more than it may have', () => {
  const state = worldOf('a-1 a-1 a-1 a-2 a-2 a-2 a-3', {})
  // vm-1 and vm-2 are on their way out of a-1.
  assert.deepEqual(preparedIn(state, fill(state, { perSource: 2 })).vms, ['vm-4', 'vm-5', 'vm-7'])
  assert.deepEqual(preparedIn(state, fill(state, { perSource: 3 })).vms, ['vm-3', 'vm-4', 'vm-5', 'vm-6', 'vm-7'])
  assert.deepEqual(preparedIn(state, fill(state, { perSource: 1 })).vms, ['vm-4', 'vm-7'])
})

test('the operator’s bound holds where it is lower, and only there', () => {
  const view = viewOf(worldOf('a-1 a-1 a-1 a-1', { ready: 4 }), instant(1_000))
  const startsAt = (maxParallel: number | undefined, total: number): number =>
    startedIn(fillSlots(limited(view, { maxParallel, bandwidth: undefined }), slots({ heldIn: whileFlowing, total })))
      .length
  assert.equal(startsAt(2, Infinity), 2)
  assert.equal(startsAt(2, 3), 2)
  assert.equal(startsAt(3, 2), 2)
  assert.equal(startsAt(undefined, 3), 3)
})

test('what waits for its pause is passed over until the pause is over, to the millisecond', () => {
  const failure = { code: 'path-lost', detail: 'cut' } as const
  const state = driven([
    [0, startedFrom(aSnapshot({ vms: [aVm('vm-1', 'a-1'), aVm('vm-2', 'a-1')] }), { policy: 'sequential' })],
    [0, { kind: 'operator', by: 'test', order: 'pause' }],
    [5_000, { kind: 'attempt-failed', vm: vmId('vm-1'), attempt: 1, failure }],
    [5_000, { kind: 'attempt-failed', vm: vmId('vm-2'), attempt: 1, failure: { ...failure, code: 'postponed' } }],
  ])
  assert.deepEqual(preparedIn(state, fill(state, {}, 5_999)).vms, ['vm-2'])
  assert.deepEqual(preparedIn(state, fill(state, {}, 6_000)).vms, ['vm-1', 'vm-2'])
})

test('options, tuning and the host it would rather go to are asked for each VM', () => {
  const state = worldOf('a-1 a-1 a-1', { ready: 1 })
  const rather = hostId('b-1')
  const intents = fill(state, {
    optionsFor: ({ id }) => ({ ...plainStart, channels: Number(id.slice(3)) }),
    tuningFor: ({ id }) => ({ rate: undefined, downtimeLimit: ms(Number(id.slice(3)) * 100) }),
    prefer: ({ id }) => (id === 'vm-3' ? rather : undefined),
  })
  const [start, prepare] = intents
  assert.ok(start?.kind === 'start' && prepare?.kind === 'prepare')
  assert.deepEqual(start.tuning, { rate: undefined, downtimeLimit: 100 })
  assert.deepEqual(
    [...prepare.candidates].map(({ vm, options, prefer }) => [vm, options.channels, prefer]),
    [['vm-3', 3, rather]],
  )
})

test('nothing is asked for where nothing waits', () => {
  assert.deepEqual(fill(worldOf('a-1', { unready: 1 }), {}), [])
})

const arbSlots = fc.record({
  total: fc.constantFrom(1, 2, 3, 5, Infinity),
  perSource: fc.constantFrom(1, 2, Infinity),
  heldIn: fc.constantFrom(heldThroughout, whileFlowing),
  readyAhead: fc.integer({ min: 0, max: 2 }),
})

test('whatever happened before, nothing starts and nothing is made ready beyond the slots', () => {
  let prepared = 0
  let started = 0
  fc.assert(
    fc.property(arbStory, arbSlots, ({ states, now }, change) => {
      for (const state of states) {
        const intents = fill(state, change, now)
        const all = [...state.migrations.values()]
        const holds = (m: Migration): boolean => (change.heldIn as readonly string[]).includes(m.phase)
        const from = (vm: string): string | undefined => all.find(m => m.vm === vm)?.source
        const starts = startedIn(intents)
        const { vms, atMost } = preparedIn(state, intents)
        const most = Math.min(change.total, state.started.limits.maxParallel ?? Infinity)
        const held = all.filter(m => holds(m) || starts.includes(m.vm))
        const warm = all.filter(m => m.phase === 'preparing' && !held.includes(m))
        if (change.heldIn === whileFlowing && starts.length > 0) {
          assert.ok(held.length <= most)
          for (const vm of starts)
            assert.ok(held.filter(({ source }) => source === from(vm)).length <= change.perSource)
        }
        if (atMost > 0) assert.ok(held.length + warm.length + atMost <= most + change.readyAhead)
        // Of one host, those that flow and those that are looked at.
        for (const source of new Set(vms.map(from))) {
          const there = vms.filter(vm => from(vm) === source).length
          const already = [...held, ...warm].filter(m => m.source === source).length
          assert.ok(there + already <= change.perSource + change.readyAhead)
        }
        started += starts.length
        prepared += vms.length
      }
    }),
    runs(200),
  )
  assert.ok(started > 100 && prepared > 100, `${started} were started, ${prepared} looked at`)
})
