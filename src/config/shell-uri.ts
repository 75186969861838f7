/**
 * Where commands for a host run, as `shell` in lifeboat.yaml says; without it, where its uri leads (qemu+ssh, qmp+…).
 *
 *     ssh://USER@HOST:PORT              over the system's ssh
 *     local:///                         this machine
 *     netns://NAMESPACE                 a network namespace of this machine
 *     pid:///run/libvirt/libvirtd.pid   the namespaces of a process of this machine: a daemon in a container, the lab's hosts
 */
import { UriError } from './host-uri.ts'

export type ShellUri =
  | { readonly kind: 'local' }
  | { readonly kind: 'netns'; readonly namespace: string }
  | { readonly kind: 'pid'; readonly file: string }
  | {
      readonly kind: 'ssh'
      readonly host: string
      readonly user: string | undefined
      readonly port: number | undefined
    }

const forms = 'ssh://USER@HOST, local:///, netns://NAMESPACE, pid:///FILE'

/** @throws UriError */
export function parseShellUri(text: string): ShellUri {
  const wrong = new UriError(`"${text}" says nothing about where commands run; expected one of ${forms}`)
  const [, scheme = '', authority = '', path = ''] = /^([a-z]+):\/\/([^/?#\s]*)(\/[^?#\s]*)?$/i.exec(text) ?? []
  switch (scheme.toLowerCase()) {
    case 'local':
      if (authority !== '' || path.length > 1) throw wrong
      return { kind: 'local' }
    case 'netns':
      if (!/^\w[\w.-]*$/.test(authority) || path.length > 1) throw wrong
      return { kind: 'netns', namespace: authority }
    case 'pid':
      if (authority !== '' || path.length < 2) throw wrong
      return { kind: 'pid', file: path }
    case 'ssh': {
      // A name that began with "-" would be an option to ssh.
      const found = /^(?:(\w[\w.-]*)@)?(\[[0-9a-f:]+\]|\w[\w.-]*)(?::(\d{1,5}))?$/i.exec(authority)
      const port = found?.[3] === undefined ? undefined : Number(found[3])
      if (found === null || path.length > 1 || port === 0 || (port ?? 0) > 65_535) throw wrong
      return { kind: 'ssh', host: (found[2] ?? '').replaceAll(/^\[|\]$/g, ''), user: found[1], port }
    }
    default:
      throw wrong
  }
}
