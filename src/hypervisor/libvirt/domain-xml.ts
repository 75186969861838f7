/** What Lifeboat needs of a domain's definition, and the tombstone it leaves where one has been. */
import { createHash } from 'node:crypto'
import { type Bytes, bytes } from '../../core/units.ts'
import { policyIn, type ReadPolicy } from './domain-policy.ts'
import { childAt, childrenNamed, escapeXml, parseXml, type XmlElement } from './xml.ts'
import { sizeIn } from './xml-size.ts'

export interface DomainFacts {
  readonly name: string
  readonly uuid: string
  readonly memory: Bytes
  readonly vcpus: number
  /** Of disks only: what is in a drive, and what is read only, needs no copy. */
  readonly disks: readonly DomainDisk[]
  readonly policy: ReadPolicy
}

export interface DomainDisk {
  /** As the guest sees it: `vda`. */
  readonly target: string
  /** The target reaches it too: on the network, or said to be shared. */
  readonly shared: boolean
  /** A file or device of which only its definition says that it is shared, and nothing of it is in the host's cache. */
  readonly sharedByWord: boolean
  /** Nothing of it stays in a host's cache, or its storage keeps caches in step: libvirt would let it move, were it on a file system it knows. */
  readonly uncached: boolean
}

/**
 * Whether libvirt's check of disks is to be overruled (VIR_MIGRATE_UNSAFE). It refuses file systems it does not know, and believes no
 * definition that they are shared. But the flag switches off all of the check, for all disks of the VM: so only where every one of them
 * passes the rest of it, the cache (src/qemu/qemu_migration.c, qemuMigrationSrcIsSafe), by our own reading.
 */
export const overrulesSafety = (disks: readonly DomainDisk[]): boolean =>
  disks.some(({ sharedByWord }) => sharedByWord) && disks.every(({ uncached }) => uncached)

/** @throws XmlError */
export function factsOf(xml: string): DomainFacts {
  const domain = parseXml(xml)
  const textAt = (name: string): string => childAt(domain, name)?.text.trim() ?? ''
  const memory = childAt(domain, 'memory')
  return {
    name: textAt('name'),
    uuid: textAt('uuid').toLowerCase(),
    memory: sizeIn(memory?.text, memory?.attributes.get('unit')) ?? bytes(0),
    vcpus: Number(textAt('vcpu')) || 1,
    disks: childrenNamed(childAt(domain, 'devices'), 'disk').filter(needsItsContent).map(diskOf),
    policy: policyIn(domain),
  }
}

const needsItsContent = (disk: XmlElement): boolean => {
  const device = disk.attributes.get('device') ?? 'disk'
  return (device === 'disk' || device === 'lun') && childAt(disk, 'readonly') === undefined
}

function diskOf(disk: XmlElement): DomainDisk {
  const onNetwork = disk.attributes.get('type') === 'network'
  const shareable = childAt(disk, 'shareable') !== undefined
  const cache = childAt(disk, 'driver')?.attributes.get('cache')
  const ceph = onNetwork && childAt(disk, 'source')?.attributes.get('protocol') === 'rbd'
  const uncached = ceph || cache === 'none' || cache === 'directsync'
  return {
    target: childAt(disk, 'target')?.attributes.get('dev') ?? 'unnamed',
    shared: onNetwork || shareable,
    sharedByWord: !onNetwork && shareable && uncached,
    uncached,
  }
}

const namespace = 'https://github.com/lifeboat/lifeboat/xmlns/1'

export const tombstoneName = (name: string): string => `${name}.evacuated`

/**
 * A domain that says in any list of domains where the VM went, keeps its definition, and cannot be started: its kernel is a file that
 * is nowhere, whose name is the reason libvirt then gives. Its UUID is its own, so that the VM itself may come back.
 */
export function tombstoneXml(xml: string, wentTo: string): string {
  const domain = parseXml(xml)
  const { name, uuid } = factsOf(xml)
  const type = childAt(domain, 'os', 'type')
  const attributes = [...(type?.attributes ?? [])].map(([key, value]) => ` ${key}='${escapeXml(value)}'`).join('')
  const reason = `${name} was evacuated to ${wentTo}`
  return `<domain type='${escapeXml(domain.attributes.get('type') ?? 'kvm')}'>
  <name>${escapeXml(tombstoneName(name))}</name>
  <uuid>${derivedUuid(`tombstone of ${uuid}`)}</uuid>
  <title>${escapeXml(reason)} by Lifeboat; cannot be started here</title>
  <metadata>
    <lifeboat:evacuated xmlns:lifeboat='${namespace}' vm='${escapeXml(name)}' uuid='${escapeXml(uuid)}' to='${escapeXml(wentTo)}'>${escapeXml(xml)}</lifeboat:evacuated>
  </metadata>
  <memory unit='KiB'>1024</memory>
  <vcpu>1</vcpu>
  <os>
    <type${attributes}>${escapeXml(type?.text.trim() ?? 'hvm')}</type>
    <kernel>/${escapeXml(reason.replaceAll(/[^\w.-]+/g, '-'))}</kernel>
  </os>
</domain>
`
}

/** Of which VM this is the tombstone, by UUID; undefined where it is none. @throws XmlError */
export const tombstoneOf = (xml: string): string | undefined =>
  childAt(parseXml(xml), 'metadata', 'lifeboat:evacuated')?.attributes.get('uuid')?.toLowerCase()

/** The definition that a tombstone keeps; empty where it is none. @throws XmlError */
export const xmlInTombstone = (xml: string): string =>
  childAt(parseXml(xml), 'metadata', 'lifeboat:evacuated')?.text.trim() ?? ''

function derivedUuid(from: string): string {
  const hex = createHash('sha256').update(from).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
