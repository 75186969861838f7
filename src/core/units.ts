/**
 * Quantities with a unit, as types, and the one parser and printer for them.
 *
 * QEMU speaks bytes/s and Mbit/s, libvirt MiB/s and KiB; one mix-up is a thousandfold error. Inside Lifeboat there are only
 * `Bytes`, `BytesPerSecond`, `Milliseconds` and `Fraction`; foreign units are converted at the edge where they enter.
 * `print…` is exact (what it prints parses back to the same number); `show…` rounds for a reader's eye.
 */

declare const unit: unique symbol
type Quantity<U extends string> = number & { readonly [unit]: U }

/** A size. Whole, 0 … 2^53−1. @unit bytes */
export type Bytes = Quantity<'B'>
/** A rate. Finite, not negative, may be fractional (1 bit/s is 0.125). @unit bytes per second */
export type BytesPerSecond = Quantity<'B/s'>
/** A length of time. Finite, not negative, may be fractional. @unit milliseconds */
export type Milliseconds = Quantity<'ms'>
/** A share of a whole, 0 … 1. */
export type Fraction = Quantity<'1'>

/** @throws RangeError unless `n` is a whole number in 0 … 2^53−1 */
export function bytes(n: number): Bytes {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a byte count: ${n}`)
  return n as Bytes
}

/** @throws RangeError unless `n` is finite and not negative */
export function bytesPerSecond(n: number): BytesPerSecond {
  if (!Number.isFinite(n) || n < 0) throw new RangeError(`not a rate in bytes per second: ${n}`)
  return n as BytesPerSecond
}

/** @throws RangeError unless `n` is finite and not negative */
export function ms(n: number): Milliseconds {
  if (!Number.isFinite(n) || n < 0) throw new RangeError(`not a length of time in milliseconds: ${n}`)
  return n as Milliseconds
}

/** @throws RangeError unless 0 ≤ `n` ≤ 1 */
export function fraction(n: number): Fraction {
  if (!(n >= 0 && n <= 1)) throw new RangeError(`not a fraction between 0 and 1: ${n}`)
  return n as Fraction
}

export const seconds = (n: number): Milliseconds => ms(n * 1000)
export const hours = (n: number): Milliseconds => ms(n * 3_600_000)
export const mebibytes = (n: number): Bytes => bytes(Math.round(n * 1_048_576))
export const megabitsPerSecond = (n: number): BytesPerSecond => bytesPerSecond((n * 1e6) / 8)

/** Time that `size` takes at `rate`; infinite at rate 0, so callers must be ready for a value that is no {@link Milliseconds}. */
export const transferMs = (size: Bytes, rate: BytesPerSecond): number => (size === 0 ? 0 : (size / rate) * 1000)
export const sumBytes = (sizes: Iterable<Bytes>): Bytes => {
  let total = 0
  for (const size of sizes) total += size
  return bytes(total)
}
/** The smaller rate of those given; infinity (no limit) when none is. */
export const slowest = (...rates: readonly (BytesPerSecond | undefined)[]): number =>
  rates.reduce<number>((least, rate) => (rate === undefined ? least : Math.min(least, rate)), Number.POSITIVE_INFINITY)

/** What a text that should be a quantity got wrong; `expected` says what would have been right. */
export class UnitError extends Error {
  override readonly name = 'UnitError'
  readonly expected: string
  constructor(text: string, expected: string, why: string) {
    super(`"${text}" ${why}; expected ${expected}`)
    this.expected = expected
  }
}

type Scale = readonly (readonly [name: string, factor: number])[]

const sizeScale: Scale = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['TB', 1e12],
  ['GB', 1e9],
  ['MB', 1e6],
  ['kB', 1e3],
  ['B', 1],
]
const bitScale: Scale = [
  ['Tbit/s', 1e12 / 8],
  ['Gbit/s', 1e9 / 8],
  ['Mbit/s', 1e6 / 8],
  ['kbit/s', 1e3 / 8],
  ['bit/s', 1 / 8],
]
const rateScale: Scale = [
  ...bitScale.slice(0, 4),
  ...sizeScale.map(([name, factor]) => [`${name}/s`, factor] as const),
  ['bit/s', 1 / 8],
]
const timeScale: Scale = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

const sizeExpected = 'a size like 64MiB or 10GiB'
const rateExpected = 'a rate like 100Mbit/s or 20MiB/s'
const timeExpected = 'a time like 40ms, 90s or 30m'
const fractionExpected = 'a percentage like 1% or 0.01%'

function parseScaled(text: string, scale: Scale, expected: string): number {
  const match = /^\s*(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([^\d\s].*?)?\s*$/i.exec(text)
  if (match === null) throw new UnitError(text, expected, 'is not a number with a unit')
  const [, digits = '', name] = match
  if (name === undefined) throw new UnitError(text, expected, 'has no unit')
  const factor = scale.find(([known]) => known === name)?.[1]
  if (factor === undefined) {
    const near = scale.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[0]
    const hint = near === undefined ? '' : ` (did you mean ${near}?)`
    throw new UnitError(text, expected, `has the unknown unit "${name}"${hint}`)
  }
  const value = Number(digits) * factor
  if (value < 0) throw new UnitError(text, expected, 'is negative')
  if (!Number.isFinite(value)) throw new UnitError(text, expected, 'is too large')
  return value
}

/** `64MiB`, `1.5GiB`, `512B`. @throws UnitError on a bare number, an unknown unit, a negative or a fractional byte count */
export function parseBytes(text: string): Bytes {
  const value = parseScaled(text, sizeScale, sizeExpected)
  const whole = Math.round(value)
  if (Math.abs(value - whole) > 1e-6 * Math.max(1, value))
    throw new UnitError(text, sizeExpected, 'is not a whole number of bytes')
  if (!Number.isSafeInteger(whole)) throw new UnitError(text, sizeExpected, 'is too large')
  return bytes(whole)
}

/** `100Mbit/s`, `20MiB/s`. @throws UnitError on a bare number, an unknown unit or a negative rate */
export const parseRate = (text: string): BytesPerSecond => bytesPerSecond(parseScaled(text, rateScale, rateExpected))

/** `40ms`, `90s`, `30m`, `2h`. @throws UnitError on a bare number, an unknown unit or a negative time */
export const parseTime = (text: string): Milliseconds => ms(parseScaled(text, timeScale, timeExpected))

/** `1%`, `0.01%`. @throws UnitError on a bare number or anything outside 0 … 100 % */
export function parseFraction(text: string): Fraction {
  const value = parseScaled(text, [['%', 1]], fractionExpected) / 100
  if (value > 1) throw new UnitError(text, fractionExpected, 'is more than 100%')
  return fraction(value)
}

/** The largest unit in which the number stays short, and parses back to exactly `value`. */
function printScaled(value: number, scale: Scale, smallest: string): string {
  if (value === 0) return `0${smallest}`
  const candidates = scale
    .map(([name, factor]) => ({
      name,
      count: value / factor,
      exact: Number(String(value / factor)) * factor === value,
    }))
    .filter(({ count, exact }) => exact && count >= 1 && !String(count).includes('e'))
    .map(({ name, count }) => `${count}${name}`)
  candidates.sort((a, b) => a.length - b.length)
  return candidates[0] ?? `${value / (scale.find(([name]) => name === smallest)?.[1] ?? 1)}${smallest}`
}

/** Exact: `parseBytes(printBytes(x)) === x`. */
export const printBytes = (size: Bytes): string => printScaled(size, sizeScale, 'B')
/** Bits are how links are sold: `200Mbit/s` rather than `25MB/s`, as long as it is as short as this. */
const fewDigits = 4

/** Exact: `parseRate(printRate(x)) === x`. */
export function printRate(rate: BytesPerSecond): string {
  const inBits = printScaled(rate, bitScale, 'bit/s')
  return Number.parseFloat(inBits).toString().length <= fewDigits && !inBits.includes('e')
    ? inBits
    : printScaled(rate, rateScale, 'B/s')
}
/** Exact: `parseTime(printTime(x)) === x`. */
export const printTime = (time: Milliseconds): string => printScaled(time, timeScale, 'ms')
/** Parses back to the same fraction: with as few digits as do. */
export function printFraction(share: Fraction): string {
  const texts = [15, 16, 17].map(digits => `${Number((share * 100).toPrecision(digits))}%`)
  return texts.find(text => Number.parseFloat(text) / 100 === share) ?? `${share * 100}%`
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0)
  return value.toFixed(value >= 9.995 ? 1 : 2)
}
function showScaled(value: number, names: readonly (readonly [string, number])[], zero: string): string {
  const found = names.find(([, factor]) => value >= factor * 0.9995)
  if (found === undefined) return value === 0 ? zero : `${threeDigits(value)} ${names.at(-1)?.[0] ?? ''}`
  return found[1] === 1 && Number.isInteger(value)
    ? `${value} ${found[0]}`
    : `${threeDigits(value / found[1])} ${found[0]}`
}

/** Rounded for people: `61.3 MiB`. */
export const showBytes = (size: number): string => showScaled(size, [...sizeScale.slice(0, 4), ['B', 1]], '0 B')
/** Rounded for people, in bits as networks are sold: `93.1 Mbit/s`. */
export const showRate = (rate: number): string =>
  showScaled(rate, [...rateScale.slice(0, 4), ['bit/s', 1 / 8]], '0 bit/s')
/** Rounded for people: `420 ms`, `9.6 s`, `1 min 43 s`, `2 h 05 min`. */
export function showTime(time: number): string {
  if (time < 999.5) return `${Math.round(time)} ms`
  if (time < 59_950) return `${(time / 1000).toFixed(1)} s`
  const whole = Math.round(time / 1000)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
  const minutes = Math.round(whole / 60)
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}
