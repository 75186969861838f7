/** A socket that is being opened, under a signal. */
import type { Socket } from 'node:net'

/**
 * Waits for `event`. The socket has a listener for errors ever after: one that comes before somebody else listens is not thrown at the
 * process; who takes the socket looks whether it is destroyed.
 * @throws what `failed` makes of the socket's error; the signal's reason
 */
export function whenOpen<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  failed: (error: Error) => Error,
  signal: AbortSignal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    const onError = (error: Error): void => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      reject(failed(error))
    }
    socket.on('error', onError)
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once(event, () => {
      signal.removeEventListener('abort', onAbort)
      resolve(socket)
    })
  })
}
