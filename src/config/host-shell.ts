/**
 * Where a shell on a host is to be had, for what no hypervisor tells (the monitor's readings). Most host uris say it already; for one
 * that does not (libvirt over TLS or TCP, or a socket that leads to another place) `shell` in lifeboat.yaml says it:
 *
 *     local:                 this machine
 *     netns://NAMESPACE      a network namespace of this machine
 *     ssh://USER@HOST:PORT   over the system's ssh
 */
import { parseLibvirtUri } from '../libvirt/public.ts'
import { type HostUri, UriError } from './host-uri.ts'

export type HostShell =
  | { readonly kind: 'local' }
  | { readonly kind: 'namespace'; readonly namespace: string }
  | {
      readonly kind: 'ssh'
      readonly host: string
      readonly user: string | undefined
      readonly port: number | undefined
    }

const forms = 'local:, netns://NAMESPACE or ssh://USER@HOST:PORT'

/** @throws UriError */
export function parseHostShell(text: string): HostShell {
  if (/^local:(\/\/)?$/i.test(text)) return { kind: 'local' }
  const namespace = /^netns:\/\/(\w[\w.-]*)\/?$/i.exec(text)?.[1]
  if (namespace !== undefined) return { kind: 'namespace', namespace }
  const parts = /^ssh:\/\/(?:(\w[\w.-]*)@)?(\[[0-9a-f:]+\]|\w[\w.-]*)(?::(\d{1,5}))?\/?$/i.exec(text)
  if (parts === null) throw new UriError(`"${text}" says no way to a shell; expected ${forms}`)
  const [, user, host = '', port] = parts
  if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535))
    throw new UriError(`"${text}": a port is 1 to 65535`)
  return { kind: 'ssh', host: host.replace(/^\[|\]$/g, ''), user, port: port === undefined ? undefined : Number(port) }
}

/** Of a host that runs plain QEMU: the way to its folder is one to a shell. */
export function shellOfQmp(uri: Exclude<HostUri, { kind: 'libvirt' }>): HostShell {
  switch (uri.kind) {
    case 'qmp-local':
      return { kind: 'local' }
    case 'qmp-netns':
      return { kind: 'namespace', namespace: uri.namespace }
    case 'qmp-ssh':
      return { kind: 'ssh', host: uri.host, user: uri.user, port: uri.port }
  }
}

/** @returns undefined where the uri leads to a daemon and to no shell, and none is given */
export function shellOf(uri: HostUri, given: HostShell | undefined): HostShell | undefined {
  if (given !== undefined) return given
  if (uri.kind !== 'libvirt') return shellOfQmp(uri)
  const { transport, host, user, port, socket } = parseLibvirtUri(uri.text)
  if (transport === 'ssh' && host !== undefined) return { kind: 'ssh', host, user, port }
  return transport === 'unix' && socket === undefined ? { kind: 'local' } : undefined
}
