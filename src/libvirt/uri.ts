/**
 * Connection URIs, as libvirt reads them (libvirt.org/uri.html):
 *
 *     qemu:///system   qemu:///session   qemu+unix:///system?socket=/run/other-sock
 *     qemu+ssh://root@host:2222/system?keyfile=/root/.ssh/id&no_verify=1
 *     qemu+tls://host/system?pkipath=/etc/pki/mine   qemu+tcp://host:16509/system
 *
 * `test:///default` is libvirt's own simulated hypervisor; it too lives in a daemon here.
 */
import { LibvirtUriError } from './errors.ts'

export type TransportKind = 'unix' | 'tcp' | 'tls' | 'ssh'

export interface LibvirtUri {
  /** As it was given. */
  readonly text: string
  /** `qemu`, `test`, … */
  readonly driver: string
  readonly transport: TransportKind
  readonly user: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  /** `/system`, `/session`, `/default`. */
  readonly path: string
  /** What the daemon is asked to open: the URI without the way to it. */
  readonly driverUri: string
  readonly socket: string | undefined
  readonly keyfile: string | undefined
  /** The ssh program. */
  readonly command: string | undefined
  readonly netcat: string | undefined
  /** Trusts whoever answers: no host key, no certificate is checked. */
  readonly noVerify: boolean
  readonly pkipath: string | undefined
  /** `legacy`: libvirtd only; `direct`: virtqemud only; `auto`: whichever is there. */
  readonly mode: 'auto' | 'legacy' | 'direct'
}

const transports: readonly TransportKind[] = ['unix', 'tcp', 'tls', 'ssh']
const known = [
  'socket',
  'keyfile',
  'command',
  'netcat',
  'no_verify',
  'no_tty',
  'pkipath',
  'mode',
  'name',
  'sshauth',
  'known_hosts',
] as const

/** @throws LibvirtUriError with what was expected */
export function parseLibvirtUri(text: string): LibvirtUri {
  const parsed = /^([a-z][a-z0-9]*)(?:\+([a-z0-9]+))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(text)
  if (parsed === null)
    throw new LibvirtUriError(
      `"${text}" is no libvirt URI; expected one like qemu:///system or qemu+ssh://root@host/system`,
    )
  const [, driver = '', named, authority = '', path = '/', query = ''] = parsed
  const { user, host, port } = readAuthority(text, authority)
  const transport = transportOf(text, named, host)
  if (host === undefined && transport !== 'unix')
    throw new LibvirtUriError(`"${text}": ${transport} needs a host, like qemu+${transport}://host/system`)
  if (host !== undefined && transport === 'unix')
    throw new LibvirtUriError(`"${text}": a unix socket has no host; for another machine use qemu+ssh://${host}${path}`)
  const params = new URLSearchParams(query)
  for (const name of params.keys())
    if (!(known as readonly string[]).includes(name))
      throw new LibvirtUriError(`"${text}": unknown parameter "${name}"; there are: ${known.join(', ')}`)
  const given = (name: (typeof known)[number]): string | undefined => params.get(name) ?? undefined
  return {
    text,
    driver,
    transport,
    user,
    host,
    port,
    path,
    driverUri: given('name') ?? `${driver}://${path}`,
    socket: given('socket'),
    keyfile: given('keyfile'),
    command: given('command'),
    netcat: given('netcat'),
    noVerify: given('no_verify') === '1',
    pkipath: given('pkipath'),
    mode: modeOf(text, given('mode')),
  }
}

function transportOf(text: string, named: string | undefined, host: string | undefined): TransportKind {
  // libvirt's own rule: without a transport a host is reached by TLS, no host by the local socket.
  if (named === undefined) return host === undefined ? 'unix' : 'tls'
  const found = transports.find(transport => transport === named.toLowerCase())
  if (found === undefined)
    throw new LibvirtUriError(`"${text}": unknown transport "${named}"; there are: ${transports.join(', ')}`)
  return found
}

function readAuthority(text: string, authority: string): Pick<LibvirtUri, 'user' | 'host' | 'port'> {
  if (authority === '') return { user: undefined, host: undefined, port: undefined }
  const parsed = /^(?:([^@]*)@)?(\[[0-9a-f:.%]+\]|[^:@[\]]+)(?::(\d{1,5}))?$/i.exec(authority)
  const [, user, host, port] = parsed ?? []
  if (host === undefined) throw new LibvirtUriError(`"${text}": "${authority}" is no [user@]host[:port]`)
  const number = port === undefined ? undefined : Number(port)
  if (number !== undefined && (number < 1 || number > 65_535))
    throw new LibvirtUriError(`"${text}": ${port} is no port; expected 1 to 65535`)
  return {
    user: user === undefined || user === '' ? undefined : decodeURIComponent(user),
    host: host.replaceAll(/^\[|\]$/g, ''),
    port: number,
  }
}

function modeOf(text: string, mode: string | undefined): LibvirtUri['mode'] {
  if (mode === undefined) return 'auto'
  if (mode === 'auto' || mode === 'legacy' || mode === 'direct') return mode
  throw new LibvirtUriError(`"${text}": mode=${mode}; expected auto, legacy or direct`)
}
