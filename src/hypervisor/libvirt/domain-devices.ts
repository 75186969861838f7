/** What of a domain's devices has a bearing on a move, from its XML (docs/formatdomain.rst). */
import type { ModelNeed, VmDevice, VmDisk, VmFile, VmNic } from '../../core/preflight/vm-profile.ts'
import { childAt, childrenNamed, type XmlElement } from './xml.ts'

const attributeAt = (element: XmlElement | undefined, name: string, ...path: readonly string[]): string | undefined =>
  element === undefined ? undefined : childAt(element, ...path)?.attributes.get(name)

/** Where a disk's or another device's content is, whatever the kind of it. */
const placeOf = (source: XmlElement | undefined): string | undefined =>
  ['file', 'dev', 'dir', 'volume', 'name', 'path']
    .map(key => source?.attributes.get(key))
    .find(each => each !== undefined)

const diskDevices = ['disk', 'lun', 'cdrom', 'floppy'] as const
const diskTypes = ['file', 'block', 'network', 'volume'] as const

export function disksOf(devices: XmlElement | undefined): readonly Omit<VmDisk, 'size'>[] {
  return childrenNamed(devices, 'disk').map(disk => {
    const source = childAt(disk, 'source')
    const driver = childAt(disk, 'driver')
    const type = diskTypes.find(each => each === disk.attributes.get('type')) ?? 'other'
    return {
      name: attributeAt(disk, 'dev', 'target') ?? 'unnamed',
      device: diskDevices.find(each => each === (disk.attributes.get('device') ?? 'disk')) ?? 'disk',
      type,
      source: placeOf(source),
      pool: source?.attributes.get('pool'),
      format: driver?.attributes.get('type'),
      cache: driver?.attributes.get('cache'),
      backing: backingOf(disk),
      shared: type === 'network' || childAt(disk, 'shareable') !== undefined,
      readonly: childAt(disk, 'readonly') !== undefined,
      transient: childAt(disk, 'transient') !== undefined,
      optional:
        source?.attributes.get('startupPolicy') !== undefined && source.attributes.get('startupPolicy') !== 'mandatory',
    }
  })
}

/** Chains are some dozens long at most; libvirt itself stops at 200. */
const longestChain = 200
function backingOf(disk: XmlElement): readonly string[] {
  const files: string[] = []
  let store = childAt(disk, 'backingStore')
  for (let n = 0; store !== undefined && n < longestChain; n += 1) {
    const file = placeOf(childAt(store, 'source'))
    if (file !== undefined) files.push(file)
    store = childAt(store, 'backingStore')
  }
  return files
}

export const nicsOf = (devices: XmlElement | undefined): readonly VmNic[] =>
  childrenNamed(devices, 'interface').map(nic => {
    const source = childAt(nic, 'source')
    const type = nic.attributes.get('type') ?? 'unknown'
    const key = { network: 'network', bridge: 'bridge', direct: 'dev' }[type]
    return {
      mac: attributeAt(nic, 'address', 'mac') ?? 'without an address',
      type,
      source: key === undefined ? undefined : source?.attributes.get(key),
      portgroup: source?.attributes.get('portgroup'),
      filter: attributeAt(nic, 'filter', 'filterref'),
      teamed: isTeamed(nic),
    }
  })

const isTeamed = (device: XmlElement): boolean => attributeAt(device, 'type', 'teaming') === 'transient'

export function devicesOf(domain: XmlElement): readonly VmDevice[] {
  const devices = childAt(domain, 'devices')
  const sharedMemory = memoryIsShared(domain)
  const nvram = childAt(domain, 'os', 'nvram')
  const nvramFile = nvram?.text.trim() || placeOf(nvram === undefined ? undefined : childAt(nvram, 'source'))
  const security = childAt(domain, 'launchSecurity')?.attributes.get('type')
  return [
    ...childrenNamed(devices, 'hostdev').map(
      (device): VmDevice => ({
        kind: 'hostdev',
        type: device.attributes.get('type') ?? device.attributes.get('mode') ?? 'unknown',
        address: addressIn(childAt(device, 'source')),
        teamed: isTeamed(device),
      }),
    ),
    ...childrenNamed(devices, 'filesystem').map((device): VmDevice => {
      const driver = attributeAt(device, 'type', 'driver') ?? 'path'
      return {
        kind: 'filesystem',
        driver: driver === 'virtiofs' ? 'virtiofs' : driver === 'path' || driver === 'handle' ? '9p' : 'other',
        tag: attributeAt(device, 'dir', 'target') ?? 'unnamed',
      }
    }),
    ...childrenNamed(devices, 'shmem').map(
      (device): VmDevice => ({
        kind: 'shmem',
        name: device.attributes.get('name') ?? 'unnamed',
        model: attributeAt(device, 'type', 'model') ?? 'ivshmem',
        role: device.attributes.get('role') ?? 'none',
      }),
    ),
    ...childrenNamed(devices, 'interface')
      .filter(nic => nic.attributes.get('type') === 'vhostuser')
      .map(nic => `network card ${attributeAt(nic, 'address', 'mac') ?? ''}`.trim())
      .concat(
        childrenNamed(devices, 'disk')
          .filter(disk => disk.attributes.get('type') === 'vhostuser')
          .map(disk => `disk ${attributeAt(disk, 'dev', 'target') ?? ''}`.trim()),
      )
      .map((what): VmDevice => ({ kind: 'vhost-user', what, sharedMemory })),
    ...childrenNamed(devices, 'tpm').map(
      (device): VmDevice => ({ kind: 'tpm', backend: attributeAt(device, 'type', 'backend') ?? 'unknown' }),
    ),
    ...(nvramFile === undefined ? [] : [{ kind: 'nvram' as const, file: nvramFile }]),
    ...(security === undefined ? [] : [{ kind: 'launch-security' as const, type: security }]),
    ...persistentMemory(devices).map((path): VmDevice => ({ kind: 'pmem', path })),
  ]
}

const persistentMemory = (devices: XmlElement | undefined): readonly string[] =>
  childrenNamed(devices, 'memory')
    .filter(({ attributes }) => /^(nvdimm|virtio-pmem)$/.test(attributes.get('model') ?? ''))
    .flatMap(device => childAt(device, 'source', 'path')?.text.trim() ?? [])

function memoryIsShared(domain: XmlElement): boolean {
  const access = childAt(domain, 'memoryBacking', 'access')?.attributes.get('mode')
  const cells = childrenNamed(childAt(domain, 'cpu', 'numa'), 'cell')
  return access === 'shared' || cells.some(cell => cell.attributes.get('memAccess') === 'shared')
}

/** `0000:3b:00.0`, a bus and a device, a vendor and a product, a UUID: whatever names it. */
function addressIn(source: XmlElement | undefined): string {
  const hex = (text: string | undefined): string => (text ?? '0').replace(/^0x/, '')
  const address = source === undefined ? undefined : childAt(source, 'address')?.attributes
  if (address?.get('uuid') !== undefined) return address.get('uuid') ?? ''
  if (address?.get('domain') !== undefined || address?.get('slot') !== undefined)
    return `${hex(address.get('domain')).padStart(4, '0')}:${hex(address.get('bus'))}:${hex(address.get('slot'))}.${hex(address.get('function'))}`
  const vendor = attributeAt(source, 'id', 'vendor')
  if (vendor !== undefined) return `${hex(vendor)}:${hex(attributeAt(source, 'id', 'product'))}`
  const parts = [...(address ?? []), ...(source?.attributes ?? [])].map(([key, value]) => `${key} ${value}`)
  return parts.length === 0 ? 'without an address' : parts.join(', ')
}

/** Files that must be at the target besides disks it would be given a copy of. */
export function filesOf(domain: XmlElement, disks: readonly Omit<VmDisk, 'size'>[]): readonly VmFile[] {
  const at = (name: string): string | undefined => childAt(domain, 'os', name)?.text.trim() || undefined
  const booted = (['kernel', 'initrd', 'loader'] as const).flatMap((name): VmFile[] => {
    const path = at(name)
    return path?.startsWith('/') === true ? [{ what: name === 'loader' ? 'firmware' : name, path }] : []
  })
  const local = disks.filter(({ type, source }) => (type === 'file' || type === 'block') && source !== undefined)
  return [
    ...booted,
    ...local.flatMap(({ device, source = '', shared, readonly, optional }): VmFile[] => {
      const drive = device === 'cdrom' || device === 'floppy'
      if (drive) return optional ? [] : [{ what: 'medium', path: source }]
      return shared || readonly ? [{ what: 'shared disk', path: source }] : []
    }),
    ...persistentMemory(childAt(domain, 'devices')).map((path): VmFile => ({ what: 'persistent memory', path })),
  ]
}

/** Kinds of devices that some builds of QEMU lack: SPICE and QXL in RHEL 9, for one. */
export function modelsOf(devices: XmlElement | undefined): readonly ModelNeed[] {
  const named = (name: string, read: (device: XmlElement) => string | undefined): readonly string[] => [
    ...new Set(childrenNamed(devices, name).flatMap(device => read(device) ?? [])),
  ]
  return [
    ...named('video', device => attributeAt(device, 'type', 'model'))
      .filter(model => model !== 'none')
      .map((model): ModelNeed => ({ device: 'video', model })),
    ...named('graphics', device => device.attributes.get('type')).map(
      (model): ModelNeed => ({ device: 'graphics', model }),
    ),
    ...named('tpm', device => attributeAt(device, 'type', 'backend')).map(
      (model): ModelNeed => ({ device: 'tpm', model }),
    ),
  ]
}

export const secretsOf = (devices: XmlElement | undefined): readonly string[] => [
  ...new Set(
    childrenNamed(devices, 'disk').flatMap(disk =>
      [
        childAt(disk, 'source', 'auth', 'secret'),
        childAt(disk, 'auth', 'secret'),
        childAt(disk, 'source', 'encryption', 'secret'),
      ]
        .map(secret => secret?.attributes.get('uuid') ?? secret?.attributes.get('usage'))
        .filter(secret => secret !== undefined),
    ),
  ),
]
