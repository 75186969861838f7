/** A VM's policy could not be written where the VM is defined. Nothing else was touched: the VM runs as before. */
import type { HostId, VmId } from '../core/ids.ts'

export type WhyNotWritten =
  /** This user, or this connection, may not write there. */
  | 'not-allowed'
  /** Something else works on the VM: it is being migrated, as a rule. */
  | 'busy'
  /** It was renamed, stopped or moved meanwhile. */
  | 'no-such-vm'
  | 'unreachable'
  /** The hypervisor refused for another reason, or has no place for it. */
  | 'refused'

const nextSteps: Readonly<Record<WhyNotWritten, string>> = {
  'not-allowed': 'give lifeboat a user, or a uri, that may write there, or write a rule in lifeboat.yaml',
  busy: 'try again when what goes on with it has ended (lifeboat watch)',
  'no-such-vm': 'see where it is now: lifeboat inventory',
  unreachable: 'see whether it was written: lifeboat policy show; then try again',
  refused: 'write a rule in lifeboat.yaml instead',
}

export class PolicyNotWritten extends Error {
  override readonly name = 'PolicyNotWritten'
  readonly vm: VmId
  readonly host: HostId
  readonly code: WhyNotWritten
  /** What a human can do. */
  readonly next: string

  constructor(vm: VmId, host: HostId, code: WhyNotWritten, why: string, options?: ErrorOptions & { next?: string }) {
    const next = options?.next ?? nextSteps[code]
    super(`the policy of ${vm} at ${host} was not written: ${why}. The VM is as it was. Next: ${next}`, options)
    this.vm = vm
    this.host = host
    this.code = code
    this.next = next
  }
}
