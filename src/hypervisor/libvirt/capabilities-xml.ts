/** What a daemon says of its host (docs/formatcaps.rst), of what its QEMU can build (formatdomaincaps.rst), of its networks and pools. */
import type { HostCpu, NetworkProfile } from '../../core/preflight/host-profile.ts'
import type { Bytes } from '../../core/units.ts'
import { childAt, childrenNamed, parseXml, type XmlElement } from './xml.ts'
import { sizeIn } from './xml-size.ts'

export interface HostCapabilities {
  readonly uuid: string | undefined
  readonly arch: string | undefined
  readonly cpu: HostCpu | undefined
  /** Larger than the usual ones. */
  readonly pageSizes: readonly Bytes[]
}

const textOf = (element: XmlElement | undefined): string | undefined => element?.text.trim() || undefined

/** Ordinary pages are of no interest: every guest's memory is made of them. */
const ordinaryPage = 64 * 1024

/** @throws XmlError */
export function hostCapabilities(xml: string): HostCapabilities {
  const host = childAt(parseXml(xml), 'host')
  const cpu = host === undefined ? undefined : childAt(host, 'cpu')
  const model = cpu === undefined ? undefined : textOf(childAt(cpu, 'model'))
  return {
    uuid: host === undefined ? undefined : textOf(childAt(host, 'uuid'))?.toLowerCase(),
    arch: cpu === undefined ? undefined : textOf(childAt(cpu, 'arch')),
    cpu:
      cpu === undefined || model === undefined
        ? undefined
        : {
            vendor: textOf(childAt(cpu, 'vendor')),
            model,
            features: childrenNamed(cpu, 'feature').flatMap(({ attributes }) => attributes.get('name') ?? []),
            microcode: childAt(cpu, 'microcode')?.attributes.get('version'),
          },
    pageSizes: childrenNamed(cpu, 'pages')
      .flatMap(({ attributes }) => sizeIn(attributes.get('size'), attributes.get('unit')) ?? [])
      .filter(size => size > ordinaryPage),
  }
}

/** Models by kind of device, where the daemon says anything of that kind. @throws XmlError */
export function deviceModels(xml: string): ReadonlyMap<string, readonly string[]> {
  const devices = childAt(parseXml(xml), 'devices')
  const found = new Map<string, readonly string[]>()
  for (const [device, key] of [
    ['video', 'modelType'],
    ['graphics', 'type'],
    ['tpm', 'backendModel'],
  ] as const) {
    const element = devices === undefined ? undefined : childAt(devices, device)
    if (element === undefined) continue
    const values = childrenNamed(element, 'enum').find(({ attributes }) => attributes.get('name') === key)
    if (element.attributes.get('supported') === 'no') found.set(device, [])
    else if (values !== undefined)
      found.set(
        device,
        childrenNamed(values, 'value').map(({ text }) => text.trim()),
      )
  }
  return found
}

/** @throws XmlError */
export function networkFrom(xml: string): Pick<NetworkProfile, 'forward' | 'bridge' | 'portgroups'> {
  const network = parseXml(xml)
  const forward = childAt(network, 'forward')
  return {
    // formatnetwork.rst: without <forward> a network is isolated; with one that says nothing it is nat.
    forward: forward === undefined ? 'isolated' : (forward.attributes.get('mode') ?? 'nat'),
    bridge: childAt(network, 'bridge')?.attributes.get('name'),
    portgroups: childrenNamed(network, 'portgroup').flatMap(({ attributes }) => attributes.get('name') ?? []),
  }
}

/** @throws XmlError */
export function poolFrom(xml: string): { readonly type: string; readonly path: string | undefined } {
  const pool = parseXml(xml)
  const path = textOf(childAt(pool, 'target', 'path'))
  return { type: pool.attributes.get('type') ?? 'unknown', path: path?.replace(/(.)\/+$/, '$1') }
}
