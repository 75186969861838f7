/** All topics together: what there is to find, how grave it is, how it is told. docs/libvirt.md has the same list for people. */
import type { HostId, VmId } from '../ids.ts'
import { cpuTable, cpuTargetRules, cpuVmRules, type CpuReasons } from './cpu-rules.ts'
import { deviceTable, deviceVmRules, type DeviceReasons } from './device-rules.ts'
import { diskTable, diskTargetRules, diskVmRules, type DiskReasons } from './disk-rules.ts'
import { hostRules as aboutHosts, hostTable, type HostReasons } from './host-rules.ts'
import { identityTable, identityTargetRules, identityVmRules, type IdentityReasons } from './identity-rules.ts'
import { linkRules as aboutLinks, linkTable, type LinkReasons } from './link-rules.ts'
import { machineTable, machineTargetRules, type MachineReasons } from './machine-rules.ts'
import { networkTable, networkTargetRules, networkVmRules, type NetworkReasons } from './network-rules.ts'
import { placementTable, placementTargetRules, type PlacementReasons } from './placement-rules.ts'
import type { HostRule, LinkRule, Row, Severity, SourceRule, Table, TargetRule, VmRule } from './reason.ts'
import { socketSourceRules, socketTable, type SocketReasons } from './socket-rules.ts'
import { tlsLinkRules, tlsTable, type TlsReasons } from './tls-rules.ts'

export interface Reasons
  extends CpuReasons,
    MachineReasons,
    PlacementReasons,
    DiskReasons,
    NetworkReasons,
    DeviceReasons,
    IdentityReasons,
    HostReasons,
    SocketReasons,
    LinkReasons,
    TlsReasons {}
export type RuleName = keyof Reasons
export type Reason<R extends RuleName = RuleName> = { readonly [K in R]: { readonly rule: K } & Reasons[K] }[R]

export const ruleTable: Table<Reasons> = {
  ...cpuTable,
  ...machineTable,
  ...placementTable,
  ...diskTable,
  ...networkTable,
  ...deviceTable,
  ...identityTable,
  ...hostTable,
  ...socketTable,
  ...linkTable,
  ...tlsTable,
}

/** Of any topic. */
type Rule<F extends (...args: never) => unknown> = (...args: Parameters<F>) => readonly Reason[]

export const hostRules: readonly Rule<HostRule<object>>[] = aboutHosts
export const sourceRules: readonly Rule<SourceRule<object>>[] = socketSourceRules
export const linkRules: readonly Rule<LinkRule<object>>[] = [...aboutLinks, ...tlsLinkRules]
export const vmRules: readonly Rule<VmRule<object>>[] = [
  ...identityVmRules,
  ...deviceVmRules,
  ...cpuVmRules,
  ...diskVmRules,
  ...networkVmRules,
]
export const targetRules: readonly Rule<TargetRule<object>>[] = [
  ...identityTargetRules,
  ...machineTargetRules,
  ...cpuTargetRules,
  ...placementTargetRules,
  ...diskTargetRules,
  ...networkTargetRules,
]

/** A reason, and whom it concerns. Without a VM it concerns all of `host` (or all from `host` to `target`). */
export interface Finding {
  readonly reason: Reason
  readonly severity: Severity
  readonly host: HostId
  readonly vm: VmId | undefined
  readonly target: HostId | undefined
}

export const severityOf = ({ rule }: Reason): Severity => ruleTable[rule].severity

const told = <R extends RuleName>(reason: Reason<R>): { readonly says: string; readonly next: string } => {
  const row: Row<Reasons[R]> = ruleTable[reason.rule]
  return { says: row.says(reason), next: row.next(reason) }
}

/** What is so, in one line. */
export const sentenceOfReason = (reason: Reason): string => told(reason).says.replaceAll(/\s*[\r\n]+\s*/g, '; ')
/** What a human does about it, in one line. */
export const nextStepOf = (reason: Reason): string => told(reason).next
