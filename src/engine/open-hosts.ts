/** From the configuration to drivers: one {@link Hypervisor} a host, made when first asked for, closed together. */
import type { HostConfig } from '../config/config-schema.ts'
import type { Config } from '../config/config-schema.ts'
import type { HostUri } from '../config/host-uri.ts'
import { type HostId, hostId } from '../core/ids.ts'
import type { Hypervisor } from '../hypervisor/hypervisor.ts'
import { LibvirtHost } from '../hypervisor/libvirt/libvirt-host.ts'
import { QemuHost } from '../hypervisor/qemu/qemu-host.ts'
import { localRemote } from '../remote/local.ts'
import { namespaceRemote } from '../remote/namespace.ts'
import type { Remote } from '../remote/remote.ts'
import { sshRemote } from '../remote/ssh.ts'
import type { Clock } from '../time/clock.ts'

export interface Hosts {
  /** @throws Error for a host that is not in the configuration */
  get(host: HostId): Hypervisor
  readonly all: readonly HostId[]
  close(): Promise<void>
}

type QmpUri = Exclude<HostUri, { kind: 'libvirt' }>
type LibvirtUri = Extract<HostUri, { kind: 'libvirt' }>

function remoteOf(uri: QmpUri): Remote {
  switch (uri.kind) {
    case 'qmp-local':
      return localRemote
    case 'qmp-netns':
      return namespaceRemote(uri.namespace)
    case 'qmp-ssh':
      return sshRemote({ host: uri.host, user: uri.user, port: uri.port, options: [] })
  }
}

/** Where others reach it. */
export function addressOf({ migrationAddress, uri }: HostConfig): string {
  if (migrationAddress !== undefined) return migrationAddress
  const host = uri.kind === 'qmp-ssh' || uri.kind === 'libvirt' ? uri.host : undefined
  return host ?? '127.0.0.1'
}

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
  const migrationAddress = addressOf(host)
  if (uri.kind !== 'libvirt')
    return new QemuHost({ host: id, remote: remoteOf(uri), folder: uri.folder, migrationAddress, memory, clock })
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
