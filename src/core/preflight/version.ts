/** Versions of libvirt and QEMU, comparable: major · 10⁶ + minor · 10³ + release, as libvirt itself has them (virConnectGetVersion). */

declare const kind: unique symbol
export type Version = number & { readonly [kind]: 'version' }

/** @throws RangeError for what is no whole number from 0 */
export function version(n: number): Version {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a version: ${n}`)
  return n as Version
}

/** The first thing that looks like one: `QEMU emulator version 7.2.22 (Debian …)`. @returns undefined when there is none */
export function versionIn(text: string): Version | undefined {
  const found = /(\d{1,4})\.(\d{1,3})(?:\.(\d{1,3}))?/.exec(text)
  if (found === null) return undefined
  return version(Number(found[1]) * 1_000_000 + Number(found[2]) * 1_000 + Number(found[3] ?? 0))
}

export const showVersion = (n: Version): string =>
  `${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`
