import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, arbRequest, aSite, aSnapshot, aVm, aPath, runs } from '../../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { mebibytes, ms } from '../units.ts'
import { type BrokenRule, checkPlan, type PlanQuestion, showBrokenRule } from './check-plan.ts'
import type { Plan, PlannedMove } from './plan.ts'
import { planEvacuation } from './plan-evacuation.ts'

const question: PlanQuestion = {
  snapshot: aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [
      aHost('a-1', 'a'),
      aHost('b-1', 'b', { memory: mebibytes(4096) }),
      aHost('b-2', 'b', { memory: mebibytes(4096) }),
      aHost('c-1', 'c'),
    ],
    paths: [aPath('a', 'b')],
    vms: [
      aVm('web', 'a-1', { memory: mebibytes(2048) }),
      aVm('db', 'a-1', { memory: mebibytes(3072) }),
      aVm('rock', 'a-1', { policy: { ...defaultVmPolicy, action: 'stay' } }),
      aVm('disky', 'a-1', { disks: [aDisk('vda'), aDisk('vdb', { shared: false })] }),
      aVm('guest', 'b-2', { memory: mebibytes(512) }),
    ],
  }),
  endangered: [siteId('a')],
  targets: [siteId('b')],
}

const move = (vm: string, target: string, change: Partial<PlannedMove> = {}): PlannedMove => ({
  vm: vmId(vm),
  source: hostId('a-1'),
  target: hostId(target),
  start: ms(0),
  end: ms(1_000),
  ...change,
})
const stays = (vm: string) => ({ vm: vmId(vm), failure: { code: 'may-not-move', detail: 'for the test' } }) as const
const web = move('web', 'b-1')
const db = move('db', 'b-2')
const staying = [stays('rock'), stays('disky')]
const planOf = (moves: readonly PlannedMove[], unplaced = staying): Plan => ({ policy: 'by hand', moves, unplaced })

test('a good plan breaks no rule', () => {
  assert.deepEqual(checkPlan(question, planOf([web, db])), [])
})

test('a disk of its own keeps no VM at home: it is copied', () => {
  assert.deepEqual(
    checkPlan(question, planOf([web, db, move('disky', 'b-1', { start: ms(2_000), end: ms(3_000) })], [stays('rock')])),
    [],
  )
})

test('a plan of nothing is good where nothing is in danger', () => {
  assert.deepEqual(checkPlan({ ...question, endangered: [siteId('c')] }, planOf([], [])), [])
})

const only = (vms: Snapshot['vms']): PlanQuestion => ({ ...question, snapshot: { ...question.snapshot, vms } })
const apart = { policy: { ...defaultVmPolicy, antiAffinity: 'db' } }

/** One plan for each rule, wrong in that one thing. A rule without an example does not type-check. */
const wrong: {
  readonly [R in BrokenRule['rule']]: {
    readonly plan: Plan
    readonly question?: PlanQuestion
    readonly broken: readonly Extract<BrokenRule, { rule: R }>[]
    readonly says: RegExp
  }
} = {
  'unknown-vm': {
    plan: planOf([web, db, move('ghost', 'b-1')]),
    question: {
      ...question,
      snapshot: { ...question.snapshot, unreachable: [{ host: hostId('a-1'), why: 'no answer' }] },
    },
    broken: [{ rule: 'unknown-vm', vm: vmId('ghost'), silent: [hostId('a-1')] }],
    says: /^ghost: no such VM runs anywhere, unless on a-1, which does not answer/,
  },
  'target-silent': {
    plan: planOf([web, db]),
    question: {
      ...question,
      snapshot: { ...question.snapshot, unreachable: [{ host: hostId('b-1'), why: 'refused' }] },
    },
    broken: [{ rule: 'target-silent', vm: vmId('web'), target: hostId('b-1'), why: 'refused' }],
    says: /^web: b-1 does not answer: refused/,
  },
  'unknown-host': {
    plan: planOf([{ ...web, source: hostId('a-9') }, db]),
    broken: [{ rule: 'unknown-host', vm: vmId('web'), host: hostId('a-9') }],
    says: /^web: no such host: a-9/,
  },
  'not-at-source': {
    plan: planOf([{ ...web, source: hostId('c-1') }, db]),
    question: {
      ...question,
      endangered: [siteId('a'), siteId('c')],
      snapshot: { ...question.snapshot, paths: [aPath('a', 'b'), aPath('c', 'b')] },
    },
    broken: [{ rule: 'not-at-source', vm: vmId('web'), source: hostId('c-1'), home: hostId('a-1') }],
    says: /^web: runs on a-1, the plan takes it from c-1/,
  },
  twice: {
    plan: planOf([web, db], [...staying, stays('web')]),
    broken: [{ rule: 'twice', vm: vmId('web') }],
    says: /^web: appears more than once/,
  },
  forgotten: {
    plan: planOf([web]),
    broken: [{ rule: 'forgotten', vm: vmId('db') }],
    says: /^db: is in an endangered site, and the plan says nothing of it/,
  },
  'not-endangered': {
    plan: planOf([web, db, { ...move('guest', 'b-1'), source: hostId('b-2') }]),
    question: { ...question, snapshot: { ...question.snapshot, paths: [] } },
    broken: [{ rule: 'not-endangered', vm: vmId('guest'), host: hostId('b-2') }],
    says: /^guest: its host b-2 is not in an endangered site/,
  },
  'target-not-chosen': {
    plan: planOf([move('web', 'c-1'), db]),
    question: { ...question, snapshot: { ...question.snapshot, paths: [] } },
    broken: [{ rule: 'target-not-chosen', vm: vmId('web'), target: hostId('c-1') }],
    says: /^web: c-1 is not in a target site/,
  },
  'target-endangered': {
    plan: planOf([web, db], [...staying, stays('guest')]),
    question: { ...question, endangered: [siteId('a'), siteId('b')] },
    broken: [
      { rule: 'target-endangered', vm: vmId('web'), target: hostId('b-1') },
      { rule: 'target-endangered', vm: vmId('db'), target: hostId('b-2') },
    ],
    says: /^web: b-1 is itself in an endangered site/,
  },
  'target-not-allowed': {
    plan: planOf([move('bound', 'b-1')], []),
    question: only([aVm('bound', 'a-1', { policy: { ...defaultVmPolicy, targets: [siteId('c'), hostId('b-2')] } })]),
    broken: [
      { rule: 'target-not-allowed', vm: vmId('bound'), target: hostId('b-1'), allowed: [siteId('c'), hostId('b-2')] },
    ],
    says: /^bound: its policy allows only c, b-2, not b-1/,
  },
  beside: {
    plan: planOf([move('db-1', 'b-1'), move('db-2', 'b-1', { start: ms(5_000), end: ms(6_000) })], []),
    question: only([aVm('db-1', 'a-1', apart), aVm('db-2', 'a-1', apart), aVm('db-3', 'b-2', apart)]),
    broken: [{ rule: 'beside', vm: vmId('db-2'), target: hostId('b-1'), beside: vmId('db-1'), name: 'db' }],
    says: /^db-2: comes to b-1 beside db-1, with the same anti-affinity "db"/,
  },
  'no-path': {
    plan: planOf([move('web', 'c-1'), db]),
    question: { ...question, targets: [siteId('b'), siteId('c')] },
    broken: [{ rule: 'no-path', vm: vmId('web'), source: hostId('a-1'), target: hostId('c-1') }],
    says: /^web: no path from a-1 to c-1/,
  },
  'may-not-move': {
    plan: planOf([web, db, move('rock', 'b-1')], [stays('disky')]),
    broken: [{ rule: 'may-not-move', vm: vmId('rock'), why: 'its policy says stay' }],
    says: /^rock: its policy says stay/,
  },
  'ends-before-start': {
    plan: planOf([{ ...web, start: ms(2_000), end: ms(1_999) }, db]),
    broken: [{ rule: 'ends-before-start', vm: vmId('web') }],
    says: /^web: ends before it starts/,
  },
  'over-memory': {
    plan: planOf([web, move('db', 'b-1', { start: ms(1_000), end: ms(2_000) })]),
    broken: [
      {
        rule: 'over-memory',
        target: hostId('b-1'),
        vm: vmId('db'),
        need: mebibytes(3072),
        free: mebibytes(2048),
      },
    ],
    says: /^db: needs 3\.00 GiB on b-1, 2\.00 GiB free at that moment/,
  },
}

for (const [rule, { plan, question: asked, broken, says }] of Object.entries(wrong)) {
  test(`a plan that breaks only the rule ${rule} is told so, and nothing else`, () => {
    assert.deepEqual(checkPlan(asked ?? question, plan), broken)
    const [first] = broken
    assert.ok(first !== undefined)
    assert.match(showBrokenRule(first), says)
  })
}

test('a paused VM may not be moved either, for a move would set it running', () => {
  const vms = question.snapshot.vms.map(vm => (vm.id === web.vm ? { ...vm, paused: true } : vm))
  const broken = checkPlan({ ...question, snapshot: { ...question.snapshot, vms } }, planOf([web, db]))
  assert.deepEqual(
    broken.map(({ rule }) => rule),
    ['may-not-move'],
  )
  assert.match(broken.map(showBrokenRule).join(), /^web: somebody paused it/)
})

test('an unknown target is told as well as an unknown source', () => {
  const broken = checkPlan(question, planOf([{ ...web, source: hostId('x'), target: hostId('y') }, db]))
  assert.deepEqual(
    broken.filter(({ rule }) => rule === 'unknown-host'),
    [
      { rule: 'unknown-host', vm: 'web', host: 'x' },
      { rule: 'unknown-host', vm: 'web', host: 'y' },
    ],
  )
})

test('a VM that is moved twice is counted once, whatever the number', () => {
  const broken = checkPlan(question, planOf([web, { ...web, target: hostId('b-2') }, web, db]))
  assert.deepEqual(
    broken.filter(({ rule }) => rule === 'twice'),
    [{ rule: 'twice', vm: 'web' }],
  )
})

test('memory that fits to the last byte is enough', () => {
  const exact = {
    ...question,
    snapshot: {
      ...question.snapshot,
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b', { memory: mebibytes(5120) }), aHost('b-2', 'b')],
    },
  }
  assert.deepEqual(checkPlan(exact, planOf([web, move('db', 'b-1')])), [])
  const short = {
    ...exact,
    snapshot: {
      ...exact.snapshot,
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b', { memory: mebibytes(5119) }), aHost('b-2', 'b')],
    },
  }
  assert.deepEqual(
    checkPlan(short, planOf([web, move('db', 'b-1')])).map(({ rule }) => rule),
    ['over-memory'],
  )
})

test('memory of those who live at the target already is not free', () => {
  const broken = checkPlan(question, planOf([move('db', 'b-2'), { ...move('web', 'b-2'), start: ms(1) }]))
  assert.deepEqual(broken, [
    { rule: 'over-memory', target: 'b-2', vm: 'web', need: mebibytes(2048), free: mebibytes(512) },
  ])
})

test('without times all moves count from the beginning', () => {
  const untimed = { start: undefined, end: undefined }
  const broken = checkPlan(
    question,
    planOf([
      { ...web, ...untimed },
      { ...move('db', 'b-1'), ...untimed },
    ]),
  )
  assert.deepEqual(
    broken.map(({ rule }) => rule),
    ['over-memory'],
  )
})

test('what ends at an instant has left before what starts at it arrives', () => {
  const swap: PlanQuestion = {
    snapshot: aSnapshot({
      hosts: [aHost('a-1', 'a', { memory: mebibytes(1024) }), aHost('b-1', 'b')],
      vms: [aVm('leaves', 'a-1'), aVm('comes', 'b-1')],
      paths: [],
    }),
    endangered: [siteId('a'), siteId('b')],
    targets: [siteId('a'), siteId('b')],
  }
  const leaves = move('leaves', 'b-1', { start: ms(0), end: ms(10) })
  const comes = (start: number): PlannedMove =>
    move('comes', 'a-1', { source: hostId('b-1'), start: ms(start), end: ms(20) })
  const memoryOf = (start: number): readonly BrokenRule[] =>
    checkPlan(swap, planOf([leaves, comes(start)], [])).filter(({ rule }) => rule === 'over-memory')
  assert.deepEqual(memoryOf(10), [])
  assert.deepEqual(memoryOf(9), [
    { rule: 'over-memory', target: 'a-1', vm: 'comes', need: mebibytes(1024), free: mebibytes(0) },
  ])
})

test('a planner’s plan with one move taken out, doubled or sent home is never good', () => {
  fc.assert(
    fc.property(arbRequest, fc.nat(), (request, pick) => {
      const plan = planEvacuation(request)
      fc.pre(plan.moves.length > 0)
      const chosen = plan.moves[pick % plan.moves.length]
      assert.ok(chosen !== undefined)
      const others = plan.moves.filter(other => other !== chosen)
      const rules = (moves: readonly PlannedMove[]): readonly string[] =>
        checkPlan(request, { ...plan, moves }).map(({ rule }) => rule)
      assert.ok(rules(others).includes('forgotten'))
      assert.ok(rules([...plan.moves, chosen]).includes('twice'))
      assert.ok(rules([...others, { ...chosen, target: chosen.source }]).includes('target-endangered'))
    }),
    runs(200),
  )
})

test('beside one that lives at the target is beside too; who lived together before is no fault of the plan', () => {
  const together = only([aVm('db-1', 'a-1', apart), aVm('db-2', 'b-1', apart), aVm('db-3', 'b-1', apart)])
  assert.deepEqual(checkPlan(together, planOf([move('db-1', 'b-2')], [])), [])
  assert.deepEqual(checkPlan(together, planOf([move('db-1', 'b-1')], [])), [
    { rule: 'beside', vm: 'db-1', target: 'b-1', beside: 'db-2', name: 'db' },
  ])
})

test('a plan without times is judged as if all were at once, in whatever order it is written', () => {
  const two = only([aVm('db-1', 'a-1', apart), aVm('db-2', 'a-1', apart)])
  const never = { start: undefined, end: undefined }
  const moves = [move('db-2', 'b-1', never), move('db-1', 'b-1', never)]
  for (const some of [moves, moves.toReversed()])
    assert.deepEqual(
      checkPlan(two, planOf(some, [])).map(({ rule }) => rule),
      ['beside'],
    )
})
