/** Which domains of a libvirt host have which disk, and whether one was here before. */
import type { Domain } from '../../libvirt/public.ts'
import { isNoDomain, uuidText } from './daemon.ts'
import { disksOfDomain } from './domain-disks.ts'
import { tombstoneName, tombstoneOf } from './domain-xml.ts'
import type { Domains } from './domains.ts'

export interface Owners {
  /** By path. */
  readonly others: ReadonlyMap<string, string>
  /** It is defined here and does not run, or it left a tombstone. */
  readonly wasHere: boolean
}

/** @param arriving what it has is its own; undefined for nobody */
export async function diskOwners(
  domains: Domains,
  arriving: { readonly name: string; readonly uuid: string } | undefined,
  signal: AbortSignal,
): Promise<Owners> {
  const { domains: all } = await domains.daemon.call('connectListAllDomains', { needResults: true, flags: 0 }, signal)
  const others = new Map<string, string>()
  let wasHere = false
  for (const dom of all) {
    const xml = await xmlOf(domains, dom, signal)
    if (xml === undefined) continue
    if (arriving !== undefined && uuidText(dom) === arriving.uuid) wasHere = true
    else if (arriving !== undefined && dom.name === tombstoneName(arriving.name))
      wasHere ||= tombstoneOf(xml) === arriving.uuid
    else for (const { chain } of disksOfDomain(xml)) for (const { path } of chain) others.set(path, dom.name)
  }
  return { others, wasHere }
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
