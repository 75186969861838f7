/** Lines of /proc as numbers (proc(5)). What is not as described there is `undefined`, never a guess. */
import type { CpuTicks, InterfaceCounters, Pressure } from '../core/network/reading.ts'
import { type Bytes, bytes, type Fraction, fraction } from '../core/units.ts'

const most = 2 ** 64
const count = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,20}$/.test(text)) return undefined
  const n = Number(text)
  return n <= most ? n : undefined
}

/** Of /proc/net/dev: `name: bytes packets …8 fields… bytes packets …`. Headings and lines with fewer fields are passed over. */
export function parseNetDev(text: string): readonly Omit<InterfaceCounters, 'speed'>[] {
  return text.split('\n').flatMap(line => {
    const found = /^\s*(\S+?):\s*(\d.*)$/.exec(line)
    const fields = found?.[2]?.trim().split(/\s+/) ?? []
    const received = count(fields[0])
    const sent = count(fields[8])
    return found?.[1] === undefined || received === undefined || sent === undefined
      ? []
      : [{ name: found[1], received, sent }]
  })
}

/** The first line of /proc/stat: `cpu user nice system idle iowait irq softirq steal …`; older kernels end sooner. */
export function parseCpuLine(line: string): CpuTicks | undefined {
  const [name, ...rest] = line.trim().split(/\s+/)
  // Guest time is within user time already.
  const ticks = rest.slice(0, 8).map(count)
  const [idle, iowait = 0] = ticks.slice(3, 5)
  if (name !== 'cpu' || idle === undefined || ticks.some(each => each === undefined)) return undefined
  const total = ticks.reduce<number>((sum, each) => sum + (each ?? 0), 0)
  return { total, idle: idle + iowait, stolen: ticks[7] ?? 0 }
}

/** A value of /proc/meminfo. @param text in KiB */
export function parseKibibytes(text: string): Bytes | undefined {
  const size = count(text.trim())
  return size === undefined || size > Number.MAX_SAFE_INTEGER / 1024 ? undefined : bytes(size * 1024)
}

/** Lines `cpu some avg10=1.68 avg60=… total=…`. @returns undefined where the kernel has none (CONFIG_PSI, psi=0) */
export function parsePressure(text: string): Pressure | undefined {
  const of = (what: string): Fraction | undefined => {
    const found = new RegExp(`^${what} some avg10=(\\d{1,3}(?:\\.\\d{1,9})?)(?:\\s|$)`, 'm').exec(text)?.[1]
    return found === undefined ? undefined : fraction(Math.min(1, Number(found) / 100))
  }
  const pressure = { cpu: of('cpu'), memory: of('memory'), io: of('io') }
  return Object.values(pressure).every(each => each === undefined) ? undefined : pressure
}

/** /proc/uptime: seconds since the start, with two decimals. @returns ms */
export function parseUptime(text: string): number | undefined {
  const found = /^(\d{1,12}(?:\.\d{1,9})?)(?:\s|$)/.exec(text.trim())?.[1]
  return found === undefined ? undefined : Number(found) * 1000
}
