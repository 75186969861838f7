/** A port of this machine that leads into a lab: its addresses are in its namespaces only. As `ssh -L` would, without the ssh. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'

export interface Tunnel extends AsyncDisposable {
  readonly port: number
}

/** @param namespace from which `address` is reached */
export async function openTunnel(namespace: string, address: string, port: number): Promise<Tunnel> {
  const open = new Set<Socket>()
  const server = createServer(socket => {
    open.add(socket)
    const child = spawn('ip', ['netns', 'exec', namespace, 'nc', '-N', address, String(port)], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    socket
      .on('error', () => undefined)
      .on('close', () => {
        open.delete(socket)
        child.kill()
      })
    child.stdin.on('error', () => undefined) // its end follows
    child.on('error', () => socket.destroy()).on('exit', () => socket.end())
    socket.pipe(child.stdin)
    child.stdout.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const at = server.address()
  if (at === null || typeof at === 'string') throw new Error('no TCP address')
  return {
    port: at.port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
