/**
 * Why an attempt to move a VM did not succeed, and what to do next. The set is closed, so that a run's summary is a histogram of codes.
 * Every boundary has one function that translates what it saw into one of these (hypervisor/…/classify-….ts).
 */
import { assertNever } from '../assert-never.ts'
import { type Refusal, showRefusal } from '../plan/refusal.ts'
import type { HostId, VmId } from '../ids.ts'

/** The VM was seen running at home after each of these, unless the code says otherwise. */
export type MigrationFailure =
  | { readonly code: 'target-out-of-memory'; readonly detail: string }
  | { readonly code: 'target-unreachable'; readonly detail: string }
  | { readonly code: 'target-refused'; readonly detail: string }
  | { readonly code: 'target-died'; readonly detail: string }
  /** As it is set up, this target takes no VM in the way that was asked for (certificates, permissions): others may. */
  | { readonly code: 'target-unfit'; readonly detail: string }
  /** Called back, because the site it was going to is in danger itself. */
  | { readonly code: 'target-endangered'; readonly detail: string }
  | { readonly code: 'no-free-port'; readonly detail: string }
  | { readonly code: 'path-lost'; readonly detail: string }
  | { readonly code: 'source-unreachable'; readonly detail: string }
  | { readonly code: 'source-refused'; readonly detail: string }
  /** As the VM or its host is set up, no attempt can succeed: somebody has to change what the detail names. */
  | { readonly code: 'cannot-move'; readonly detail: string }
  /** Its source has no VM of that name any more: somebody ended, renamed or moved it. */
  | { readonly code: 'not-there'; readonly detail: string }
  | { readonly code: 'hypervisor-error'; readonly detail: string }
  | { readonly code: 'cancelled'; readonly detail: string }
  /** The policy's patience with this attempt ended; another may do better. */
  | { readonly code: 'timed-out'; readonly detail: string }
  /** Called off for now, through no fault of anybody: the controller leaves, or came back. */
  | { readonly code: 'postponed'; readonly detail: string }
  /** The VM's process is gone at the source and no target has it: it crashed or its host died. */
  | { readonly code: 'vm-died'; readonly detail: string }
  | { readonly code: 'no-target'; readonly refusals: readonly (readonly [HostId, Refusal])[] }
  | { readonly code: 'may-not-move'; readonly detail: string }

export type FailureCode = MigrationFailure['code']

export interface Remedy {
  readonly next: 'same-target' | 'other-target' | 'give-up'
  /** How many attempts a VM gets as long as they end so. */
  readonly attempts: number
}

/** What a refusal by a host or hypervisor is worth: it may be a passing one, it will not be a hundred times. */
const stubborn = 8
/** What only a human can mend is asked of a few hosts, not of one for minutes. */
const few = 3
/** Links and hosts come back while a site still has power. With pauses of up to 30 s this is half an hour. */
const patient = 60

/** What to do about it. A table, not code. */
export const afterFailure = {
  'target-out-of-memory': { next: 'other-target', attempts: stubborn },
  'target-unreachable': { next: 'other-target', attempts: patient },
  'target-refused': { next: 'other-target', attempts: stubborn },
  'target-unfit': { next: 'other-target', attempts: few },
  'target-died': { next: 'same-target', attempts: stubborn },
  'target-endangered': { next: 'other-target', attempts: Number.POSITIVE_INFINITY },
  'no-free-port': { next: 'same-target', attempts: stubborn },
  'path-lost': { next: 'same-target', attempts: patient },
  'source-unreachable': { next: 'same-target', attempts: patient },
  'source-refused': { next: 'same-target', attempts: stubborn },
  'hypervisor-error': { next: 'same-target', attempts: stubborn },
  'timed-out': { next: 'same-target', attempts: stubborn },
  postponed: { next: 'same-target', attempts: Number.POSITIVE_INFINITY },
  'cannot-move': { next: 'give-up', attempts: 1 },
  'not-there': { next: 'give-up', attempts: 1 },
  cancelled: { next: 'give-up', attempts: 1 },
  'vm-died': { next: 'give-up', attempts: 1 },
  'no-target': { next: 'give-up', attempts: 1 },
  'may-not-move': { next: 'give-up', attempts: 1 },
} as const satisfies Record<FailureCode, Remedy>

export function showFailure(failure: MigrationFailure): string {
  switch (failure.code) {
    case 'target-out-of-memory':
    case 'target-unreachable':
    case 'target-refused':
    case 'target-died':
    case 'target-unfit':
    case 'cannot-move':
    case 'not-there':
    case 'target-endangered':
    case 'no-free-port':
    case 'path-lost':
    case 'source-unreachable':
    case 'source-refused':
    case 'hypervisor-error':
    case 'vm-died':
    case 'cancelled':
    case 'timed-out':
    case 'postponed':
    case 'may-not-move':
      return `${failure.code}: ${failure.detail}`
    case 'no-target':
      return `no target: ${showRefusals(failure.refusals)}`
    default:
      return assertNever(failure)
  }
}

/** `osaka-1: needs 8.00 GiB, 6.20 GiB free; osaka-2: …` */
export const showRefusals = (refusals: readonly (readonly [HostId, Refusal])[]): string =>
  refusals.length === 0
    ? 'no safe host is known'
    : refusals.map(([host, why]) => `${host}: ${showRefusal(why)}`).join('; ')

/** Thrown by drivers for what is expected to go wrong; carries the value the core decides on. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
  readonly failure: MigrationFailure
  constructor(vm: VmId, failure: MigrationFailure, options?: ErrorOptions) {
    super(`${vm}: ${showFailure(failure)}`, options)
    this.failure = failure
  }
}

/** Between two questions somebody ended, renamed or moved it. */
export function goneFrom(host: HostId, vm: VmId, seen: string): MigrationError {
  const detail = `it does not run at ${host} any more (${seen}): somebody ended, renamed or moved it; lifeboat inventory shows what is there`
  return new MigrationError(vm, { code: 'not-there', detail })
}
