/** The world of `bench -- lab`: twelve real guests of which three write, 40 ms, and a path that falls to a third in the middle and recovers. */
import { type HostId, hostId, type SiteId, siteId, vmId } from '../src/core/ids.ts'
import type { Timeline } from '../src/core/sim/timeline.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms, seconds } from '../src/core/units.ts'
import { actOut } from '../src/lab/act-out.ts'
import { changeLink, linkOf } from '../src/lab/lab-harm.ts'
import { type LabDriver, type LabGuest, type LabSpec, plainGuest, fillFor } from '../src/lab/lab-spec.ts'
import type { GuestLife } from '../src/lab/proof-of-life.ts'
import { clock, type TestLab, testRoot } from '../test/lab-fixture.ts'

export const guests = 12
export const hotGuests = 3
const hostsPerSite = 2
const memory = mebibytes(96)
const hot = { hot: mebibytes(8), period: ms(2_000), cold: bytesPerSecond(256 * 1024) }
const wide = megabitsPerSecond(100)
const narrow = megabitsPerSecond(30)

const sites = [siteId('a'), siteId('b')] as const
const path = [...sites] as const
export const timeline: Timeline = [
  { at: seconds(20), jitter: ms(0), what: { kind: 'path', path, change: { capacity: narrow } } },
  { at: seconds(60), jitter: ms(0), what: { kind: 'path', path, change: { capacity: wide } } },
]

export const hostAt = (site: SiteId, n: number): HostId => hostId(`${site}-${(n % hostsPerSite) + 1}`)
const guestNumber = (n: number): LabGuest => {
  const plain = plainGuest(vmId(`vm-${n + 1}`), hostAt(sites[0], n), memory)
  // Not all in a row: whoever goes by the inventory meets them on the way.
  return n % Math.floor(guests / hotGuests) === 1 ? { ...plain, fill: fillFor(memory, hot.hot), dirty: hot } : plain
}

export const worldFor = (driver: LabDriver): LabSpec => ({
  name: `bench-lab-${driver === 'qemu' ? 'q' : 'v'}`,
  driver,
  sites: sites.map((id, n) => ({ id, safe: n > 0 })),
  hosts: sites.flatMap(site =>
    Array.from({ length: hostsPerSite }, (_, n) => ({ id: hostAt(site, n), site, memory: mebibytes(8_192) })),
  ),
  links: [{ between: sites, capacity: wide, rtt: ms(40), loss: fraction(0) }],
  guests: Array.from({ length: guests }, (_, n) => guestNumber(n)),
})

/** The path is as it was at the alarm. */
export const restore = (lab: TestLab, signal: AbortSignal): Promise<void> =>
  changeLink(testRoot, lab.record, linkOf(lab.record, ...sites), { capacity: wide }, signal)

/** Lets the timeline happen from now. @returns how to stop it; the path stays as it is then */
export function act(lab: TestLab): () => Promise<void> {
  const over = new AbortController()
  const acting = actOut(timeline, { root: testRoot, record: lab.record, clock, onEvent: () => undefined }, over.signal)
  const settled = acting.catch((error: unknown) => {
    if (!over.signal.aborted) throw error
  })
  return async () => {
    over.abort()
    await settled
  }
}

/** Two ticks at least, and what a slow machine adds. */
const lookFor = ms(2_500)

export interface Life {
  readonly alive: number
  /** Ticks that never came, or came twice, of all guests. */
  readonly missing: number
  readonly repeated: number
  /** Longest time without a tick beyond its period: what a guest's users may have felt. @unit ms */
  readonly longestGap: number
}

/** What the guests' own ticks say since the last look. */
export async function lifeOf(lab: TestLab, before: readonly GuestLife[], signal: AbortSignal): Promise<Life> {
  await clock.sleep(lookFor, signal)
  const now = lab.life.report(Number.POSITIVE_INFINITY)
  const earlier = new Map(before.map(guest => [guest.vm, guest]))
  const grown = (of: (guest: GuestLife) => number): number =>
    now.reduce((sum, guest) => sum + of(guest) - (earlier.has(guest.vm) ? of(earlier.get(guest.vm) ?? guest) : 0), 0)
  return {
    alive: now.filter(({ verdict }) => verdict !== 'dead').length,
    missing: grown(({ missing }) => missing),
    repeated: grown(({ repeated }) => repeated),
    longestGap: Math.max(0, ...now.map(({ longestGap }) => longestGap?.length ?? 0)),
  }
}
