/** From the configuration to drivers: one {@link Hypervisor} a host, made when first asked for, closed together. */
import type { HostConfig } from '../config/config-schema.ts'
import type { Config } from '../config/config-schema.ts'
import { type HostId, hostId } from '../core/ids.ts'
import type { Hypervisor } from '../hypervisor/hypervisor.ts'
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

function remoteOf({ uri }: HostConfig): Remote {
  switch (uri.kind) {
    case 'qmp-local':
      return localRemote
    case 'qmp-netns':
      return namespaceRemote(uri.namespace)
    case 'qmp-ssh':
      return sshRemote({ host: uri.host, user: uri.user, port: uri.port, options: [] })
  }
}

function addressOf(host: HostConfig): string {
  if (host.migrationAddress !== undefined) return host.migrationAddress
  return host.uri.kind === 'qmp-ssh' ? host.uri.host : '127.0.0.1'
}

export function openHosts(config: Config, clock: Clock): Hosts {
  const configured = new Map(config.sites.flatMap(site => site.hosts.map(host => [hostId(host.name), host] as const)))
  const open = new Map<HostId, Hypervisor>()
  return {
    all: [...configured.keys()],
    get(id) {
      const known = open.get(id)
      if (known !== undefined) return known
      const host = configured.get(id)
      if (host === undefined) throw new Error(`no host is named ${id} in the configuration`)
      const driver = new QemuHost({
        host: id,
        remote: remoteOf(host),
        folder: host.uri.folder,
        migrationAddress: addressOf(host),
        memory: host.memory,
        clock,
      })
      open.set(id, driver)
      return driver
    },
    async close() {
      await Promise.allSettled([...open.values()].map(driver => driver.close()))
    },
  }
}
