/**
 * A libvirtd for each host of a lab, in the host's network namespace and in a mount and a UTS namespace of its own, which end with the
 * last process in them: nothing is mounted that the machine sees. Everything a daemon writes lies in the lab's folder.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ms, seconds } from '../core/units.ts'
import type { HostId } from '../core/ids.ts'
import { LibvirtClient } from '../libvirt/public.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { LabError } from './lab-error.ts'
import { writePki } from './lab-pki.ts'
import {
  guestFolder,
  hereFolder,
  hostAddress,
  hostNamespace,
  labFolder,
  libvirtFolder,
  libvirtSocket,
  pkiFolder,
  vmsFolder,
} from './lab-names.ts'
import type { KnownProcess } from './lab-record.ts'
import type { LabSpec } from './lab-spec.ts'
import { hostDisks } from './make-disks.ts'
import { numbered } from './network.ts'
import { spawnDaemon } from './spawn-daemon.ts'
import { longestSocketPath } from './start-guests.ts'
import { hostsSshFolder, startSshds, writeKeys } from './start-sshd.ts'

/** Places compiled into libvirtd, and the folder each is replaced with. */
const places = {
  etc: '/etc/libvirt',
  run: '/run/libvirt',
  lib: '/var/lib/libvirt',
  log: '/var/log/libvirt',
  cache: '/var/cache/libvirt',
} as const

/** Ready in under a second; the first one on a machine looks at every QEMU there is. */
const readyWithin = seconds(30)
const askEvery = ms(50)

/**
 * Names of hosts are resolved from a file of the lab, and no name server is asked: libvirtd looks its own name up several times in a
 * migration, each time for 5 s where a name server does not answer. With an ssh of its own, a host knows the lab's keys and hosts, and
 * nothing of root's on this machine.
 */
const enterScript = `set -e
lab=$1 host=$2 own=$1/libvirt/$2
hostname "$host"
${Object.entries(places)
  .map(([name, place]) => `mkdir -p ${place}; mount --bind "$own/${name}" ${place}`)
  .join('\n')}
mount --bind "$lab/libvirt/hosts" /etc/hosts
mount --bind "$lab/libvirt/resolv.conf" "$(readlink -f /etc/resolv.conf)"
mount --bind "$lab/hosts/$host" "$lab/here"
if [ -d "$3" ]; then
  mount --bind "$3" /etc/ssh
  home=$(getent passwd 0 | cut -d: -f6)/.ssh
  if [ -d "$home" ]; then mount --bind "$3" "$home"; fi
fi
exec libvirtd --listen --config ${places.etc}/libvirtd.conf --pid-file "$own/run/libvirtd.pid"
`

const daemonConf = (
  address: string,
  uuid: string,
  pki: string | undefined,
): string => `listen_tls = ${pki === undefined ? 0 : 1}
${pki === undefined ? '' : tlsConf(pki)}listen_tcp = 1
listen_addr = "${address}"
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "${uuid}"
log_outputs = "3:stderr"
`

const tlsConf = (pki: string): string => `ca_file = "${pki}/cacert.pem"
cert_file = "${pki}/server-cert.pem"
key_file = "${pki}/server-key.pem"
`

const qemuConf = (
  pki: string | undefined,
): string => `${pki === undefined ? '' : `migrate_tls_x509_cert_dir = "${pki}"\n`}user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
`

/** Starts all of them, then waits until each answers. @throws LabError with what the daemon said */
export async function startDaemons(
  root: string,
  spec: LabSpec,
  keep: (started: readonly KnownProcess[]) => void,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const hosts = numbered(spec).flatMap(site =>
    site.hosts.map(({ host, number }) => ({ id: host.id, address: hostAddress(site.number, number) })),
  )
  const folder = join(labFolder(root, spec.name), 'libvirt')
  mkdirSync(folder, { recursive: true })
  mkdirSync(hereFolder(root, spec.name), { recursive: true })
  writeFileSync(
    join(folder, 'hosts'),
    ['127.0.0.1 localhost', ...hosts.map(({ id, address }) => `${address} ${id}`), ''].join('\n'),
  )
  writeFileSync(join(folder, 'resolv.conf'), '')
  if (spec.ssh === true) await writeKeys(root, spec, signal)
  if (spec.tls === true) writePki(root, spec.name, hosts)
  const daemons = new Map<HostId, KnownProcess>()
  for (const { id, address } of hosts) {
    writeFolder(root, spec, id, address)
    const started = await startDaemon(root, spec, id, signal)
    daemons.set(id, started)
    keep([started])
  }
  await Promise.all(hosts.map(({ id }) => waitForDaemon(root, spec, id, clock, signal)))
  await Promise.all(hosts.map(({ id }) => makePool(root, spec, id, signal)))
  if (spec.ssh === true) await startSshds(root, spec, daemons, keep, clock, signal)
}

/** Of all disks of a host's guests: where a target's daemon makes room for what is copied. */
async function makePool(root: string, spec: LabSpec, host: HostId, signal: AbortSignal): Promise<void> {
  mkdirSync(hostDisks(vmsFolder(root, spec.name, host)), { recursive: true })
  const libvirt = await connectTo(root, spec, host, signal)
  try {
    const path = hostDisks(hereFolder(root, spec.name))
    const xml = `<pool type='dir'><name>disks</name><target><path>${path}</path></target></pool>`
    await libvirt.call('storagePoolCreateXml', { xml, flags: 0 }, signal)
  } finally {
    await libvirt.close()
  }
}

function writeFolder(root: string, spec: LabSpec, host: HostId, address: string): void {
  const socket = libvirtSocket(root, spec.name, host)
  const length = Buffer.byteLength(`${libvirtFolder(root, spec.name, host)}/run/libvirt-admin-sock`)
  if (length > longestSocketPath)
    throw new LabError(
      `${socket}: a socket there would have a path of ${length} bytes, the system allows ${longestSocketPath}; use shorter names, or another --root`,
    )
  const own = libvirtFolder(root, spec.name, host)
  for (const name of Object.keys(places)) mkdirSync(join(own, name), { recursive: true })
  mkdirSync(vmsFolder(root, spec.name, host), { recursive: true })
  // libvirt makes no folder for a console's file, and any guest may come to any host.
  for (const { vm } of spec.guests) mkdirSync(guestFolder(root, spec.name, host, vm), { recursive: true })
  const pki = spec.tls === true ? pkiFolder(root, spec.name, host) : undefined
  writeFileSync(join(own, 'etc', 'libvirtd.conf'), daemonConf(address, hostUuid(spec.name, host), pki))
  writeFileSync(join(own, 'etc', 'qemu.conf'), qemuConf(pki))
}

/** All daemons of one machine would have the same otherwise, and refuse to migrate to themselves. */
function hostUuid(lab: string, host: HostId): string {
  const hex = createHash('sha256').update(`host ${lab}/${host}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const daemonLog = (root: string, spec: LabSpec, host: HostId): string =>
  join(libvirtFolder(root, spec.name, host), 'log', 'libvirtd.log')

/** Also again, after it ended: it finds its guests by what the first one left in its folders. @throws LabError */
export async function startDaemon(
  root: string,
  spec: LabSpec,
  host: HostId,
  signal: AbortSignal,
): Promise<KnownProcess> {
  const keys = spec.ssh === true ? hostsSshFolder(root, spec.name) : ''
  const enter = ['unshare', '--mount', '--uts', 'sh', '-c', enterScript, 'sh', labFolder(root, spec.name), host, keys]
  const argv = ['ip', 'netns', 'exec', hostNamespace(spec.name, host), ...enter]
  const started = await spawnDaemon(argv, daemonLog(root, spec, host), `libvirtd of ${host}`, signal)
  if (started === undefined) throw ended(root, spec, host)
  return started
}

const ended = (root: string, spec: LabSpec, host: HostId): LabError => {
  const file = daemonLog(root, spec, host)
  const said = readFileSync(file, 'utf8').trim().split('\n').slice(-3).join(' / ')
  return new LabError(`the libvirtd of ${host} does not answer${said === '' ? '' : `: ${said}`}; see ${file}`)
}

/** @throws LabError with what the daemon said */
export async function waitForDaemon(
  root: string,
  spec: LabSpec,
  host: HostId,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await withDeadline(clock, readyWithin, `libvirtd of ${host}`, signal, async inner => {
    for (;;) {
      try {
        const libvirt = await connectTo(root, spec, host, inner)
        // Asked for the first time, it starts every QEMU there is to see what it can: some seconds that a migration should not meet.
        await libvirt.call('connectGetVersion', undefined, inner)
        await libvirt.close()
        return
      } catch (error) {
        signal.throwIfAborted()
        if (inner.aborted) throw new LabError(ended(root, spec, host).message, { cause: error })
      }
      await clock.sleep(askEvery, inner).catch((error: unknown) => {
        if (signal.aborted) throw error
      })
    }
  })
}

export const connectTo = (root: string, spec: LabSpec, host: HostId, signal: AbortSignal): Promise<LibvirtClient> =>
  LibvirtClient.connect(`qemu+unix:///system?socket=${libvirtSocket(root, spec.name, host)}`, {}, signal)
