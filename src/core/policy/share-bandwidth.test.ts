import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { arbStory, aSnapshot, driven, runs, someVms, startedFrom } from '../../../test/arbitraries.ts'
import type { Evacuation } from '../control/evacuation.ts'
import type { Observed } from '../control/observed.ts'
import { vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { bytesPerSecond, type BytesPerSecond, mebibytes, ms } from '../units.ts'
import type { Intent, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'

type Timed = readonly [at: number, event: Observed]
const viewOf = ({ started, migrations, vms }: Evacuation, bandwidth: number | undefined): PolicyView => ({
  now: instant(1_000_000),
  snapshot: started.snapshot,
  targets: started.targets,
  limits: { maxParallel: undefined, bandwidth: bandwidth === undefined ? undefined : bytesPerSecond(bandwidth) },
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
const tuning = (rate: number | undefined, downtime = 300) => ({
  rate: rate === undefined ? undefined : bytesPerSecond(rate),
  downtimeLimit: ms(downtime),
})
const start = (n: number, rate?: number): Intent => ({ kind: 'start', vm: vmId(`vm-${n}`), tuning: tuning(rate) })
const rates = (intents: readonly Intent[]): readonly (readonly [string, BytesPerSecond | undefined])[] =>
  intents.flatMap(intent =>
    intent.kind === 'start' || intent.kind === 'adjust' ? [[intent.vm, intent.tuning.rate] as const] : [],
  )

/** So many of five VMs flow, under a bandwidth of 1200 bytes a second. */
const flowing = (n: number): Evacuation => {
  const started = startedFrom(
    aSnapshot({ vms: someVms(5, { policy: { ...defaultVmPolicy, allow: ['post-copy'] } }) }),
    { policy: 'all-at-once', limits: { maxParallel: undefined, bandwidth: bytesPerSecond(1200) } },
  )
  const facts: Timed[] = [[0, started]]
  for (let vm = 1; vm <= n; vm += 1) facts.push([vm, { kind: 'target-ready', vm: vmId(`vm-${vm}`), attempt: 1 }])
  return driven(facts)
}

test('without a bound, what the policy wants goes through as it is', () => {
  const wanted = [start(1), start(2, 5)]
  assert.equal(shareBandwidth(viewOf(flowing(3), undefined), wanted), wanted)
})

test('those that start and those that flow get equal shares', () => {
  const intents = shareBandwidth(viewOf(flowing(2), 1200), [start(3)])
  assert.deepEqual(rates(intents), [
    ['vm-3', 400],
    ['vm-1', 400],
    ['vm-2', 400],
  ])
  assert.ok(intents.every(intent => intent.kind !== 'adjust' || intent.why === 'equal share of the bandwidth allowed'))
})

test('where caps come in steps, shares are whole ones, and no more start than there is room for', () => {
  const state = flowing(1)
  const hosts = state.started.snapshot.hosts.map(host => ({ ...host, rateStep: bytesPerSecond(500) }))
  const started = { ...state.started, snapshot: { ...state.started.snapshot, hosts } }
  const stepped = viewOf({ ...state, started }, 1200)
  assert.deepEqual(rates(shareBandwidth(stepped, [start(2), start(3), start(4)])), [
    ['vm-2', 500],
    ['vm-1', 500],
  ])
})

test('who wants less than its share gets what it wants', () => {
  assert.deepEqual(rates(shareBandwidth(viewOf(flowing(0), 1200), [start(1, 100), start(2, 5_000)])), [
    ['vm-1', 100],
    ['vm-2', 600],
  ])
})

test('a change the policy makes itself keeps all but a rate that is too high, and is not made twice', () => {
  const wanted: Intent = { kind: 'adjust', vm: vmId('vm-1'), tuning: tuning(undefined, 700), why: 'patience' }
  assert.deepEqual(shareBandwidth(viewOf(flowing(3), 1200), [wanted]), [{ ...wanted, tuning: tuning(400, 700) }])
})

test('who has its share already is let alone; a hundredth more or less is not worth a change', () => {
  const state = flowing(3)
  assert.deepEqual(shareBandwidth(viewOf(state, 1200), []), [])
  for (const bandwidth of [1211, 1189]) assert.deepEqual(shareBandwidth(viewOf(state, bandwidth), []), [])
  for (const bandwidth of [1214, 1186]) assert.equal(shareBandwidth(viewOf(state, bandwidth), []).length, 3)
})

test('a guest in post-copy has its share too', () => {
  const state = driven([
    [0, flowing(0).started],
    [1, { kind: 'target-ready', vm: vmId('vm-1'), attempt: 1 }],
    [2, { kind: 'post-copy-began', vm: vmId('vm-1'), attempt: 1 }],
  ])
  assert.deepEqual(rates(shareBandwidth(viewOf(state, 800), [start(2)])), [
    ['vm-2', 400],
    ['vm-1', 400],
  ])
})

test('a guest that is being called back is let alone, but still counts', () => {
  const called = flowing(2)
  const m = called.migrations.get(vmId('vm-1'))
  assert.ok(m?.phase === 'pre-copy')
  const state = {
    ...called,
    migrations: called.migrations.with({ ...m, cancelling: { code: 'timed-out', detail: 'too long' } }),
  }
  assert.deepEqual(rates(shareBandwidth(viewOf(state, 600), [])), [['vm-2', 300]])
})

test('what is no rate goes through as it is', () => {
  const others: readonly Intent[] = [
    { kind: 'prepare', candidates: [], atMost: 3 },
    { kind: 'cancel', vm: vmId('vm-4'), why: 'so', again: true },
    { kind: 'post-copy', vm: vmId('vm-5'), why: 'so' },
  ]
  assert.deepEqual(shareBandwidth(viewOf(flowing(0), 1200), others), others)
})

test('the downtime limit of a guest is never touched', () => {
  const state = flowing(2)
  for (const intent of shareBandwidth(viewOf(state, 100), [])) {
    const m = state.migrations.get(vmId('vm-1'))
    assert.ok(intent.kind === 'adjust' && m?.phase === 'pre-copy')
    assert.equal(intent.tuning.downtimeLimit, m.tuning.downtimeLimit)
  }
})

test('all shares together come to the bandwidth allowed, and to no more', () => {
  let shared = 0
  fc.assert(
    fc.property(arbStory, fc.integer({ min: 1, max: 1e9 }), ({ states }, bandwidth) => {
      for (const state of states) {
        const all = [...state.migrations.in('pre-copy', 'post-copy')]
        if (all.length === 0 || all.some(m => m.phase === 'pre-copy' && m.cancelling !== undefined)) continue
        const after = new Map(all.map(m => [m.vm as string, m.tuning.rate as number | undefined]))
        for (const [vm, rate] of rates(shareBandwidth(viewOf(state, bandwidth), []))) after.set(vm, rate)
        const total = [...after.values()].reduce<number>((sum, rate) => sum + (rate ?? Infinity), 0)
        assert.ok(Math.abs(total - bandwidth) <= bandwidth * 0.0101, `${total} of ${bandwidth}`)
        shared += 1
      }
    }),
    runs(200),
  )
  assert.ok(shared > 200, 'the stories share')
})
