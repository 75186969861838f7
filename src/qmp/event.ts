/** What a monitor says of its own accord. */
import type { BufferedEvents } from '../time/event-buffer.ts'

/** @see https://www.qemu.org/docs/master/interop/qmp-spec.html#asynchronous-events */
export interface QmpEvent {
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
  /** The host's clock when QEMU sent it. @unit seconds and microseconds since the epoch */
  readonly at: { readonly seconds: number; readonly microseconds: number }
}

export type QmpEvents = BufferedEvents<QmpEvent>
