/** finish-first told fact by fact: evacuations to start from, what can be told of them, and what was decided. Asserts nothing of its own. */
import assert from 'node:assert/strict'
import { admitting } from '../src/core/control/admit.ts'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import type { Limits, Observed, Started } from '../src/core/control/observed.ts'
import type { PathSignal } from '../src/core/forecast/path-signal.ts'
import { siteId, vmId } from '../src/core/ids.ts'
import { type Instant, instant } from '../src/core/instant.ts'
import type { Host, Path, Snapshot } from '../src/core/inventory/snapshot.ts'
import { defaultVmPolicy, type ModeOfLastResort, type Vm } from '../src/core/inventory/vm.ts'
import type { Phase, PreCopy } from '../src/core/migration/migration.ts'
import type { Progress } from '../src/core/migration/progress.ts'
import { freeMemory } from '../src/core/plan/ledger.ts'
import { planEvacuation } from '../src/core/plan/plan-evacuation.ts'
import { finishFirst } from '../src/core/policy/finish-first.ts'
import type { Intent, PolicyView } from '../src/core/policy/policy.ts'
import { type Bytes, fraction, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { aHost, aPath, aProgress, aSite, aSnapshot, aVm, migrationOf, someVms, startedFrom } from './arbitraries.ts'

export type Timed = readonly [at: number, event: Observed]

export const unlimited: Limits = { maxParallel: undefined, bandwidth: undefined }
export const hundred = megabitsPerSecond(100)
export const gib = (n: number): Bytes => mebibytes(1024 * n)
export const allowing = (...allow: readonly ModeOfLastResort[]): Partial<Vm> => ({
  policy: { ...defaultVmPolicy, allow },
})

// ── to start from ──

/** An evacuation to all safe sites, planned as the policy plans. */
export function startOf(snapshot: Snapshot, limits = unlimited): Started {
  const endangered = snapshot.sites.filter(({ safe }) => !safe).map(({ id }) => id)
  const targets = snapshot.sites.filter(({ safe }) => safe).map(({ id }) => id)
  const { name: policy, slots, order = 'inventory' } = finishFirst()
  const plan = planEvacuation({ snapshot, endangered, targets, policy, slots, order, bandwidth: limits.bandwidth })
  return startedFrom(snapshot, { policy, plan, limits, endangered, targets })
}
/** One path of 100 Mbit/s, and VMs of 100 MiB that leave in the order of their numbers. */
export const onePath = (n: number, change: Partial<Vm> = {}, limits = unlimited, path: Partial<Path> = {}): Timed => [
  0,
  startOf(
    aSnapshot({ vms: someVms(n, change), paths: [aPath('a', 'b', { capacity: hundred, rtt: ms(40), ...path })] }),
    limits,
  ),
]
/** With room for everybody. @param nic in Mbit/s */
export const roomy = (id: string, site: string, nic?: number): Host =>
  aHost(id, site, { memory: gib(1024), nic: nic === undefined ? undefined : megabitsPerSecond(nic) })
/** From a to b. @param capacity in Mbit/s */
export const pathOf = (capacity: number | undefined, change: Partial<Path> = {}): Path =>
  aPath('a', 'b', {
    capacity: capacity === undefined ? undefined : megabitsPerSecond(capacity),
    rtt: ms(20),
    ...change,
  })
/** Out of a, to b and to c. @param toB in Mbit/s */
export const twoWays = (toB: number | undefined, toC: number | undefined, vms: readonly Vm[]): Snapshot =>
  aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [roomy('a-1', 'a'), roomy('b-1', 'b'), roomy('c-1', 'c')],
    paths: [pathOf(toB), { ...pathOf(toC), to: siteId('c') }],
    vms,
  })
/** `n` of 2 GiB on these hosts of a, in turn. */
export const guests = (n: number, hosts: number, change: Partial<Vm> = {}): readonly Vm[] =>
  Array.from({ length: n }, (_, v) =>
    aVm(`vm-${v + 1}`, `a-${(v % hosts) + 1}`, { memory: gib(4), used: gib(2), ...change }),
  )

// ── what is told ──

export const ready = (n: number, attempt = 1): Observed => ({ kind: 'target-ready', vm: vmId(`vm-${n}`), attempt })
export const stopped = (n: number): Observed => ({ kind: 'guest-stopped', vm: vmId(`vm-${n}`), attempt: 1 })
export const sentWhole = (n: number): Observed => ({ kind: 'sent-whole', vm: vmId(`vm-${n}`), attempt: 1 })
export const progress = (n: number, change: Partial<Progress>, attempt = 1): Observed => ({
  kind: 'progress',
  vm: vmId(`vm-${n}`),
  attempt,
  progress: aProgress(change),
})
export const tick: Observed = { kind: 'tick' }
export const paused: Observed = { kind: 'operator', by: 'test', order: 'pause' }
/** What the monitor sees of the path from a. */
export const queueing = (milliseconds: number, to = 'b', loss = 0): Observed => ({
  kind: 'network',
  paths: [{ from: siteId('a'), to: siteId(to), queueing: ms(milliseconds), loss: fraction(loss) }],
})

/** @param rate in Mbit/s */
export const flows = (n: number, at: number, rate: number, attempt = 1): Timed => [
  at,
  progress(n, { rate: megabitsPerSecond(rate), sent: mebibytes(at / 100) }, attempt),
]
/** A tick each second after these, from the first to the last. */
export const eachSecond = (from: number, to: number, facts: (at: number) => readonly Timed[]): readonly Timed[] =>
  Array.from({ length: to - from + 1 }, (_, n) => (from + n) * 1_000).flatMap(at => [...facts(at), [at, tick] as const])

// ── what is decided ──

export interface ViewChange {
  readonly admitting?: boolean
  readonly deadline?: Instant
  readonly network?: ReadonlyMap<string, PathSignal>
}
export const viewOf = (state: Evacuation, now: Instant, change: ViewChange = {}): PolicyView => ({
  now,
  snapshot: state.started.snapshot,
  targets: state.started.targets,
  limits: state.started.limits,
  admitting: admitting(state),
  plannedTo: id => state.planned.get(id),
  network: state.network,
  hostLoads: state.hostLoads,
  freeAt: host => freeMemory(state.ledger, host),
  mayGo: (id, host) => freeMemory(state.ledger, host) >= (state.vms.get(id)?.memory ?? Number.POSITIVE_INFINITY),
  migrations: state.migrations,
  vmOf: id => {
    const vm = state.vms.get(id)
    assert.ok(vm !== undefined)
    return vm
  },
  ...change,
})
export const decide = (state: Evacuation, at: number, change: ViewChange = {}): readonly Intent[] =>
  state.policy.decide(viewOf(state, instant(at), change)).intents
export const kinds = (intents: readonly Intent[]): readonly string[] => intents.map(({ kind }) => kind)
/** What is wanted beside making targets ready. */
export const tended = (intents: readonly Intent[]): readonly Intent[] =>
  intents.filter(({ kind }) => kind !== 'prepare')

/** What flows, and how fast it may: `undefined` for as fast as it gets. */
export const rates = (state: Evacuation): Readonly<Record<string, number | undefined>> =>
  Object.fromEntries([...state.migrations.in('pre-copy', 'post-copy')].map(m => [m.vm, m.tuning.rate]))
export const inPhase = (state: Evacuation, phase: Phase): readonly string[] =>
  [...state.migrations.in(phase)].map(({ vm }) => vm)
export const preCopyOf = (state: Evacuation, vm: string): PreCopy => {
  const m = migrationOf(state, vm)
  assert.ok(m.phase === 'pre-copy', `${vm} is ${m.phase}`)
  return m
}
