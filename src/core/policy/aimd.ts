/**
 * The feedback controller of Kang, Tsugawa, Matsunaga, Hirofuchi, Fortes (SC Companion 2012, UCC 2014), for comparison: the number of
 * concurrent migrations follows the throughput that is observed, as TCP's congestion avoidance follows loss. One more while that pays;
 * a share of them when it does not.
 *
 * Its constants are not public. These are the best found for it: `npm run bench -- aimd` tries a grid of them on generated worlds.
 */
import type { Instant } from '../instant.ts'
import { plainStart } from '../migration/start-options.ts'
import type { Decided, Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots } from './slots.ts'
import { giveUpStalled } from './stall.ts'

export interface AimdConstants {
  /** Between two looks at the throughput. @unit ms */
  readonly every: number
  /** One more migration must bring at least this share more. */
  readonly gain: number
  /** What is left of the number after it did not. */
  readonly cut: number
  /** A throughput that falls by this share counts as congestion, whatever was done before. */
  readonly fall: number
  /** Looks without a change after a cut. */
  readonly rest: number
}
export const aimdConstants: AimdConstants = { every: 5_000, gain: 0.1, cut: 0.5, fall: 0.25, rest: 12 }

interface Memory {
  readonly number: number
  readonly lookedAt: Instant | undefined
  readonly throughput: number
  readonly raised: boolean
  readonly rest: number
}
const fresh: Memory = { number: 1, lookedAt: undefined, throughput: 0, raised: false, rest: 0 }

export const aimd = (constants: AimdConstants = aimdConstants, name = 'aimd'): Policy =>
  policyWith(name, constants, fresh)

function policyWith(name: string, constants: AimdConstants, memory: Memory): Policy {
  const policy: Policy = { name, slots: memory.number, decide }
  return policy

  function decide(view: PolicyView): Decided {
    const next = look(constants, memory, view)
    return {
      intents: shareBandwidth(view, [...giveUpStalled(view), ...admissions(view, next.number)]),
      next: next === memory ? policy : policyWith(name, constants, next),
    }
  }
}

function look(constants: AimdConstants, memory: Memory, { migrations, now }: PolicyView): Memory {
  if (memory.lookedAt !== undefined && now - memory.lookedAt < constants.every) return memory
  let throughput = 0
  for (const { progress } of migrations.in('pre-copy', 'post-copy')) throughput += progress?.rate ?? 0
  const looked = { ...memory, lookedAt: now, throughput, raised: false }
  if (throughput === 0) return looked
  const gained = memory.throughput === 0 ? 1 : throughput / memory.throughput - 1
  if (gained < -constants.fall || (memory.raised && gained < constants.gain))
    return { ...looked, number: Math.max(1, Math.floor(memory.number * constants.cut)), rest: constants.rest }
  if (memory.rest > 0) return { ...looked, rest: memory.rest - 1 }
  return { ...looked, number: memory.number + 1, raised: true }
}

const admissions = (view: PolicyView, number: number): Intent[] =>
  fillSlots(view, {
    total: number,
    perSource: Number.POSITIVE_INFINITY,
    heldIn: ['pre-copy', 'post-copy'],
    readyAhead: 1,
    optionsFor: vm => ({ ...plainStart, postCopy: vm.policy.allow.includes('post-copy') }),
    tuningFor: vm => ({ rate: undefined, downtimeLimit: vm.policy.maxDowntime }),
  })
