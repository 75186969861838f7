/**
 * A point in time. In production: milliseconds since the Unix epoch, never running backwards; in simulation: since the alarm.
 * The core compares and subtracts instants and never asks for one.
 */
import { type Milliseconds, ms } from './units.ts'

declare const point: unique symbol
export type Instant = number & { readonly [point]: 'instant' }

/** @throws RangeError unless finite */
export function instant(n: number): Instant {
  if (!Number.isFinite(n)) throw new RangeError(`not an instant: ${n}`)
  return n as Instant
}
export const plus = (at: Instant, span: Milliseconds): Instant => (at + span) as Instant
/** Time from `earlier` to `later`; 0 when they are the wrong way round. */
export const between = (earlier: Instant, later: Instant): Milliseconds => ms(Math.max(0, later - earlier))
export const latest = (a: Instant, b: Instant): Instant => (a > b ? a : b)
