/** Which ways lead out of a host, how fast each is thought to be, and what each has before it. */
import type { HostId } from '../../ids.ts'
import { hostsOfSite, type Path, pathBetween, type Snapshot, wayBetween } from '../../inventory/snapshot.ts'
import type { PolicyView } from '../policy.ts'
import type { Lane } from './lanes.ts'

/** Where nothing is known of a way, it is not taken for a fast one. @unit bytes per second */
const assumedRate = 12_500_000

/** What a way has before it. */
export interface Load {
  /** Ready, or being made ready. */
  count: number
  /** … of hosts that have processors left. */
  fit: number
  /** How long they will keep it busy. @unit ms */
  busy: number
  /** Of what flows, and of what is ready. @unit bytes */
  bytes: number
  value: number
}

/** By queue. */
export type Loads = ReadonlyMap<string, Load>

type Ways = readonly (readonly HostId[])[]

/** Ways are the same for as long as the sites that receive are. */
const known = new WeakMap<Snapshot, WeakMap<PolicyView['targets'], Map<HostId, Ways>>>()

/** Hosts of the sites that receive, to which a way leads, by way. */
export function waysFrom({ snapshot, targets }: PolicyView, from: HostId): Ways {
  const ofSnapshot = known.get(snapshot) ?? new WeakMap<PolicyView['targets'], Map<HostId, Ways>>()
  known.set(snapshot, ofSnapshot)
  const all = ofSnapshot.get(targets) ?? new Map<HostId, Ways>()
  ofSnapshot.set(targets, all)
  const found = all.get(from)
  if (found !== undefined) return found
  const byWay = new Map<Path | undefined, HostId[]>()
  for (const { id } of targets.flatMap(site => hostsOfSite(snapshot, site))) {
    const path = wayBetween(snapshot, from, id)
    if (snapshot.paths.length > 0 && pathBetween(snapshot, from, id) === undefined) continue
    const hosts = byWay.get(path)
    if (hosts === undefined) byWay.set(path, [id])
    else hosts.push(id)
  }
  const ways = [...byWay.values()]
  all.set(from, ways)
  return ways
}

/** All of them. */
export const hostsTo = (view: PolicyView, from: HostId): readonly HostId[] => waysFrom(view, from).flat()

/** @unit bytes per second */
export const rateOf = ({ narrowest, own }: Lane): number => {
  const rate = Math.min(narrowest, own)
  return Number.isFinite(rate) && rate > 0 ? rate : assumedRate
}
