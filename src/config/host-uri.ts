/**
 * How a host is reached, as its uri in lifeboat.yaml says. Raw QEMU hosts, whose uri ends in their folder of definitions:
 *
 *     qmp+local:///srv/vms                this machine
 *     qmp+netns://NAMESPACE/srv/vms       a network namespace of this machine (the lab's hosts)
 *     qmp+ssh://USER@HOST:PORT/srv/vms    over the system's ssh, with its configuration, keys and known hosts
 *
 * Hosts under libvirt, whose uri is what virsh takes:
 *
 *     qemu:///system   qemu+ssh://USER@HOST/system   qemu+tls://HOST/system
 */
import { LibvirtUriError, parseLibvirtUri } from '../libvirt/public.ts'

export type HostUri =
  | { readonly kind: 'qmp-local'; readonly folder: string }
  | { readonly kind: 'qmp-netns'; readonly namespace: string; readonly folder: string }
  | {
      readonly kind: 'qmp-ssh'
      readonly host: string
      readonly user: string | undefined
      readonly port: number | undefined
      readonly folder: string
    }
  /** `host`: undefined for this machine's own. */
  | { readonly kind: 'libvirt'; readonly text: string; readonly host: string | undefined; readonly path: string }

/** A uri that cannot be used; the message says which forms can. */
export class UriError extends Error {
  override readonly name = 'UriError'
}

const forms =
  'qmp+local:///FOLDER, qmp+netns://NAMESPACE/FOLDER, qmp+ssh://USER@HOST/FOLDER, qemu:///system, qemu+ssh://USER@HOST/system'

const schemes = ['qmp+local', 'qmp+netns', 'qmp+ssh'] as const

/** @throws UriError */
export function parseHostUri(text: string): HostUri {
  if (/^qemu(\+|:)/i.test(text)) return parseLibvirt(text)
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(\/[^?#]*)?([?#].*)?$/i.exec(text)
  if (match === null) throw new UriError(`"${text}" is no uri; expected one of ${forms}`)
  const [, scheme = '', authority = '', folder = '', rest] = match
  if (rest !== undefined) throw new UriError(`"${text}": "${rest}" is not understood here`)
  const known = schemes.find(each => each === scheme.toLowerCase())
  if (known === undefined) throw new UriError(`"${text}": unknown scheme "${scheme}"; expected one of ${forms}`)
  if (!/^\/[^/]/.test(folder))
    throw new UriError(`"${text}" names no folder of VM definitions; expected one of ${forms}`)
  switch (known) {
    case 'qmp+local':
      if (authority !== '') throw new UriError(`"${text}": a local uri has three slashes: qmp+local:///FOLDER`)
      return { kind: 'qmp-local', folder }
    case 'qmp+netns':
      if (!/^\w[\w.-]*$/.test(authority))
        throw new UriError(`"${text}": "${authority}" is no name of a network namespace`)
      return { kind: 'qmp-netns', namespace: authority, folder }
    case 'qmp+ssh': {
      const parts = /^(?:([\w.-]+)@)?(\[[0-9a-f:]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(authority)
      // A name that began with "-" would be an option to ssh.
      if (parts === null || parts[2]?.startsWith('-') || parts[1]?.startsWith('-')) {
        throw new UriError(`"${text}": "${authority}" is not USER@HOST:PORT`)
      }
      const [, user, host = '', port] = parts
      if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535))
        throw new UriError(`"${text}": "${authority}" is not USER@HOST:PORT, a port is 1 to 65535`)
      return {
        kind: 'qmp-ssh',
        host: host.replace(/^\[|\]$/g, ''),
        user,
        port: port === undefined ? undefined : Number(port),
        folder,
      }
    }
  }
}

function parseLibvirt(text: string): HostUri {
  try {
    const { host, path } = parseLibvirtUri(text)
    return { kind: 'libvirt', text, host, path }
  } catch (error) {
    if (error instanceof LibvirtUriError) throw new UriError(error.message, { cause: error })
    throw error
  }
}
