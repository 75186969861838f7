/**
 * What somebody says about a VM: its own definition, or a rule of lifeboat.yaml. What they leave out stays as it was, so that
 * words can be laid over one another; the last ones win.
 */
import { defaultVmPolicy, type Vm, type VmPolicy } from './vm.ts'

export interface PolicyWords {
  readonly value?: number | undefined
  readonly group?: string | undefined
  readonly maxDowntime?: VmPolicy['maxDowntime'] | undefined
  readonly allow?: VmPolicy['allow'] | undefined
  readonly action?: VmPolicy['action'] | undefined
  readonly targets?: VmPolicy['targets'] | undefined
  readonly antiAffinity?: VmPolicy['antiAffinity'] | undefined
}
export type PolicyField = keyof PolicyWords

export const policyFields = [
  'value',
  'group',
  'maxDowntime',
  'allow',
  'action',
  'targets',
  'antiAffinity',
] as const satisfies readonly PolicyField[]

export const saysNothing = (words: PolicyWords): boolean => policyFields.every(field => words[field] === undefined)

/** The VM as it is when these words count. */
export function applyWords(vm: Vm, words: PolicyWords): Vm {
  const { policy } = vm
  return {
    ...vm,
    value: words.value ?? vm.value,
    group: words.group ?? vm.group,
    policy: {
      maxDowntime: words.maxDowntime ?? policy.maxDowntime,
      allow: words.allow ?? policy.allow,
      action: words.action ?? policy.action,
      targets: words.targets ?? policy.targets,
      antiAffinity: words.antiAffinity ?? policy.antiAffinity,
    },
  }
}

type Said = Pick<Vm, 'value' | 'policy'> & { readonly group?: string | undefined }

/** All of a VM's policy, as words. */
export const wordsOf = ({ value, group, policy }: Said): PolicyWords => ({
  value,
  group,
  ...policy,
})

/** What of it does not count anyway. */
export function wordsBeyondDefault({ value, group, policy }: Said): PolicyWords {
  const { maxDowntime, allow, action, targets, antiAffinity } = policy
  return {
    value: value === 1 ? undefined : value,
    group,
    maxDowntime: maxDowntime === defaultVmPolicy.maxDowntime ? undefined : maxDowntime,
    allow: allow.length === 0 ? undefined : allow,
    action: action === defaultVmPolicy.action ? undefined : action,
    targets,
    antiAffinity,
  }
}
