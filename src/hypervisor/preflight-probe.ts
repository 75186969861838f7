/** The port `PreflightProbe`: what one host tells before anything moves. Drivers: libvirt/libvirt-probe.ts, qemu/qemu-probe.ts. Changes nothing. */
import type { HostId, SiteId } from '../core/ids.ts'
import type { HostProfile, SystemProfile } from '../core/preflight/host-profile.ts'
import type { TargetAnswer, VmProfile } from '../core/preflight/vm-profile.ts'
import type { Bytes } from '../core/units.ts'
import type { Remote } from '../remote/remote.ts'
import type { Listing } from './hypervisor.ts'

/** What is known of a host before it is asked. */
export interface ProbedHost {
  readonly id: HostId
  readonly site: SiteId
  /** What guests may use together, as the snapshot has it. */
  readonly memory: Bytes
  readonly address: string
  readonly connectUri: string | undefined
  readonly remote: Remote | undefined
  /** VMs would go to it. */
  readonly receives: boolean
}

export interface SystemSeen {
  readonly system: SystemProfile | undefined
  readonly systemUnknown: string
  readonly kernel: string | undefined
  readonly interfaces: readonly string[] | undefined
}

export interface PreflightProbe {
  /** @throws HostUnreachable */
  host(seen: SystemSeen, signal: AbortSignal): Promise<HostProfile>
  /** Of VMs that live here; one that has gone meanwhile is left out. @throws HostUnreachable */
  vms(listings: readonly Listing[], signal: AbortSignal): Promise<readonly VmProfile[]>
  /** What this host says as a target. @throws HostUnreachable */
  answers(vms: readonly VmProfile[], signal: AbortSignal): Promise<readonly TargetAnswer[]>
  close(): Promise<void>
}
