/**
 * What hosts have left, and who keeps whom away: memory and company, less what lives there, less what is promised. Immutable; every
 * promise makes a new ledger.
 */
import type { HostId, VmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import { type Bytes, bytes } from '../units.ts'

export interface Ledger {
  /** May be below 0 where a host is over-committed already. @unit bytes */
  readonly free: ReadonlyMap<HostId, number>
  /** Of each host, by the name of their anti-affinity: who is on it, or on the way to it. A promise copies one host's part only. */
  readonly apart: ReadonlyMap<HostId, Company>
}
type Company = ReadonlyMap<string, readonly VmId[]>

export type Tenant = Pick<Vm, 'id' | 'memory' | 'policy'>

/** @param promised memory of VMs that landed on a host, or are on their way to it, beside those the snapshot saw there */
export function openLedger(snapshot: Snapshot, promised: Iterable<readonly [HostId, Bytes]> = []): Ledger {
  const free = new Map<HostId, number>(snapshot.hosts.map(host => [host.id, host.memory]))
  const take = (host: HostId, size: Bytes): void => {
    const before = free.get(host)
    if (before !== undefined) free.set(host, before - size)
  }
  const apart = new Map<HostId, Map<string, readonly VmId[]>>()
  for (const { id, host, memory, policy } of snapshot.vms) {
    take(host, memory)
    if (policy.antiAffinity === undefined) continue
    const company = apart.get(host) ?? new Map<string, readonly VmId[]>()
    apart.set(host, company.set(policy.antiAffinity, [...(company.get(policy.antiAffinity) ?? []), id]))
  }
  for (const [host, size] of promised) take(host, size)
  return { free, apart }
}

/** 0 when the host is over-committed or not known. */
export const freeMemory = (ledger: Ledger, host: HostId): Bytes => bytes(Math.max(0, ledger.free.get(host) ?? 0))

/** Another VM there, or on its way there, with the same anti-affinity. */
export function keptAwayBy({ apart }: Ledger, host: HostId, { id, policy }: Tenant): VmId | undefined {
  const { antiAffinity } = policy
  if (antiAffinity === undefined) return undefined
  return apart
    .get(host)
    ?.get(antiAffinity)
    ?.find(other => other !== id)
}

export const release = (ledger: Ledger, host: HostId, vm: Tenant): Ledger => ({
  free: new Map(ledger.free).set(host, (ledger.free.get(host) ?? 0) + vm.memory),
  apart: withCompany(ledger, host, vm, there => there.filter(other => other !== vm.id)),
})

export const reserve = (ledger: Ledger, host: HostId, vm: Tenant): Ledger => ({
  free: new Map(ledger.free).set(host, (ledger.free.get(host) ?? 0) - vm.memory),
  apart: withCompany(ledger, host, vm, there => [...there, vm.id]),
})

function withCompany(
  { apart }: Ledger,
  host: HostId,
  { policy: { antiAffinity } }: Tenant,
  change: (there: readonly VmId[]) => readonly VmId[],
): Ledger['apart'] {
  if (antiAffinity === undefined) return apart
  const company = new Map(apart.get(host))
  return new Map(apart).set(host, company.set(antiAffinity, change(company.get(antiAffinity) ?? [])))
}

/** A ledger that its one owner writes into, for who makes ten thousand promises in a row and shows them to nobody in between. */
export class LedgerDraft implements Ledger {
  readonly free: Map<HostId, number>
  readonly apart: Map<HostId, Map<string, readonly VmId[]>>

  constructor({ free, apart }: Ledger) {
    this.free = new Map(free)
    this.apart = new Map([...apart].map(([host, company]) => [host, new Map(company)]))
  }

  reserve(host: HostId, { id, memory, policy: { antiAffinity } }: Tenant): void {
    this.free.set(host, (this.free.get(host) ?? 0) - memory)
    if (antiAffinity === undefined) return
    const company = this.apart.get(host) ?? new Map<string, readonly VmId[]>()
    this.apart.set(host, company.set(antiAffinity, [...(company.get(antiAffinity) ?? []), id]))
  }
}
