/**
 * What keeps a VM at its host wherever it is to go: pieces of the host, state outside QEMU, snapshots. The source's daemon is asked to
 * rehearse (see rehearsal in vm-profile.ts); what it says beyond these rules is told in its own words.
 * Source: libvirt, src/qemu/qemu_migration.c, qemuMigrationSrcIsAllowed.
 */
import { cachedDisks, disksToCopy, unsafeDisk } from './disk-rules.ts'
import { few, type Table, type VmRule, when } from './reason.ts'
import type { VmDevice, VmProfile } from './vm-profile.ts'

export interface DeviceReasons {
  readonly hostdev: { readonly type: string; readonly address: string }
  readonly 'hostdev-needed': { readonly type: string; readonly address: string }
  readonly 'usb-device': { readonly address: string }
  readonly virtiofs: { readonly tag: string }
  readonly 'virtiofs-shared': { readonly tag: string }
  readonly 'shared-folder': { readonly tag: string }
  readonly 'shared-memory': { readonly name: string; readonly model: string; readonly role: string }
  readonly 'vhost-user': { readonly what: string }
  readonly 'vhost-user-needed': { readonly what: string }
  readonly 'tpm-passthrough': object
  readonly 'tpm-state': object
  readonly nvram: { readonly file: string }
  readonly 'launch-security': { readonly type: string }
  readonly snapshots: { readonly count: number }
  readonly checkpoints: { readonly count: number }
  readonly 'source-refuses': { readonly said: string }
}

export const deviceTable: Table<DeviceReasons> = {
  hostdev: {
    severity: 'blocks',
    says: ({ type, address }) => `it has a ${type} device of its host (${address})`,
    next: () => 'unplug it: virsh detach-device --live; plug in another one at the target afterwards',
  },
  'hostdev-needed': {
    severity: 'warns',
    says: ({ type, address }) =>
      `it has a ${type} device of its host (${address}) that QEMU can move; the target must have such a device at this address`,
    next: () => 'make sure of that, or unplug it for the move',
  },
  'usb-device': {
    severity: 'warns',
    says: ({ address }) => `it has a USB device of its host (${address}); the guest will see it unplugged`,
    next: () => 'unplug it for the move, or have one like it in the target host',
  },
  virtiofs: {
    severity: 'blocks',
    says: ({ tag }) => `it mounts a folder of its host by virtiofs (${tag}), and its daemon does not move that`,
    next: () => 'unmount it in the guest and detach it: virsh detach-device --live',
  },
  'virtiofs-shared': {
    severity: 'warns',
    says: ({ tag }) => `it mounts a folder of its host by virtiofs (${tag}); the target must have the same folder`,
    next: () => 'make sure of that: shared storage at the same path',
  },
  'shared-folder': {
    severity: 'warns',
    says: ({ tag }) =>
      `it has a folder of its host (9p, ${tag}); as long as the guest has it mounted, QEMU does not move it`,
    next: () => 'unmount it in the guest before the move',
  },
  'shared-memory': {
    severity: 'blocks',
    says: ({ name, model, role }) => `it shares memory with others on its host (${name}: ${model}, role ${role})`,
    next: () => 'detach it; libvirt moves ivshmem-plain and ivshmem-doorbell with role master only',
  },
  'vhost-user': {
    severity: 'blocks',
    says: ({ what }) => `its ${what} is served by another process (vhost-user), but its memory is not shared`,
    next: () => "set <memoryBacking><access mode='shared'/> in its definition, and restart it",
  },
  'vhost-user-needed': {
    severity: 'warns',
    says: ({ what }) => `its ${what} is served by another process (vhost-user), which the target must have too`,
    next: () => 'make sure that it runs there and listens at the same path',
  },
  'tpm-passthrough': {
    severity: 'blocks',
    says: () => "it uses its host's own TPM",
    next: () => 'use an emulated one (backend emulator), or none',
  },
  'tpm-state': {
    severity: 'note',
    says: () => 'its TPM is emulated; its state goes with it, if both hosts have swtpm of about the same version',
    next: () => 'compare `swtpm --version` on both hosts',
  },
  nvram: {
    severity: 'note',
    says: ({ file }) => `its firmware keeps variables in ${file}; what is in memory of them goes with it`,
    next: () => 'nothing, if the target has the same firmware files',
  },
  'launch-security': {
    severity: 'blocks',
    says: ({ type }) => `its memory is encrypted for its host's own CPU (${type}), and QEMU does not move that`,
    next: () => 'shut it down here and start it there',
  },
  snapshots: {
    severity: 'blocks',
    says: ({ count }) => `it has ${count} snapshot${count === 1 ? '' : 's'}, and libvirt moves no VM with any`,
    next: () =>
      'delete them, or keep their XML (virsh snapshot-dumpxml) and delete their metadata: virsh snapshot-delete --metadata',
  },
  checkpoints: {
    severity: 'warns',
    says: ({ count }) =>
      `it has ${count} checkpoint${count === 1 ? '' : 's'} (incremental backup), which do not go with it`,
    next: () => 'the next backup at the target has to be a full one',
  },
  'source-refuses': {
    severity: 'blocks',
    says: ({ said }) => `its own daemon would not move it: ${said}`,
    next: () => 'mend what it says; virsh migrate would say the same',
  },
}

const devices = <K extends VmDevice['kind']>(vm: VmProfile, kind: K) =>
  vm.devices.filter((device): device is Extract<VmDevice, { kind: K }> => device.kind === kind)

const hostDevices: VmRule<DeviceReasons> = vm =>
  devices(vm, 'hostdev')
    .filter(({ teamed }) => !teamed)
    .map(({ type, address }) => {
      if (type === 'usb') return { rule: 'usb-device', address }
      return { rule: vm.rehearsal?.allowed === true ? 'hostdev-needed' : 'hostdev', type, address }
    })

const folders: VmRule<DeviceReasons> = vm =>
  devices(vm, 'filesystem').flatMap(({ driver, tag }): ReturnType<VmRule<DeviceReasons>> => {
    if (driver === 'virtiofs') return [{ rule: vm.rehearsal?.allowed === true ? 'virtiofs-shared' : 'virtiofs', tag }]
    return when(driver === '9p', { rule: 'shared-folder', tag })
  })

const sharedMemory: VmRule<DeviceReasons> = vm =>
  devices(vm, 'shmem')
    .filter(({ model, role }) => model === 'ivshmem' || role !== 'master')
    .map(({ name, model, role }) => ({ rule: 'shared-memory', name, model, role }))

const vhostUser: VmRule<DeviceReasons> = vm =>
  devices(vm, 'vhost-user').map(({ what, sharedMemory: shared }) => ({
    rule: shared ? 'vhost-user-needed' : 'vhost-user',
    what,
  }))

const tpm: VmRule<DeviceReasons> = vm =>
  devices(vm, 'tpm').map(({ backend }) => ({ rule: backend === 'passthrough' ? 'tpm-passthrough' : 'tpm-state' }))

const variables: VmRule<DeviceReasons> = vm => devices(vm, 'nvram').map(({ file }) => ({ rule: 'nvram', file }))

const encrypted: VmRule<DeviceReasons> = vm =>
  devices(vm, 'launch-security').map(({ type }) => ({ rule: 'launch-security', type }))

const snapshots: VmRule<DeviceReasons> = ({ snapshots: count }) => when(count > 0, { rule: 'snapshots', count })
const checkpoints: VmRule<DeviceReasons> = ({ checkpoints: count }) => when(count > 0, { rule: 'checkpoints', count })

/** libvirt names the first obstacle it meets; where a rule above or elsewhere says it better, its words are not repeated. */
const knownSayings: readonly (readonly [said: RegExp, known: (vm: VmProfile) => boolean])[] = [
  [/snapshot/i, vm => vm.snapshots > 0],
  [/virtiofs/i, vm => devices(vm, 'filesystem').some(({ driver }) => driver === 'virtiofs')],
  [
    /hostdev|interface type|vfio|vdpa/i,
    vm => devices(vm, 'hostdev').length > 0 || vm.nics.some(({ type }) => type === 'hostdev' || type === 'vdpa'),
  ],
  [/invtsc/i, vm => vm.cpu?.features.includes('invtsc') === true],
  [/shmem|ivshmem/i, vm => devices(vm, 'shmem').length > 0],
  [/transient disk/i, vm => vm.disks.some(({ transient }) => transient)],
  [/shared storage is unsafe|non-shared storage/i, vm => disksToCopy(vm).length > 0],
  [unsafeDisk, vm => cachedDisks(vm).length > 0],
  [/sev|launch security/i, vm => devices(vm, 'launch-security').length > 0],
]

const rehearsed: VmRule<DeviceReasons> = vm => {
  if (vm.rehearsal?.allowed !== false) return []
  const { said } = vm.rehearsal
  const told = knownSayings.some(([saying, known]) => saying.test(said) && known(vm))
  return when(!told, { rule: 'source-refuses', said: few([said]) })
}

export const deviceVmRules: readonly VmRule<DeviceReasons>[] = [
  hostDevices,
  folders,
  sharedMemory,
  vhostUser,
  tpm,
  variables,
  encrypted,
  snapshots,
  checkpoints,
  rehearsed,
]
