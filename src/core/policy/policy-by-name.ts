/** The list of policies, and how an operator names one. */
import { fixedN } from './fixed-n.ts'
import type { Policy } from './policy.ts'

export const policyNames = ['sequential', 'fixed:N', 'all-at-once'] as const
export const defaultPolicy = 'sequential'

export class UnknownPolicy extends Error {
  override readonly name = 'UnknownPolicy'
}

/** @throws UnknownPolicy, with the names there are */
export function policyByName(name: string): Policy {
  if (name === 'sequential') return fixedN(name, 1)
  if (name === 'all-at-once') return fixedN(name, Number.POSITIVE_INFINITY)
  const fixed = /^fixed:([1-9]\d{0,3})$/.exec(name)
  if (fixed !== null) return fixedN(name, Number(fixed[1]))
  const hint = name.startsWith('fixed') ? ' (N is a whole number from 1, like fixed:4)' : ''
  throw new UnknownPolicy(`unknown policy "${name}"${hint}; there are: ${policyNames.join(', ')}`)
}
