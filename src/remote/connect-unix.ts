/** A unix socket on this machine, opened under a signal. */
import { connect, type Socket } from 'node:net'

/** @throws the system's error (`ENOENT`, `ECONNREFUSED`, …) or the signal's reason */
export function connectUnix(path: string, signal: AbortSignal): Promise<Socket> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    const onError = (error: Error): void => {
      signal.removeEventListener('abort', onAbort)
      reject(error)
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
