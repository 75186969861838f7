/** Writes a VM's policy into its domain's metadata: what it runs with and what is defined, so that both travel. */
import type { VmId } from '../../core/ids.ts'
import type { PolicyWords } from '../../core/inventory/policy-words.ts'
import { errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'
import { PolicyNotWritten, type WhyNotWritten } from '../policy-not-written.ts'
import { policyElement, policyKey, policyUri } from './domain-policy.ts'
import type { Domains } from './domains.ts'

/** include/libvirt/libvirt-domain.h: virDomainMetadataType, virDomainModificationImpact. */
const metadataElement = 2
const affect = { live: 1 << 0, config: 1 << 1 } as const

const codes = new Map<number, WhyNotWritten>([
  [errorCode.operationDenied, 'not-allowed'],
  [errorCode.accessDenied, 'not-allowed'],
  [errorCode.authFailed, 'not-allowed'],
  // The lock on a domain's state is waited for 30 s (src/qemu/qemu_domainjob.c): a migration has it.
  [errorCode.operationTimeout, 'busy'],
  [errorCode.noDomain, 'no-such-vm'],
  // It does not run any more.
  [errorCode.operationInvalid, 'no-such-vm'],
])

/** @throws PolicyNotWritten */
export async function writePolicy(domains: Domains, vm: VmId, own: PolicyWords, signal: AbortSignal): Promise<void> {
  const { daemon, host } = domains
  try {
    const dom = await daemon.find(vm, signal)
    if (dom === undefined) throw new PolicyNotWritten(vm, host, 'no-such-vm', 'the host has no domain of that name')
    const { persistent } = await daemon.call('domainIsPersistent', { dom }, signal)
    const flags = persistent ? affect.live | affect.config : affect.live
    const metadata = policyElement(own)
    const args = { dom, type: metadataElement, metadata, key: policyKey, uri: policyUri, flags }
    await daemon.call('domainSetMetadata', args, signal)
  } catch (error) {
    throw told(domains, vm, error)
  }
}

function told({ host }: Domains, vm: VmId, error: unknown): unknown {
  if (error instanceof HostUnreachable)
    return new PolicyNotWritten(vm, host, 'unreachable', error.message, { cause: error })
  if (!(error instanceof LibvirtCallError)) return error
  const code = codes.get(error.code) ?? 'refused'
  return new PolicyNotWritten(vm, host, code, `libvirt says "${error.said}"`, { cause: error })
}
