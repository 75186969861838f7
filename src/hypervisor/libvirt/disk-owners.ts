/** Which domains of a libvirt host have which disk, and what one that was here before has left. */
import { posix } from 'node:path'
import type { Domain } from '../../libvirt/public.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { disksOfDomain } from './domain-disks.ts'
import { tombstoneName, tombstoneOf, xmlInTombstone } from './domain-xml.ts'
import type { Domains } from './domains.ts'

export interface Owners {
  /** By place. */
  readonly others: ReadonlyMap<string, string>
  /** Places that a domain of others writes to. */
  readonly written: ReadonlySet<string>
  /**
   * Places of the disks that were copied away from here when it left, as its tombstone says. A definition alone says nothing: clusters define a VM
   * on all their hosts, and its disk there is the one it runs on.
   */
  readonly left: ReadonlySet<string>
}

/** A path, written in one way only. */
export const placeOf = (path: string): string => (path.startsWith('/') ? posix.normalize(path) : path)

/** @param arriving what it has is its own; undefined for nobody */
export async function diskOwners(
  domains: Domains,
  arriving: { readonly name: string; readonly uuid: string } | undefined,
  signal: AbortSignal,
): Promise<Owners> {
  const { domains: all } = await domains.daemon.call('connectListAllDomains', { needResults: true, flags: 0 }, signal)
  const others = new Map<string, string>()
  const written = new Set<string>()
  const left = new Set<string>()
  for (const dom of all) {
    const xml = await xmlOf(domains, dom, signal)
    if (xml === undefined) continue
    if (arriving !== undefined && uuidText(dom) === arriving.uuid) continue
    if (arriving !== undefined && dom.name === tombstoneName(arriving.name)) {
      const kept = tombstoneOf(xml) === arriving.uuid ? xmlInTombstone(xml) : ''
      for (const { kind, chain } of kept === '' ? [] : disksOfDomain(kept))
        for (const { path } of kind === 'copied' ? chain.slice(0, 1) : []) left.add(placeOf(path))
      continue
    }
    for (const { kind, chain } of disksOfDomain(xml))
      for (const [level, { path }] of chain.entries()) {
        others.set(placeOf(path), dom.name)
        if (level === 0 && kind !== 'read') written.add(placeOf(path))
      }
  }
  return { others, written, left }
}

/** @returns undefined for one that has gone meanwhile */
async function xmlOf(domains: Domains, dom: Domain, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await domains.daemon.call('domainGetXmlDesc', { dom, flags: 0 }, signal)).xml
  } catch (error) {
    if (isNoDomain(error)) return undefined
    throw error
  }
}
