/** Where each part of a VM's policy comes from. The order of precedence: default, its own definition, rules of lifeboat.yaml from first to last. */
import { type PolicyField, policyFields, type PolicyWords, wordsOf } from '../core/inventory/policy-words.ts'
import { defaultVmPolicy, type Vm } from '../core/inventory/vm.ts'
import { printTime } from '../core/units.ts'
import { applyVmRules, matches } from './apply-vm-rules.ts'
import type { VmRule } from './config-schema.ts'

export type PolicySource =
  | { readonly by: 'default' }
  | { readonly by: 'vm' }
  /** @field rule from 0, as the file counts them in its messages */
  | { readonly by: 'lifeboat.yaml'; readonly rule: number; readonly match: string }

export interface ExplainedField {
  readonly field: PolicyField
  /** As files and flags have it; undefined where there is none. */
  readonly value: string | number | readonly string[] | undefined
  readonly from: PolicySource
}

/** @param vm with what its own definition says. @param own what that is */
export function explainPolicy(vm: Vm, own: PolicyWords, rules: readonly VmRule[]): readonly ExplainedField[] {
  const effective = wordsOf(applyVmRules(vm, rules))
  return policyFields.map(field => ({
    field,
    value: plain(field, effective),
    from: sourceOf(field, vm, own, rules),
  }))
}

function sourceOf(field: PolicyField, vm: Vm, own: PolicyWords, rules: readonly VmRule[]): PolicySource {
  const rule = rules.findLastIndex(each => each[field] !== undefined && matches(each, vm.id))
  const match = rules[rule]?.match
  if (match !== undefined) return { by: 'lifeboat.yaml', rule, match }
  return own[field] === undefined ? { by: 'default' } : { by: 'vm' }
}

/** The value without brands: a time has its unit, lists are lists. */
export function plain(field: PolicyField, words: PolicyWords): ExplainedField['value'] {
  if (field === 'maxDowntime') return words.maxDowntime === undefined ? undefined : printTime(words.maxDowntime)
  return words[field]
}

/** What counts where nobody says anything. */
export const defaultWords: PolicyWords = { value: 1, ...defaultVmPolicy }
