/** The WAN of a lab behind one interface: netem where the kernel has it, else the relay. */
import type { LabLink, LabSpec } from './lab-spec.ts'
import { localRemote } from '../remote/local.ts'
import type { KnownProcess } from './lab-record.ts'
import { netemWan } from './netem-wan.ts'
import { relayWan } from './relay-wan.ts'

/** What can be changed on a link in flight; both directions alike. */
export type LinkChange = Partial<Pick<LabLink, 'capacity' | 'rtt' | 'loss'>> & { readonly cut?: boolean }

export interface LinkStats {
  readonly from: string
  readonly to: string
  /** @unit bytes per second */
  readonly capacity: number
  /** @unit ms */
  readonly rtt: number
  readonly loss: number
  readonly cut: boolean
  /** Since the lab came up. @unit bytes */
  readonly carriedBytes: number
  readonly droppedPackets: number
  /** @unit bytes */
  readonly queuedBytes: number
}

export interface Wan {
  /** Joins the gateways. @returns the processes it started */
  make(spec: LabSpec, signal: AbortSignal): Promise<readonly KnownProcess[]>
  change(spec: LabSpec, link: LabLink, to: LinkChange, signal: AbortSignal): Promise<void>
  /** One entry a direction. */
  stats(spec: LabSpec, signal: AbortSignal): Promise<readonly LinkStats[]>
}

export type WanKind = 'netem' | 'relay'

export const wanOf = (kind: WanKind, root: string): Wan => (kind === 'netem' ? netemWan() : relayWan(root))

/** Tried in a namespace of its own, for the kernel's word alone counts. */
export async function bestWan(lab: string, signal: AbortSignal): Promise<WanKind> {
  const scratch = `lb-${lab}-probe`
  const script = `ip netns add ${scratch} && ip -n ${scratch} link set lo up && tc -n ${scratch} qdisc add dev lo root netem delay 1ms; code=$?; ip netns del ${scratch}; exit $code`
  return (await localRemote.run(['sh', '-c', script], {}, signal)).code === 0 ? 'netem' : 'relay'
}
