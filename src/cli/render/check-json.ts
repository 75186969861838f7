/** A preflight for machines: the same findings as people read, each with its rule, its numbers, its sentence and the next step. */
import type { HostProfile } from '../../core/preflight/host-profile.ts'
import type { Preflight } from '../../core/preflight/preflight.ts'
import { type Finding, nextStepOf, sentenceOfReason } from '../../core/preflight/rule-table.ts'
import type { PreflightSummary } from '../../core/preflight/summary.ts'
import { showVersion } from '../../core/preflight/version.ts'

export function checkJson(
  { vms, endangered, targets, findings }: Preflight,
  summary: PreflightSummary,
  hosts: readonly HostProfile[],
): object {
  return {
    version: 1,
    endangered,
    targets,
    summary,
    findings: findings.map(findingJson),
    vms: vms.map(({ vm, host, verdict, place, findings: own, targets: there }) => ({
      vm,
      host,
      verdict,
      place: place ?? null,
      findings: own.map(findingJson),
      targets: there.map(({ target, takesIt, findings: against }) => ({
        target,
        takesIt,
        findings: against.map(findingJson),
      })),
    })),
    hosts: hosts.map(host => ({
      ...host,
      libvirt: host.libvirt === undefined ? null : showVersion(host.libvirt),
      qemu: host.qemu === undefined ? null : showVersion(host.qemu),
    })),
  }
}

const findingJson = ({ reason, severity, host, vm, target }: Finding): object => {
  const { rule, ...numbers } = reason
  return {
    rule,
    severity,
    host,
    vm: vm ?? null,
    target: target ?? null,
    says: sentenceOfReason(reason),
    next: nextStepOf(reason),
    numbers,
  }
}
