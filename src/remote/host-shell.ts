/** Where commands for a host run: as `shell` says, else where its uri leads. */
import type { HostConfig } from '../config/config-schema.ts'
import type { HostUri } from '../config/host-uri.ts'
import type { ShellUri } from '../config/shell-uri.ts'
import { type LibvirtUri, parseLibvirtUri } from '../libvirt/public.ts'
import { insideRemote } from './inside.ts'
import { localRemote } from './local.ts'
import { namespaceRemote } from './namespace.ts'
import type { Remote } from './remote.ts'
import { sshRemote } from './ssh.ts'

export type HostShell =
  | { readonly remote: Remote }
  /** Why there is none. */
  | { readonly remote: undefined; readonly why: string }

export function shellOf({ shell, uri }: Pick<HostConfig, 'shell' | 'uri'>): HostShell {
  if (shell !== undefined) return { remote: remoteOf(shell) }
  switch (uri.kind) {
    case 'qmp-local':
      return { remote: localRemote }
    case 'qmp-netns':
      return { remote: namespaceRemote(uri.namespace) }
    case 'qmp-ssh':
      return { remote: sshRemote({ host: uri.host, user: uri.user, port: uri.port, options: [] }) }
    case 'libvirt':
      return shellOfLibvirt(uri)
  }
}

function remoteOf(shell: ShellUri): Remote {
  switch (shell.kind) {
    case 'local':
      return localRemote
    case 'netns':
      return namespaceRemote(shell.namespace)
    case 'pid':
      return insideRemote(shell.file)
    case 'ssh':
      return sshRemote({ host: shell.host, user: shell.user, port: shell.port, options: [] })
  }
}

function shellOfLibvirt({ text }: Extract<HostUri, { kind: 'libvirt' }>): HostShell {
  const uri = parseLibvirtUri(text)
  if (uri.transport === 'ssh' && uri.host !== undefined) {
    const { host, user, port } = uri
    return { remote: sshRemote({ host, user, port, options: sshOptions(uri) }) }
  }
  if (uri.transport === 'unix' && uri.socket === undefined) return { remote: localRemote }
  const way = uri.transport === 'unix' ? 'a socket of its own' : uri.transport
  return { remote: undefined, why: `its uri reaches its daemon by ${way}, which runs no commands` }
}

const sshOptions = ({ keyfile, knownHosts, noVerify }: LibvirtUri): readonly string[] => {
  const file = knownHosts ?? (noVerify ? '/dev/null' : undefined)
  return [
    ...(keyfile === undefined ? [] : ['-i', keyfile]),
    ...(noVerify ? ['-o', 'StrictHostKeyChecking=no'] : []),
    ...(file === undefined ? [] : ['-o', `UserKnownHostsFile=${file}`]),
  ]
}
