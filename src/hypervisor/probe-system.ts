/** What only a command on a host can tell: its clock, how fast it finds its own name, its interfaces, sockets and certificates. Changes nothing there. */
import type { CertificateState, SystemProfile } from '../core/preflight/host-profile.ts'
import { type Bytes, bytes, type Milliseconds, ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from '../remote/remote.ts'
import type { SystemSeen } from './preflight-probe.ts'

/** Lines `key value`. A name server that does not answer takes 5 s for each try (resolv.conf(5)). */
const script = `LC_ALL=C; export LC_ALL
echo "kernel $(uname -r)"
echo "root $(id -u)"
for i in tcp_notsent_lowat tcp_wmem; do echo "$i $(cat /proc/sys/net/ipv4/$i 2>/dev/null)"; done
name=$(hostname 2>/dev/null || uname -n)
echo "hostname $name"
for i in /sys/class/net/*; do echo "interface \${i##*/}"; done
began=$(date +%s%N)
if command -v getent >/dev/null 2>&1; then
  if timeout 15 getent hosts "$name" >/dev/null 2>&1; then echo 'resolves yes'; else echo 'resolves no'; fi
  echo "took $(( ($(date +%s%N) - began) / 1000000 ))"
fi
look() { # key, certificates in the order in which they count
  key=$1; shift
  for file in "$@"; do
    [ -r "$file" ] || continue
    state=good
    if command -v openssl >/dev/null 2>&1; then
      openssl x509 -checkend 1209600 -noout -in "$file" >/dev/null 2>&1 || state=expires-soon
      openssl x509 -checkend 0 -noout -in "$file" >/dev/null 2>&1 || state=expired
    fi
    echo "$key $state $file"
    return
  done
}
look migration /etc/pki/libvirt-migrate/server-cert.pem /etc/pki/qemu/server-cert.pem
look client /etc/pki/libvirt/clientcert.pem`

/** A clock is read this often; the shortest round trip counts. */
const clockReadings = 3

/** Never throws but for the signal: a host without a shell is one of which less is known. */
export async function probeSystem(
  remote: Remote | undefined,
  why: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<SystemSeen> {
  const unknown = (systemUnknown: string): SystemSeen => ({
    system: undefined,
    systemUnknown,
    kernel: undefined,
    interfaces: undefined,
  })
  if (remote === undefined) return unknown(why)
  try {
    const { stdout, code, stderr } = await remote.run(['sh', '-c', script], {}, signal)
    const values = new Map<string, string[]>()
    for (const line of stdout.split('\n')) {
      const [, key, value] = /^(\w+) (.*)$/.exec(line) ?? []
      if (key === undefined || value === undefined) continue
      values.set(key, [...(values.get(key) ?? []), value])
    }
    const one = (key: string): string | undefined => values.get(key)?.[0]
    if (one('hostname') === undefined)
      return unknown(`${remote.where}: a shell there ended with ${code}: ${stderr.trim().split('\n').at(-1) ?? ''}`)
    const { ahead, within } = await readClock(remote, clock, signal)
    const took = one('took')
    const system: SystemProfile = {
      hostname: one('hostname') ?? '',
      nameTook: took === undefined ? undefined : ms(Math.max(0, Number(took) || 0)),
      nameResolves: one('resolves') !== 'no',
      clockAhead: ahead,
      clockWithin: within,
      root: one('root') === '0',
      tcpUnsentMost: lastSize(one('tcp_notsent_lowat')),
      tcpBufferMost: lastSize(one('tcp_wmem')),
      migrationTls: certificate(one('migration')),
      clientTls: certificate(one('client')),
    }
    return { system, systemUnknown: '', kernel: one('kernel'), interfaces: values.get('interface') ?? [] }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof HostUnreachable || error instanceof CommandUnavailable) return unknown(error.message)
    throw error
  }
}

/** The last number of a kernel's setting. */
function lastSize(text: string | undefined): Bytes | undefined {
  const last = /-?\d+$/.exec(text?.trim() ?? '')?.[0]
  if (last === undefined) return undefined
  // Older kernels print it signed: no limit is -1 there.
  return bytes(Number(last) >>> 0)
}

function certificate(text: string | undefined): CertificateState {
  const [state = '', file = ''] = text?.split(' ') ?? []
  return state === 'good' || state === 'expired' || state === 'expires-soon' ? { state, file } : { state: 'none' }
}

/** Its clock against ours, taken as if it read in the middle of the round trip. */
async function readClock(
  remote: Remote,
  clock: Clock,
  signal: AbortSignal,
): Promise<{ readonly ahead: number | undefined; readonly within: Milliseconds }> {
  let best: { readonly ahead: number | undefined; readonly within: Milliseconds } = { ahead: undefined, within: ms(0) }
  for (let n = 0; n < clockReadings; n += 1) {
    const before = clock.now()
    const { stdout } = await remote.run(['date', '+%s.%N'], {}, signal)
    const after = clock.now()
    const there = Number(stdout.trim()) * 1000
    // busybox's date has no %N and prints it as it is.
    if (!Number.isFinite(there)) return best
    const within = ms((after - before) / 2)
    if (best.ahead === undefined || within < best.within) best = { ahead: there - (before + after) / 2, within }
  }
  return best
}
