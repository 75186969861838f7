/**
 * Who gets how much of what is shared: weighted max-min fairness over all resources a flow crosses (its host's NIC, its site's uplink,
 * the path, the downlink and NIC at the other end). That is what long TCP flows of like round trips come to; weights are streams.
 */

/** Something with a capacity that flows share. */
export interface Resource {
  /** @unit bytes per second */
  capacity: number
  /**
   * Loss-limited TCP leaves some of it unused: n streams together fill 1 − 1/(1+3n) of it (Altman et al., parallel TCP: 75 % at 1,
   * 90 % at 3, 95 % at 6). False where losses are queue overflows only: one stream with a large window fills it.
   */
  lossy: boolean
}

export interface Flow {
  /** TCP streams. */
  readonly weight: number
  /** Most it can use; Infinity for as much as it gets. @unit bytes per second */
  readonly most: number
  readonly crosses: readonly Resource[]
}

export const lossyUse = (streams: number): number => (streams <= 0 ? 1 : 1 - 1 / (1 + 3 * streams))

/** Below this a resource counts as used up: what is left are rounding errors of doubles. @unit bytes per second */
const nothing = 1e-6

/**
 * Progressive filling: all rates grow in proportion to their weights until a flow has its most or a resource is full; those stop, the
 * others go on.
 * @returns a rate for each flow, in the order given @unit bytes per second
 */
export function shareOut(flows: readonly Flow[]): number[] {
  const rates = flows.map(() => 0)
  let growing = flows.map((flow, at) => ({ flow, at })).filter(({ flow }) => flow.most > nothing && flow.weight > 0)
  const streams = new Map<Resource, number>()
  for (const { flow } of growing)
    for (const resource of flow.crosses) streams.set(resource, (streams.get(resource) ?? 0) + flow.weight)
  const left = new Map<Resource, number>()
  for (const [resource, weight] of streams)
    left.set(resource, resource.capacity * (resource.lossy ? lossyUse(weight) : 1))
  while (growing.length > 0) {
    let grow = Number.POSITIVE_INFINITY
    for (const { flow, at } of growing) grow = Math.min(grow, (flow.most - (rates[at] ?? 0)) / flow.weight)
    for (const [resource, weight] of streams)
      if (weight > 0) grow = Math.min(grow, Math.max(0, left.get(resource) ?? 0) / weight)
    // Nobody is bounded by anything: a world without capacities.
    if (!Number.isFinite(grow)) {
      for (const { at } of growing) rates[at] = Number.POSITIVE_INFINITY
      return rates
    }
    for (const { flow, at } of growing) rates[at] = (rates[at] ?? 0) + grow * flow.weight
    for (const [resource, weight] of streams) left.set(resource, (left.get(resource) ?? 0) - grow * weight)
    const stopped = growing.filter(
      ({ flow, at }) =>
        (rates[at] ?? 0) >= flow.most - nothing || flow.crosses.some(resource => (left.get(resource) ?? 0) <= nothing),
    )
    for (const { flow } of stopped)
      for (const resource of flow.crosses) streams.set(resource, (streams.get(resource) ?? 0) - flow.weight)
    const gone = new Set(stopped)
    growing = growing.filter(each => !gone.has(each))
    if (stopped.length === 0) return rates
  }
  return rates
}
