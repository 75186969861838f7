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
  | { readonly code: 'no-free-port'; readonly detail: string }
  | { readonly code: 'path-lost'; readonly detail: string }
  | { readonly code: 'source-unreachable'; readonly detail: string }
  | { readonly code: 'source-refused'; readonly detail: string }
  | { readonly code: 'hypervisor-error'; readonly detail: string }
  | { readonly code: 'cancelled'; readonly detail: string }
  /** The VM's process is gone at the source and no target has it: it crashed or its host died. */
  | { readonly code: 'vm-died'; readonly detail: string }
  | { readonly code: 'no-target'; readonly refusals: readonly (readonly [HostId, Refusal])[] }
  | { readonly code: 'may-not-move'; readonly detail: string }

export type FailureCode = MigrationFailure['code']

/** What the next attempt should do about it. A table, not code. */
export const afterFailure = {
  'target-out-of-memory': 'other-target',
  'target-unreachable': 'other-target',
  'target-refused': 'other-target',
  'target-died': 'same-target',
  'no-free-port': 'same-target',
  'path-lost': 'same-target',
  'source-unreachable': 'same-target',
  'source-refused': 'same-target',
  'hypervisor-error': 'same-target',
  cancelled: 'give-up',
  'vm-died': 'give-up',
  'no-target': 'give-up',
  'may-not-move': 'give-up',
} as const satisfies Record<FailureCode, 'same-target' | 'other-target' | 'give-up'>

export function showFailure(failure: MigrationFailure): string {
  switch (failure.code) {
    case 'target-out-of-memory':
    case 'target-unreachable':
    case 'target-refused':
    case 'target-died':
    case 'no-free-port':
    case 'path-lost':
    case 'source-unreachable':
    case 'source-refused':
    case 'hypervisor-error':
    case 'vm-died':
    case 'cancelled':
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
