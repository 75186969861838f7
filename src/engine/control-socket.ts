/**
 * Orders to a running controller from other processes: `pause`, `resume`, `abort`, `endanger`, `resolve`. A unix socket beside the journal, one
 * JSON line in, one JSON line out. It accepts only what it knows, from those who may open the socket (mode 0600), and answers after
 * the order is queued, not after it took effect: `watch` shows that.
 */
import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Order } from '../core/control/observed.ts'
import { siteNameSchema, vmNameSchema } from '../config/quantity-schema.ts'

const orderSchema: z.ZodType<Order & { by: string }> = z.intersection(
  z.discriminatedUnion('order', [
    z.strictObject({ order: z.literal('pause'), by: z.string() }),
    z.strictObject({ order: z.literal('resume'), by: z.string() }),
    z.strictObject({ order: z.literal('abort'), by: z.string() }),
    z.strictObject({ order: z.literal('endanger'), by: z.string(), site: siteNameSchema }),
    z.strictObject({
      order: z.literal('resolve'),
      by: z.string(),
      vm: vmNameSchema,
      runsAt: z.enum(['source', 'target']),
    }),
  ]),
  z.object({ by: z.string() }),
)
export type SignedOrder = Order & { readonly by: string }

const answerSchema = z.object({ ok: z.boolean(), message: z.string() })
export type Answer = z.infer<typeof answerSchema>

/** A line longer than this is no order. @unit bytes */
const longestLine = 4096
/** sun_path has 108 bytes, one for the terminator (unix(7)). */
const longestPath = 107

/** Nobody listens: the controller of this evacuation does not run. */
export class NoController extends Error {
  override readonly name = 'NoController'
}

export function socketPathOf(journalFile: string): string {
  const beside = join(dirname(journalFile), 'control.sock')
  if (Buffer.byteLength(beside) <= longestPath) return beside
  return join(tmpdir(), `lifeboat-${createHash('sha256').update(beside).digest('hex').slice(0, 24)}.sock`)
}

export interface ControlSocket {
  close(): void
}

/** @param onOrder returns what to answer. The caller holds the site's lock, so a socket that is there already is a dead one's. */
export async function serveOrders(
  journalFile: string,
  onOrder: (order: SignedOrder) => string,
): Promise<ControlSocket> {
  const path = socketPathOf(journalFile)
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server: Server = createServer(socket => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(5_000, () => socket.destroy())
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) socket.end(`${JSON.stringify(answer(text.slice(0, end), onOrder))}\n`)
      else if (text.length > longestLine) socket.destroy()
    })
  })
  server.maxConnections = 16
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  server.unref()
  return {
    close: () => {
      for (const socket of open) socket.destroy()
      server.close()
      rmSync(path, { force: true })
    },
  }
}

function answer(line: string, onOrder: (order: SignedOrder) => string): Answer {
  try {
    return { ok: true, message: onOrder(orderSchema.parse(JSON.parse(line))) }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? `not an order: ${error.message}` : 'not an order' }
  }
}

/** @throws NoController when nobody listens */
export function sendOrder(journalFile: string, order: SignedOrder, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPathOf(journalFile), signal })
    let text = ''
    socket.setEncoding('utf8')
    socket.once('connect', () => socket.write(`${JSON.stringify(order)}\n`))
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.once('error', error =>
      reject(
        signal.aborted ? error : new NoController('no controller of this evacuation is running', { cause: error }),
      ),
    )
    socket.once('end', () => {
      try {
        resolve(answerSchema.parse(JSON.parse(text)))
      } catch (error) {
        reject(new NoController('the controller ended before it answered', { cause: error }))
      }
    })
  })
}
