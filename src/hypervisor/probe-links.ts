/**
 * Tries from a source host what a migration will need of each target: the ports that memory goes to, the port of the target's daemon, and
 * whether the source's own ssh or TLS is let in there. Nobody but the source can tell.
 */
import { type Greeting, type LinkProfile, type PortTried, type Reached } from '../core/preflight/link-profile.ts'
import type { HostId } from '../core/ids.ts'
import type { HostProfile } from '../core/preflight/host-profile.ts'
import { migrationPorts } from '../core/preflight/link-rules.ts'
import { type LibvirtUri, parseLibvirtUri } from '../libvirt/public.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from '../remote/remote.ts'
import { fewAtATime } from '../time/few-at-a-time.ts'
import { listenerPort } from './probe-listener.ts'

/** libvirt.org/remote.html. */
const daemonPorts = { ssh: 22, tcp: 16_509, tls: 16_514, unix: undefined } as const
/** The first, which migrations try first, one in the middle and the last. */
const portsTried = [migrationPorts.first, listenerPort, migrationPorts.last] as const

/**
 * Reads lines `key address port`, tries them at most 16 at a time for 4 s each, prints `key port result`. By bash's own sockets; where
 * there is no bash by nc.
 */
const script = `LC_ALL=C; export LC_ALL
probe() {
  if command -v bash >/dev/null 2>&1; then
    said=$(timeout 4 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" 2>&1); code=$?
  elif command -v nc >/dev/null 2>&1; then
    said=$(timeout 4 nc -z -v "$2" "$3" 2>&1 </dev/null); code=$?
  else
    said=; code=127
  fi
  case "$code $said" in
    '0 '*) result=open ;;
    124*) result=silent ;;
    *[Rr]efused*) result=refused ;;
    *'timed out'*) result=silent ;;
    *'oute to host'*|*unreachable*|*prohibited*) result=no-route ;;
    *'not known'*|*resol*|*'No address'*) result=no-name ;;
    *) result=unknown ;;
  esac
  echo "$1 $3 $result"
}
running=0
while read -r key address port; do
  probe "$key" "$address" "$port" </dev/null &
  running=$((running + 1))
  if [ "$running" -ge 16 ]; then wait; running=0; fi
done
wait`

/** Greetings at one time, from one source. */
const greetedAtOnce = 4

/** @param listening targets on which somebody listens, on {@link listenerPort} */
export async function probeLinks(
  remote: Remote,
  source: HostProfile,
  targets: readonly HostProfile[],
  listening: ReadonlySet<HostId>,
  signal: AbortSignal,
): Promise<readonly LinkProfile[]> {
  const tried = await tryPorts(remote, targets, signal)
  return fewAtATime(greetedAtOnce, targets, async (target): Promise<LinkProfile> => {
    const uri = uriOf(target)
    const of = (port: number): Reached => tried.get(`${target.id} ${port}`) ?? 'unknown'
    const port = uri === undefined ? undefined : daemonPort(uri)
    const daemon: PortTried | undefined = port === undefined ? undefined : { port, reached: of(port) }
    return {
      from: source.id,
      to: target.id,
      migration: portsTried.map(each => {
        const reached = of(each)
        const rejected = reached === 'refused' && each === listenerPort && listening.has(target.id)
        return { port: each, reached: rejected ? 'rejected' : reached }
      }),
      daemon,
      greeting: uri === undefined ? { by: 'none' } : await greet(remote, source, uri, daemon, signal),
    }
  })
}

const uriOf = ({ connectUri }: HostProfile): LibvirtUri | undefined =>
  connectUri === undefined ? undefined : parseLibvirtUri(connectUri)
const daemonPort = (uri: LibvirtUri): number | undefined => uri.port ?? daemonPorts[uri.transport]

const results: readonly Reached[] = ['open', 'refused', 'silent', 'no-route', 'no-name']

async function tryPorts(
  remote: Remote,
  targets: readonly HostProfile[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Reached>> {
  const lines = targets.flatMap(target => {
    const uri = uriOf(target)
    const port = uri === undefined ? undefined : daemonPort(uri)
    return [
      ...portsTried.map(each => `${target.id} ${bare(target.address)} ${each}`),
      ...(uri?.host === undefined || port === undefined ? [] : [`${target.id} ${uri.host} ${port}`]),
    ]
  })
  const found = new Map<string, Reached>()
  try {
    const { stdout } = await remote.run(['sh', '-c', script], { stdin: `${lines.join('\n')}\n` }, signal)
    for (const line of stdout.split('\n')) {
      const [host, port, said] = line.split(' ')
      const result = results.find(each => each === said)
      if (result !== undefined) found.set(`${host} ${port}`, result)
    }
  } catch (error) {
    if (!(error instanceof HostUnreachable || error instanceof CommandUnavailable)) throw error
  }
  return found
}

const bare = (address: string): string => address.replaceAll(/^\[|\]$/g, '')

async function greet(
  remote: Remote,
  source: HostProfile,
  uri: LibvirtUri,
  daemon: PortTried | undefined,
  signal: AbortSignal,
): Promise<Greeting> {
  if (uri.transport !== 'ssh' && uri.transport !== 'tls') return { by: 'none' }
  const by = uri.transport
  if (daemon?.reached !== 'open' && by === 'tls')
    return { by, answer: 'unknown', why: `port ${daemon?.port ?? ''} was not reached` }
  if (source.system?.root !== true)
    return { by, answer: 'unknown', why: 'Lifeboat is not root on the source host, and its daemon is' }
  try {
    return by === 'ssh' ? await greetBySsh(remote, uri, signal) : await greetByTls(remote, uri, signal)
  } catch (error) {
    if (error instanceof CommandUnavailable) return { by, answer: 'refused', said: error.message }
    if (error instanceof HostUnreachable) return { by, answer: 'unknown', why: error.message }
    throw error
  }
}

/** As libvirt's own client would (src/rpc/virnetsocket.c): no questions asked, this user's keys and known hosts. */
async function greetBySsh(remote: Remote, uri: LibvirtUri, signal: AbortSignal): Promise<Greeting> {
  const place = [
    ...(uri.port === undefined ? [] : ['-p', String(uri.port)]),
    ...(uri.user === undefined ? [] : ['-l', uri.user]),
  ]
  const ssh = ['ssh', '-T', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=8', ...place, '--', uri.host ?? '', 'true']
  const { code, stderr } = await remote.run(['timeout', '15', ...ssh], {}, signal)
  if (code === 0) return { by: 'ssh', answer: 'welcome' }
  const said = lastWords(stderr)
  if (code === 255) return { by: 'ssh', answer: 'refused', said }
  if (code === 127) return { by: 'ssh', answer: 'refused', said: said === '' ? 'ssh is not installed there' : said }
  return { by: 'ssh', answer: 'unknown', why: code === 124 ? 'no answer within 15 s' : said }
}

/** Places compiled into libvirt (src/rpc/virnettlscontext.c). */
const tlsScript = `ca=/etc/pki/CA/cacert.pem cert=/etc/pki/libvirt/clientcert.pem key=/etc/pki/libvirt/private/clientkey.pem
for file in "$ca" "$cert" "$key"; do [ -r "$file" ] || { echo "$file: No such file" >&2; exit 3; }; done
command -v openssl >/dev/null 2>&1 || exit 4
case "$1" in *:*|*[!0-9.]*) verify=-verify_hostname ;; *) verify=-verify_ip ;; esac
case "$1" in *:*) verify=-verify_ip at="[$1]" ;; *) at=$1 ;; esac
LC_ALL=C timeout 10 openssl s_client -connect "$at:$2" "$verify" "$1" -verify_return_error -CAfile "$ca" -cert "$cert" -key "$key" </dev/null 2>&1 |
  grep -iE 'verify error|verify return code|alert|errno|mismatch' >&2
exit 0`

async function greetByTls(remote: Remote, uri: LibvirtUri, signal: AbortSignal): Promise<Greeting> {
  const argv = ['sh', '-c', tlsScript, 'sh', uri.host ?? '', String(daemonPort(uri))]
  const { code, stderr } = await remote.run(argv, {}, signal)
  if (code === 4) return { by: 'tls', answer: 'unknown', why: 'openssl is not installed on the source host' }
  const said = lastWords(stderr)
  if (code !== 0) return { by: 'tls', answer: 'refused', said }
  if (/verify return code: 0/i.test(stderr) && !/alert|mismatch|verify error/i.test(stderr))
    return { by: 'tls', answer: 'welcome' }
  return said === ''
    ? { by: 'tls', answer: 'unknown', why: 'openssl said nothing' }
    : { by: 'tls', answer: 'refused', said }
}

const lastWords = (stderr: string): string =>
  stderr
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('Warning: Permanently added'))
    .slice(-3)
    .join('; ')
    .slice(0, 400)
