/** The exceptions of lifeboat.yaml, laid over what a VM's own definition says. Later rules win. */
import { applyWords } from '../core/inventory/policy-words.ts'
import type { Vm } from '../core/inventory/vm.ts'
import type { VmRule } from './config-schema.ts'

/** A name with `*` and `?` in it, from its beginning to its end. */
export const wildcard = (match: string): RegExp =>
  new RegExp(
    `^${match
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  )

export const matches = (rule: VmRule, name: string): boolean => wildcard(rule.match).test(name)

export const applyVmRules = (vm: Vm, rules: readonly VmRule[]): Vm =>
  rules.filter(rule => matches(rule, vm.id)).reduce(applyRule, vm)

/** What a guest writes is a fact, no policy: it has no default, and does not travel with the VM. */
const applyRule = (vm: Vm, { dirty, ...words }: VmRule): Vm => {
  const after = applyWords(vm, words)
  return dirty === undefined ? after : { ...after, dirty }
}
