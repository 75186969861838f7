/** Sizes in libvirt's XML: a number, and a unit beside it (docs/formatdomain.rst, memory); without one it is KiB. */
import { type Bytes, bytes } from '../../core/units.ts'

const factors: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 1024,
  KiB: 1024,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
}

/** @returns undefined for what is no size */
export function sizeIn(number: string | undefined, unit: string | undefined): Bytes | undefined {
  const value = Number(number?.trim())
  const factor = factors[unit ?? 'KiB']
  if (number === undefined || factor === undefined || !Number.isFinite(value) || value < 0) return undefined
  return bytes(Math.round(value * factor))
}
