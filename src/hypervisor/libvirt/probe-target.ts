/** What a target's daemon says of VMs that would come: can it build the machine, is its CPU enough, are the files there. */
import type { HostId } from '../../core/ids.ts'
import type { CpuAnswer, MachineAnswer, TargetAnswer, VmProfile } from '../../core/preflight/vm-profile.ts'
import { errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { fewAtATime } from '../../time/few-at-a-time.ts'
import { deviceModels } from './capabilities-xml.ts'
import type { FilesSeen } from '../probe-files.ts'
import type { Daemon } from './daemon.ts'
import { askedAtOnce } from './probe-host.ts'
import { XmlError } from './xml.ts'

interface Built {
  readonly machine: MachineAnswer
  readonly models: ReadonlyMap<string, readonly string[]>
}

/** VMs that are alike are asked about once. @param files what was seen of files that VMs need */
export async function probeTarget(
  daemon: Daemon,
  target: HostId,
  vms: readonly VmProfile[],
  files: FilesSeen,
  signal: AbortSignal,
): Promise<readonly TargetAnswer[]> {
  const machines = await askOnce(vms, machineKey, vm => machineAnswer(daemon, vm, signal))
  const cpus = await askOnce(vms, cpuKey, vm => cpuAnswer(daemon, vm, signal))
  const known = await volumesSeen(daemon, vms, files, signal)
  return vms.map(vm => {
    const built = machines.get(machineKey(vm))
    return {
      vm: vm.id,
      target,
      machine: built?.machine ?? { answer: 'unknown' },
      models: built?.models ?? new Map(),
      cpu: cpus.get(cpuKey(vm)) ?? { answer: 'unknown' },
      ...known,
    }
  })
}

const machineKey = ({ machine }: VmProfile): string => JSON.stringify(machine ?? {})
const cpuKey = (vm: VmProfile): string => `${machineKey(vm)} ${vm.cpu?.xml ?? ''}`

async function askOnce<T>(
  vms: readonly VmProfile[],
  keyOf: (vm: VmProfile) => string,
  ask: (vm: VmProfile) => Promise<T>,
): Promise<ReadonlyMap<string, T>> {
  const alike = [...new Map(vms.map(vm => [keyOf(vm), vm]))]
  return new Map(await fewAtATime(askedAtOnce, alike, async ([key, vm]) => [key, await ask(vm)] as const))
}

const needOf = ({ machine }: VmProfile) => ({
  emulator: machine?.emulator,
  arch: machine?.arch,
  machine: machine?.type,
  virttype: machine?.acceleration,
})

async function machineAnswer(daemon: Daemon, vm: VmProfile, signal: AbortSignal): Promise<Built> {
  try {
    const { capabilities } = await daemon.call('connectGetDomainCapabilities', { ...needOf(vm), flags: 0 }, signal)
    return { machine: { answer: 'supported' }, models: deviceModels(capabilities) }
  } catch (error) {
    if (error instanceof XmlError) return { machine: { answer: 'unknown' }, models: new Map() }
    if (!(error instanceof LibvirtCallError)) throw error
    const unknown = error.code === errorCode.noSupport
    return {
      machine: unknown ? { answer: 'unknown' } : { answer: 'refused', said: error.said },
      models: new Map(),
    }
  }
}

/** VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE: the error then names what is missing. */
const sayWhy = 1 << 0
/** virterror.h, VIR_ERR_CPU_INCOMPATIBLE. */
const cpuIncompatible = 91
/** virCPUCompareResult; 0 is incompatible. */
const results = ['incompatible', 'identical', 'superset'] as const

async function cpuAnswer(daemon: Daemon, vm: VmProfile, signal: AbortSignal): Promise<CpuAnswer> {
  const { cpu, machine } = vm
  // What follows the host cannot be compared with it.
  if (cpu === undefined || cpu.mode === 'host-passthrough' || cpu.mode === 'maximum') return { answer: 'unknown' }
  const args = { ...needOf(vm), xmlCpu: cpu.xml, flags: sayWhy }
  const byQemu = await compared(() => daemon.call('connectCompareHypervisorCpu', args, signal))
  // Older libvirt, and some builds of QEMU, cannot; with KVM the host's CPU is what the guest gets.
  if (byQemu.answer !== 'unknown' || machine?.acceleration !== 'kvm') return byQemu
  return compared(() => daemon.call('connectCompareCpu', { xml: cpu.xml, flags: sayWhy }, signal))
}

async function compared(ask: () => Promise<{ readonly result: number }>): Promise<CpuAnswer> {
  const incompatible = (said: string): CpuAnswer => ({ answer: 'incompatible', said })
  try {
    const answer = results[(await ask()).result] ?? 'unknown'
    return answer === 'incompatible' ? incompatible('features are missing') : { answer }
  } catch (error) {
    if (!(error instanceof LibvirtCallError)) throw error
    if (error.code === cpuIncompatible)
      return incompatible(error.said.replace(/^.*?incompatible with host CPU:?\s*/i, ''))
    // A model that its libvirt or QEMU has never heard of.
    return /unknown cpu model|cpu model .* (is )?not supported/i.test(error.said)
      ? incompatible(error.said)
      : { answer: 'unknown' }
  }
}

/** Paths that nobody could look at are asked of the daemon, which knows those in its storage pools. */
async function volumesSeen(
  daemon: Daemon,
  vms: readonly VmProfile[],
  files: FilesSeen,
  signal: AbortSignal,
): Promise<FilesSeen> {
  const wanted = new Set(vms.flatMap(vm => vm.files.map(({ path }) => path)))
  const open = [...wanted].filter(path => !files.present.has(path) && !files.absent.has(path))
  const found = await fewAtATime(askedAtOnce, open, async path => {
    try {
      await daemon.call('storageVolLookupByPath', { path }, signal)
      return path
    } catch (error) {
      if (error instanceof LibvirtCallError) return undefined // in no pool: that says nothing
      throw error
    }
  })
  return { present: new Set([...files.present, ...found.filter(path => path !== undefined)]), absent: files.absent }
}
