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
  /** `native`: virt-ssh-helper only; `netcat`: never that; `auto`: whichever is there. */
  readonly proxy: 'auto' | 'native' | 'netcat'
  readonly knownHosts: string | undefined
  /** Trusts whoever answers: no host key, no certificate is checked. */
  readonly noVerify: boolean
  readonly pkipath: string | undefined
  /** `legacy`: libvirtd only; `direct`: virtqemud only; `auto`: whichever is there. */
  readonly mode: 'auto' | 'legacy' | 'direct'
}

const transports: readonly TransportKind[] = ['unix', 'tcp', 'tls', 'ssh']
/** Those without effect here are libvirt's and harmless: ssh never asks, its own configuration says how it authenticates. */
const known = [
  'socket',
  'keyfile',
  'command',
  'netcat',
  'proxy',
  'known_hosts',
  'no_verify',
  'no_tty',
  'no_sanity',
  'pkipath',
  'mode',
  'name',
  'sshauth',
] as const
type Params = ReadonlyMap<(typeof known)[number], string>

/** @throws LibvirtUriError with what was expected */
export function parseLibvirtUri(text: string): LibvirtUri {
  const parsed = /^([a-z][a-z0-9]*)(?:\+([a-z0-9]+))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(text)
  if (parsed === null || /[\s\p{Cc}]/u.test(text))
    throw new LibvirtUriError(
      `"${text}" is no libvirt URI; expected one like qemu:///system or qemu+ssh://root@host/system`,
    )
  const [, name = '', named, authority = '', path = '/', query = ''] = parsed
  const driver = name.toLowerCase()
  const { user, host, port } = readAuthority(text, authority)
  const transport = transportOf(text, named, host)
  if (host === undefined && transport !== 'unix')
    throw new LibvirtUriError(`"${text}": ${transport} needs a host, like ${driver}+${transport}://host${path}`)
  if (host !== undefined && transport === 'unix')
    throw new LibvirtUriError(
      `"${text}": a unix socket has no host; for another machine use ${driver}+ssh://${host}${path}`,
    )
  const params = readQuery(text, query)
  return {
    text,
    driver,
    transport,
    user,
    host,
    port,
    path,
    driverUri: params.get('name') ?? `${driver}://${path}`,
    socket: params.get('socket'),
    keyfile: params.get('keyfile'),
    command: params.get('command'),
    netcat: params.get('netcat'),
    proxy: oneOf(text, params, 'proxy', ['auto', 'native', 'netcat']) ?? 'auto',
    knownHosts: params.get('known_hosts'),
    noVerify: oneOf(text, params, 'no_verify', ['0', '1']) === '1',
    pkipath: params.get('pkipath'),
    mode: oneOf(text, params, 'mode', ['auto', 'legacy', 'direct']) ?? 'auto',
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
  const parsed = /^(?:([^@]*)@)?(\[[0-9a-f:.]+(?:%(?:25)?[\w.-]+)?\]|[^\s:@[\]]+)(?::(\d{1,5}))?$/i.exec(authority)
  const [, user = '', host, port] = parsed ?? []
  // A name that began with "-" would be an option to ssh.
  if (host === undefined || host.startsWith('-') || user.startsWith('-'))
    throw new LibvirtUriError(`"${text}": "${authority}" is no [user@]host[:port]`)
  const number = port === undefined ? undefined : Number(port)
  if (number !== undefined && (number < 1 || number > 65_535))
    throw new LibvirtUriError(`"${text}": ${port} is no port; expected 1 to 65535`)
  return {
    user: user === '' ? undefined : plain(text, user),
    // A zone's "%" is written as "%25" in a URI (RFC 6874).
    host: host.replaceAll(/^\[|\]$/g, '').replace('%25', '%'),
    port: number,
  }
}

/** Not URLSearchParams: libvirt takes "+" literally, and ";" as well as "&" between two. */
function readQuery(text: string, query: string): Params {
  const params = new Map<(typeof known)[number], string>()
  for (const part of query.split(/[&;]/).filter(each => each !== '')) {
    const [, before = '', after = ''] = /^([^=]*)=?(.*)$/s.exec(part) ?? []
    const name = known.find(each => each === plain(text, before))
    if (name === undefined)
      throw new LibvirtUriError(`"${text}": unknown parameter "${before}"; there are: ${known.join(', ')}`)
    if (params.has(name)) throw new LibvirtUriError(`"${text}": "${name}" is given twice`)
    const value = plain(text, after)
    if (value === '') throw new LibvirtUriError(`"${text}": "${name}" has no value`)
    params.set(name, value)
  }
  return params
}

function plain(text: string, escaped: string): string {
  try {
    const value = decodeURIComponent(escaped)
    if (!value.includes('\0')) return value
  } catch (error) {
    throw new LibvirtUriError(`"${text}": "${escaped}" has a "%" without two digits behind it`, { cause: error })
  }
  throw new LibvirtUriError(`"${text}": "${escaped}" has a zero byte`)
}

function oneOf<T extends string>(
  text: string,
  params: Params,
  name: (typeof known)[number],
  choices: readonly T[],
): T | undefined {
  const value = params.get(name)
  if (value === undefined) return undefined
  const chosen = choices.find(choice => choice === value)
  if (chosen === undefined) throw new LibvirtUriError(`"${text}": ${name}=${value}; expected ${choices.join(' or ')}`)
  return chosen
}
