/** What happens to a lab on purpose: links change, are cut and healed; guests, hosts and whole sites die. */
import type { HostId, SiteId, VmId } from '../core/ids.ts'
import type { Clock } from '../time/clock.ts'
import { LabError } from './lab-error.ts'
import { gatewayNamespace, hereFolder, hostNamespace, vmsFolder } from './lab-names.ts'
import type { LabRecord } from './lab-record.ts'
import { type LabLink, linkBetween } from './lab-spec.ts'
import { batchIn, namespacesOf, numbered, removeNamespaces } from './network.ts'
import { endProcesses, hypervisorsIn, processesNaming } from './processes.ts'
import { wanOf } from './choose-wan.ts'
import type { LinkChange, LinkStats } from './wan.ts'

/** @throws LabError for a pair of sites that this lab does not have */
export function linkOf(record: LabRecord, a: string, b: string): LabLink {
  const { spec } = record
  const ids = [a, b].map(name => {
    const site = spec.sites.find(({ id }) => id === name)
    if (site === undefined)
      throw new LabError(
        `no site is named "${name}" in lab ${spec.name}; there are: ${spec.sites.map(({ id }) => id).join(', ')}`,
      )
    return site.id
  })
  const [x, y] = ids
  const link = x === undefined || y === undefined || x === y ? undefined : linkBetween(spec.links, x, y)
  if (link === undefined) throw new LabError(`no link between "${a}" and "${b}"`)
  return link
}

export const changeLink = (
  root: string,
  record: LabRecord,
  link: LabLink,
  to: LinkChange,
  signal: AbortSignal,
): Promise<void> => wanOf(record.wan, root).change(record.spec, link, to, signal)

export const linkStats = (root: string, record: LabRecord, signal: AbortSignal): Promise<readonly LinkStats[]> =>
  wanOf(record.wan, root).stats(record.spec, signal)

/** SIGKILL to a guest, wherever in the lab it runs. @returns how many processes that were */
export async function killVm(
  root: string,
  record: LabRecord,
  vm: VmId,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const { spec } = record
  const folders = [hereFolder(root, spec.name), ...spec.hosts.map(host => vmsFolder(root, spec.name, host.id))]
  const found = folders.flatMap(folder => processesNaming(`${folder}/${vm}`))
  if (found.length === 0) throw new LabError(`no process of "${vm}" in lab ${spec.name}`)
  await endProcesses(found, clock, signal)
  return found.length
}

/** As if the power went: its guests die, and it cannot be reached any more. */
export async function killHost(
  root: string,
  record: LabRecord,
  host: HostId,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const { spec } = record
  if (!spec.hosts.some(({ id }) => id === host)) {
    throw new LabError(
      `no host is named "${host}" in lab ${spec.name}; there are: ${spec.hosts.map(({ id }) => id).join(', ')}`,
    )
  }
  // First off the network, so that nobody sees its guests die one by one.
  const number = numbered(spec).flatMap(site =>
    site.hosts.map(h => ({ ...h, gateway: gatewayNamespace(spec.name, site.site.id) })),
  )
  const place = number.find(entry => entry.host.id === host)
  const namespace = hostNamespace(spec.name, host)
  if (place !== undefined && namespacesOf(spec.name).includes(namespace))
    await batchIn(place.gateway, [`link del host${place.number}`], signal)
  const guests = processesNaming(vmsFolder(root, spec.name, host))
  const others = hypervisorsIn(namespace).filter(each => !guests.some(({ pid }) => pid === each.pid))
  await endProcesses([...guests, ...others], clock, signal)
  if (namespacesOf(spec.name).includes(namespace)) await removeNamespaces([namespace], signal)
  return guests.length + others.filter(({ what }) => what.includes('qemu-system')).length
}

export async function killSite(
  root: string,
  record: LabRecord,
  site: SiteId,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const hosts = record.spec.hosts.filter(host => host.site === site)
  if (hosts.length === 0)
    throw new LabError(
      `no site is named "${site}" in lab ${record.spec.name}; there are: ${record.spec.sites.map(({ id }) => id).join(', ')}`,
    )
  let killed = 0
  for (const { id } of hosts) killed += await killHost(root, record, id, clock, signal)
  return killed
}
