/**
 * The ways out as the planner sees them: how fast each is by what is stated, and what each has been given to carry so far, so that no
 * way out is crowded while another is empty.
 */
import type { HostId, SiteId } from '../ids.ts'
import {
  findHost,
  findSite,
  hostsOfSite,
  type Path,
  pathBetween,
  type Snapshot,
  siteOf,
} from '../inventory/snapshot.ts'
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import { bytes } from '../units.ts'
import type { GroupWish } from './groups.ts'
import { freeMemory, keptAwayBy } from './ledger.ts'
import { acceptable, type PlacementView } from './placement.ts'

/** Where nothing is stated of a way, it is taken for an ordinary one, neither better nor worse than those that are known. @unit bytes per second */
const assumed = 125_000_000

/** Whatever is shared on it takes its time for what crosses it. */
interface Crossed {
  readonly key: string
  readonly rate: number
}

interface Open {
  readonly host: HostId
  readonly site: SiteId
  readonly crossed: readonly Crossed[]
}

export class Ways {
  readonly #snapshot: Snapshot
  readonly #targets: readonly SiteId[]
  /** Until when what is shared is busy with what it was given. @unit seconds */
  readonly #busy = new Map<string, number>()
  readonly #best = new Map<HostId, number>()
  readonly #open = new Map<string, readonly Open[]>()

  constructor({ snapshot, targets }: { readonly snapshot: Snapshot; readonly targets: readonly SiteId[] }) {
    this.#snapshot = snapshot
    this.#targets = targets
  }

  /** The most that a VM of this host could get; what is not known counts as ordinary. @unit bytes per second */
  best(from: HostId): number {
    const known = this.#best.get(from)
    if (known !== undefined) return known
    const to = this.#targets.flatMap(site => hostsOfSite(this.#snapshot, site).map(({ id }) => id))
    const rates = to.map(host => Math.min(...this.#crossed(from, host).map(({ rate }) => rate)))
    const most = rates.length === 0 ? assumed : rates.reduce((a, b) => Math.max(a, b))
    this.#best.set(from, most)
    return most
  }

  /** Of hosts that would do, the one to which it gets soonest; of those alike the emptiest. @param wish sites that go before all others */
  soonest(vm: Vm, view: PlacementView, wish?: GroupWish): HostId | undefined {
    let found: { readonly host: HostId; readonly at: number; readonly free: number } | undefined
    const size = Math.max(bytesToMove(vm), wish?.brings ?? 0)
    for (const { host, site, crossed } of this.#openTo(vm, view)) {
      if (wish?.sites.has(site) === false) continue
      const free = freeMemory(view.ledger, host)
      if (vm.memory > free || keptAwayBy(view.ledger, host, vm) !== undefined) continue
      const at = this.#doneBy(size, crossed)
      if (found === undefined || at < found.at || (at === found.at && free > found.free)) found = { host, at, free }
    }
    return found?.host ?? (wish === undefined ? undefined : this.soonest(vm, view))
  }

  /** What refuses a VM for other reasons than memory and company is the same for all that are alike: asked once. */
  #openTo(vm: Vm, view: PlacementView): readonly Open[] {
    const key = `${vm.host} ${vm.disks.some(disk => !disk.shared)} ${vm.policy.targets?.join(' ')} ${view.excluded.join(' ')}`
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const alone = { ...vm.policy, antiAffinity: undefined }
    const open = acceptable({ ...vm, memory: bytes(0), policy: alone }, view).map(({ id, site }) => ({
      host: id,
      site,
      crossed: this.#crossed(vm.host, id),
    }))
    this.#open.set(key, open)
    return open
  }

  load(vm: Vm, to: HostId): void {
    for (const { key, rate } of this.#crossed(vm.host, to))
      this.#busy.set(key, (this.#busy.get(key) ?? 0) + bytesToMove(vm) / rate)
  }

  #crossed(from: HostId, to: HostId): readonly Crossed[] {
    const path = pathBetween(this.#snapshot, from, to)
    const known = (key: string, rate: number | undefined): readonly Crossed[] =>
      rate === undefined ? [] : [{ key, rate }]
    const uplink = (host: HostId): readonly Crossed[] => {
      const site = siteOf(this.#snapshot, host)
      return site === undefined ? [] : known(`uplink ${site}`, findSite(this.#snapshot, site)?.uplink)
    }
    return [
      {
        key: path === undefined ? `to ${siteOf(this.#snapshot, to) ?? to}` : `path ${path.from} ${path.to}`,
        rate: rateOf(path),
      },
      ...known(`out of ${from}`, findHost(this.#snapshot, from)?.nic),
      ...known(`into ${to}`, findHost(this.#snapshot, to)?.nic),
      ...uplink(from),
      ...uplink(to),
    ]
  }

  #doneBy(size: number, crossed: readonly Crossed[]): number {
    return crossed.reduce((latest, { key, rate }) => Math.max(latest, (this.#busy.get(key) ?? 0) + size / rate), 0)
  }
}

/** What it leaves for us. */
const rateOf = (path: Path | undefined): number =>
  path?.capacity === undefined ? assumed : Math.max(1, path.capacity - (path.background ?? 0))
