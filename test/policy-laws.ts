/** What holds for every policy alike, whoever it is: its answers depend on what it was given, and on nothing else. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { instant } from '../src/core/instant.ts'
import type { Intent, Policy, PolicyView } from '../src/core/policy/policy.ts'
import { driven, runs, type Story } from './arbitraries.ts'
import { viewOf } from './finish-first-facts.ts'

export const asked = (policy: Policy, view: PolicyView): readonly Intent[] => policy.decide(view).intents
/** Candidates are looked at once: written out, two answers can be compared. */
const written = (intents: readonly Intent[]): readonly unknown[] =>
  intents.map(intent => (intent.kind === 'prepare' ? { ...intent, candidates: [...intent.candidates] } : intent))

/** The same view has the same answer, and its successor too, whoever was asked in between. */
export function assertPolicyIsValue(stories: fc.Arbitrary<Story>): void {
  fc.assert(
    fc.property(stories, ({ states, last, now }) => {
      const { policy } = last
      const view = viewOf(last, now)
      const later = viewOf(last, instant(now + 160_000))
      const first = policy.decide(view)
      const [answer, successor] = [written(first.intents), written(asked(first.next, later))]
      for (const state of states) asked(first.next, viewOf(state, now))
      const second = policy.decide(view)
      assert.deepEqual(written(second.intents), answer)
      assert.deepEqual(written(asked(second.next, later)), successor)
    }),
    runs(200),
  )
}

/** The same facts make the same evacuation again, with what the policy remembers, and its name. */
export function assertPolicyReplays(stories: fc.Arbitrary<Story>): void {
  fc.assert(
    fc.property(stories, ({ facts, last, now }) => {
      const again = driven(facts)
      assert.deepEqual([...again.migrations.values()], [...last.migrations.values()])
      const later = instant(now + 160_000)
      assert.deepEqual(
        written(asked(again.policy, viewOf(again, later))),
        written(asked(last.policy, viewOf(last, later))),
      )
      assert.equal(last.policy.name, last.started.policy)
    }),
    runs(100),
  )
}
