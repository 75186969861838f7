/** The target's QEMU must build the very same machine: type, acceleration, models of devices, files it starts from. */
import { few, type Table, type TargetRule, when } from './reason.ts'

export interface MachineReasons {
  readonly 'machine-type': { readonly type: string; readonly said: string }
  readonly acceleration: { readonly acceleration: string; readonly said: string }
  readonly emulator: { readonly emulator: string; readonly said: string }
  readonly 'machine-refused': { readonly said: string }
  readonly 'machine-unversioned': { readonly type: string }
  readonly 'device-model': { readonly device: string; readonly model: string; readonly has: readonly string[] }
  readonly 'file-missing': { readonly what: string; readonly path: string }
  readonly 'file-unknown': { readonly paths: readonly string[] }
}

export const machineTable: Table<MachineReasons> = {
  'machine-type': {
    severity: 'blocks',
    says: ({ type, said }) => `the target's QEMU has no machine type ${type}: ${said}`,
    next: () =>
      'use a target whose QEMU is at least as new (and not so new that the type was removed), or change the machine type and restart the VM',
  },
  acceleration: {
    severity: 'blocks',
    says: ({ acceleration, said }) => `it runs with ${acceleration}, which the target has not: ${said}`,
    next: () => 'switch virtualization on in the firmware of the target, load its kvm module, or use another target',
  },
  emulator: {
    severity: 'blocks',
    says: ({ emulator, said }) => `the target cannot start its emulator ${emulator}: ${said}`,
    next: () => 'install that QEMU at this path on the target, or change <emulator> and restart the VM',
  },
  'machine-refused': {
    severity: 'blocks',
    says: ({ said }) => `the target cannot build such a machine: ${said}`,
    next: () => 'ask it by hand: virsh domcapabilities at the target, with the emulator, machine and type of the VM',
  },
  'machine-unversioned': {
    severity: 'warns',
    says: ({ type }) => `its machine type ${type} has no version, so another QEMU may build another machine`,
    next: () => 'name a version, like pc-q35-8.0, in its definition, and restart it',
  },
  'device-model': {
    severity: 'blocks',
    says: ({ device, model, has }) =>
      `the target's QEMU has no ${device} ${model}; it has ${has.length === 0 ? 'none' : few(has)}`,
    next: ({ device }) => `install that part of QEMU on the target, or change the ${device} of the VM and restart it`,
  },
  'file-missing': {
    severity: 'blocks',
    says: ({ what, path }) => `its ${what} ${path} is not at the target`,
    next: ({ what, path }) =>
      what === 'medium'
        ? `eject it (virsh change-media --eject), or copy ${path} there`
        : what === 'shared disk'
          ? 'mount the shared storage at the same path there; if it is not shared, take <shareable/> out of its definition'
          : `copy ${path} to the same place there, or install the package that has it`,
  },
  'file-unknown': {
    severity: 'note',
    says: ({ paths }) => `it is not known whether the target has ${few(paths, 3)}`,
    next: () => 'look there by hand; with qemu+ssh, or `shell` in lifeboat.yaml, Lifeboat looks itself',
  },
}

const machine: TargetRule<MachineReasons> = (vm, { answer }) => {
  if (answer?.machine.answer !== 'refused') return []
  const { said } = answer.machine
  const { type, acceleration, emulator } = vm.machine ?? {}
  if (/machine/i.test(said)) return [{ rule: 'machine-type', type: type ?? 'of its own', said }]
  if (/accel|virttype|kvm/i.test(said)) return [{ rule: 'acceleration', acceleration: acceleration ?? 'kvm', said }]
  if (/binary|emulator|executable|no such file/i.test(said))
    return [{ rule: 'emulator', emulator: emulator ?? 'QEMU', said }]
  return [{ rule: 'machine-refused', said }]
}

/** libvirt resolves an alias when a VM is defined; plain QEMU takes what its command line says. */
const unversioned: TargetRule<MachineReasons> = ({ machine: need }) => {
  const type = need?.type
  if (type === undefined) return []
  return when(/^(pc|q35|virt|pseries)$/.test(type), { rule: 'machine-unversioned', type })
}

const models: TargetRule<MachineReasons> = (vm, { answer }) =>
  vm.models.flatMap(({ device, model }) => {
    const has = answer?.models.get(device)
    return has === undefined || has.includes(model) ? [] : [{ rule: 'device-model', device, model, has }]
  })

const files: TargetRule<MachineReasons> = (vm, { answer }) =>
  vm.files
    .filter(({ path }) => answer?.absent.has(path) === true)
    .map(({ what, path }) => ({ rule: 'file-missing', what, path }))

const unknownFiles: TargetRule<MachineReasons> = (vm, { answer }) => {
  if (answer === undefined) return []
  const paths = vm.files.map(({ path }) => path).filter(path => !answer.absent.has(path) && !answer.present.has(path))
  return when(paths.length > 0, { rule: 'file-unknown', paths })
}

export const machineTargetRules: readonly TargetRule<MachineReasons>[] = [
  machine,
  unversioned,
  models,
  files,
  unknownFiles,
]
