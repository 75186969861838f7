/** The preflight in numbers, and in one sentence. */
import type { HostId, VmId } from '../ids.ts'
import type { Preflight, VmVerdict } from './preflight.ts'
import { few, type Severity } from './reason.ts'
import type { Finding } from './rule-table.ts'

export interface PreflightSummary {
  readonly vms: number
  readonly canGo: number
  readonly cannot: readonly VmId[]
  readonly stay: readonly VmId[]
  readonly warnings: number
  readonly notes: number
  /** Endangered hosts that did not answer: nobody knows what runs on them. */
  readonly silent: readonly HostId[]
  /** All that could be asked can go, and all could be asked. */
  readonly allCanGo: boolean
}

export const findingsOf = (verdict: VmVerdict): readonly Finding[] => [
  ...verdict.findings,
  ...verdict.targets.flatMap(({ findings }) => findings),
]

/** @param endangeredHosts of the sites that are left */
export function summaryOf(preflight: Preflight, endangeredHosts: readonly HostId[]): PreflightSummary {
  const { vms, findings } = preflight
  const all = [...findings, ...vms.flatMap(findingsOf)]
  const count = (severity: Severity): number => all.filter(each => each.severity === severity).length
  const named = (verdict: VmVerdict['verdict']) => vms.filter(vm => vm.verdict === verdict).map(({ vm }) => vm)
  const silent = findings
    .filter(({ reason, host }) => reason.rule === 'silent' && endangeredHosts.includes(host))
    .map(({ host }) => host)
  const cannot = named('cannot')
  return {
    vms: vms.length,
    canGo: named('can-go').length,
    cannot,
    stay: named('stays'),
    warnings: count('warns'),
    notes: count('note'),
    silent,
    allCanGo: cannot.length === 0 && silent.length === 0,
  }
}

/** `11 of 12 VMs can go; 1 cannot: db-1; 3 warnings` */
export function showSummary({ vms, canGo, cannot, stay, warnings, notes, silent }: PreflightSummary): string {
  const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
  return [
    vms === 0 ? 'no VM runs there' : `${canGo} of ${plural(vms, 'VM')} can go`,
    ...(cannot.length === 0 ? [] : [`${cannot.length} cannot: ${few(cannot, 10)}`]),
    ...(stay.length === 0 ? [] : [`${stay.length} ${stay.length === 1 ? 'stays' : 'stay'} as asked: ${few(stay)}`]),
    ...(silent.length === 0 ? [] : [`not known what runs on ${few(silent)}`]),
    ...(warnings === 0 ? [] : [plural(warnings, 'warning')]),
    ...(notes === 0 ? [] : [plural(notes, 'note')]),
  ].join('; ')
}
