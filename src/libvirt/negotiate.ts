/** What is said before the first call: which authentication, that one, and which driver to open. */
import {
  LibvirtCallError,
  LibvirtConnectError,
  LibvirtInterrupted,
  LibvirtProtocolError,
  LibvirtStateError,
} from './errors.ts'
import type { ArgsOf, ProcedureName, ResultOf } from './procedures.ts'

export type Send = <P extends ProcedureName>(name: P, args: ArgsOf<P>, signal: AbortSignal) => Promise<ResultOf<P>>

/** src/remote/remote_protocol.x, remote_auth_type. */
const authType = { none: 0, sasl: 1, polkit: 2 } as const

/** @throws LibvirtConnectError that names the place; LibvirtProtocolError; the signal's reason */
export async function negotiate(send: Send, where: string, driver: string, signal: AbortSignal): Promise<void> {
  try {
    const { types } = await send('authList', undefined, signal)
    await authenticate(send, types, where, signal)
    await send('connectOpen', { name: driver, flags: 0 }, signal)
  } catch (error) {
    throw unopened(error, where)
  }
}

async function authenticate(send: Send, types: readonly number[], where: string, signal: AbortSignal): Promise<void> {
  if (types.length === 0 || types.includes(authType.none)) return
  if (types.includes(authType.polkit)) {
    try {
      await send('authPolkit', undefined, signal)
      return
    } catch (error) {
      if (!(error instanceof LibvirtCallError)) throw error
      throw new LibvirtConnectError(
        `${where}: polkit does not let this user in: ${error.said}\nbe root, or allow org.libvirt.unix.manage to this user (polkit rules)`,
        { cause: error, lasting: true },
      )
    }
  }
  const name = types.includes(authType.sasl) ? 'SASL' : `of type ${types.join(', ')}`
  throw new LibvirtConnectError(
    `${where}: the daemon wants authentication ${name}, which Lifeboat does not speak\nuse qemu+ssh, qemu+tls with client certificates, or auth_… = "none" in libvirtd.conf`,
    { lasting: true },
  )
}

/** Names the place. What was pending until then is not uncertain: nothing was asked for yet. */
export function unopened(error: unknown, where: string): unknown {
  const cause = error instanceof LibvirtInterrupted ? error.cause : error
  if (cause instanceof LibvirtConnectError || cause instanceof LibvirtStateError) return cause
  if (cause instanceof LibvirtProtocolError)
    return new LibvirtProtocolError(`${where}: not libvirt's protocol: ${cause.message}`, { cause })
  if (cause instanceof LibvirtCallError)
    return new LibvirtConnectError(`${where}: the daemon refuses: ${cause.said}`, { cause })
  if (error instanceof LibvirtInterrupted && cause instanceof Error)
    return new LibvirtConnectError(`${where}: ended while it was opened: ${cause.message}`, { cause })
  return error
}
