/** From the way to a host's shell, as the configuration has it, to its {@link Remote}. */
import type { HostShell } from '../config/host-shell.ts'
import { localRemote } from './local.ts'
import { namespaceRemote } from './namespace.ts'
import type { Remote } from './remote.ts'
import { sshRemote } from './ssh.ts'

export function remoteTo(shell: HostShell): Remote {
  switch (shell.kind) {
    case 'local':
      return localRemote
    case 'namespace':
      return namespaceRemote(shell.namespace)
    case 'ssh':
      return sshRemote({ host: shell.host, user: shell.user, port: shell.port, options: [] })
  }
}
