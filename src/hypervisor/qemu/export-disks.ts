/** A target that listens for disks: each that is to be copied, by its name, over NBD. */
import type { VmId } from '../../core/ids.ts'
import { ignoreReply, parseQueryBlock, type QmpClient, QmpCommandError } from '../../qmp/public.ts'
import type { QemuLanding } from './arrival.ts'
import type { FreePorts } from './free-ports.ts'
import type { CopyOrder } from './image-room.ts'
import { driveNamed } from './source-images.ts'

export interface Listening {
  /** What an operator calls the host. */
  readonly name: string
  readonly address: string
  readonly ports: FreePorts
}

/** QEMU opens the images for writing then, though the guest does not run (blockdev-nbd.c, for storage that is not shared). */
export async function exportDisks(
  vm: VmId,
  client: QmpClient,
  { name, address: host, ports }: Listening,
  copy: CopyOrder,
  signal: AbortSignal,
): Promise<QemuLanding['disks']> {
  if (copy.targets.length === 0) return null
  const port = await ports.listen(vm, async free => {
    const addr = { type: 'inet', data: { host, port: String(free) } }
    await client.execute('nbd-server-start', { addr }, ignoreReply, signal)
    return free
  })
  const drives = await client.execute('query-block', {}, parseQueryBlock, signal)
  for (const [n, target] of copy.targets.entries()) {
    const node = driveNamed(drives, target)?.inserted?.node ?? target
    const args = { type: 'nbd', id: `lifeboat-${n}`, 'node-name': node, name: target, writable: true }
    await client.execute('block-export-add', args, ignoreReply, signal)
  }
  return { name, host, port, targets: [...copy.targets], incremental: copy.incremental }
}

/** Nobody writes to the disks any more but the guest itself. Where none was exported, QEMU says so. */
export async function endExports(client: QmpClient, signal: AbortSignal): Promise<void> {
  await client.execute('nbd-server-stop', {}, ignoreReply, signal).catch((error: unknown) => {
    if (!(error instanceof QmpCommandError)) throw error
  })
}
