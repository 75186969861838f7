/** What holds in every simulated run, whatever the world, the timeline, the policy and the luck: checked over generated worlds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { step } from '../src/core/control/step.ts'
import type { Evacuation } from '../src/core/control/evacuation.ts'
import { hostId, siteId } from '../src/core/ids.ts'
import { between } from '../src/core/instant.ts'
import { hostsOfSite, type Snapshot } from '../src/core/inventory/snapshot.ts'
import { bytesToMove, type Vm } from '../src/core/inventory/vm.ts'
import { outcomeOf, reasonOf } from '../src/core/migration/outcome.ts'
import { lineOfHappening, linesOfRow } from '../src/core/sim/decision-log.ts'
import { generateWorld, pathKinds, type WorldSpec } from '../src/core/sim/generate.ts'
import { oracleBound } from '../src/core/sim/oracle.ts'
import type { Resource } from '../src/core/sim/physics/share.ts'
import { beginRehearsal, type Rehearsal, sidesOf, timelineOf } from '../src/core/sim/rehearse.ts'
import { simulatedReport } from '../src/core/sim/sim-report.ts'
import { contradictions, type SimRow, type Simulated } from '../src/core/sim/simulate.ts'
import type { SimWorld } from '../src/core/sim/sim-world.ts'
import { failsHow, type Happening, type TimelineEntry } from '../src/core/sim/timeline.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { runs } from './arbitraries.ts'

const policies = [
  'finish-first',
  'sequential',
  'fixed:3',
  'all-at-once',
  'aimd',
  'kubevirt',
  'nova',
  'ovirt',
  'proxmox:2',
] as const

const arbSpec: fc.Arbitrary<WorldSpec> = fc.record({
  endangered: fc.integer({ min: 1, max: 2 }),
  safe: fc.integer({ min: 1, max: 2 }),
  hosts: fc.integer({ min: 1, max: 3 }),
  vms: fc.integer({ min: 0, max: 9 }),
  memory: fc.constant({ kind: 'lognormal', median: mebibytes(512), spread: 2 } as const),
  activity: fc.constantFrom({ warm: 0.3, hot: 0.2 }, { warm: 0, hot: 0 }),
  path: fc.record({
    kind: fc.constantFrom(...pathKinds),
    capacity: fc.integer({ min: 50, max: 2000 }).map(megabitsPerSecond),
    rtt: fc.integer({ min: 0, max: 150 }).map(ms),
  }),
  room: fc.constantFrom(0.4, 0.9, 1.5, 3),
  deadline: fc.option(fc.integer({ min: 5_000, max: 200_000 }).map(ms), { nil: undefined, freq: 4 }),
  seed: fc.nat(1_000_000),
})

/** Blows of fate, named by numbers that are taken modulo what the world has. */
const arbBlow = fc.record({
  at: fc.integer({ min: 0, max: 120_000 }),
  which: fc.nat(100),
  more: fc.nat(100),
  kind: fc.constantFrom('cut', 'heal', 'host-down', 'power-off', 'crash', 'fail', 'dirty', 'path'),
})
type Blow = typeof arbBlow extends fc.Arbitrary<infer T> ? T : never

function happeningOf({ kind, which, more }: Blow, snapshot: Snapshot): Happening | undefined {
  const of = <T>(all: readonly T[]): T | undefined => all[which % Math.max(1, all.length)]
  const path = of(snapshot.paths)
  const vm = of(snapshot.vms)
  const host = of(snapshot.hosts)
  switch (kind) {
    case 'cut':
    case 'heal':
      return path && { kind, path: [path.from, path.to] }
    case 'path':
      return path && { kind, path: [path.from, path.to], change: { capacity: megabitsPerSecond(10 + more * 10) } }
    case 'host-down':
      return host && { kind, host: host.id }
    case 'power-off':
      return { kind, site: siteId('left-1') }
    case 'crash':
      return { kind, lasts: ms(200 * more) }
    case 'fail':
      return vm && { kind, vm: vm.id, how: failsHow[more % failsHow.length] ?? 'path-lost', times: 1 + (more % 3) }
    case 'dirty':
      return (
        vm && { kind, vm: vm.id, model: { hot: mebibytes(more), period: ms(500), cold: bytesPerSecond(more * 1e5) } }
      )
  }
}

/** Owners differ, disks are copied, NICs and uplinks bound what paths do not. */
function varied(vm: Vm, n: number, luck: number): Vm {
  const disk = {
    name: 'vda',
    size: mebibytes(64),
    used: mebibytes(32),
    write: bytesPerSecond(1e5),
    shared: n % 2 === 0,
  }
  return {
    ...vm,
    policy: {
      ...vm.policy,
      allow: (n + luck) % 3 === 0 ? ['post-copy'] : [],
      action: (n + luck) % 11 === 0 ? 'stay' : 'move',
    },
    disks: (n + luck) % 5 === 0 ? [disk] : [],
    paused: (n + luck) % 13 === 0,
  }
}

const arbRehearsal: fc.Arbitrary<Rehearsal> = fc
  .record({
    spec: arbSpec,
    blows: fc.array(arbBlow, { maxLength: 5 }),
    policy: fc.constantFrom(...policies),
    bandwidth: fc.option(fc.integer({ min: 20, max: 500 }).map(megabitsPerSecond), { nil: undefined, freq: 3 }),
    maxParallel: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 3 }),
    narrow: fc.boolean(),
    luck: fc.nat(50),
  })
  .map(({ spec, blows, policy, bandwidth, maxParallel, narrow, luck }) => {
    const { snapshot: plain, timeline } = generateWorld(spec)
    const snapshot: Snapshot = {
      ...plain,
      vms: plain.vms.map((vm, n) => varied(vm, n, luck)),
      sites: plain.sites.map(site => (narrow ? { ...site, uplink: megabitsPerSecond(300) } : site)),
      hosts: plain.hosts.map(host => (narrow ? { ...host, nic: megabitsPerSecond(200) } : host)),
    }
    const more = blows.flatMap((blow): TimelineEntry[] => {
      const what = happeningOf(blow, snapshot)
      return what === undefined ? [] : [{ at: ms(blow.at), jitter: ms(0), what }]
    })
    return {
      snapshot,
      timeline: [...timeline, ...more].sort((a, b) => a.at - b.at),
      policy,
      limits: { maxParallel, bandwidth },
      seed: spec.seed,
    }
  })

interface Seen {
  readonly simulated: Simulated
  readonly rows: readonly SimRow[]
  readonly log: readonly string[]
}

function seen(rehearsal: Rehearsal, look: (world: SimWorld) => void = () => undefined): Seen {
  const rows: SimRow[] = []
  const log: string[] = []
  const run = beginRehearsal({
    ...rehearsal,
    watch: {
      onRow: row => {
        rows.push(row)
        log.push(...linesOfRow(row))
      },
      onHappening: (at, what) => void log.push(lineOfHappening(at, what)),
      onRates: look,
    },
  })
  run.advance(Number.POSITIVE_INFINITY)
  return { simulated: run.soFar(), rows, log }
}

const questionOf = (rehearsal: Rehearsal) => ({
  snapshot: rehearsal.snapshot,
  timeline: timelineOf(rehearsal),
  ...sidesOf(rehearsal.snapshot),
  wirePerByte: 1,
})

/** Rates are doubles that were added up in different orders. */
const almost = 1 + 1e-6

function insistOnCapacities(world: SimWorld): void {
  const carried = new Map<Resource, number>()
  for (const { crosses, rate } of world.flowing())
    for (const resource of crosses) carried.set(resource, (carried.get(resource) ?? 0) + rate)
  for (const [{ capacity }, rate] of carried)
    assert.ok(rate <= capacity * almost + 1, `${rate} B/s over something that carries ${capacity}`)
}

function insistOnMemory(world: SimWorld, snapshot: Snapshot): void {
  for (const host of snapshot.hosts) {
    // What is left of a post-copy whose source died stands there for a human to look at; nobody counts on it.
    const there = snapshot.vms.filter(vm => !['split', undefined].includes(world.copyOf(vm.id, host.id)))
    const taken = there.reduce((sum, { memory }) => sum + memory, 0)
    assert.ok(taken <= host.memory, `${host.id} has ${host.memory} bytes, and guests of ${taken}`)
  }
}

function insistOnOutcomes({ state, world }: Simulated): void {
  for (const m of state.migrations.values()) {
    if (outcomeOf(m) === 'safe') continue
    assert.ok((reasonOf(m) ?? '').length > 3, `${m.vm} is ${outcomeOf(m)} for no reason`)
  }
  for (const { id, host } of state.started.snapshot.vms) {
    const running = world.runsOn(id)
    assert.ok(running.length <= 1, `${id} runs on ${running.join(', ')}`)
    // Whoever runs nowhere was on a host that stopped, or is held between two halves of a post-copy.
    const m = state.migrations.get(id)
    const target = m !== undefined && 'target' in m ? m.target : undefined
    const died = [host, target].some(each => each !== undefined && world.isDown(each) !== undefined)
    if (running.length === 0) assert.ok(died, `${id} runs nowhere, and no host of it stopped`)
  }
}

/** The same state, apart from the policy, which is made anew. */
const comparable = (state: Evacuation) => ({ ...state, policy: state.policy.name })

test('in every world: nobody runs twice, nothing carries more than it can, nobody is without an outcome, and the journal tells it all', () => {
  const ends = new Map<string, number>()
  fc.assert(
    fc.property(arbRehearsal, rehearsal => {
      const { simulated, rows } = seen(rehearsal, world => {
        insistOnCapacities(world)
        insistOnMemory(world, rehearsal.snapshot)
      })
      assert.equal(simulated.cutShort, false, 'it did not come to its end')
      assert.deepEqual(contradictions(simulated), [])
      insistOnOutcomes(simulated)
      for (const m of simulated.state.migrations.values()) ends.set(outcomeOf(m), (ends.get(outcomeOf(m)) ?? 0) + 1)

      const replayed = rows.reduce<Evacuation | undefined>(
        (state, { event, at }) => step(state, event, at).state,
        undefined,
      )
      assert.ok(replayed !== undefined)
      assert.deepEqual(comparable(replayed), comparable(simulated.state))
    }),
    runs(250),
  )
  for (const outcome of ['safe', 'left', 'lost'])
    assert.ok((ends.get(outcome) ?? 0) > 20, `worlds end in ${JSON.stringify([...ends])}`)
})

test('what is safe was sent at least once, and no sooner than a knower of the timeline could', () => {
  let tight = 0
  fc.assert(
    fc.property(arbRehearsal, rehearsal => {
      const { simulated } = seen(rehearsal)
      const { state } = simulated
      const bound = oracleBound(questionOf(rehearsal))
      const landed = [...state.migrations.in('landed')]
      for (const m of landed) {
        const vm = state.vms.get(m.vm)
        assert.ok(vm !== undefined)
        assert.ok(m.bytesSent >= bytesToMove(vm) - 1, `${m.vm}: ${m.bytesSent} bytes sent of ${bytesToMove(vm)}`)
      }
      const value = landed.reduce((sum, m) => sum + (state.vms.get(m.vm)?.value ?? 0), 0)
      assert.ok(landed.length <= bound.safe, `${landed.length} safe, the oracle says at most ${bound.safe}`)
      assert.ok(value <= bound.value * almost, `value ${value}, the oracle says at most ${bound.value}`)
      const times = landed.map(m => between(state.startedAt, m.switchedAt)).sort((a, b) => a - b)
      for (const [k, at] of times.entries()) {
        const soonest = bound.landings[k] ?? Number.POSITIVE_INFINITY
        assert.ok(at >= soonest - 1, `landing ${k + 1} at ${at} ms, the oracle says not before ${soonest}`)
        if (at < soonest * 1.5) tight += 1
      }
      const { j } = simulatedReport(simulated, questionOf(rehearsal)).summary
      if (j !== null) assert.ok(j >= 0.999, `J ${j} is better than physics`)
    }),
    runs(250),
  )
  assert.ok(tight > 20, `the bound is close to what is reached ${tight} times: it could say anything`)
})

test('the same folder and seed give the same log', () => {
  fc.assert(
    fc.property(arbRehearsal, rehearsal => {
      assert.deepEqual(seen(rehearsal).log, seen(structuredClone(rehearsal)).log)
    }),
    runs(40),
  )
})

test('a site whose power is on for good loses nobody', () => {
  fc.assert(
    fc.property(arbRehearsal, rehearsal => {
      const calm = { ...rehearsal, snapshot: { ...rehearsal.snapshot, deadline: undefined } }
      const kinds = new Set(calm.timeline.map(({ what }) => what.kind))
      fc.pre(!kinds.has('power-off') && !kinds.has('host-down'))
      const { simulated } = seen(calm)
      for (const m of simulated.state.migrations.values())
        assert.ok(outcomeOf(m) === 'safe' || outcomeOf(m) === 'left', `${m.vm} is ${outcomeOf(m)}: ${reasonOf(m)}`)
      for (const site of sidesOf(calm.snapshot).endangered)
        for (const { id } of hostsOfSite(calm.snapshot, site))
          assert.equal(simulated.world.isDown(hostId(id)), undefined)
    }),
    runs(120),
  )
})
