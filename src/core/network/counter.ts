/**
 * From two values of a counter to what it grew by. Counters wrap (32 bits in some drivers, 64 in the kernel), start again when a host or
 * a driver does, and now and then are plainly wrong. What cannot be believed is dropped, with the reason; nothing becomes NaN.
 */

/** Why something that was read is not used. Counted for each host. */
export const dropReasons = ['counter-reset', 'absurd-rate', 'clock-backwards', 'clock-jump', 'gap', 'too-soon'] as const
export type DropReason = (typeof dropReasons)[number]

export type Growth =
  | { readonly kind: 'grew'; readonly by: number; readonly wrapped: 32 | 64 | undefined }
  | { readonly kind: 'dropped'; readonly why: DropReason }

/** More than any interface carries (2026: 800 Gbit/s): where the link's own speed is not known. @unit bytes per second */
export const absurdRate = 1e12 / 8
/** A wrap is believed of a counter that would have grown no faster than this; else it began again. @unit bytes per second */
const wrapBelow = 10e9 / 8
/** A link's counters and the clock are not read at the same instant. */
const margin = 1.25

const width = { 32: 2 ** 32, 64: 2 ** 64 } as const

/**
 * @param span @unit ms, more than 0
 * @param speed of the link, where known @unit bytes per second
 */
export function growth(before: number, now: number, span: number, speed: number | undefined): Growth {
  // Drivers that do not know say 0 or -1.
  const most = ((speed !== undefined && speed > 0 ? speed * margin : absurdRate) * span) / 1000
  if (!isCount(before) || !isCount(now) || !(span > 0)) return { kind: 'dropped', why: 'absurd-rate' }
  if (now >= before) {
    const by = now - before
    return by <= most ? { kind: 'grew', by, wrapped: undefined } : { kind: 'dropped', why: 'absurd-rate' }
  }
  const bits = before < width[32] ? 32 : 64
  const by = now + (width[bits] - before)
  const believable = Math.min(most, (wrapBelow * span) / 1000)
  return by <= believable ? { kind: 'grew', by, wrapped: bits } : { kind: 'dropped', why: 'counter-reset' }
}

const isCount = (n: number): boolean => n >= 0 && n <= width[64]
