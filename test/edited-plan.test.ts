/** A plan that somebody handed in, under every policy, in virtual time: its targets are where VMs go, its order is theirs. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readScenario } from '../src/config/scenario-folder.ts'
import type { Started } from '../src/core/control/observed.ts'
import { evacuationId } from '../src/core/ids.ts'
import { adoptPlan } from '../src/core/plan/given-plan.ts'
import { planEvacuation, type PlanRequest } from '../src/core/plan/plan-evacuation.ts'
import { policyByName } from '../src/core/policy/policy-by-name.ts'
import { chanceOf } from '../src/core/sim/chance.ts'
import { sidesOf } from '../src/core/sim/rehearse.ts'
import { simulate } from '../src/core/sim/simulate.ts'
import { hours } from '../src/core/units.ts'

const { snapshot } = readScenario('scenarios/groups')
const sides = sidesOf(snapshot)
const limits = { maxParallel: undefined, bandwidth: undefined }

function requestFor(policy: string): PlanRequest {
  const { slots, order = 'inventory' } = policyByName(policy)
  return { snapshot, ...sides, policy, slots, order, bandwidth: undefined }
}

/** The planner's plan backwards, with all of them to one site. */
function edited(policy: string) {
  const planned = planEvacuation(requestFor(policy))
  const moves = [...planned.moves].reverse().map(({ vm }, n) => {
    const target = snapshot.hosts.filter(({ site }) => site === sides.targets[0])[n % 2]
    assert.ok(target !== undefined)
    return { vm, target: target.id, source: undefined, start: undefined, end: undefined }
  })
  const { plan, broken, gaps } = adoptPlan(requestFor(policy), { policy, moves, stay: [], unplaced: [] })
  assert.deepEqual([broken, gaps], [[], []])
  return plan
}

describe('an edited plan', () => {
  for (const policy of [
    'finish-first',
    'sequential',
    'fixed:3',
    'all-at-once',
    'aimd',
    'kubevirt',
    'nova',
    'ovirt',
    'proxmox',
  ])
    test(`is kept by ${policy}, whatever the luck of its processes`, () => {
      for (const seed of [1, 2, 3, 4, 5]) {
        const plan = edited(policy)
        const started: Started = {
          kind: 'evacuation-started',
          id: evacuationId(`sim-${seed}`),
          snapshot,
          ...sides,
          policy,
          limits,
          plan,
          planFile: '/tmp/plan.json',
          world: 'simulated',
          seed,
          by: 'test',
        }
        const began: string[] = []
        const { state } = simulate({
          started,
          timeline: [],
          chance: chanceOf(seed),
          horizon: hours(4),
          onRow: ({ commands }) => {
            for (const command of commands) if (command.kind === 'migrate') began.push(command.vm)
          },
        })
        for (const { vm, target } of plan.moves) {
          const m = state.migrations.get(vm)
          assert.ok(m?.phase === 'landed' && m.target === target, `${vm} is ${m?.phase}`)
        }
        // nova and ovirt count by host: what leaves another host may go first.
        if (policy !== 'nova' && policy !== 'ovirt')
          assert.deepEqual(
            began,
            plan.moves.map(({ vm }) => vm),
          )
      }
    })
})
