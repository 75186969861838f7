/** The four kinds of frame a monitor sends, told apart. Hand-written: this is the hot path, and only the envelope is looked at here. */
import { QmpProtocolError } from './errors.ts'
import type { QmpEvent } from './event.ts'

export type Message =
  | { readonly kind: 'greeting'; readonly qmp: Readonly<Record<string, unknown>> }
  | { readonly kind: 'reply'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: unknown; readonly errorClass: string; readonly desc: string }
  | { readonly kind: 'event'; readonly event: QmpEvent }

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** @throws QmpProtocolError for anything that is no QMP frame */
export function parseMessage(line: string): Message {
  let raw: unknown
  try {
    raw = JSON.parse(line)
  } catch (error) {
    throw new QmpProtocolError(`not JSON: ${line.slice(0, 60)}`, { cause: error })
  }
  if (!isObject(raw)) throw new QmpProtocolError(`not an object: ${line.slice(0, 60)}`)
  if ('return' in raw) return { kind: 'reply', id: raw['id'], value: raw['return'] }
  if (typeof raw['event'] === 'string') return { kind: 'event', event: eventFrom(raw['event'], raw) }
  if (isObject(raw['error'])) {
    const { class: errorClass, desc } = raw['error']
    return { kind: 'error', id: raw['id'], errorClass: String(errorClass), desc: String(desc) }
  }
  if (isObject(raw['QMP'])) return { kind: 'greeting', qmp: raw['QMP'] }
  throw new QmpProtocolError(`neither greeting, reply, error nor event: ${line.slice(0, 60)}`)
}

function eventFrom(name: string, raw: Readonly<Record<string, unknown>>): QmpEvent {
  const data = isObject(raw['data']) ? raw['data'] : {}
  const at = isObject(raw['timestamp']) ? raw['timestamp'] : {}
  return { name, data, at: { seconds: Number(at['seconds'] ?? 0), microseconds: Number(at['microseconds'] ?? 0) } }
}
