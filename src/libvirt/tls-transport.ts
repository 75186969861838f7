/** TLS as libvirt has it (libvirt.org/kbase/tlscerts.html): both sides show certificates, and the daemon says when it accepts ours. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { LibvirtConnectError } from './errors.ts'
import { isLasting, nextStep } from './next-step.ts'
import type { LibvirtUri } from './uri.ts'
import { whenOpen } from './when-open.ts'

const tlsPort = 16_514

/** Files, each in the order in which it is looked for. */
export interface PkiPlaces {
  readonly ca: readonly string[]
  readonly revoked: readonly string[]
  /** Certificate and key belong together. */
  readonly own: readonly (readonly [certificate: string, key: string])[]
}

/** Given with `pkipath`, or: the user's own where there is one, else the system's. Root has no own. */
export function pkiPlaces(pkipath: string | undefined): PkiPlaces {
  const within = (folder: string): PkiPlaces => ({
    ca: [join(folder, 'cacert.pem')],
    revoked: [join(folder, 'cacrl.pem')],
    own: [[join(folder, 'clientcert.pem'), join(folder, 'clientkey.pem')]],
  })
  if (pkipath !== undefined) return within(pkipath)
  const users = process.getuid?.() === 0 ? undefined : within(join(homedir(), '.pki/libvirt'))
  return {
    ca: [...(users?.ca ?? []), '/etc/pki/CA/cacert.pem'],
    revoked: [...(users?.revoked ?? []), '/etc/pki/CA/cacrl.pem'],
    own: [
      ...(users?.own ?? []),
      ['/etc/pki/libvirt/clientcert.pem', '/etc/pki/libvirt/private/clientkey.pem'] as const,
    ],
  }
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** The first that is there. @throws LibvirtConnectError for one that is there and cannot be read */
function readFirst(uri: LibvirtUri, places: readonly string[]): Buffer | undefined {
  for (const path of places) {
    try {
      return readFileSync(path)
    } catch (error) {
      if (isMissing(error)) continue
      throw new LibvirtConnectError(`${uri.text}: ${error instanceof Error ? error.message : path}`, { cause: error })
    }
  }
  return undefined
}

function certificates(uri: LibvirtUri): Pick<ConnectionOptions, 'ca' | 'crl' | 'cert' | 'key'> {
  const places = pkiPlaces(uri.pkipath)
  const ca = readFirst(uri, places.ca)
  if (ca === undefined && !uri.noVerify)
    throw new LibvirtConnectError(
      `${uri.text}: no certificate of an authority to trust, at ${places.ca.join(' or ')}\ncopy it there, or name its folder with ?pkipath=`,
      { lasting: true },
    )
  const crl = readFirst(uri, places.revoked)
  const own = places.own
    .map(([certificate, key]) => ({ cert: readFirst(uri, [certificate]), key: readFirst(uri, [key]) }))
    .find(({ cert, key }) => cert !== undefined && key !== undefined)
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(crl === undefined ? {} : { crl }),
    // A daemon with tls_no_verify_certificate wants none of us.
    ...(own?.cert === undefined || own.key === undefined ? {} : { cert: own.cert, key: own.key }),
  }
}

/** @throws LibvirtConnectError; the signal's reason */
export async function openTls(uri: LibvirtUri, signal: AbortSignal): Promise<Duplex> {
  const host = uri.host ?? ''
  const pki = certificates(uri)
  const failed = (error: unknown): LibvirtConnectError =>
    new LibvirtConnectError(
      `${uri.text}: TLS: ${error instanceof Error ? error.message : String(error)}${nextStep(error)}`,
      { cause: error, lasting: isLasting(error) },
    )
  let socket: TLSSocket
  try {
    socket = connect({
      ...pki,
      host,
      port: uri.port ?? tlsPort,
      rejectUnauthorized: !uri.noVerify,
      // A name for the daemon to choose a certificate by; addresses are not allowed there (RFC 6066).
      ...(isIP(host) === 0 ? { servername: host } : {}),
    })
  } catch (error) {
    // A file that holds no certificate, or a key of another one.
    throw failed(error)
  }
  socket.setNoDelay(true)
  await whenOpen(socket, 'secureConnect', failed, signal)
  await acceptance(uri, socket, pki.cert !== undefined, signal)
  return new RecordEach(socket)
}

/**
 * Writes each message as a TLS record of its own. Of two messages in one record libvirtd (9.0) reads the first and then waits for its
 * socket, on which nothing comes any more: the second is in gnutls already, and is looked at when the next record arrives.
 */
class RecordEach extends Duplex {
  readonly #socket: TLSSocket

  constructor(socket: TLSSocket) {
    super()
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('error', error => this.destroy(error))
    socket.on('close', () => this.destroy())
  }
  override _read(): void {
    this.#socket.resume()
  }
  /** There is no `_writev`: what is written while one is on its way waits for it, and is not put together. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }
  override _final(done: () => void): void {
    this.#socket.end(done)
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}

/** A daemon that accepts our certificate says so with one byte before anything else (libvirt, src/rpc/virnetserverclient.c). */
function acceptance(uri: LibvirtUri, socket: TLSSocket, showed: boolean, signal: AbortSignal): Promise<void> {
  const advice = showed
    ? 'is it signed by an authority the daemon trusts, not expired, and its name in tls_allowed_dn_list if there is one?'
    : `there is none: it is looked for at ${pkiPlaces(uri.pkipath)
        .own.map(pair => pair.join(' and '))
        .join(', or ')}`
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      signal.removeEventListener('abort', onAbort)
      socket.off('readable', onReadable).off('error', onEnd).off('end', onEnd).off('close', onEnd)
      if (error === undefined) {
        resolve()
        return
      }
      socket.destroy()
      reject(error)
    }
    const onAbort = (): void => done(signal.reason)
    const onEnd = (error?: unknown): void => {
      const why = error instanceof Error ? error.message : 'it closed the connection'
      done(
        new LibvirtConnectError(`${uri.text}: the daemon did not accept our certificate: ${why}\n${advice}`, {
          lasting: true,
        }),
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
