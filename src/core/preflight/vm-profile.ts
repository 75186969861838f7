/** What is known of a VM before it moves: what it is made of, and what of that a target must have too. */
import type { HostId, VmId } from '../ids.ts'
import type { Bytes } from '../units.ts'

export interface VmProfile {
  readonly id: VmId
  readonly host: HostId
  readonly name: string
  readonly uuid: string
  readonly state: 'running' | 'paused' | 'migrating'
  readonly memory: Bytes
  /** Its memory comes from pages of this size. */
  readonly hugepages: Bytes | undefined
  readonly machine: MachineNeed | undefined
  readonly cpu: CpuNeed | undefined
  readonly disks: readonly VmDisk[]
  readonly nics: readonly VmNic[]
  /** Whatever has a bearing on whether it can be moved at all. */
  readonly devices: readonly VmDevice[]
  /** Files beside its disks that a target must have at the same path. */
  readonly files: readonly VmFile[]
  /** Kinds of devices for which the target's QEMU must have a model. */
  readonly models: readonly ModelNeed[]
  readonly secrets: readonly string[]
  readonly persistent: boolean
  readonly autostart: boolean
  readonly snapshots: number
  readonly checkpoints: number
  /** What its daemon says when asked to begin a migration, which it then does not do; undefined where that was not asked. */
  readonly rehearsal: Rehearsal | undefined
}

export type Rehearsal =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly code: number; readonly said: string }

export interface MachineNeed {
  /** The program; undefined: the target's own. */
  readonly emulator: string | undefined
  readonly arch: string | undefined
  readonly type: string | undefined
  /** `kvm`, `qemu` (emulated). */
  readonly acceleration: string | undefined
}

export type CpuMode = 'custom' | 'host-model' | 'host-passthrough' | 'maximum'
export interface CpuNeed {
  readonly mode: CpuMode
  readonly model: string | undefined
  /** Whether libvirt insists on the CPU as it is written down. */
  readonly check: 'none' | 'partial' | 'full'
  /** Of features that are switched on. */
  readonly features: readonly string[]
  /** libvirt's own XML of it, for the target to compare. */
  readonly xml: string
  /** A frequency of the time stamp counter is set, without which `invtsc` cannot be moved. */
  readonly tscFrequency: boolean
}

export interface VmDisk {
  /** As the guest sees it: `vda`. */
  readonly name: string
  readonly device: 'disk' | 'lun' | 'cdrom' | 'floppy'
  readonly type: 'file' | 'block' | 'network' | 'volume' | 'other'
  readonly source: string | undefined
  readonly pool: string | undefined
  readonly format: string | undefined
  readonly cache: string | undefined
  /** What it takes at a target: what is allocated, and what it may grow to. */
  readonly size: Bytes | undefined
  readonly backing: readonly string[]
  readonly shared: boolean
  readonly readonly: boolean
  /** Its writes are thrown away when the VM ends. */
  readonly transient: boolean
  /** A drive may be empty where its medium is missing (startupPolicy). */
  readonly optional: boolean
}

export interface VmNic {
  readonly mac: string
  readonly type: string
  /** The network's or bridge's name, or the device of the host. */
  readonly source: string | undefined
  readonly portgroup: string | undefined
  readonly filter: string | undefined
  /** A second path of a bond inside the guest, unplugged by QEMU for the move. */
  readonly teamed: boolean
}

export type VmDevice =
  | { readonly kind: 'hostdev'; readonly type: string; readonly address: string; readonly teamed: boolean }
  | { readonly kind: 'filesystem'; readonly driver: 'virtiofs' | '9p' | 'other'; readonly tag: string }
  | { readonly kind: 'shmem'; readonly name: string; readonly model: string; readonly role: string }
  | { readonly kind: 'vhost-user'; readonly what: string; readonly sharedMemory: boolean }
  | { readonly kind: 'tpm'; readonly backend: string }
  | { readonly kind: 'nvram'; readonly file: string }
  | { readonly kind: 'launch-security'; readonly type: string }
  | { readonly kind: 'pmem'; readonly path: string }

export interface VmFile {
  readonly what: 'kernel' | 'initrd' | 'firmware' | 'medium' | 'shared disk' | 'persistent memory'
  readonly path: string
}

export interface ModelNeed {
  readonly device: 'video' | 'graphics' | 'tpm' | 'filesystem'
  readonly model: string
}

/** What a target answers about one VM. */
export interface TargetAnswer {
  readonly vm: VmId
  readonly target: HostId
  readonly machine: MachineAnswer
  readonly cpu: CpuAnswer
  /** Models that its QEMU has for this machine, by kind of device; kinds it says nothing of are missing. */
  readonly models: ReadonlyMap<string, readonly string[]>
  /** Paths that are there, and those that are not; what is in neither is not known. */
  readonly present: ReadonlySet<string>
  readonly absent: ReadonlySet<string>
}

export type MachineAnswer =
  | { readonly answer: 'supported' }
  | { readonly answer: 'unknown' }
  | { readonly answer: 'refused'; readonly said: string }

/** include/libvirt/libvirt-host.h, virCPUCompareResult. */
export type CpuAnswer =
  | { readonly answer: 'identical' | 'superset' | 'unknown' }
  | { readonly answer: 'incompatible'; readonly said: string }
