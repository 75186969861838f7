/** From the configuration to drivers: one {@link Hypervisor} a host, made when first asked for, closed together. */
import type { Config, HostConfig } from '../config/config-schema.ts'
import type { HostUri } from '../config/host-uri.ts'
import { migrationAddressOf } from '../config/migration-address.ts'
import { type HostId, hostId } from '../core/ids.ts'
import type { Hypervisor } from '../hypervisor/hypervisor.ts'
import { LibvirtHost } from '../hypervisor/libvirt/libvirt-host.ts'
import { QemuHost } from '../hypervisor/qemu/qemu-host.ts'
import { shellOf } from '../remote/host-shell.ts'
import { localRemote } from '../remote/local.ts'
import type { Clock } from '../time/clock.ts'

export interface Hosts {
  /** @throws Error for a host that is not in the configuration */
  get(host: HostId): Hypervisor
  readonly all: readonly HostId[]
  close(): Promise<void>
}

type LibvirtUri = Extract<HostUri, { kind: 'libvirt' }>

/**
 * How another host's daemon reaches this one: as we do, but for what names files of this machine. A host that we reach by a local
 * socket is reached by others over TCP, at its address.
 */
export function connectUri({ text, host, path }: LibvirtUri, address: string): string {
  if (host !== undefined) return text.replace(/\?.*$/, '')
  return `qemu+tcp://${address.includes(':') ? `[${address}]` : address}${path}`
}

function driverOf(id: HostId, host: HostConfig, site: Config['sites'][number], clock: Clock): Hypervisor {
  const { uri, memory, listenAddress } = host
  const migrationAddress = migrationAddressOf(host)
  if (uri.kind !== 'libvirt') {
    // Where the folder is, wherever other commands for this host run.
    const { remote = localRemote } = shellOf({ uri })
    return new QemuHost({ host: id, remote, folder: uri.folder, migrationAddress, memory, clock })
  }
  const connect = host.peerUri ?? connectUri(uri, migrationAddress)
  const tls = (host.tls ?? site.tls) ? { name: host.tlsName } : undefined
  const reached = { connectUri: connect, migrationAddress, listenAddress, tls }
  return new LibvirtHost({ host: id, uri: uri.text, ...reached, memory, clock })
}

export function openHosts(config: Config, clock: Clock): Hosts {
  const configured = new Map(
    config.sites.flatMap(site => site.hosts.map(host => [hostId(host.name), { host, site }] as const)),
  )
  const open = new Map<HostId, Hypervisor>()
  return {
    all: [...configured.keys()],
    get(id) {
      const known = open.get(id)
      if (known !== undefined) return known
      const found = configured.get(id)
      if (found === undefined) throw new Error(`no host is named ${id} in the configuration`)
      const driver = driverOf(id, found.host, found.site, clock)
      open.set(id, driver)
      return driver
    },
    async close() {
      await Promise.allSettled([...open.values()].map(driver => driver.close()))
    },
  }
}
