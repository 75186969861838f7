/**
 * Inventories, facts and evacuations for tests: a small world made by hand, and generators for everything that can be generated.
 *
 * Role: every property test draws from here, so that all of them mean the same by "any snapshot" and "any state". The seed is fixed
 * and printed with a failure; FC_SEED=7 tries another one. Nothing here asserts anything.
 */
import * as fc from 'fast-check'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import type { Observed, Started } from '../src/core/control/observed.ts'
import { step } from '../src/core/control/step.ts'
import { evacuationId, type HostId, hostId, type PlaceId, type SiteId, siteId, vmId } from '../src/core/ids.ts'
import { type Instant, instant } from '../src/core/instant.ts'
import type { Host, Path, Site, Snapshot } from '../src/core/inventory/snapshot.ts'
import { defaultVmPolicy, type DirtyModel, type Disk, type Vm, type VmPolicy } from '../src/core/inventory/vm.ts'
import type { FailureCode, MigrationFailure } from '../src/core/migration/failure.ts'
import type { Migration } from '../src/core/migration/migration.ts'
import type { Presence } from '../src/core/migration/presence.ts'
import type { Progress } from '../src/core/migration/progress.ts'
import { planEvacuation, type PlanRequest } from '../src/core/plan/plan-evacuation.ts'
import { policyByName } from '../src/core/policy/policy-by-name.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'

/** How a property is run: always from the same seed, so that a run today and one in CI see the same cases. */
export const runs = (numRuns: number): { readonly numRuns: number; readonly seed: number } => ({
  numRuns,
  seed: Number(process.env['FC_SEED'] ?? 20110311),
})

// ── by hand ──

export const aSite = (id: string, change: Partial<Site> = {}): Site => ({
  id: siteId(id),
  safe: false,
  uplink: undefined,
  ...change,
})
export const aHost = (id: string, site: string, change: Partial<Host> = {}): Host => ({
  id: hostId(id),
  site: siteId(site),
  memory: mebibytes(8192),
  nic: undefined,
  cpu: undefined,
  ...change,
})
export const aPath = (from: string, to: string, change: Partial<Path> = {}): Path => ({
  from: siteId(from),
  to: siteId(to),
  capacity: undefined,
  rtt: undefined,
  loss: undefined,
  perFlow: undefined,
  background: undefined,
  ...change,
})
export const aVm = (id: string, host: string, change: Partial<Vm> = {}): Vm => ({
  id: vmId(id),
  host: hostId(host),
  memory: mebibytes(1024),
  used: mebibytes(100),
  dirty: undefined,
  disks: [],
  value: 1,
  group: undefined,
  policy: defaultVmPolicy,
  paused: false,
  ...change,
})
export const aDisk = (name: string, change: Partial<Disk> = {}): Disk => ({
  name,
  size: mebibytes(4096),
  used: mebibytes(4096),
  write: bytesPerSecond(0),
  shared: true,
  ...change,
})
export const aSnapshot = (change: Partial<Snapshot> = {}): Snapshot => ({
  takenAt: instant(0),
  sites: [aSite('a'), aSite('b', { safe: true })],
  hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('b-2', 'b')],
  paths: [aPath('a', 'b', { capacity: megabitsPerSecond(100), rtt: ms(40) })],
  vms: [],
  unreachable: [],
  power: [],
  deadline: undefined,
  ...change,
})
/** `n` VMs of 100 MiB in use on a-1: at 100 Mbit/s each takes 8.39 s. */
export const someVms = (n: number, change: Partial<Vm> = {}): readonly Vm[] =>
  Array.from({ length: n }, (_, at) => aVm(`vm-${at + 1}`, 'a-1', change))

export const aProgress = (change: Partial<Progress> = {}): Progress => ({
  sent: mebibytes(50),
  remaining: mebibytes(50),
  total: mebibytes(1024),
  zero: mebibytes(900),
  round: 1,
  rate: megabitsPerSecond(100),
  dirtyRate: undefined,
  throttle: 0,
  expectedDowntime: undefined,
  ...change,
})

/** The first fact of an evacuation of site a to site b, with the plan of the planner. */
export function startedFrom(snapshot: Snapshot, change: Partial<Started> = {}): Started {
  const policy = change.policy ?? 'sequential'
  const endangered = change.endangered ?? [siteId('a')]
  const targets = change.targets ?? [siteId('b')]
  const { slots } = policyByName(policy)
  return {
    kind: 'evacuation-started',
    id: evacuationId('a-1'),
    snapshot,
    endangered,
    targets,
    policy,
    limits: { maxParallel: undefined, bandwidth: undefined },
    plan: planEvacuation({ snapshot, endangered, targets, policy, slots, bandwidth: undefined }),
    world: 'simulated',
    seed: 1,
    by: 'test',
    ...change,
  }
}

/** Facts with the time of each, folded. @throws what `step` throws */
export function driven(facts: readonly (readonly [at: number, event: Observed])[]): Evacuation {
  let state: Evacuation | undefined
  for (const [at, event] of facts) state = step(state, event, instant(at)).state
  if (state === undefined) throw new Error('no fact, no state')
  return state
}

export const migrationOf = (state: Evacuation, vm: string): Migration => {
  const found = state.migrations.get(vmId(vm))
  if (found === undefined) throw new Error(`no VM is named ${vm}`)
  return found
}

const at = <T>(list: readonly T[], index: number): T => {
  const found = list[index % Math.max(1, list.length)]
  if (found === undefined) throw new Error('nothing to choose from')
  return found
}

// ── closed sets ──

export const presences: readonly Presence[] = [
  { state: 'running', migrating: false },
  { state: 'running', migrating: true },
  { state: 'paused', as: 'home', detail: 'paused' },
  { state: 'paused', as: 'leaving', detail: 'finish-migrate' },
  { state: 'paused', as: 'left', detail: 'postmigrate' },
  { state: 'paused', as: 'ready', detail: 'arrived whole' },
  { state: 'incoming' },
  { state: 'split', broken: false },
  { state: 'split', broken: true },
  { state: 'absent', detail: 'no process' },
  { state: 'unreachable', detail: 'timed out' },
]

const detailed: readonly Exclude<FailureCode, 'no-target'>[] = [
  'target-out-of-memory',
  'target-unreachable',
  'target-refused',
  'target-unfit',
  'target-died',
  'target-endangered',
  'no-free-port',
  'path-lost',
  'source-unreachable',
  'source-refused',
  'cannot-move',
  'not-there',
  'hypervisor-error',
  'cancelled',
  'timed-out',
  'postponed',
  'vm-died',
  'may-not-move',
]
export const failures: readonly MigrationFailure[] = [
  ...detailed.map(code => ({ code, detail: `told by the ${code} test` })),
  { code: 'no-target', refusals: [[hostId('b-1'), { why: 'memory', need: mebibytes(8192), free: mebibytes(6349) }]] },
]

// ── generated ──

const maybe = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arb, { nil: undefined })
const arbMemory = fc.integer({ min: 1, max: 65_536 }).map(mebibytes)
export const arbRate = fc.integer({ min: 1, max: 1_250_000_000 }).map(bytesPerSecond)
const arbTime = fc.integer({ min: 1, max: 3_600_000 }).map(ms)

const arbDirty: fc.Arbitrary<DirtyModel> = fc.record({
  hot: fc.integer({ min: 0, max: 512 }).map(mebibytes),
  period: fc.integer({ min: 1, max: 60_000 }).map(ms),
  cold: fc.integer({ min: 0, max: 50_000_000 }).map(bytesPerSecond),
})
const arbDisk: fc.Arbitrary<Disk> = fc
  .record({ size: arbMemory, shared: fc.boolean(), name: fc.constantFrom('vda', 'vdb') })
  .map(({ size, shared, name }) => aDisk(name, { size, used: size, shared }))

const arbVmShape = fc.record({
  home: fc.nat(),
  memory: arbMemory,
  usedShare: fc.integer({ min: 0, max: 100 }),
  dirty: maybe(arbDirty),
  disks: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Disk[]>([]) },
    { weight: 1, arbitrary: fc.array(arbDisk, { maxLength: 2 }) },
  ),
  value: fc.integer({ min: 0, max: 20 }),
  stays: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
  paused: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
  postCopy: fc.boolean(),
  maxDowntime: fc.integer({ min: 0, max: 5_000 }).map(ms),
  /** Places it is bound to, by number; one of two names of anti-affinity. Most are not choosy. */
  bound: fc.option(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), { nil: undefined, freq: 4 }),
  apart: fc.option(fc.constantFrom('db', 'web & co'), { nil: undefined, freq: 3 }),
})
type VmShape = typeof arbVmShape extends fc.Arbitrary<infer T> ? T : never

const policyOf = (shape: VmShape, places: readonly PlaceId[]): VmPolicy => ({
  maxDowntime: shape.maxDowntime,
  allow: shape.postCopy ? ['post-copy'] : [],
  action: shape.stays ? 'stay' : 'move',
  targets: shape.bound?.map(pick => at(places, pick)),
  antiAffinity: shape.apart,
})
const arbPathShape = fc.record({
  ends: fc.constantFrom<'site-site' | 'site-host' | 'host-site' | 'host-host'>(
    'site-site',
    'site-host',
    'host-site',
    'host-host',
  ),
  from: fc.nat(),
  to: fc.nat(),
  capacity: maybe(arbRate),
  background: maybe(arbRate),
  rtt: maybe(arbTime),
})

/** Any inventory the file format allows: 2 to 4 sites, hosts that differ, paths known, half known or not declared at all. */
export const arbSnapshot: fc.Arbitrary<Snapshot> = fc
  .record({
    sites: fc.array(
      fc.record({
        safe: fc.boolean(),
        uplink: maybe(arbRate),
        hosts: fc.array(fc.record({ memory: arbMemory, nic: maybe(arbRate), down: fc.integer({ min: 0, max: 7 }) }), {
          minLength: 1,
          maxLength: 3,
        }),
      }),
      { minLength: 2, maxLength: 4 },
    ),
    vms: fc.array(arbVmShape, { maxLength: 9 }),
    paths: fc.array(arbPathShape, { maxLength: 8 }),
    deadline: maybe(arbTime),
  })
  .map(({ sites, vms, paths, deadline }) => {
    const siteIds = sites.map((_, s) => String.fromCharCode(97 + s))
    const hosts = sites.flatMap((site, s) =>
      site.hosts.map(({ memory, nic }, h) => aHost(`${at(siteIds, s)}-${h + 1}`, at(siteIds, s), { memory, nic })),
    )
    const down = sites.flatMap((site, s) =>
      site.hosts.flatMap((host, h) => (host.down === 0 ? [hostId(`${at(siteIds, s)}-${h + 1}`)] : [])),
    )
    const hostIds = hosts.map(({ id }) => id)
    const end = (kind: string | undefined, pick: number): SiteId | HostId =>
      kind === 'site' ? siteId(at(siteIds, pick)) : at(hostIds, pick)
    return aSnapshot({
      sites: sites.map(({ safe, uplink }, s) => aSite(at(siteIds, s), { safe, uplink })),
      hosts,
      paths: paths.map(({ ends, from, to, capacity, background, rtt }) => {
        const [a, b] = ends.split('-')
        return { ...aPath('a', 'b', { capacity, background, rtt }), from: end(a, from), to: end(b, to) }
      }),
      vms: vms.map((vm, v) =>
        aVm(`vm-${v + 1}`, at(hostIds, vm.home), {
          memory: vm.memory,
          used: bytes(Math.floor((vm.memory * vm.usedShare) / 100)),
          dirty: vm.dirty,
          disks: vm.disks,
          value: vm.value,
          paused: vm.paused,
          policy: policyOf(vm, [...hostIds, ...siteIds.map(siteId)]),
        }),
      ),
      unreachable: down.map(host => ({ host, why: 'no route to host' })),
      deadline,
    })
  })

/** Sites to leave and sites to go to; now and then they overlap, as a human's order may. */
export const arbRequest: fc.Arbitrary<PlanRequest> = fc
  .record({
    snapshot: arbSnapshot,
    leave: fc.nat(),
    leaveMore: fc.boolean(),
    skip: fc.integer({ min: 0, max: 4 }),
    overlap: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
    policy: fc.constantFrom('sequential', 'fixed:2', 'fixed:3', 'all-at-once'),
    bandwidth: maybe(arbRate),
  })
  .map(({ snapshot, leave, leaveMore, skip, overlap, policy, bandwidth }) => {
    const ids = snapshot.sites.map(({ id }) => id)
    const first = leave % ids.length
    const endangered = ids.filter((_, s) => s === first || (leaveMore && s === (first + 1) % ids.length))
    const targets = ids.filter((id, s) => (overlap || !endangered.includes(id)) && s !== skip)
    const { slots } = policyByName(policy)
    return { snapshot, endangered, targets, policy, slots, bandwidth }
  })

export const arbProgress: fc.Arbitrary<Progress> = fc
  .record({
    sent: fc.integer({ min: 0, max: 4 * 65_536 * 1_048_576 }),
    total: fc.integer({ min: 0, max: 65_536 * 1_048_576 }),
    share: fc.integer({ min: 0, max: 100 }),
    round: fc.integer({ min: 1, max: 200 }),
    rate: fc.double({ min: 0, max: 1.25e10, noNaN: true }),
    dirtyRate: maybe(fc.double({ min: 0, max: 1.25e10, noNaN: true })),
    throttle: fc.constantFrom(0, 0.2, 0.99).map(fraction),
    expectedDowntime: maybe(arbTime),
  })
  .map(({ sent, total, share, round, rate, dirtyRate, throttle, expectedDowntime }) => ({
    sent: bytes(sent),
    remaining: bytes(Math.floor((total * share) / 100)),
    total: bytes(total),
    zero: bytes(Math.floor((total * (100 - share)) / 100)),
    round,
    rate: bytesPerSecond(rate),
    dirtyRate: dirtyRate === undefined ? undefined : bytesPerSecond(dirtyRate),
    throttle,
    expectedDowntime,
  }))

/** One thing that happens, not yet bound to a VM: which one is only known while the story is played. */
export interface Happening {
  readonly who: number
  readonly after: number
  readonly what: WhatHappens
  readonly progress: Progress
  readonly failure: MigrationFailure
  readonly source: Presence
  readonly target: Presence
}
/** `onward`: the next fact of an attempt that goes well, whatever its phase. */
const happy = ['onward', 'onward', 'onward', 'progress', 'tick'] as const
const trouble = [
  'target-ready',
  'memory-flowing',
  'guest-stopped',
  'sent-whole',
  'landed',
  'source-ended',
  'source-lingers',
  'post-copy-began',
  'post-copy-broke',
  'migration-broke',
  'attempt-failed',
  'attempt-unclear',
  'whereabouts',
  'command-failed',
  'resolve',
] as const
const upheaval = [
  'controller-restarted',
  'pause',
  'resume',
  'wind-down',
  'abort',
  'journal-failing',
  'site-lost',
  'endanger',
] as const
export type WhatHappens = (typeof happy)[number] | (typeof trouble)[number] | (typeof upheaval)[number]

const happeningOf = (what: fc.Arbitrary<WhatHappens>): fc.Arbitrary<Happening> =>
  fc.record({
    who: fc.nat({ max: 50 }),
    after: fc.constantFrom(0, 1, 1_000, 1_000, 5_000, 40_000),
    what,
    progress: arbProgress,
    failure: fc.constantFrom(...failures),
    source: fc.constantFrom(...presences),
    target: fc.constantFrom(...presences),
  })
/** Nothing goes wrong. */
export const arbHappy: fc.Arbitrary<Happening> = happeningOf(fc.constantFrom<WhatHappens>(...happy))
/** Anything at all, the ordinary more often. */
export const arbHappening: fc.Arbitrary<Happening> = happeningOf(
  fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom<WhatHappens>(...happy) },
    { weight: 8, arbitrary: fc.constantFrom<WhatHappens>(...trouble) },
    { weight: 1, arbitrary: fc.constantFrom<WhatHappens>(...upheaval) },
  ),
)

const attemptOf = (m: Migration): number => ('attempt' in m ? m.attempt : m.attempts)

/** The VMs something can be told of: those on their way, or landed with a copy left at home. */
const candidates = (state: Evacuation): readonly Migration[] => {
  const busy = [...state.migrations.values()].filter(
    m => m.phase !== 'queued' && m.phase !== 'given-up' && !(m.phase === 'landed' && m.sourceEnded),
  )
  return busy.length > 0 ? busy : [...state.migrations.values()]
}

function onward(m: Migration, { who, progress, source, target }: Happening): Observed {
  const { vm } = m
  const attempt = attemptOf(m)
  switch (m.phase) {
    case 'preparing':
      return { kind: 'target-ready', vm, attempt }
    case 'pre-copy':
      return { kind: at(['guest-stopped', 'sent-whole', 'post-copy-began'] as const, who), vm, attempt }
    case 'switchover':
    case 'post-copy':
      if (who % 2 === 0) return { kind: 'sent-whole', vm, attempt }
      return { kind: 'landed', vm, attempt, downtime: ms(who * 10), sent: progress.sent, needed: progress.total }
    case 'uncertain':
      return { kind: 'whereabouts', vm, attempt, where: { source, target } }
    case 'landed':
      return { kind: 'source-ended', vm, attempt }
    case 'queued':
    case 'given-up':
      return { kind: 'tick' }
  }
}

export function factOf(state: Evacuation, happening: Happening): Observed {
  const { who, what, progress, failure, source, target } = happening
  const all = candidates(state)
  if (all.length === 0) return { kind: 'tick' }
  const m = at(all, who)
  const { vm } = m
  const attempt = attemptOf(m)
  const why = `why ${who}`
  switch (what) {
    case 'onward':
      return onward(m, happening)
    case 'tick':
      return { kind: what }
    case 'controller-restarted':
      return { kind: what, by: 'test' }
    case 'pause':
    case 'resume':
    case 'wind-down':
    case 'abort':
      return { kind: 'operator', by: 'test', order: what }
    case 'resolve':
      return { kind: 'operator', by: 'test', order: what, vm, runsAt: who % 2 === 0 ? 'source' : 'target' }
    case 'journal-failing':
      return { kind: what, why }
    case 'endanger': {
      const { endangered, targets } = state.started
      return { kind: 'operator', by: 'test', order: what, site: at([...endangered, ...targets], who) }
    }
    case 'site-lost': {
      const { endangered, targets } = state.started
      return { kind: what, site: at([...endangered, ...targets], who), why }
    }
    case 'target-ready':
    case 'memory-flowing':
    case 'guest-stopped':
    case 'sent-whole':
    case 'post-copy-began':
    case 'source-ended':
      return { kind: what, vm, attempt }
    case 'post-copy-broke':
    case 'attempt-unclear':
    case 'source-lingers':
      return { kind: what, vm, attempt, why }
    case 'command-failed':
      return { kind: what, vm, attempt, command: 'adjust', why }
    case 'progress':
      return { kind: what, vm, attempt, progress }
    case 'migration-broke':
    case 'attempt-failed':
      return { kind: what, vm, attempt, failure }
    case 'whereabouts':
      return { kind: what, vm, attempt, where: { source, target } }
    case 'landed':
      return { kind: what, vm, attempt, downtime: ms(who * 10), sent: progress.sent, needed: progress.total }
  }
}

export interface Story {
  readonly states: readonly Evacuation[]
  readonly facts: readonly (readonly [at: number, event: Observed])[]
  readonly last: Evacuation
  readonly now: Instant
}
/** Plays what happens on `step`, from the start; every state on the way is kept. */
export function play(started: Started, happenings: readonly Happening[]): Story {
  let now = instant(1_000)
  let last = step(undefined, started, now).state
  const states = [last]
  const facts: (readonly [at: number, event: Observed])[] = [[now, started]]
  for (const happening of happenings) {
    now = instant(now + happening.after)
    const event = factOf(last, happening)
    facts.push([now, event])
    last = step(last, event, now).state
    states.push(last)
  }
  return { states, facts, last, now }
}

/** An inventory in which most can go: 1 to 6 VMs in site a, two hosts in site b, now and then too small. */
const arbStart: fc.Arbitrary<Started> = fc
  .record({
    vms: fc.array(arbVmShape, { minLength: 1, maxLength: 6 }),
    room: fc.constantFrom(16_384, 262_144, 1_048_576),
    policy: fc.constantFrom('sequential', 'fixed:2', 'fixed:3', 'all-at-once'),
    bandwidth: maybe(arbRate),
    maxParallel: maybe(fc.integer({ min: 1, max: 3 })),
    capacity: maybe(arbRate),
  })
  .map(({ vms, room, policy, bandwidth, maxParallel, capacity }) => {
    const snapshot = aSnapshot({
      hosts: [
        aHost('a-1', 'a', { memory: mebibytes(1_048_576) }),
        aHost('a-2', 'a', { memory: mebibytes(1_048_576) }),
        aHost('b-1', 'b', { memory: mebibytes(room) }),
        aHost('b-2', 'b', { memory: mebibytes(room) }),
      ],
      paths: [aPath('a', 'b', { capacity })],
      vms: vms.map((vm, v) =>
        aVm(`vm-${v + 1}`, vm.home % 2 === 0 ? 'a-1' : 'a-2', {
          memory: vm.memory,
          used: bytes(Math.floor((vm.memory * vm.usedShare) / 100)),
          value: vm.value,
          paused: vm.paused,
          policy: policyOf(vm, [siteId('b'), hostId('b-1'), hostId('b-2')]),
        }),
      ),
    })
    return startedFrom(snapshot, { policy, limits: { maxParallel, bandwidth } })
  })

const storyOf = (happening: fc.Arbitrary<Happening>): fc.Arbitrary<Story> =>
  fc
    .tuple(arbStart, fc.array(happening, { maxLength: 60, size: 'max' }))
    .map(([started, happenings]) => play(started, happenings))
/** An evacuation in any state that facts can bring it to. */
export const arbStory: fc.Arbitrary<Story> = storyOf(arbHappening)
export const arbHappyStory: fc.Arbitrary<Story> = storyOf(arbHappy)
