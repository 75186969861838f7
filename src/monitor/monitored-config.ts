/** From lifeboat.yaml to what the monitor reads: every host with its shell, every path. Nobody is asked for it. */
import type { Config, HostConfig } from '../config/config-schema.ts'
import { pathFrom } from '../config/inventory-file.ts'
import { migrationAddressOf } from '../config/migration-address.ts'
import type { SiteId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import { networkMap, type NetworkMap } from '../core/network/network-map.ts'
import { isKnown, type NotKnown } from '../core/network/reading.ts'
import { bytes, type Milliseconds, ms } from '../core/units.ts'
import type { Remote } from '../remote/remote.ts'
import { shellOf } from '../remote/host-shell.ts'
import type { MonitoredHost } from './monitor.ts'

export interface Monitored {
  readonly map: NetworkMap
  readonly hosts: readonly MonitoredHost[]
  /** Ends the connections to hosts; the monitor's run has ended before. */
  close(): Promise<void>
}

const eachSecond = (): Milliseconds => ms(1_000)

/**
 * Every host, and where it is reached: who is not read is still whom migrations go to.
 * @param readEvery how often the hosts of a site are read; undefined: never, and nobody connects to them
 */
export function monitoredFrom(
  config: Config,
  readEvery: (site: SiteId) => Milliseconds | undefined = eachSecond,
): Monitored {
  const hosts = config.sites.flatMap(site => {
    const every = readEvery(site.name)
    return site.hosts.map((host): MonitoredHost => {
      const known = { host: host.name, address: migrationAddressOf(host) }
      return every === undefined
        ? { ...known, remote: { why: 'it takes no part' } }
        : { ...known, remote: remoteOf(host), readEvery: every }
    })
  })
  return {
    map: networkMap(bareSnapshot(config)),
    hosts,
    close: async () => {
      await Promise.allSettled(hosts.map(({ remote }) => (isKnown(remote) ? remote.close() : Promise.resolve())))
    },
  }
}

function remoteOf(host: HostConfig): Remote | NotKnown {
  const shell = shellOf(host)
  if (shell.remote !== undefined) return shell.remote
  return { why: `${shell.why}; say where a shell is, in lifeboat.yaml: shell: ssh://USER@HOST` }
}

/** Sites, hosts and paths as configured; no VMs. */
function bareSnapshot(config: Config): Snapshot {
  const siteNames = new Set<string>(config.sites.map(site => site.name))
  return {
    takenAt: instant(0),
    sites: config.sites.map(({ name, safe, uplink }) => ({ id: name, safe, uplink })),
    hosts: config.sites.flatMap(site =>
      site.hosts.map(({ name, memory, nic, cpu }) => ({
        id: name,
        site: site.name,
        memory: memory ?? bytes(0),
        nic,
        cpu,
      })),
    ),
    paths: config.paths.map(path => pathFrom(path, siteNames)),
    vms: [],
    unreachable: [],
    power: [],
    deadline: undefined,
  }
}
