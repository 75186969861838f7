/** The CPU a guest sees must be there at the target for as long as it runs. libvirt's own comparison at the target is the judge. */
import type { HostCpu } from './host-profile.ts'
import { few, type Table, type TargetRule, type VmRule, when } from './reason.ts'

export interface CpuReasons {
  readonly 'cpu-incompatible': { readonly model: string; readonly said: string }
  readonly 'cpu-unchecked': { readonly model: string; readonly said: string }
  readonly 'cpu-unknown': { readonly model: string }
  readonly 'cpu-passthrough-differs': {
    readonly mode: string
    readonly source: string
    readonly target: string
    readonly missing: readonly string[]
  }
  readonly 'cpu-passthrough': { readonly mode: string; readonly model: string }
  readonly 'cpu-passthrough-unknown': { readonly mode: string }
  readonly 'cpu-invtsc': object
}

export const cpuTable: Table<CpuReasons> = {
  'cpu-incompatible': {
    severity: 'blocks',
    says: ({ model, said }) => `the target's CPU is not enough for its ${model}: ${said}`,
    next: () =>
      'use another target, or give the VM a CPU model that all hosts have (virsh hypervisor-cpu-baseline) and restart it',
  },
  'cpu-unchecked': {
    severity: 'warns',
    says: ({ model, said }) =>
      `its ${model} was started without a check (check='none'), and the target's CPU is not enough for it: ${said}`,
    next: () =>
      'the guest may crash when it uses what is missing; use another target, or a CPU model that all hosts have',
  },
  'cpu-unknown': {
    severity: 'note',
    says: ({ model }) => `the target cannot compare its ${model} with its own CPU`,
    next: () =>
      'compare by hand: virsh hypervisor-cpu-compare at the target, or the flags in /proc/cpuinfo of both hosts',
  },
  'cpu-passthrough-differs': {
    severity: 'blocks',
    says: ({ mode, source, target, missing }) =>
      `it sees its host's own CPU (${mode}), and the hosts differ: ${source} here, ${target} there${
        missing.length === 0 ? '' : `, which lacks ${few(missing)}`
      }`,
    next: () => 'use a target with the same CPU, or give the VM a named CPU model (mode custom) and restart it',
  },
  'cpu-passthrough': {
    severity: 'warns',
    says: ({ mode, model }) =>
      `it sees its host's own CPU (${mode}); both hosts have ${model}, but microcode, kernel and QEMU have a say too`,
    next: () => 'move one such VM first and look at it; for a promise use a named CPU model (mode custom)',
  },
  'cpu-passthrough-unknown': {
    severity: 'warns',
    says: ({ mode }) => `it sees its host's own CPU (${mode}), and the CPU of one of the hosts is not known`,
    next: () => 'make sure that both hosts have the same CPU model, or give the VM a named one (mode custom)',
  },
  'cpu-invtsc': {
    severity: 'blocks',
    says: () =>
      "it has the CPU feature invtsc without a set frequency of the time stamp counter, and QEMU won't move it so",
    next: () => "set <timer name='tsc' frequency='…'/> in its <clock>, or drop invtsc, and restart it",
  },
}

const ownsHostCpu = (mode: string): boolean => mode === 'host-passthrough' || mode === 'maximum'

const compared: TargetRule<CpuReasons> = ({ cpu, machine }, { answer, target }) => {
  // An emulated CPU is the same wherever that QEMU is; libvirt is asked all the same.
  if (target.driver === 'qemu' && machine?.acceleration === 'qemu') return []
  if (cpu === undefined || ownsHostCpu(cpu.mode) || answer === undefined) return []
  const model = `CPU model ${cpu.model ?? cpu.mode}`
  switch (answer.cpu.answer) {
    case 'identical':
    case 'superset':
      return []
    case 'unknown':
      return [{ rule: 'cpu-unknown', model }]
    case 'incompatible':
      return [{ rule: cpu.check === 'none' ? 'cpu-unchecked' : 'cpu-incompatible', model, said: answer.cpu.said }]
  }
}

const passedThrough: TargetRule<CpuReasons> = ({ cpu, machine }, { source, target }) => {
  // An emulated CPU is QEMU's, not the host's.
  if (cpu === undefined || !ownsHostCpu(cpu.mode) || machine?.acceleration === 'qemu') return []
  const [here, there] = [source.cpu, target.cpu]
  const { mode } = cpu
  if (here === undefined || there === undefined) return [{ rule: 'cpu-passthrough-unknown', mode }]
  const has = new Set(there.features)
  const missing = here.features.filter(feature => !has.has(feature))
  const differs = here.vendor !== there.vendor || here.model !== there.model || missing.length > 0
  return differs
    ? [{ rule: 'cpu-passthrough-differs', mode, source: nameOf(here), target: nameOf(there), missing }]
    : [{ rule: 'cpu-passthrough', mode, model: nameOf(here) }]
}

const nameOf = ({ vendor, model }: HostCpu): string => (vendor === undefined ? model : `${vendor} ${model}`)

const invariantCounter: VmRule<CpuReasons> = ({ cpu }) =>
  when(cpu?.features.includes('invtsc') === true && !cpu.tscFrequency, { rule: 'cpu-invtsc' })

export const cpuVmRules: readonly VmRule<CpuReasons>[] = [invariantCounter]
export const cpuTargetRules: readonly TargetRule<CpuReasons>[] = [compared, passedThrough]
