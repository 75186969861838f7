/** Free memory of hosts: what they have, less what lives there, less what is promised. Immutable; every promise makes a new ledger. */
import type { HostId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { type Bytes, bytes } from '../units.ts'

export interface Ledger {
  /** May be below 0 where a host is over-committed already. @unit bytes */
  readonly free: ReadonlyMap<HostId, number>
}

/** @param promised memory of VMs that landed on a host, or are on their way to it, beside those the snapshot saw there */
export function openLedger(snapshot: Snapshot, promised: Iterable<readonly [HostId, Bytes]> = []): Ledger {
  const free = new Map<HostId, number>(snapshot.hosts.map(host => [host.id, host.memory]))
  const take = (host: HostId, size: Bytes): void => {
    const before = free.get(host)
    if (before !== undefined) free.set(host, before - size)
  }
  for (const vm of snapshot.vms) take(vm.host, vm.memory)
  for (const [host, size] of promised) take(host, size)
  return { free }
}

/** 0 when the host is over-committed or not known. */
export const freeMemory = (ledger: Ledger, host: HostId): Bytes => bytes(Math.max(0, ledger.free.get(host) ?? 0))

export const release = (ledger: Ledger, host: HostId, size: Bytes): Ledger => ({
  free: new Map(ledger.free).set(host, (ledger.free.get(host) ?? 0) + size),
})

export const reserve = (ledger: Ledger, host: HostId, size: Bytes): Ledger => ({
  free: new Map(ledger.free).set(host, (ledger.free.get(host) ?? 0) - size),
})
