/** Where other hosts reach one for migrations. */
import type { HostConfig } from './config-schema.ts'

/** As configured, else the host in its uri, else this machine. */
export function migrationAddressOf({ migrationAddress, uri }: Pick<HostConfig, 'migrationAddress' | 'uri'>): string {
  if (migrationAddress !== undefined) return migrationAddress
  const host = uri.kind === 'qmp-ssh' || uri.kind === 'libvirt' ? uri.host : undefined
  return host ?? '127.0.0.1'
}
