/** The stream to a daemon: unix socket, TCP, TLS with client certificates, or the system's ssh. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { LibvirtConnectError } from './errors.ts'
import type { LibvirtUri } from './uri.ts'

/** libvirt.org/remote.html. */
const ports = { tcp: 16_509, tls: 16_514 } as const

/** @throws LibvirtConnectError with the place and the next step; the signal's reason */
export function openTransport(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  switch (uri.transport) {
    case 'unix':
      return openUnix(uri, signal)
    case 'tcp':
      return opened(uri, connectTcp({ host: uri.host ?? '', port: uri.port ?? ports.tcp }), signal)
    case 'tls':
      return openTls(uri, signal)
    case 'ssh':
      return openSsh(uri, signal)
  }
}

// ── unix ──

/** Those of the system's daemons, or of the user's own, in the order in which they are tried. */
export function socketPaths({ path, mode, socket, driver }: LibvirtUri): readonly string[] {
  if (socket !== undefined) return [socket]
  const session = path === '/session'
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? join(homedir(), '.cache')
  const folder = session ? join(runtime, 'libvirt') : '/run/libvirt'
  const modular = join(folder, `virt${driver}d-sock`)
  const legacy = join(folder, 'libvirt-sock')
  if (mode === 'legacy') return [legacy]
  if (mode === 'direct') return [modular]
  // A modular daemon's socket is there only where it is in use; libvirtd's may be a leftover.
  return [modular, legacy]
}

async function openUnix(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  const failures: string[] = []
  for (const path of socketPaths(uri)) {
    try {
      return await opened(uri, connectTcp({ path }), signal)
    } catch (error) {
      signal.throwIfAborted()
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  throw new LibvirtConnectError(
    `${failures.join('\n')}\nis libvirtd (or virtqemud) running, and may this user use its socket?`,
  )
}

/** Waits until it is connected. */
function opened<S extends Socket>(uri: LibvirtUri, socket: S, signal: AbortSignal, event = 'connect'): Promise<S> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      socket.destroy()
      signal.removeEventListener('abort', onAbort)
      reject(error)
    }
    const onAbort = (): void => fail(signal.reason)
    const onError = (error: Error): void =>
      fail(new LibvirtConnectError(`${uri.text}: ${error.message}`, { cause: error }))
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once(event, () => {
      socket.removeListener('error', onError)
      signal.removeEventListener('abort', onAbort)
      resolve(socket)
    })
  })
}

// ── TLS ──

interface Pki {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** Where libvirt looks for certificates (libvirt.org/kbase/tlscerts.html): the system's, then the user's own. */
export function pkiPlaces(pkipath: string | undefined): readonly Pki[] {
  const own = (folder: string): Pki => ({
    ca: join(folder, 'cacert.pem'),
    cert: join(folder, 'clientcert.pem'),
    key: join(folder, 'clientkey.pem'),
  })
  if (pkipath !== undefined) return [own(pkipath)]
  const system = {
    ca: '/etc/pki/CA/cacert.pem',
    cert: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
  }
  return process.getuid?.() === 0 ? [system] : [own(join(homedir(), '.pki/libvirt')), system]
}

async function openTls(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  const places = pkiPlaces(uri.pkipath)
  const pki = places.find(place => Object.values(place).every(file => existsSync(file)))
  if (pki === undefined) {
    const missing = places.map(place =>
      Object.values(place)
        .filter(file => !existsSync(file))
        .join(', '),
    )
    throw new LibvirtConnectError(`${uri.text}: certificates are missing: ${missing.join('; or ')}`)
  }
  const host = uri.host ?? ''
  const socket: TLSSocket = connectTls({
    host,
    port: uri.port ?? ports.tls,
    ca: readFileSync(pki.ca),
    cert: readFileSync(pki.cert),
    key: readFileSync(pki.key),
    rejectUnauthorized: !uri.noVerify,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(uri.noVerify ? { checkServerIdentity: () => undefined } : {}),
  })
  await opened(uri, socket, signal, 'secureConnect')
  await acceptance(uri, socket, signal)
  return socket
}

/** A daemon that accepts our certificate says so with one byte before anything else (libvirt, src/rpc/virnetserverclient.c). */
function acceptance(uri: LibvirtUri, socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      signal.removeEventListener('abort', onAbort)
      for (const [event, listener] of [
        ['readable', onReadable],
        ['error', onEnd],
        ['end', onEnd],
        ['close', onEnd],
      ] as const)
        socket.removeListener(event, listener)
      if (error === undefined) resolve()
      else {
        socket.destroy()
        reject(error)
      }
    }
    const onAbort = (): void => done(signal.reason)
    const onEnd = (error?: unknown): void => {
      const why = error instanceof Error ? error.message : 'it closed the connection'
      done(
        new LibvirtConnectError(
          `${uri.text}: the daemon did not accept our certificate: ${why}\nis it signed by an authority the daemon trusts, and is its name in tls_allowed_dn_list?`,
        ),
      )
    }
    const onReadable = (): void => {
      const byte = socket.read(1) as Buffer | null
      if (byte === null) return
      if (byte[0] === 1) done()
      else onEnd(new Error(`it answered ${byte[0]}`))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('readable', onReadable).on('error', onEnd).on('end', onEnd).on('close', onEnd)
    onReadable()
  })
}

// ── ssh ──

/** One word for a POSIX shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** libvirt's helper knows where the daemon's socket is; netcat has to be told. */
export function sshArguments(uri: LibvirtUri): readonly string[] {
  const netcat = uri.netcat ?? 'nc'
  const sockets = socketPaths({ ...uri, socket: uri.socket })
  const last = quoted(sockets.at(-1) ?? '')
  const viaNetcat = sockets
    .slice(0, -1)
    .map(path => `if [ -S ${quoted(path)} ]; then exec ${quoted(netcat)} -U ${quoted(path)}; fi; `)
    .concat(`exec ${quoted(netcat)} -U ${last}`)
    .join('')
  // A socket that was named is what netcat is for: the helper would choose its own.
  const helper =
    uri.socket === undefined && uri.netcat === undefined
      ? `if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper ${quoted(uri.driverUri)}; fi; `
      : ''
  return [
    '-T',
    '-e',
    'none',
    '-o',
    'BatchMode=yes',
    ...(uri.noVerify ? ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'] : []),
    ...(uri.port === undefined ? [] : ['-p', String(uri.port)]),
    ...(uri.user === undefined ? [] : ['-l', uri.user]),
    ...(uri.keyfile === undefined ? [] : ['-i', uri.keyfile]),
    '--',
    uri.host ?? '',
    `sh -c ${quoted(helper + viaNetcat)}`,
  ]
}

/** What ssh said last, for the error. @unit bytes */
const keptOfStderr = 4096

function openSsh(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  signal.throwIfAborted()
  const program = uri.command ?? 'ssh'
  const child = spawn(program, sshArguments(uri), { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptOfStderr)
  })
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
  // The stream's end tells nobody why; the process does.
  child.on('error', error => stream.destroy(new LibvirtConnectError(`${program}: ${error.message}`, { cause: error })))
  child.on('exit', code => {
    const words = said.trim().split('\n').slice(-3).join(' / ')
    stream.destroy(new LibvirtConnectError(`${uri.text}: ssh ended with ${code}${words === '' ? '' : `: ${words}`}`))
  })
  child.stdin.on('error', () => undefined)
  stream.on('close', () => child.kill())
  return Promise.resolve(stream)
}
