/** The stream to a daemon: unix socket, TCP, TLS with client certificates, or the system's ssh. */
import { connect, type Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { LibvirtConnectError } from './errors.ts'
import { isLasting, nextStep } from './next-step.ts'
import { openSsh } from './ssh-transport.ts'
import { openTls } from './tls-transport.ts'
import type { LibvirtUri } from './uri.ts'
import { whenOpen } from './when-open.ts'

/** libvirt.org/remote.html. */
const tcpPort = 16_509

/** @throws LibvirtConnectError with the place and the next step; the signal's reason */
export function openTransport(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  if (signal.aborted) return Promise.reject(signal.reason)
  switch (uri.transport) {
    case 'unix':
      return openUnix(uri, signal)
    case 'tcp':
      return openTcp(uri, signal)
    case 'tls':
      return openTls(uri, signal)
    case 'ssh':
      return openSsh(uri, socketNames(uri), signal)
  }
}

const refused = (uri: LibvirtUri, error: unknown): LibvirtConnectError =>
  new LibvirtConnectError(`${uri.text}: ${error instanceof Error ? error.message : String(error)}${nextStep(error)}`, {
    cause: error,
    lasting: isLasting(error),
  })

async function openTcp(uri: LibvirtUri, signal: AbortSignal): Promise<Socket> {
  // Nagle's algorithm would hold back the second of two small calls until the first was acknowledged.
  const socket = connect({ host: uri.host ?? '', port: uri.port ?? tcpPort, noDelay: true })
  return whenOpen(socket, 'connect', error => refused(uri, error), signal)
}

/** Names of a daemon's sockets in its folder, in the order in which they are tried. */
export function socketNames({ driver, mode }: LibvirtUri): readonly string[] {
  const modular = `virt${driver}d-sock`
  const legacy = 'libvirt-sock'
  if (mode === 'legacy') return [legacy]
  if (mode === 'direct') return [modular]
  // A modular daemon's socket is there only where it is in use; libvirtd's may be a leftover.
  return [modular, legacy]
}

/** Of the system's daemons, or of the user's own. */
export function socketPaths(uri: LibvirtUri): readonly string[] {
  if (uri.socket !== undefined) return [uri.socket]
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = uri.path === '/session' ? join(runtime, 'libvirt') : '/run/libvirt'
  return socketNames(uri).map(name => join(folder, name))
}

async function openUnix(uri: LibvirtUri, signal: AbortSignal): Promise<Socket> {
  const failures: Error[] = []
  for (const path of socketPaths(uri)) {
    try {
      return await whenOpen(connect({ path }), 'connect', error => error, signal)
    } catch (error) {
      signal.throwIfAborted()
      failures.push(error instanceof Error ? error : new Error(String(error)))
    }
  }
  // One that is there and does not let us in says more than one that is not there.
  const telling = failures.find(error => !('code' in error && error.code === 'ENOENT')) ?? failures[0]
  throw new LibvirtConnectError(`${uri.text}: ${failures.map(error => error.message).join('; ')}${nextStep(telling)}`, {
    cause: telling,
    lasting: isLasting(telling),
  })
}
