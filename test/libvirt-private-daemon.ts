/**
 * A libvirtd of one's own, in a mount namespace with its own configuration, sockets and state: the system's is neither seen nor touched.
 * It has no drivers but those of its library, which `test:///` is one of, so it is up in a fraction of a second and starts no guest.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ms } from '../src/core/units.ts'
import { realClock } from '../src/engine/real-clock.ts'
import { poll } from '../src/time/with-deadline.ts'
import type { Pki } from '../src/lab/certificates.ts'

/** Where libvirt keeps what is a daemon's own; each is a folder of the private daemon's here. */
const ownPlaces = {
  run: '/run/libvirt',
  etc: '/etc/libvirt',
  lib: '/var/lib/libvirt',
  log: '/var/log/libvirt',
  cache: '/var/cache/libvirt',
} as const
const clock = realClock()

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** Why there can be none here, in words; undefined where there can. */
export function whyNoLibvirtd(...programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'a private libvirtd needs root, for a mount namespace'
  const missing = ['libvirtd', 'unshare', 'nsenter', ...programs].filter(program => !has(program))
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`
  return spawnSync('unshare', ['-m', 'true']).status === 0 ? undefined : 'no mount namespace can be made here'
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}

/** Waits until somebody listens. @throws what `check` throws; the signal's reason */
export function listening(
  at: { path: string } | { port: number },
  check: () => void,
  signal: AbortSignal,
): Promise<true> {
  return poll(clock, ms(20), signal, async () => {
    check()
    const socket = connect('path' in at ? at : { ...at, host: '127.0.0.1' })
    try {
      await once(socket, 'connect', { signal })
      return true
    } catch (error) {
      if (signal.aborted) throw error
      return undefined
    } finally {
      socket.destroy()
    }
  })
}

export interface LibvirtdOptions {
  /** Lines of libvirtd.conf. */
  readonly settings?: readonly string[]
  /** @default 'none' */
  readonly authTcp?: 'none' | 'sasl'
  /** Listens with TLS too, and shows this. */
  readonly tls?: Pki
}

export interface PrivateLibvirtd extends AsyncDisposable {
  /** Its own folder; anything may be put there. */
  readonly folder: string
  /** Its socket, as it is reached from here; in its namespace it is at libvirt's own place. */
  readonly socket: string
  readonly tcpPort: number
  readonly tlsPort: number
  readonly process: ChildProcess
  /** What it logged. */
  log(): string
}

export async function startLibvirtd(options: LibvirtdOptions, signal: AbortSignal): Promise<PrivateLibvirtd> {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-libvirtd-'))
  for (const name of [...Object.keys(ownPlaces), 'drivers']) mkdirSync(join(folder, name))
  const [tcpPort, tlsPort] = [await freePort(), await freePort()]
  const { tls } = options
  const settings = [
    'listen_tcp = 1',
    'listen_addr = "127.0.0.1"',
    `tcp_port = "${tcpPort}"`,
    `auth_tcp = "${options.authTcp ?? 'none'}"`,
    'auth_unix_rw = "none"',
    'unix_sock_rw_perms = "0700"',
    `listen_tls = ${tls === undefined ? 0 : 1}`,
    ...(tls === undefined
      ? []
      : [
          `tls_port = "${tlsPort}"`,
          `ca_file = "${tls.ca}"`,
          `cert_file = "${tls.cert}"`,
          `key_file = "${tls.key}"`,
          'tls_no_sanity_certificate = 1',
        ]),
    'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"',
    ...(options.settings ?? []),
  ]
  writeFileSync(join(folder, 'etc/libvirtd.conf'), `${settings.join('\n')}\n`)
  const binds = Object.entries(ownPlaces).map(
    ([name, place]) => `mkdir -p ${place} && mount --bind "$0/${name}" ${place} && `,
  )
  const output = openSync(join(folder, 'output'), 'w')
  const child = spawn(
    'unshare',
    [
      '-m',
      '--propagation',
      'private',
      'sh',
      '-c',
      `${binds.join('')}exec libvirtd --listen --pid-file /run/libvirt/libvirtd.pid`,
      folder,
    ],
    { stdio: ['ignore', output, output], env: { ...process.env, LIBVIRT_DRIVER_DIR: join(folder, 'drivers') } },
  )
  closeSync(output)
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  const log = (): string => readFileSync(join(folder, 'log/libvirtd.log'), 'utf8')
  const check = (): void => {
    if (child.exitCode === null && child.signalCode === null) return
    throw new Error(`libvirtd ended with ${child.exitCode}: ${readFileSync(join(folder, 'output'), 'utf8')}`)
  }
  const socket = join(folder, 'run/libvirt-sock')
  try {
    await listening({ path: socket }, check, signal)
    await listening({ port: tcpPort }, check, signal)
    if (tls !== undefined) await listening({ port: tlsPort }, check, signal)
  } catch (error) {
    await stop()
    throw error
  }
  return { folder, socket, tcpPort, tlsPort, process: child, log, [Symbol.asyncDispose]: stop }
}
