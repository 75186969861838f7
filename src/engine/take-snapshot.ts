/** Asks every host what it has and who lives there, at the same time, and waits for none longer than its deadline. */
import { applyVmRules } from '../config/apply-vm-rules.ts'
import type { Config } from '../config/config-schema.ts'
import { pathFrom } from '../config/inventory-file.ts'
import type { HostId, VmId } from '../core/ids.ts'
import { bytes } from '../core/units.ts'
import type { Host, Snapshot, UnreachableHost } from '../core/inventory/snapshot.ts'
import type { Listing } from '../hypervisor/hypervisor.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { describeError } from './classify-error.ts'
import type { Hosts } from './open-hosts.ts'
import { answersWithin } from './patience.ts'

export interface Taken {
  readonly snapshot: Snapshot
  /** Every VM with what it does now; the snapshot has only those that run or are paused at home. */
  readonly listings: readonly Listing[]
  /** What each host that answered runs: `libvirt 9.0.0, QEMU 7.2.22`. */
  readonly versions: ReadonlyMap<HostId, string>
  /** VMs named alike on two hosts: nobody may move them before one is renamed. */
  readonly ambiguous: readonly string[]
  readonly warnings: readonly PolicyWarning[]
}

/** Something in a VM's own policy that does not count, or cannot be followed. */
export interface PolicyWarning {
  readonly vm: VmId
  readonly host: HostId
  /** What is wrong, and what follows. */
  readonly what: string
}

export async function takeSnapshot(config: Config, hosts: Hosts, clock: Clock, signal: AbortSignal): Promise<Taken> {
  const unreachable: UnreachableHost[] = []
  const listings: Listing[] = []
  const versions = new Map<HostId, string>()
  const asked = config.sites.flatMap(site => site.hosts.map(host => ({ site, host })))
  const found = await Promise.all(
    asked.map(async ({ site, host }): Promise<Host> => {
      const { name: id, nic, cpu } = host
      try {
        const hypervisor = hosts.get(id)
        const [facts, list] = await withDeadline(clock, answersWithin, `host ${id}`, signal, inner =>
          Promise.all([hypervisor.facts(inner), hypervisor.list(inner)]),
        )
        listings.push(...list)
        versions.set(id, facts.version)
        const { outgoingMost, rateStep, atStart } = hypervisor.capabilities
        const compressions = atStart.compression.filter(how => how !== 'none')
        return {
          id,
          site: site.name,
          memory: facts.memory,
          nic,
          cpu,
          ...(outgoingMost === undefined ? {} : { outgoingMost }),
          ...(rateStep > 1 ? { rateStep } : {}),
          ...(compressions.length === 0 ? {} : { compressions }),
        }
      } catch (error) {
        signal.throwIfAborted()
        unreachable.push({ host: id, why: describeError(error) })
        return { id, site: site.name, memory: host.memory ?? bytes(0), nic, cpu }
      }
    }),
  )
  listings.sort((a, b) => order(a.vm.id, b.vm.id))
  const siteNames = new Set<string>(config.sites.map(site => site.name))
  const living = listings.filter(
    ({ presence }) => presence.state === 'running' || (presence.state === 'paused' && presence.as === 'home'),
  )
  const names = living.map(({ vm }) => String(vm.id))
  return {
    snapshot: {
      takenAt: clock.now(),
      sites: config.sites.map(({ name, safe, uplink }) => ({ id: name, safe, uplink })),
      hosts: found,
      paths: config.paths.map(path => pathFrom(path, siteNames)),
      vms: living.map(({ vm }) => applyVmRules(vm, config.vms)),
      unreachable,
      power: [],
      deadline: undefined,
    },
    listings,
    warnings: listings.flatMap(listing => warningsOf(listing, config)),
    versions,
    ambiguous: [...new Set(names.filter((name, at) => names.indexOf(name) !== at))],
  }
}

export function warningsOf({ vm, own, unread }: Listing, { sites }: Config): readonly PolicyWarning[] {
  const places = new Set<string>(sites.flatMap(site => [site.name, ...site.hosts.map(({ name }) => name)]))
  const strangers = own.targets?.filter(place => !places.has(place)) ?? []
  const { id, host } = vm
  return [
    ...unread.map(what => ({ vm: id, host, what: `${what}; that part does not count` })),
    ...strangers.map(place => ({
      vm: id,
      host,
      what: `its target ${place} is no site or host of this configuration; it cannot go there`,
    })),
  ]
}

/** `web-2` before `web-10`. */
const order = new Intl.Collator('en', { numeric: true }).compare
