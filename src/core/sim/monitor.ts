/** What a monitor on the hosts would see of the paths in use: queues where something is full, losses where packets are lost. */
import type { SeenOnPath } from '../forecast/path-signal.ts'
import { fraction, ms } from '../units.ts'
import type { SimNetwork, SimPath } from './network.ts'
import type { Resource } from './physics/share.ts'
import { queueWhenFull } from './physics/timings.ts'
import type { Transfer } from './transfer.ts'

/** Rates are sums of doubles. */
const nearly = 0.98

export function seenOnPaths(network: SimNetwork, flowing: Iterable<Transfer>): readonly SeenOnPath[] {
  const speaking = [...flowing].filter(({ rate }) => rate > 0)
  const used = new Map<Resource, number>()
  for (const { crosses, rate } of speaking)
    for (const resource of crosses) used.set(resource, (used.get(resource) ?? 0) + rate)
  for (const path of network.paths) {
    const ours = used.get(path)
    if (ours !== undefined) used.set(path, ours + Math.min(path.background, path.capacity))
  }
  const full = new Map<SimPath, boolean>()
  for (const { source, target, crosses } of speaking) {
    const path = network.pathOf(source, target)
    if (path === undefined) continue
    full.set(path, full.get(path) === true || crosses.some(each => queues(each, used.get(each) ?? 0)))
  }
  return [...full].map(([{ path, loss }, isFull]) => ({
    from: path.from,
    to: path.to,
    queueing: ms(isFull ? queueWhenFull : 0),
    loss: fraction(loss),
  }))
}

/** Where packets are lost at random TCP backs off before anything queues. */
const queues = ({ capacity, lossy }: Resource, used: number): boolean => !lossy && used >= capacity * nearly
