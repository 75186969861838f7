/** Worlds by the dozen, for studies and property tests: a few numbers and a seed make an inventory and a timeline. */
import { hostId, siteId, type VmId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Host, Path, Site, Snapshot } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type DirtyModel, type Vm } from '../inventory/vm.ts'
import {
  type Bytes,
  bytes,
  type BytesPerSecond,
  bytesPerSecond,
  fraction,
  mebibytes,
  type Milliseconds,
  ms,
  seconds,
} from '../units.ts'
import { type Chance, chanceOf } from './chance.ts'
import type { Timeline, TimelineEntry, PathChange } from './timeline.ts'

export const pathKinds = ['steady', 'step', 'ramp', 'saw', 'bursts', 'one-flow', 'outage'] as const
export type PathKind = (typeof pathKinds)[number]

export type Sizes =
  | { readonly kind: 'fixed'; readonly size: Bytes }
  | { readonly kind: 'uniform'; readonly from: Bytes; readonly to: Bytes }
  /** Half are below the median; some two thirds within a factor of `spread` of it. */
  | { readonly kind: 'lognormal'; readonly median: Bytes; readonly spread: number }

/** Shares of the guests that write little, some, and much. The rest is idle. */
export interface Activity {
  readonly warm: number
  readonly hot: number
}

export interface WorldSpec {
  readonly endangered: number
  readonly safe: number
  /** In each site. */
  readonly hosts: number
  readonly vms: number
  readonly memory: Sizes
  readonly activity: Activity
  readonly path: { readonly kind: PathKind; readonly capacity: BytesPerSecond; readonly rtt: Milliseconds }
  /** Memory at the safe sites together, as a multiple of what the VMs have. */
  readonly room: number
  readonly deadline: Milliseconds | undefined
  readonly seed: number
}

export interface GeneratedWorld {
  readonly snapshot: Snapshot
  readonly timeline: Timeline
}

const page = 4096
/** Guests use this share of their memory, evenly between the two. */
const usedFrom = 0.4
const usedTo = 0.95
/** A guest writes its hot set this often. @unit ms */
const periods = [500, 1_000, 2_000, 5_000] as const
/** Hot sets and cold rates, as shares of the memory used: of the memory, and of it each second. */
const warmth = { warm: { hot: 0.03, cold: 0.001 }, hot: { hot: 0.12, cold: 0.006 } } as const
const values = [1, 1, 1, 1, 2, 5, 10] as const
/** Least memory of a guest, whatever a distribution says. */
const leastMemory = mebibytes(64)

export function generateWorld(spec: WorldSpec): GeneratedWorld {
  const chance = chanceOf(spec.seed)
  const sites = sitesOf(spec)
  const left = sites.filter(({ safe }) => !safe)
  const sources = left.flatMap(({ id }) => Array.from({ length: spec.hosts }, (_, n) => hostId(`${id}-${n + 1}`)))
  const vms = Array.from({ length: spec.vms }, (_, n): Vm => {
    const id = vmId(`vm-${String(n + 1).padStart(String(spec.vms).length, '0')}`)
    const memory = sizeOf(spec.memory, chance, id)
    const used = bytes(Math.min(memory, whole(memory * (usedFrom + (usedTo - usedFrom) * chance('used', id)))))
    const host = sources[n % Math.max(1, sources.length)] ?? hostId('nowhere')
    return {
      id,
      host,
      memory,
      used,
      dirty: dirtyOf(spec.activity, used, chance, id),
      disks: [],
      value: values[Math.floor(chance('value', id) * values.length)] ?? 1,
      group: undefined,
      policy: defaultVmPolicy,
      paused: false,
    }
  })
  return {
    snapshot: {
      takenAt: instant(0),
      sites,
      hosts: hostsOf(spec, sites, vms),
      paths: pathsOf(spec, sites),
      vms,
      unreachable: [],
      power: [],
      deadline: spec.deadline,
    },
    timeline: timelineOf(spec, sites, chance),
  }
}

const sitesOf = ({ endangered, safe }: WorldSpec): readonly Site[] => [
  ...Array.from({ length: endangered }, (_, n) => ({ id: siteId(`left-${n + 1}`), safe: false, uplink: undefined })),
  ...Array.from({ length: safe }, (_, n) => ({ id: siteId(`safe-${n + 1}`), safe: true, uplink: undefined })),
]

function hostsOf(spec: WorldSpec, sites: readonly Site[], vms: readonly Vm[]): readonly Host[] {
  const total = vms.reduce((sum, vm) => sum + vm.memory, 0)
  const largest = Math.max(leastMemory, ...vms.map(({ memory }) => memory))
  const each = whole(Math.max(largest * 2, (total * spec.room) / Math.max(1, spec.safe * spec.hosts)))
  return sites.flatMap(site =>
    Array.from({ length: spec.hosts }, (_, n): Host => {
      const id = hostId(`${site.id}-${n + 1}`)
      const theirs = vms.filter(vm => vm.host === id).reduce((sum, vm) => sum + vm.memory, 0)
      return {
        id,
        site: site.id,
        memory: site.safe ? each : whole(Math.max(largest, theirs)),
        nic: undefined,
        cpu: undefined,
      }
    }),
  )
}

function pathsOf({ path }: WorldSpec, sites: readonly Site[]): readonly Path[] {
  const { capacity, rtt, kind } = path
  return sites
    .filter(({ safe }) => !safe)
    .flatMap(from =>
      sites
        .filter(({ safe }) => safe)
        .map(to => ({
          from: from.id,
          to: to.id,
          capacity,
          rtt,
          loss: undefined,
          perFlow: kind === 'one-flow' ? bytesPerSecond(capacity * oneFlowShare) : undefined,
          background: undefined,
        })),
    )
}

/** What one stream gets of a long path that it alone cannot fill. */
const oneFlowShare = 0.3
const stepAt = seconds(60)

/** How the paths fare. Each path has its own luck in the details, none in the kind. */
function timelineOf({ path: { kind, capacity } }: WorldSpec, sites: readonly Site[], chance: Chance): Timeline {
  const entries = sites
    .filter(({ safe }) => !safe)
    .flatMap(from => sites.filter(({ safe }) => safe).flatMap(to => eventsOf(kind, capacity, [from.id, to.id], chance)))
  return entries.sort((a, b) => a.at - b.at)
}

function eventsOf(
  kind: PathKind,
  capacity: BytesPerSecond,
  path: readonly [Site['id'], Site['id']],
  chance: Chance,
): TimelineEntry[] {
  const change = (at: number, to: PathChange): TimelineEntry => ({
    at: ms(Math.round(at)),
    jitter: ms(0),
    what: { kind: 'path', path, change: to },
  })
  const share = (at: number, of: number): TimelineEntry => change(at, { capacity: bytesPerSecond(capacity * of) })
  const luck = (name: string): number => chance(kind, ...path, name)
  switch (kind) {
    case 'steady':
    case 'one-flow':
      return []
    case 'step': {
      const [at, lasts] = [stepAt * (0.5 + luck('at')), stepAt * (1 + 3 * luck('lasts'))]
      return [share(at, 0.2 + 0.3 * luck('depth')), share(at + lasts, 1)]
    }
    case 'ramp': {
      const steps = 12
      return Array.from({ length: steps }, (_, n) => share(20_000 * (n + 1), 1 - (0.8 * (n + 1)) / steps))
    }
    case 'saw': {
      const teeth = 20
      const period = 40_000 * (0.5 + luck('period'))
      return Array.from({ length: teeth }, (_, n) => [
        share(period * (n + 0.5), 0.3),
        share(period * (n + 1), 1),
      ]).flat()
    }
    case 'bursts':
      return Array.from({ length: 10 }, (_, n) => {
        const at = 45_000 * n + 30_000 * luck(`at ${n}`)
        const lasts = 3_000 + 7_000 * luck(`lasts ${n}`)
        return [
          change(at, { loss: fraction(Math.round(1_000 + 10_000 * luck(`loss ${n}`)) / 1e6) }),
          change(at + lasts, { loss: fraction(0) }),
        ]
      }).flat()
    case 'outage': {
      const at = stepAt * (0.3 + luck('at'))
      const entry = (when: number, what: 'cut' | 'heal'): TimelineEntry => ({
        at: ms(Math.round(when)),
        jitter: ms(0),
        what: { kind: what, path },
      })
      return [entry(at, 'cut'), entry(at + 10_000 + 30_000 * luck('lasts'), 'heal')]
    }
  }
}

function sizeOf(sizes: Sizes, chance: Chance, id: VmId): Bytes {
  switch (sizes.kind) {
    case 'fixed':
      return atLeast(sizes.size)
    case 'uniform':
      return atLeast(sizes.from + (sizes.to - sizes.from) * chance('memory', id))
    case 'lognormal': {
      // Box and Muller: two even draws make a normal one.
      const [u, v] = [Math.max(1e-12, chance('memory', id)), chance('memory too', id)]
      const normal = Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v)
      return atLeast(sizes.median * sizes.spread ** normal)
    }
  }
}

function dirtyOf({ warm, hot }: Activity, used: Bytes, chance: Chance, id: VmId): DirtyModel | undefined {
  const draw = chance('activity', id)
  const kind = draw < hot ? warmth.hot : draw < hot + warm ? warmth.warm : undefined
  if (kind === undefined) return undefined
  const factor = 0.5 + chance('warmth', id)
  return {
    hot: whole(used * kind.hot * factor),
    period: ms(periods[Math.floor(chance('period', id) * periods.length)] ?? 1_000),
    cold: bytesPerSecond(Math.round(used * kind.cold * factor)),
  }
}

/** Whole pages. */
const whole = (size: number): Bytes => bytes(Math.max(1, Math.ceil(size / page)) * page)
const atLeast = (size: number): Bytes => whole(Math.max(leastMemory, size))
