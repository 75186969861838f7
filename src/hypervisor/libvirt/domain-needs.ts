/** What a domain needs of a target to be built there again, from its live XML: the machine, the CPU, devices, files. */
import type { CpuMode, CpuNeed, MachineNeed, VmProfile } from '../../core/preflight/vm-profile.ts'
import type { Bytes } from '../../core/units.ts'
import { devicesOf, disksOf, filesOf, modelsOf, nicsOf, secretsOf } from './domain-devices.ts'
import { factsOf } from './domain-xml.ts'
import { printXml } from './print-xml.ts'
import { childAt, childrenNamed, parseXml, type XmlElement } from './xml.ts'
import { sizeIn } from './xml-size.ts'

export type DomainNeeds = Pick<
  VmProfile,
  'name' | 'uuid' | 'memory' | 'hugepages' | 'machine' | 'cpu' | 'nics' | 'devices' | 'files' | 'models' | 'secrets'
> & { readonly disks: ReturnType<typeof disksOf> }

/** @param xml of a domain that runs: QEMU's own names of machine and CPU are in it. @throws XmlError */
export function needsOf(xml: string): DomainNeeds {
  const domain = parseXml(xml)
  const devices = childAt(domain, 'devices')
  const { name, uuid, memory } = factsOf(xml)
  const disks = disksOf(devices)
  return {
    name,
    uuid,
    memory,
    hugepages: hugepagesOf(domain),
    machine: machineOf(domain),
    cpu: cpuOf(domain),
    disks,
    nics: nicsOf(devices),
    devices: devicesOf(domain),
    files: filesOf(domain, disks),
    models: modelsOf(devices),
    secrets: secretsOf(devices),
  }
}

/** Only where a size is named: the host's default one is not in the XML. */
function hugepagesOf(domain: XmlElement): Bytes | undefined {
  const page = childAt(domain, 'memoryBacking', 'hugepages', 'page')
  return sizeIn(page?.attributes.get('size'), page?.attributes.get('unit'))
}

function machineOf(domain: XmlElement): MachineNeed {
  const type = childAt(domain, 'os', 'type')
  return {
    emulator: childAt(domain, 'devices', 'emulator')?.text.trim() || undefined,
    arch: type?.attributes.get('arch'),
    type: type?.attributes.get('machine'),
    acceleration: domain.attributes.get('type'),
  }
}

const modes: readonly CpuMode[] = ['custom', 'host-model', 'host-passthrough', 'maximum']

function cpuOf(domain: XmlElement): CpuNeed | undefined {
  const cpu = childAt(domain, 'cpu')
  const model = cpu === undefined ? undefined : childAt(cpu, 'model')?.text.trim()
  const mode = modes.find(each => each === cpu?.attributes.get('mode')) ?? (model === undefined ? undefined : 'custom')
  // Only its topology is given: QEMU's own CPU.
  if (cpu === undefined || mode === undefined) return undefined
  const features = childrenNamed(cpu, 'feature')
    .filter(feature => /^(require|force)$/.test(feature.attributes.get('policy') ?? 'require'))
    .flatMap(feature => feature.attributes.get('name') ?? [])
  const timers = childrenNamed(childAt(domain, 'clock'), 'timer')
  const check = cpu.attributes.get('check')
  return {
    mode,
    model,
    check: check === 'none' || check === 'full' ? check : 'partial',
    features,
    xml: printXml(cpu),
    tscFrequency: timers.some(({ attributes }) => attributes.get('name') === 'tsc' && attributes.has('frequency')),
  }
}
