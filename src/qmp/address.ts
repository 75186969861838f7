/** Where a monitor listens, and how to get there. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { QmpConnectError } from './errors.ts'

export type QmpAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

export const showAddress = (address: QmpAddress): string =>
  address.kind === 'unix' ? address.path : `${address.host}:${address.port}`

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such socket; is the VM running?',
  ECONNREFUSED: 'nobody listens there (any more)',
  EACCES: 'permission denied',
}

/** @throws QmpConnectError with what the system said; the signal's reason when it aborts */
export function openAddress(address: QmpAddress, signal: AbortSignal): Promise<Duplex> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const socket = connect(
      address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port, noDelay: true },
    )
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    const onError = (error: NodeJS.ErrnoException): void => {
      signal.removeEventListener('abort', onAbort)
      reject(
        new QmpConnectError(`${showAddress(address)}: ${reasons[error.code ?? ''] ?? error.message}`, { cause: error }),
      )
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
      resolve(socket)
    })
  })
}
