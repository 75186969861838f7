/** Which host has which address, and over which path a connection between two of them goes: the most exact that is declared, else the way between their sites. */
import type { HostId, SiteId } from '../ids.ts'
import { hostsOfSite, type Path, type Snapshot, wayBetween } from '../inventory/snapshot.ts'

export interface Link {
  /** `sendai → osaka` */
  readonly name: string
  readonly path: Path
  readonly sources: readonly HostId[]
  readonly targets: readonly HostId[]
}

export interface NetworkMap {
  readonly links: readonly Link[]
  /** The link a connection from one host to another takes; undefined within a site where nothing is declared. */
  linkOf(from: HostId, to: HostId): Link | undefined
  /** Those that leave this host. */
  linksFrom(host: HostId): readonly Link[]
}

export const linkName = ({ from, to }: { readonly from: string; readonly to: string }): string => `${from} → ${to}`

/** Declared paths in their order, then what nobody declared: one for each ordered pair of sites. */
export function networkMap(snapshot: Snapshot): NetworkMap {
  const siteNames = new Set<string>(snapshot.sites.map(({ id }) => id))
  const hostsOf = (end: SiteId | HostId): readonly HostId[] =>
    siteNames.has(end)
      ? snapshot.hosts.filter(({ site }) => site === end).map(({ id }) => id)
      : snapshot.hosts.filter(({ id }) => id === end).map(({ id }) => id)
  const paths = new Set(snapshot.paths)
  for (const a of snapshot.sites) {
    for (const b of snapshot.sites) {
      const [from] = hostsOfSite(snapshot, a.id)
      const [to] = hostsOfSite(snapshot, b.id)
      if (a === b || from === undefined || to === undefined) continue
      for (const source of hostsOfSite(snapshot, a.id)) {
        for (const target of hostsOfSite(snapshot, b.id)) {
          const way = wayBetween(snapshot, source.id, target.id)
          if (way !== undefined) paths.add(way)
        }
      }
    }
  }
  const links = new Map<Path, Link>()
  const names = new Set<string>()
  for (const path of paths) {
    const name = linkName(path)
    // Of two that say the same, the first counts.
    if (names.has(name)) continue
    names.add(name)
    links.set(path, { name, path, sources: hostsOf(path.from), targets: hostsOf(path.to) })
  }
  const leaving = new Map<HostId, Link[]>()
  for (const link of links.values()) {
    for (const host of link.sources) {
      const known = leaving.get(host)
      if (known === undefined) leaving.set(host, [link])
      else known.push(link)
    }
  }
  return {
    links: [...links.values()],
    linkOf(from, to) {
      const way = wayBetween(snapshot, from, to)
      return way === undefined ? undefined : links.get(way)
    },
    linksFrom: host => leaving.get(host) ?? [],
  }
}
