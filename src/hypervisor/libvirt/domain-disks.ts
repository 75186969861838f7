/**
 * A running domain's disks as its definition has them, each with what a move must do about it, and its images from the top to the base.
 * libvirt writes the whole chain into the XML of a running domain (docs/formatdomain.rst, backingStore).
 */
import { childAt, childrenNamed, parseXml, type XmlElement } from './xml.ts'

export interface Image {
  readonly path: string
  readonly format: string
}

/**
 * `copied`: writable, and on the host's own storage.  `read`: never written, so the target must have it already.  `shared`: the target
 * reaches it too.  `empty`: a drive without a medium.  `unknown`: a kind of storage that cannot be made at a target.
 */
export type DiskKind = 'copied' | 'read' | 'shared' | 'empty' | 'unknown'

export interface DiskOfDomain {
  /** As the guest sees it: `vda`. */
  readonly target: string
  readonly kind: DiskKind
  /** What libvirt calls its storage: `file`, `block`, `volume`, `network`, … */
  readonly storage: string
  /** May be missing at the target: libvirt then leaves the drive empty (startupPolicy). */
  readonly mayBeMissing: boolean
  /** From the top to the base; none where the storage is no file or device of this host. */
  readonly chain: readonly Image[]
}

/** @param xml of the running domain. @throws XmlError */
export const disksOfDomain = (xml: string): readonly DiskOfDomain[] =>
  childrenNamed(childAt(parseXml(xml), 'devices'), 'disk').map(diskOf)

function diskOf(disk: XmlElement): DiskOfDomain {
  const storage = disk.attributes.get('type') ?? 'file'
  const startupPolicy = childAt(disk, 'source')?.attributes.get('startupPolicy')
  const chain = chainOf(disk)
  return {
    target: childAt(disk, 'target')?.attributes.get('dev') ?? 'unnamed',
    kind: kindOf(disk, storage, chain),
    storage,
    mayBeMissing: startupPolicy === 'optional' || startupPolicy === 'requisite',
    chain,
  }
}

function kindOf(disk: XmlElement, storage: string, chain: readonly Image[]): DiskKind {
  const device = disk.attributes.get('device') ?? 'disk'
  if (storage === 'network' || childAt(disk, 'shareable') !== undefined) return 'shared'
  if (childAt(disk, 'source') === undefined) return 'empty'
  if (chain.length === 0) return 'unknown'
  return childAt(disk, 'readonly') !== undefined || device === 'cdrom' || device === 'floppy' ? 'read' : 'copied'
}

/** A level that is no file or device ends it: what is below is no business of this host. */
function chainOf(level: XmlElement): readonly Image[] {
  const images: Image[] = []
  for (let at: XmlElement | undefined = level; at !== undefined; at = childAt(at, 'backingStore')) {
    const path = pathOf(childAt(at, 'source'))
    if (path === undefined) break
    const format =
      at === level ? childAt(at, 'driver')?.attributes.get('type') : childAt(at, 'format')?.attributes.get('type')
    images.push({ path, format: format ?? 'raw' })
  }
  return images
}

/** `volume`: a running domain's XML has no path for it; a pool and a volume name stand for one. */
function pathOf(source: XmlElement | undefined): string | undefined {
  const { attributes } = source ?? { attributes: new Map<string, string>() }
  const [pool, volume] = [attributes.get('pool'), attributes.get('volume')]
  return (
    attributes.get('file') ??
    attributes.get('dev') ??
    (pool === undefined || volume === undefined ? undefined : `${pool}:${volume}`)
  )
}
