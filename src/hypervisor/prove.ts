/**
 * Proofs about where a VM does, or does not, run. They are made here only, by asking the host in question, and the port's dangerous
 * methods demand them: nobody can end a source or let it go on without having asked the other side first.
 */
import type { HostId, VmId } from '../core/ids.ts'
import { type Presence, showPresence } from '../core/migration/presence.ts'

/** Who is asked: any driver. */
export interface Witness {
  readonly host: HostId
  presence(vm: VmId, signal: AbortSignal): Promise<Presence>
}

declare const proven: unique symbol
interface Proof<K extends string> {
  readonly [proven]: K
  readonly vm: VmId
  readonly host: HostId
}
/** The source is stopped for good, or gone: it will not resume by itself. */
export type Departed = Proof<'departed'>
/** The other side was seen running it. */
export type RunsElsewhere = Proof<'runs-elsewhere'>
/** The other side was seen without it. */
export type GoneElsewhere = Proof<'gone-elsewhere'>

/** The answer was not the one that was needed. Says nothing was done. */
export class NotProven extends Error {
  override readonly name = 'NotProven'
  readonly presence: Presence
  constructor(vm: VmId, host: HostId, wanted: string, presence: Presence) {
    super(`${vm} is not proven to be ${wanted} at ${host}: it says ${showPresence(presence)}`)
    this.presence = presence
  }
}

const make = <K extends string>(vm: VmId, host: HostId): Proof<K> => ({ vm, host }) as Proof<K>

/** @throws NotProven */
export async function proveDeparted(source: Witness, vm: VmId, signal: AbortSignal): Promise<Departed> {
  const presence = await source.presence(vm, signal)
  if (presence.state === 'absent' || (presence.state === 'paused' && presence.as === 'left'))
    return make(vm, source.host)
  // In post-copy the source has handed the processor state over and serves pages only.
  if (presence.state === 'split') return make(vm, source.host)
  throw new NotProven(vm, source.host, 'gone or sent away', presence)
}

/**
 * The source does not answer any more, but the journal holds that it was seen sent away whole: QEMU's `postmigrate` never resumes
 * by itself. Only for that case.
 */
export const departedByJournal = (source: Witness, vm: VmId): Departed => make(vm, source.host)

/**
 * Of a driver that carries a VM over by itself: the target runs it, and the source's daemon lets it run only after the source has
 * stopped, and never lets the source go on after that. @throws NotProven when it does not run at the target
 */
export async function proveTakenOver(
  source: Witness,
  target: Witness,
  vm: VmId,
  signal: AbortSignal,
): Promise<Departed> {
  await proveRunning(target, vm, signal)
  return make(vm, source.host)
}

/** @throws NotProven */
export async function proveRunning(target: Witness, vm: VmId, signal: AbortSignal): Promise<RunsElsewhere> {
  const presence = await target.presence(vm, signal)
  if (presence.state === 'running') return make(vm, target.host)
  throw new NotProven(vm, target.host, 'running', presence)
}

/** @throws NotProven */
export async function proveGone(target: Witness, vm: VmId, signal: AbortSignal): Promise<GoneElsewhere> {
  const presence = await target.presence(vm, signal)
  if (presence.state === 'absent') return make(vm, target.host)
  throw new NotProven(vm, target.host, 'absent', presence)
}
