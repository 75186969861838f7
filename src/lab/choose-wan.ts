/** Which driver carries a lab's WAN: netem where the kernel has it, else the relay. */
import { localRemote } from '../remote/local.ts'
import { prefixOf } from './lab-names.ts'
import { netemWan } from './netem-wan.ts'
import { relayWan } from './relay-wan.ts'
import type { Wan, WanKind } from './wan.ts'

export const wanOf = (kind: WanKind, root: string): Wan => (kind === 'netem' ? netemWan() : relayWan(root))

/** Tried in a namespace of its own, for the kernel's word alone counts. */
export async function bestWan(lab: string, signal: AbortSignal): Promise<WanKind> {
  const scratch = `${prefixOf(lab)}probe`
  const script = `ip netns add ${scratch} && ip -n ${scratch} link set lo up && tc -n ${scratch} qdisc add dev lo root netem delay 1ms; code=$?; ip netns del ${scratch}; exit $code`
  return (await localRemote.run(['sh', '-c', script], {}, signal)).code === 0 ? 'netem' : 'relay'
}
