/** The WAN of a lab, as one interface. Drivers: netem-wan.ts, relay-wan.ts; choose-wan.ts picks one. */
import type { LabLink, LabSpec } from './lab-spec.ts'
import type { KnownProcess } from './lab-record.ts'

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
