import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arbRequest, runs } from '../../test/arbitraries.ts'
import * as fc from 'fast-check'
import { vmId } from '../core/ids.ts'
import { adoptPlan } from '../core/plan/given-plan.ts'
import { planEvacuation } from '../core/plan/plan-evacuation.ts'
import { parsePlanFile } from './plan-file.ts'
import { ConfigError } from './yaml-file.ts'

const mistakesOf = (text: string): readonly string[] => {
  try {
    parsePlanFile(text, 'plan.yaml')
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.message.split('\n')
  }
  throw new Error('it was read')
}

test('the least that a human has to write: who goes where, in YAML', () => {
  const { given, unknown } = parsePlanFile(
    'moves:\n  - { vm: web-1, target: osaka-1 }\n  - { vm: db-1, target: osaka-2 }\n',
    'p',
  )
  assert.deepEqual(
    given.moves.map(({ vm, source, target, start, end }) => [vm, source, target, start, end]),
    [
      ['web-1', undefined, 'osaka-1', undefined, undefined],
      ['db-1', undefined, 'osaka-2', undefined, undefined],
    ],
  )
  assert.deepEqual([given.policy, given.stay, given.unplaced, unknown], [undefined, [], [], []])
})

test('times are milliseconds as Lifeboat writes them, or texts with a unit', () => {
  const { given } = parsePlanFile(
    '{"moves":[{"vm":"a","target":"h","start":1500.5,"end":"90s"},{"vm":"b","target":"h","start":null}]}',
    'p',
  )
  assert.deepEqual(
    given.moves.map(({ start, end }) => [start, end]),
    [
      [1500.5, 90_000],
      [undefined, undefined],
    ],
  )
})

test('what nobody knows is told with its place, and passed over', () => {
  const { given, unknown } = parsePlanFile(
    'author: me\nmoves:\n  - { vm: a, target: h, prio: 3 }\nstay:\n  - vm: b\n    reason: " no "\n    till: 9\n',
    'p',
  )
  assert.deepEqual(
    unknown.map(({ line, column, where }) => [line, column, where]),
    [
      [1, 1, 'author'],
      [3, 25, 'moves[0].prio'],
      [7, 5, 'stay[0].till'],
    ],
  )
  assert.match(unknown[1]?.message ?? '', /passed over; there are: vm, source, target, start, end/)
  assert.deepEqual(given.stay, [{ vm: 'b', reason: 'no' }])
})

test('every mistake is told at once, where it stands, with what was expected', () => {
  const mistakes = mistakesOf(
    'policy: fastest\nmoves:\n  - { vm: web-1 }\n  - { target: h }\n  - web-3\n  - { vm: 101, target: h, start: soon }\nstay:\n  - { vm: db }\n  - { vm: db2, reason: "  " }\n',
  )
  assert.match(mistakes[0] ?? '', /^plan.yaml:1:1: policy: .*fastest/)
  for (const [pattern, line] of [
    [/moves\[0\]/, 3],
    [/moves\[1\]/, 4],
    [/moves\[2\]: expected \{ vm: NAME, target: HOST \}/, 5],
    [/moves\[3\].vm/, 6],
    [/moves\[3\].start: .*soon.*milliseconds since the alarm/, 6],
    [/stay\[0\].*say why it stays/, 8],
    [/stay\[1\].reason: is missing: say why it stays/, 9],
  ] as const)
    assert.ok(
      mistakes.some(text => pattern.test(text) && text.startsWith(`plan.yaml:${line}:`)),
      `${pattern} in\n${mistakes.join('\n')}`,
    )
})

test('a file that is no plan is told what a plan is', () => {
  assert.match(mistakesOf('- { vm: a, target: b }')[0] ?? '', /expected a plan: moves:/)
  assert.match(mistakesOf('movs: []')[0] ?? '', /moves: is missing: the list of who goes where/)
  assert.match(mistakesOf('moves: web-1')[0] ?? '', /expected a list of moves/)
  assert.match(mistakesOf('')[0] ?? '', /moves/)
  assert.match(mistakesOf('{"moves": [}')[0] ?? '', /^plan.yaml:1:/)
  assert.match(mistakesOf('moves: [{ vm: a, vm: b, target: h }]')[0] ?? '', /unique/i)
})

test('the line of each VM can be named', () => {
  const { placeOf } = parsePlanFile(
    'moves:\n  - vm: a\n    target: h\n  - vm: b\n    target: h\nstay:\n  - { vm: c, reason: r }\n',
    'plan.yaml',
  )
  assert.deepEqual(
    ['a', 'b', 'c', 'z'].map(name => placeOf(vmId(name))),
    ['plan.yaml:2', 'plan.yaml:4', 'plan.yaml:7', 'plan.yaml'],
  )
})

test('what the planner made is read back to the same moves in the same order, and nothing is said against it', () => {
  fc.assert(
    fc.property(arbRequest, request => {
      const plan = planEvacuation(request)
      const { given, unknown } = parsePlanFile(JSON.stringify(plan, undefined, 2), 'plan.json')
      assert.deepEqual(unknown, [])
      const { plan: again, broken, gaps } = adoptPlan(request, given)
      assert.deepEqual([broken, gaps], [[], []])
      const route = ({ moves }: typeof plan) => moves.map(({ vm, source, target }) => [vm, source, target])
      assert.deepEqual(route(again), route(plan))
      // Of the same VMs for the same reasons; what is free is told as it is beside all that moves.
      const left = ({ unplaced }: typeof plan) => unplaced.map(({ vm, failure }) => `${vm} ${failure.code}`).sort()
      assert.deepEqual(left(again), left(plan))
    }),
    runs(100),
  )
})
