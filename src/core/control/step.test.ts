/**
 * The controller under every order of facts. Two ways: facts thrown at it at random, true or not; and a small model of the world in
 * which its own commands take effect, half take effect, or are lost with the controller, while somebody counts the copies that run.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { evacuationId, type HostId, hostId, siteId, type VmId, vmId } from '../ids.ts'
import { type Instant, instant } from '../instant.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { afterFailure, type FailureCode, type MigrationFailure } from '../migration/failure.ts'
import { edges, type Migration, phasesInFlight } from '../migration/migration.ts'
import { outcomeOf, reasonOf } from '../migration/outcome.ts'
import type { Presence } from '../migration/presence.ts'
import { planEvacuation } from '../plan/plan-evacuation.ts'
import { bytes, bytesPerSecond, mebibytes, ms } from '../units.ts'
import type { Command, Route } from './command.ts'
import type { Evacuation } from './evacuation.ts'
import type { Observed, Started } from './observed.ts'
import { step } from './step.ts'

const a = siteId('a')
const b = siteId('b')

const vm = (n: number, memory: number, extra: Partial<Vm> = {}): Vm => ({
  id: vmId(`vm-${n}`),
  host: hostId('a-1'),
  memory: mebibytes(memory),
  used: mebibytes(memory),
  dirty: undefined,
  disks: [],
  value: 1,
  group: undefined,
  policy: defaultVmPolicy,
  paused: false,
  ...extra,
})

function started(vms: readonly Vm[], policy: string, room = 4096): Started {
  const host = (id: string, site: typeof a, memory: number) => ({
    id: hostId(id),
    site,
    memory: mebibytes(memory),
    nic: undefined,
    cpu: undefined,
  })
  const snapshot: Snapshot = {
    takenAt: instant(0),
    sites: [
      { id: a, safe: false, uplink: undefined },
      { id: b, safe: true, uplink: undefined },
    ],
    hosts: [host('a-1', a, 65_536), host('b-1', b, room), host('b-2', b, room)],
    paths: [],
    vms,
    unreachable: [],
    power: [],
    deadline: undefined,
  }
  const question = { snapshot, endangered: [a], targets: [b] }
  return {
    kind: 'evacuation-started',
    id: evacuationId('test'),
    ...question,
    policy,
    limits: { maxParallel: undefined, bandwidth: undefined },
    plan: planEvacuation({ ...question, policy, slots: 1, bandwidth: undefined }),
    world: 'simulated',
    seed: 1,
    by: 'test',
  }
}

const begin = (event: Started): { state: Evacuation; commands: readonly Command[] } =>
  step(undefined, event, instant(0))
const three = [vm(1, 1024), vm(2, 1024), vm(3, 1024)]
const policies = ['sequential', 'fixed:2', 'all-at-once'] as const

const progress = {
  sent: bytes(1000),
  remaining: bytes(10),
  total: bytes(2000),
  zero: bytes(0),
  round: 2,
  rate: bytesPerSecond(1000),
  dirtyRate: undefined,
  throttle: 0,
  expectedDowntime: undefined,
}
const codes = Object.keys(afterFailure).filter(
  (code): code is Exclude<FailureCode, 'no-target'> => code !== 'no-target',
)
const arbFailure: fc.Arbitrary<MigrationFailure> = fc.constantFrom(...codes).map(code => ({ code, detail: 'so' }))
const arbPresence: fc.Arbitrary<Presence> = fc.oneof(
  fc.boolean().map((migrating): Presence => ({ state: 'running', migrating })),
  fc
    .constantFrom('home' as const, 'leaving' as const, 'left' as const, 'ready' as const)
    .map((as): Presence => ({ state: 'paused', as, detail: '' })),
  fc.constant<Presence>({ state: 'incoming' }),
  fc.boolean().map((broken): Presence => ({ state: 'split', broken })),
  fc.constantFrom('absent' as const, 'unreachable' as const).map((state): Presence => ({ state, detail: '' })),
)
const arbOfAttempt = fc.record({
  vm: fc.constantFrom(...three.map(({ id }) => id)),
  attempt: fc.integer({ min: 1, max: 4 }),
})
const arbFact: fc.Arbitrary<Observed> = fc.oneof(
  fc.constant<Observed>({ kind: 'tick' }),
  fc.constant<Observed>({ kind: 'controller-restarted', by: 'test' }),
  fc
    .constantFrom('pause' as const, 'resume' as const, 'wind-down' as const, 'abort' as const)
    .map((order): Observed => ({ kind: 'operator', by: 'test', order })),
  fc.constant<Observed>({ kind: 'journal-failing', why: 'full' }),
  fc
    .tuple(
      arbOfAttempt,
      fc.constantFrom(
        'target-ready',
        'memory-flowing',
        'guest-stopped',
        'sent-whole',
        'post-copy-began',
        'source-ended',
      ),
    )
    .map(([of, kind]): Observed => ({ kind, ...of })),
  fc
    .tuple(arbOfAttempt, fc.constantFrom('post-copy-broke', 'attempt-unclear', 'source-lingers'))
    .map(([of, kind]): Observed => ({ kind, why: 'so', ...of })),
  fc
    .tuple(arbOfAttempt, arbFailure, fc.constantFrom('migration-broke' as const, 'attempt-failed' as const))
    .map(([of, failure, kind]): Observed => ({ kind, failure, ...of })),
  arbOfAttempt.map((of): Observed => ({ kind: 'progress', progress, ...of })),
  arbOfAttempt.map((of): Observed => ({ kind: 'landed', downtime: ms(1), sent: bytes(1), needed: undefined, ...of })),
  fc
    .tuple(arbOfAttempt, arbPresence, arbPresence)
    .map(([of, source, target]): Observed => ({ kind: 'whereabouts', where: { source, target }, ...of })),
)

describe('step, under any facts in any order', () => {
  test('never throws, moves along the edges only, and keeps what it promised', () => {
    fc.assert(
      fc.property(fc.constantFrom(...policies), fc.array(arbFact, { maxLength: 80 }), (policy, facts) => {
        let { state } = begin(started(three, policy, 2048))
        let now = 0
        for (const fact of facts) {
          now += 1_500
          const before = state
          const { state: next, commands } = step(before, fact, instant(now))
          for (const [id, m] of next.migrations) {
            const from = before.migrations.get(id)
            assert.ok(from !== undefined)
            assert.ok(
              from.phase === m.phase || reachable(from, m),
              `${id}: ${from.phase} -> ${m.phase} on ${fact.kind}`,
            )
          }
          const free = freeNow(next)
          assert.deepEqual(next.ledger.free, free, 'the ledger does not tell what is promised')
          for (const [host, left] of free) assert.ok(left >= 0, `${host} is promised ${-left} too much`)
          const starts = commands.some(({ kind }) => kind === 'prepare' || kind === 'migrate')
          if (next.intent !== 'run' || next.degraded !== undefined)
            assert.ok(!starts, `${fact.kind} started something while ${next.intent} ${next.degraded ?? ''}`)
          for (const command of commands) {
            const m = before.migrations.get(command.vm)
            if (command.kind === 'cancel') assert.equal(m?.phase, 'pre-copy', 'a cancel past the point of no return')
            if (command.kind === 'roll-back')
              assert.ok(m?.phase !== 'landed' && m?.phase !== 'post-copy', `rolled back from ${m?.phase}`)
          }
          state = next
        }
      }),
      { numRuns: 400 },
    )
  })

  test('facts of an attempt that is over change nothing', () => {
    const first = begin(started(three, 'sequential'))
    const one = vmId('vm-1')
    const failed = step(
      first.state,
      { kind: 'attempt-failed', vm: one, attempt: 1, failure: { code: 'target-died', detail: 'so' } },
      instant(10),
    ).state
    for (const kind of ['sent-whole', 'target-ready', 'guest-stopped'] as const) {
      const after = step(failed, { kind, vm: one, attempt: 1 }, instant(20)).state
      assert.equal(after.migrations.get(one), failed.migrations.get(one))
    }
  })

  test('the fold over the same facts is the same state', () => {
    fc.assert(
      fc.property(fc.constantFrom(...policies), fc.array(arbFact, { maxLength: 60 }), (policy, facts) => {
        const fold = (): Evacuation => {
          let { state } = begin(started(three, policy))
          facts.forEach((fact, at) => {
            state = step(state, fact, instant((at + 1) * 1000)).state
          })
          return state
        }
        assert.deepEqual(fold().migrations, fold().migrations)
      }),
      { numRuns: 50 },
    )
  })
})

/** Computed from nothing but the phases. */
function freeNow(state: Evacuation): ReadonlyMap<HostId, number> {
  const { hosts, vms } = state.started.snapshot
  const free = new Map<HostId, number>(hosts.map(host => [host.id, host.memory]))
  const take = (host: HostId, size: number) => free.set(host, (free.get(host) ?? 0) - size)
  for (const { host, memory } of vms) take(host, memory)
  for (const m of state.migrations.in(...phasesInFlight, 'landed')) take(m.target, state.vms.get(m.vm)?.memory ?? 0)
  return free
}

/** One fact may carry a VM over two edges: a doubt that is resolved at once, say. */
function reachable(from: Migration, to: Migration): boolean {
  const next: readonly string[] = edges[from.phase]
  return (
    next.includes(to.phase) ||
    next.some(middle => (edges[middle as Migration['phase']] as readonly string[]).includes(to.phase))
  )
}

/** What is true of one VM, whatever the controller believes. */
interface Truth {
  source: 'running' | 'sending' | 'stopping' | 'left' | 'gone'
  target: 'absent' | 'incoming' | 'ready' | 'running'
}

/** The world: hypervisors that do as they are told, links that break, a controller that dies. */
class ModelWorld {
  readonly truth = new Map<VmId, Truth>()
  readonly rows: { readonly event: Observed; readonly at: Instant }[] = []
  pending: Command[] = []
  /** Attempts that somebody follows: their source's news reach the controller. */
  readonly followed = new Map<VmId, Route>()
  state: Evacuation
  now = 0

  constructor(first: Started) {
    for (const { id } of first.snapshot.vms) this.truth.set(id, { source: 'running', target: 'absent' })
    this.rows.push({ event: first, at: instant(0) })
    const { state, commands } = step(undefined, first, instant(0))
    this.state = state
    this.pending.push(...commands)
  }

  of(id: VmId): Truth {
    const truth = this.truth.get(id)
    assert.ok(truth !== undefined)
    return truth
  }

  observe(event: Observed): void {
    this.now += 700
    const at = instant(this.now)
    this.rows.push({ event, at })
    const { state, commands } = step(this.state, event, at)
    this.state = state
    this.pending.push(...commands)
  }

  /** Kill -9: what was under way in the controller is gone; hypervisors and the journal are not. */
  crash(): void {
    this.pending = []
    this.followed.clear()
    let state: Evacuation | undefined
    for (const { event, at } of this.rows) state = step(state, event, at).state
    assert.deepEqual(state?.migrations, this.state.migrations, 'the journal tells another story than memory')
    this.observe({ kind: 'controller-restarted', by: 'test' })
  }

  /** The next command that waits takes effect; its answer may get lost on the way back. */
  carryOut(answerIsLost: boolean): void {
    const command = this.pending.shift()
    if (command === undefined) return
    const answer = this.effect(command)
    if (answer === undefined) return
    if (answerIsLost && ['prepare', 'migrate', 'finish', 'roll-back', 'reconcile'].includes(command.kind)) {
      this.observe({ ...of(command), kind: 'attempt-unclear', why: 'the answer was lost' })
      return
    }
    this.observe(answer)
  }

  effect(command: Command): Observed | undefined {
    const truth = this.of(command.vm)
    const failed = (code: Exclude<FailureCode, 'no-target'>): Observed => ({
      ...of(command),
      kind: 'attempt-failed',
      failure: { code, detail: 'model' },
    })
    const unclear = (why: string): Observed => ({ ...of(command), kind: 'attempt-unclear', why })
    switch (command.kind) {
      case 'prepare':
        if (truth.target === 'running') return failed('target-refused')
        if (truth.source === 'sending') truth.source = 'running'
        truth.target = 'incoming'
        return { ...of(command), kind: 'target-ready' }
      case 'migrate':
        if (truth.target !== 'incoming' || truth.source !== 'running')
          return { ...of(command), kind: 'migration-broke', failure: { code: 'path-lost', detail: 'nobody listens' } }
        truth.source = 'sending'
        this.followed.set(command.vm, command)
        return { ...of(command), kind: 'memory-flowing' }
      case 'follow':
        this.followed.set(command.vm, command)
        if (truth.source === 'left' || truth.source === 'gone') return { ...of(command), kind: 'sent-whole' }
        if (truth.source === 'stopping') return { ...of(command), kind: 'guest-stopped' }
        if (truth.source === 'running')
          return { ...of(command), kind: 'migration-broke', failure: { code: 'path-lost', detail: 'model' } }
        return { ...of(command), kind: 'progress', progress }
      case 'cancel':
        if (truth.source !== 'sending') return undefined
        truth.source = 'running'
        return { ...of(command), kind: 'migration-broke', failure: { code: 'cancelled', detail: 'model' } }
      case 'finish':
        if (truth.source !== 'left' && truth.source !== 'gone') return unclear('the source is not proven departed')
        if (truth.target === 'absent' || truth.target === 'incoming') return unclear('nothing whole at the target')
        truth.target = 'running'
        return { ...of(command), kind: 'landed', downtime: ms(5), sent: bytes(1), needed: undefined }
      case 'roll-back':
        if (truth.target === 'running') return unclear('the target runs')
        truth.target = 'absent'
        if (truth.source === 'gone') return unclear('the source is gone')
        truth.source = 'running'
        return { ...of(command), kind: 'attempt-failed', failure: command.failure }
      case 'retire':
        if (truth.target !== 'running') return { ...of(command), kind: 'source-lingers', why: 'target not running' }
        truth.source = 'gone'
        return { ...of(command), kind: 'source-ended' }
      case 'reconcile':
        return { ...of(command), kind: 'whereabouts', where: { source: sourceSays(truth), target: targetSays(truth) } }
      case 'adjust':
      case 'start-post-copy':
      case 'run-split':
      case 'recover':
        return undefined
    }
  }

  /** A hypervisor gets on with one migration, whether anybody watches or not. */
  advance(id: VmId, how: 'progress' | 'stop' | 'complete' | 'break'): void {
    const truth = this.of(id)
    const route = this.followed.get(id)
    const tell = (event: Observed): void => {
      if (route !== undefined) this.observe(event)
    }
    const attempt = route === undefined ? { vm: id, attempt: 0 } : of(route)
    if (how === 'progress' && truth.source === 'sending') tell({ ...attempt, kind: 'progress', progress })
    if (how === 'stop' && truth.source === 'sending' && truth.target === 'incoming') {
      truth.source = 'stopping'
      tell({ ...attempt, kind: 'guest-stopped' })
    }
    if (
      how === 'complete' &&
      (truth.source === 'stopping' || truth.source === 'sending') &&
      truth.target === 'incoming'
    ) {
      truth.source = 'left'
      truth.target = 'ready'
      tell({ ...attempt, kind: 'sent-whole' })
    }
    if (how === 'break' && (truth.source === 'sending' || truth.source === 'stopping')) {
      truth.source = 'running'
      tell({ ...attempt, kind: 'migration-broke', failure: { code: 'path-lost', detail: 'model' } })
    }
  }

  assertOneCopyEach(): void {
    for (const [id, { source, target }] of this.truth) {
      const atHome = source === 'running' || source === 'sending'
      assert.ok(!(atHome && target === 'running'), `${id} runs twice`)
      assert.ok(source !== 'gone' || target === 'running', `${id} is lost`)
    }
  }
}

const of = ({ vm: id, attempt }: Route) => ({ vm: id, attempt })
function sourceSays({ source }: Truth): Presence {
  if (source === 'running' || source === 'sending') return { state: 'running', migrating: source === 'sending' }
  if (source === 'gone') return { state: 'absent', detail: 'no process' }
  return { state: 'paused', as: source === 'left' ? 'left' : 'leaving', detail: source }
}
function targetSays({ target }: Truth): Presence {
  if (target === 'running') return { state: 'running', migrating: false }
  if (target === 'ready') return { state: 'paused', as: 'ready', detail: '' }
  return target === 'incoming' ? { state: 'incoming' } : { state: 'absent', detail: 'no process' }
}

type Act =
  | { readonly act: 'carry-out'; readonly lost: boolean }
  | { readonly act: 'advance'; readonly vm: number; readonly how: Parameters<ModelWorld['advance']>[1] }
  | { readonly act: 'tick' | 'crash' }
  | { readonly act: 'order'; readonly order: 'pause' | 'resume' }

const arbAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ act: fc.constant('carry-out' as const), lost: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant('advance' as const),
      vm: fc.integer({ min: 1, max: 4 }),
      how: fc.constantFrom('progress' as const, 'stop' as const, 'complete' as const, 'break' as const),
    }),
  },
  { weight: 3, arbitrary: fc.constant<Act>({ act: 'tick' }) },
  { weight: 2, arbitrary: fc.constant<Act>({ act: 'crash' }) },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('order' as const),
      order: fc.constantFrom('pause' as const, 'resume' as const),
    }),
  },
)

function play(world: ModelWorld, act: Act): void {
  switch (act.act) {
    case 'carry-out':
      return world.carryOut(act.lost)
    case 'advance':
      return world.advance(vmId(`vm-${act.vm}`), act.how)
    case 'tick':
      return world.observe({ kind: 'tick' })
    case 'crash':
      return world.crash()
    case 'order':
      return world.observe({ kind: 'operator', by: 'test', order: act.order })
  }
}

/** From here all goes well: the run must come to its end. */
function letItEnd(world: ModelWorld): void {
  world.observe({ kind: 'operator', by: 'test', order: 'resume' })
  for (let n = 0; n < 4_000 && world.state.endedAt === undefined; n += 1) {
    world.carryOut(false)
    for (const id of world.truth.keys()) {
      world.advance(id, 'stop')
      world.advance(id, 'complete')
    }
    world.observe({ kind: 'tick' })
    world.assertOneCopyEach()
  }
}

describe('step, in a world that obeys it', () => {
  const four = [...three, vm(4, 1024)]

  test('whatever breaks, gets lost or crashes: no VM ever runs twice, none is lost, all come out in the end', () => {
    fc.assert(
      fc.property(fc.constantFrom(...policies), fc.array(arbAct, { maxLength: 120 }), (policy, acts) => {
        const world = new ModelWorld(started(four, policy))
        for (const act of acts) {
          play(world, act)
          world.assertOneCopyEach()
        }
        letItEnd(world)
        assert.notEqual(world.state.endedAt, undefined, `still running: ${phases(world.state)}`)
        for (const [id, m] of world.state.migrations) {
          const { source, target } = world.of(id)
          assert.equal(outcomeOf(m), 'safe', `${id}: ${m.phase} ${reasonOf(m)}`)
          assert.deepEqual([source, target], ['gone', 'running'])
        }
      }),
      { numRuns: 400 },
    )
  })

  test('an abort at any moment: everyone ends up whole on one side, and the report says which', () => {
    fc.assert(
      fc.property(fc.constantFrom(...policies), fc.array(arbAct, { maxLength: 60 }), (policy, acts) => {
        const world = new ModelWorld(started(four, policy))
        for (const act of acts) play(world, act)
        world.observe({ kind: 'operator', by: 'test', order: 'abort' })
        letItEnd(world)
        assert.notEqual(world.state.endedAt, undefined, `still running: ${phases(world.state)}`)
        for (const [id, m] of world.state.migrations) {
          const { source, target } = world.of(id)
          if (outcomeOf(m) === 'safe') assert.equal(target, 'running')
          else {
            assert.equal(outcomeOf(m), 'left')
            assert.deepEqual([id, source, target], [id, 'running', 'absent'])
            assert.match(reasonOf(m) ?? '', /abort|path-lost|postponed|target|cancel/)
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  test('winding down lets what runs finish, takes ready targets down, and comes to rest; a resume goes on', () => {
    const world = new ModelWorld(started(four, 'sequential'))
    world.carryOut(false) // the first target is made ready
    world.carryOut(false) // the second one too
    world.carryOut(false)
    world.observe({ kind: 'operator', by: 'test', order: 'wind-down' })
    for (let n = 0; n < 40; n += 1) {
      world.carryOut(false)
      world.advance(vmId('vm-1'), 'complete')
    }
    assert.deepEqual(
      [...world.state.migrations.values()].map(({ phase }) => phase),
      ['landed', 'queued', 'queued', 'queued'],
    )
    assert.ok([...world.truth.values()].every(({ target }) => target === 'absent' || target === 'running'))
    world.observe({ kind: 'controller-restarted', by: 'test' })
    letItEnd(world)
    assert.equal([...world.state.migrations.values()].filter(m => outcomeOf(m) === 'safe').length, 4)
  })

  test('a VM that finds no place does not stand in the way of those behind it', () => {
    const big = vm(1, 4000)
    const world = new ModelWorld(started([big, vm(2, 4000), vm(3, 64), vm(4, 64)], 'sequential', 4096))
    // The first has its place on b-1; b-2 takes the second; both refuse once, so each is excluded from a host for a while.
    world.observe({
      kind: 'attempt-failed',
      vm: big.id,
      attempt: 1,
      failure: { code: 'target-out-of-memory', detail: 'x' },
    })
    assert.ok(world.pending.some(({ kind, vm: id }) => kind === 'prepare' && id !== big.id))
    letItEnd(world)
    assert.equal([...world.state.migrations.values()].filter(m => outcomeOf(m) === 'safe').length, 4)
  })

  test('a target that never has memory: the VM is left at home with the numbers of attempts behind it', () => {
    const world = new ModelWorld(started([vm(1, 1024)], 'sequential'))
    const effect = world.effect.bind(world)
    world.effect = command =>
      command.kind === 'prepare'
        ? { ...of(command), kind: 'attempt-failed', failure: { code: 'target-out-of-memory', detail: 'no room' } }
        : effect(command)
    letItEnd(world)
    const m = world.state.migrations.get(vmId('vm-1'))
    assert.equal(m?.phase, 'given-up')
    assert.equal(m?.phase === 'given-up' && m.attempts, afterFailure['target-out-of-memory'].attempts)
    assert.deepEqual(world.of(vmId('vm-1')), { source: 'running', target: 'absent' })
  })
})

const phases = (state: Evacuation): string => [...state.migrations.values()].map(m => `${m.vm} ${m.phase}`).join(', ')

test('no more leave a host at the same time than it can serve, whatever the policy wants; the rest follow', () => {
  const vms = Array.from({ length: 5 }, (_, n) => vm(n + 1, 256))
  const world = started(vms, 'all-at-once')
  const hosts = world.snapshot.hosts.map(host => ({ ...host, outgoingMost: 2 }))
  let { state } = begin({ ...world, snapshot: { ...world.snapshot, hosts } })
  const begun: VmId[] = []
  const tell = (event: Observed): void => {
    const decided = step(state, event, instant(10))
    state = decided.state
    for (const command of decided.commands) if (command.kind === 'migrate') begun.push(command.vm)
  }
  for (const { id } of vms) tell({ kind: 'target-ready', vm: id, attempt: 1 })
  assert.equal(begun.length, 2)
  tell({ kind: 'tick' })
  assert.equal(begun.length, 2)
  tell({ kind: 'landed', vm: begun[0] ?? vmId('none'), attempt: 1, downtime: ms(1), sent: bytes(1), needed: undefined })
  tell({ kind: 'tick' })
  assert.equal(new Set(begun).size, 3)
})
