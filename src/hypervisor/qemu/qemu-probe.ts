/** A plain QEMU host as the preflight asks it: its folder of definitions, its QEMU, its files. */
import type { DomainName, HostProfile } from '../../core/preflight/host-profile.ts'
import { versionIn } from '../../core/preflight/version.ts'
import type { MachineAnswer, TargetAnswer, VmProfile } from '../../core/preflight/vm-profile.ts'
import { bytes } from '../../core/units.ts'
import { CommandUnavailable, type Remote, runOk } from '../../remote/remote.ts'
import { fewAtATime } from '../../time/few-at-a-time.ts'
import type { Listing } from '../hypervisor.ts'
import { filesSeen } from '../probe-files.ts'
import type { PreflightProbe, ProbedHost, SystemSeen } from '../preflight-probe.ts'
import { needsOfArgv } from './argv-needs.ts'
import type { QemuDefinition } from './definition.ts'
import { VmFolder } from './vm-folder.ts'

const askedAtOnce = 4

export function qemuProbe(folder: string, remote: Remote, about: ProbedHost): PreflightProbe {
  const vmFolder = new VmFolder(remote, folder)
  return {
    host: (seen, signal) => hostOf(vmFolder, remote, about, seen, signal),
    async vms(listings, signal) {
      const { entries } = await vmFolder.list(signal)
      const definitions = new Map(entries.map(({ definition }) => [definition.name, definition]))
      return listings.flatMap(listing => {
        const definition = definitions.get(listing.vm.id)
        return definition === undefined ? [] : [profileOf(about, definition, listing, vmFolder.dirOf(definition.name))]
      })
    },
    async answers(vms, signal) {
      const files = await filesSeen(remote, vms, signal)
      const machines = await machineTypes(remote, vms, signal)
      return vms.map(
        (vm): TargetAnswer => ({
          vm: vm.id,
          target: about.id,
          machine: machineAnswer(vm, machines.get(vm.machine?.emulator ?? '')),
          cpu: { answer: 'unknown' },
          models: new Map(),
          ...files,
        }),
      )
    },
    close: () => Promise.resolve(),
  }
}

async function hostOf(
  folder: VmFolder,
  remote: Remote,
  about: ProbedHost,
  seen: SystemSeen,
  signal: AbortSignal,
): Promise<HostProfile> {
  const { entries } = await folder.list(signal)
  const info = await runOk(remote, ['cat', '/proc/meminfo'], {}, signal)
  const free = /^MemAvailable:\s+(\d+) kB/m.exec(info)?.[1]
  const version = await programSays(remote, ['qemu-system-x86_64', '--version'], signal)
  const { stdout: arch } = await remote.run(['uname', '-m'], {}, signal)
  return {
    id: about.id,
    site: about.site,
    driver: 'qemu',
    libvirt: undefined,
    qemu: version === undefined ? undefined : versionIn(version),
    kernel: seen.kernel,
    uuid: undefined,
    arch: arch.trim() || undefined,
    cpu: undefined,
    memory: about.memory,
    free: free === undefined ? undefined : bytes(Number(free) * 1024),
    hugepages: undefined,
    features: undefined,
    networks: undefined,
    interfaces: seen.interfaces,
    filters: undefined,
    secrets: undefined,
    pools: undefined,
    domains: entries.map(({ definition, alive }): DomainName => {
      const { name, uuid } = definition
      return { name, uuid: uuid.toLowerCase(), active: alive }
    }),
    address: about.address,
    connectUri: undefined,
    system: seen.system,
    systemUnknown: seen.systemUnknown,
  }
}

/** @returns undefined when there is no such program */
async function programSays(remote: Remote, argv: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  try {
    const { code, stdout } = await remote.run(argv, {}, signal)
    return code === 0 ? stdout : undefined
  } catch (error) {
    if (error instanceof CommandUnavailable) return undefined
    throw error
  }
}

function profileOf(about: ProbedHost, definition: QemuDefinition, { vm, presence }: Listing, dir: string): VmProfile {
  const { machine, cpu, devices, files, bridges } = needsOfArgv(
    definition.argv.map(word => word.replaceAll('{dir}', dir)),
  )
  const migrating = presence.state === 'running' && presence.migrating
  return {
    id: vm.id,
    host: about.id,
    name: definition.name,
    uuid: definition.uuid.toLowerCase(),
    state: migrating ? 'migrating' : presence.state === 'paused' ? 'paused' : 'running',
    memory: vm.memory,
    hugepages: undefined,
    machine,
    cpu,
    disks: definition.disks.map(disk => ({
      name: disk.name,
      device: 'disk',
      type: 'file',
      source: disk.name,
      pool: undefined,
      format: undefined,
      cache: undefined,
      size: disk.size,
      backing: [],
      shared: disk.shared,
      readonly: false,
      transient: false,
      optional: false,
    })),
    nics: bridges.map(bridge => ({
      mac: `on ${bridge}`,
      type: 'bridge',
      source: bridge,
      portgroup: undefined,
      filter: undefined,
      teamed: false,
    })),
    devices,
    files,
    models: [],
    secrets: [],
    persistent: true,
    autostart: false,
    snapshots: 0,
    checkpoints: 0,
    rehearsal: undefined,
  }
}

type Emulator = { readonly there: false } | { readonly there: true; readonly machines: ReadonlySet<string> }

async function machineTypes(
  remote: Remote,
  vms: readonly VmProfile[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Emulator>> {
  const programs = [...new Set(vms.flatMap(({ machine }) => machine?.emulator ?? []))]
  const asked = await fewAtATime(askedAtOnce, programs, async (program): Promise<readonly [string, Emulator]> => {
    const said = await programSays(remote, [program, '-machine', 'help'], signal)
    if (said === undefined) return [program, { there: false }]
    const machines = said.split('\n').flatMap(line => /^(\S+)\s/.exec(line)?.[1] ?? [])
    return [program, { there: true, machines: new Set(machines) }]
  })
  return new Map(asked)
}

function machineAnswer({ machine }: VmProfile, emulator: Emulator | undefined): MachineAnswer {
  if (machine === undefined || emulator === undefined) return { answer: 'unknown' }
  if (!emulator.there) return { answer: 'refused', said: `no such emulator: ${machine.emulator ?? ''}` }
  if (machine.type === undefined || machine.type === 'none' || emulator.machines.has(machine.type))
    return { answer: 'supported' }
  return { answer: 'refused', said: `unsupported machine type` }
}
