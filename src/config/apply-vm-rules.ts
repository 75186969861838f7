/** The exceptions of lifeboat.yaml, laid over what a VM's own definition says. Later rules win. */
import type { Vm } from '../core/inventory/vm.ts'
import type { VmRule } from './config-schema.ts'

const patternOf = (match: string): RegExp =>
  new RegExp(
    `^${match
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  )

export const matches = (rule: VmRule, name: string): boolean => patternOf(rule.match).test(name)

export function applyVmRules(vm: Vm, rules: readonly VmRule[]): Vm {
  let result = vm
  for (const rule of rules) {
    if (!matches(rule, vm.id)) continue
    const { maxDowntime, allow, action } = result.policy
    result = {
      ...result,
      value: rule.value ?? result.value,
      group: rule.group ?? result.group,
      policy: {
        maxDowntime: rule.maxDowntime ?? maxDowntime,
        allow: rule.allow ?? allow,
        action: rule.action ?? action,
      },
    }
  }
  return result
}
