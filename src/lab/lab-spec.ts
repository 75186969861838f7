/** What a lab consists of, and what is assumed where nothing is said. */
import type { HostId, SiteId, VmId } from '../core/ids.ts'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import { defaultVmPolicy, type DirtyModel, type Disk, type VmPolicy } from '../core/inventory/vm.ts'
import {
  type Bytes,
  bytes,
  type BytesPerSecond,
  type Fraction,
  fraction,
  mebibytes,
  megabitsPerSecond,
  type Milliseconds,
  ms,
  showBytes,
} from '../core/units.ts'
import { LabError } from './lab-error.ts'

export interface LabHost {
  readonly id: HostId
  readonly site: SiteId
  /** What guests may use together, for placement; nothing enforces it. */
  readonly memory: Bytes
}
export interface LabSite {
  readonly id: SiteId
  readonly safe: boolean
}
/** The WAN between two sites; each direction has this capacity of its own. */
export interface LabLink {
  readonly between: readonly [SiteId, SiteId]
  readonly capacity: BytesPerSecond
  readonly rtt: Milliseconds
  readonly loss: Fraction
}
/** A virtio disk: the guest fills it with random bytes, remembers their hash, and says again and again what it reads now. */
export interface LabDisk {
  readonly size: Bytes
  /** On storage that all hosts share. */
  readonly shared: boolean
  /** @default raw */
  readonly format?: 'raw' | 'qcow2' | undefined
  /** An overlay over a base image that every host has; its format is qcow2. */
  readonly overBase?: boolean | undefined
  /** What the guest writes to its last quarter while it runs, and reads back. @default nothing */
  readonly write?: BytesPerSecond | undefined
}
export interface LabGuest {
  readonly vm: VmId
  readonly host: HostId
  readonly memory: Bytes
  /** Filled with random bytes. */
  readonly fill: Bytes
  readonly dirty: DirtyModel | undefined
  readonly disks: readonly LabDisk[]
  /** Between two readings of all its disks. @default once, at the start */
  readonly checkDisks?: Milliseconds | undefined
  /** A CD in a drive, of which every host has a copy. */
  readonly cd?: boolean | undefined
  readonly value: number
  readonly group: string | undefined
  readonly policy: VmPolicy
}
/** What runs the guests: QEMU as it is, or a libvirtd for each host. */
export const labDrivers = ['qemu', 'libvirt'] as const
export type LabDriver = (typeof labDrivers)[number]

export interface LabSpec {
  readonly name: string
  /** @default qemu */
  readonly driver?: LabDriver
  /** Each host has an sshd, by which its libvirtd is reached: from here, and from the other hosts. @default false */
  readonly ssh?: boolean
  /** Daemons reach each other by TLS, and memory is encrypted on its way. @default false */
  readonly tls?: boolean
  readonly sites: readonly LabSite[]
  readonly hosts: readonly LabHost[]
  readonly links: readonly LabLink[]
  readonly guests: readonly LabGuest[]
}

/**
 * What a guest's kernel, page tables and reserve take before anything can be filled. Debian's cloud kernel 6.1.192 leaves 18.5 MiB of 80 free;
 * with less than some 8 MiB of that in hand, a guest now and then runs out of memory while it fills.
 */
export const guestOverhead = mebibytes(72)
/** Of that, what is not zero and so has to leave too: measured with an idle guest, see docs/lab.md. */
export const guestBaseline = mebibytes(58)
export const leastMemory = mebibytes(80)
export const defaultLink = { capacity: megabitsPerSecond(100), rtt: ms(40), loss: fraction(0) } as const
export const defaultHostMemory = mebibytes(8192)

/** Room for random bytes beside a hot set. */
export const fillFor = (memory: Bytes, hot: Bytes): Bytes => bytes(Math.max(0, memory - guestOverhead - hot))
/** Non-zero memory, which must leave at least once. */
export const usedBy = (guest: LabGuest): Bytes =>
  bytes(Math.min(guest.memory, guest.fill + (guest.dirty?.hot ?? 0) + guestBaseline))

/** A link for every pair of sites: those given, and the default for the others. */
export function completeLinks(sites: readonly LabSite[], given: readonly LabLink[]): readonly LabLink[] {
  return sites.flatMap((a, i) =>
    sites.slice(i + 1).map(b => linkBetween(given, a.id, b.id) ?? { between: [a.id, b.id] as const, ...defaultLink }),
  )
}
export const linkBetween = (links: readonly LabLink[], a: SiteId, b: SiteId): LabLink | undefined =>
  links.find(({ between: [x, y] }) => (x === a && y === b) || (x === b && y === a))

/** Guests are often alike, and so are their mistakes. */
const mistakesShown = 5

/** @throws LabError with the reasons why this lab cannot be made */
export function insistOnSpec(spec: LabSpec): void {
  const wrong: string[] = []
  if (!/^[a-z0-9][a-z0-9-]{0,15}$/.test(spec.name))
    wrong.push(`"${spec.name}": a lab's name has 1 to 16 small letters, digits and -`)
  if (spec.driver !== 'libvirt' && (spec.ssh === true || spec.tls === true))
    wrong.push('ssh and tls are ways to a libvirtd, and its hosts have none: choose --driver libvirt')
  if (spec.sites.length > 200) wrong.push(`${spec.sites.length} sites: at most 200`)
  for (const site of spec.sites) {
    const hosts = spec.hosts.filter(host => host.site === site.id).length
    if (hosts === 0) wrong.push(`site ${site.id} has no host`)
    if (hosts > 200) wrong.push(`site ${site.id} has ${hosts} hosts: at most 200`)
  }
  for (const guest of spec.guests) {
    const { memory, fill, vm } = guest
    const hot = guest.dirty?.hot ?? bytes(0)
    if (memory < leastMemory)
      wrong.push(`${vm}: ${showBytes(memory)} is too little, a guest needs ${showBytes(leastMemory)} to boot`)
    else if (fill + hot > memory - guestOverhead) {
      wrong.push(
        `${vm}: a fill of ${showBytes(fill)} and a hot set of ${showBytes(hot)} do not fit in ${showBytes(memory)} beside ${showBytes(guestOverhead)} for its kernel`,
      )
    } else if (hot > 0 && fill <= hot)
      wrong.push(`${vm}: the fill (${showBytes(fill)}) must be larger than the hot set (${showBytes(hot)})`)
    wrong.push(...guest.disks.flatMap((disk, n) => mistakesOfDisk(disk).map(why => `${vm}: disk ${n + 1}: ${why}`)))
    if (guest.disks.length > 8) wrong.push(`${vm}: ${guest.disks.length} disks: at most 8`)
  }
  if (wrong.length === 0) return
  const more = wrong.length > mistakesShown ? [`… and ${wrong.length - mistakesShown} more of the kind`] : []
  throw new LabError(`this lab cannot be made:\n  ${[...wrong.slice(0, mistakesShown), ...more].join('\n  ')}`)
}

/** The least of which a quarter can be written in whole blocks. */
const leastDisk = mebibytes(4)

function mistakesOfDisk({ size, shared, format, overBase }: LabDisk): readonly string[] {
  return [
    ...(size < leastDisk || size % 1_048_576 !== 0
      ? [`a size of ${showBytes(size)}: expected whole MiB, ${showBytes(leastDisk)} at least`]
      : []),
    ...(overBase === true && format !== 'qcow2' ? ['an overlay has the format qcow2'] : []),
    ...(shared && format === 'qcow2' ? ['a shared disk is raw'] : []),
  ]
}

/** Filled whole, so that more would take a guest minutes. */
const mostActedOut = mebibytes(256)

function actedOut({ size, shared, write }: Disk): LabDisk {
  const whole = Math.floor(size / 1_048_576) * 1_048_576
  return {
    size: bytes(Math.min(mostActedOut, Math.max(leastDisk, whole))),
    shared,
    ...(write > 0 ? { write } : {}),
  }
}

/** A scenario's inventory as a lab: same names; what a lab cannot act out is left to the simulator. */
export function specFromSnapshot(name: string, snapshot: Snapshot): LabSpec {
  const isSite = new Map(snapshot.sites.map(site => [String(site.id), site.id]))
  const sites = snapshot.sites.map(({ id, safe }) => ({ id, safe }))
  const given = snapshot.paths.flatMap((path): LabLink[] => {
    const a = isSite.get(path.from)
    const b = isSite.get(path.to)
    if (a === undefined || b === undefined) return []
    const { capacity, rtt, loss } = path
    return [
      {
        between: [a, b],
        capacity: capacity ?? defaultLink.capacity,
        rtt: rtt ?? defaultLink.rtt,
        loss: loss ?? defaultLink.loss,
      },
    ]
  })
  return {
    name,
    sites,
    hosts: snapshot.hosts.map(({ id, site, memory }) => ({ id, site, memory })),
    links: completeLinks(sites, given),
    guests: snapshot.vms.map(vm => {
      const dirty = vm.dirty
      const room = fillFor(vm.memory, dirty?.hot ?? bytes(0))
      return {
        vm: vm.id,
        host: vm.host,
        memory: vm.memory,
        fill: bytes(Math.max(0, Math.min(room, vm.used - guestBaseline - (dirty?.hot ?? 0)))),
        dirty,
        disks: vm.disks.map(actedOut),
        value: vm.value,
        group: vm.group,
        policy: vm.policy,
      }
    }),
  }
}

export const plainGuest = (vm: VmId, host: HostId, memory: Bytes): LabGuest => ({
  vm,
  host,
  memory,
  fill: fillFor(memory, bytes(0)),
  dirty: undefined,
  disks: [],
  value: 1,
  group: undefined,
  policy: defaultVmPolicy,
})
