/**
 * When each VM will be home, from what is left to carry and what carries it.
 *
 * Each VM waits at the one thing it crosses that is busiest: a path, an uplink, a card. There those in front of it are served as the policy
 * does it: so many at a time, in equal parts. Times are what an uncorrected duration says, times what the past showed to be right; a
 * later one is the less certain, partly with all before it (the same path carries them), partly by itself.
 */
import type { Crossing } from '../control/water-filling.ts'
import type { VmId } from '../ids.ts'
import { type Errand, type Outlook, serve, type Waiting } from './serve.ts'

export interface Queueing {
  /** Migrations at one time that the policy allows; at most as many as there are. */
  readonly slots: number
  /** As few as fill the way, whatever the slots: each gets what it can use. */
  readonly fills: boolean
  /** So many more will flow as soon as there is a slot, and are not among the errands. @default 0 */
  readonly coming?: number
}

/** @param errands in the order in which they are served */
export function lookAhead(errands: readonly Errand[], queueing: Queueing): ReadonlyMap<VmId, Outlook> {
  const { slots, fills, coming = 0 } = queueing
  const groups = byBottleneck(errands)
  const served =
    // Fewer at a time than there are ways: they take turns at all of them.
    !fills && groups.size > slots
      ? inOneLine(errands, groups, slots, coming)
      : [...groups].flatMap(([over, group]) => inTheirLine(over, group, queueing, errands.length))
  return new Map(served.map(outlook => [outlook.vm, outlook]))
}

interface Group {
  readonly capacity: number
  readonly members: Errand[]
}

/** Each with those that wait at the same thing: of all it crosses the one that has most to carry for its capacity. */
function byBottleneck(errands: readonly Errand[]): ReadonlyMap<string, Group> {
  const load = new Map<string, number>()
  for (const { crosses, load: its } of errands) {
    for (const { key, capacity } of crosses) load.set(key, (load.get(key) ?? 0) + its / capacity)
  }
  const groups = new Map<string, Group>()
  for (const errand of errands) {
    let busiest: Crossing | undefined
    for (const crossing of errand.crosses) {
      if (busiest === undefined || isBusier(crossing, busiest, load)) busiest = crossing
    }
    const { key, capacity } = busiest ?? { key: 'nothing known', capacity: Number.POSITIVE_INFINITY }
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { capacity, members: [errand] })
    else group.members.push(errand)
  }
  return groups
}

/** The later in the list the nearer to the path itself, which is the better name for the same thing. */
function isBusier(a: Crossing, b: Crossing, load: ReadonlyMap<string, number>): boolean {
  const [ours, theirs] = [load.get(a.key) ?? 0, load.get(b.key) ?? 0]
  return ours === theirs ? a.capacity <= b.capacity : ours > theirs
}

function inTheirLine(over: string, { capacity, members }: Group, queueing: Queueing, all: number): readonly Outlook[] {
  const share = members.length / Math.max(1, all)
  const coming = queueing.fills ? 0 : Math.round((queueing.coming ?? 0) * share)
  const most = mostOf(members)
  return serve({
    members: members.map((errand): Waiting => ({ errand, over, unit: 1, carries: capacity })),
    capacity,
    most,
    slots: Math.min(members.length + coming, slotsFor(capacity, most, queueing, share)),
    coming,
  })
}

/** Each way to itself when its turn comes: what is handed out is turns. */
function inOneLine(
  errands: readonly Errand[],
  groups: ReadonlyMap<string, Group>,
  slots: number,
  coming: number,
): readonly Outlook[] {
  const places = new Map<Errand, Waiting>()
  for (const [over, { capacity, members }] of groups)
    for (const errand of members)
      places.set(errand, { errand, over, unit: Math.min(errand.most, capacity), carries: capacity })
  const members = errands.flatMap(errand => places.get(errand) ?? [])
  return serve({ members, capacity: slots, most: 1, slots, coming })
}

const mostOf = (members: readonly Errand[]): number =>
  members.reduce((least, { most }) => Math.min(least, most), Number.POSITIVE_INFINITY)

function slotsFor(capacity: number, most: number, { slots, fills }: Queueing, share: number): number {
  if (!fills) return Math.max(1, Math.round(slots * share))
  const toFill = Number.isFinite(capacity) && most > 0 ? Math.ceil(capacity / most - 1e-6) : 1
  return Math.max(1, slots, toFill)
}
