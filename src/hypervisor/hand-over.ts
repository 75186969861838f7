/**
 * The dangerous procedures that need both sides, each in the only order that is safe:
 * `finish`: source proven departed → target runs → target proven running.  `retire`: target proven running → source ended.
 * Where the driver carries a VM over by itself, `finish` waits until it has, or until the VM is seen to go on at home.
 * `rollBack`: target ended and proven gone → source goes on.  `whereIs`: both sides asked, nothing changed.
 */
import type { VmId } from '../core/ids.ts'
import type { Presence, Whereabouts } from '../core/migration/presence.ts'
import { type Milliseconds, ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { poll, withDeadline } from '../time/with-deadline.ts'
import type { Definition, Hypervisor } from './hypervisor.ts'
import { departedByJournal, NotProven, proveDeparted, proveGone, proveRunning, proveTakenOver } from './prove.ts'

export interface Sides {
  readonly source: Hypervisor
  readonly target: Hypervisor
}

/** How often a state that should come soon is asked for. */
const askEvery = ms(10)
/** A target has its state whole and is told to run: it runs within this, or something is wrong. */
const runsWithin: Milliseconds = ms(20_000)

/** Asks both sides at once. Never throws but for the signal. */
export async function whereIs({ source, target }: Sides, vm: VmId, signal: AbortSignal): Promise<Whereabouts> {
  const [atSource, atTarget] = await Promise.all([source.presence(vm, signal), target.presence(vm, signal)])
  return { source: atSource, target: atTarget }
}

/**
 * Runs the target. The source must have been seen to have sent everything (the caller's journal says so).
 * @throws NotProven when the source may still run; DeadlineExceeded when the target does not run in time
 */
export async function finish(sides: Sides, vm: VmId, clock: Clock, signal: AbortSignal): Promise<void> {
  const { source, target } = sides
  if (source.capabilities.selfCompleting) {
    await takenOver(sides, vm, clock, signal)
    return
  }
  const departed = await proveDeparted(source, vm, signal).catch((error: unknown) => {
    if (error instanceof NotProven && error.presence.state === 'unreachable') return departedByJournal(source, vm)
    throw error
  })
  await target.run(vm, departed, signal)
  await withDeadline(clock, runsWithin, `${vm} to run at ${target.host}`, signal, inner =>
    poll(clock, askEvery, inner, async s => ((await target.presence(vm, s)).state === 'running' ? true : undefined)),
  )
}

async function takenOver({ source, target }: Sides, vm: VmId, clock: Clock, signal: AbortSignal): Promise<void> {
  const answered = new AbortController()
  const is = (side: Hypervisor, inner: AbortSignal): Promise<Presence> =>
    poll(clock, askEvery, AbortSignal.any([inner, answered.signal]), async s => {
      const presence = await side.presence(vm, s)
      return presence.state === 'running' ? presence : undefined
    })
  // Neither waits for the other: a daemon that is ending the source's process may not answer before it has.
  await withDeadline(clock, runsWithin, `${vm} to run at ${target.host}`, signal, async inner => {
    const home = is(source, inner).then(presence => {
      throw new NotProven(vm, source.host, 'gone or sent away', presence)
    })
    await Promise.race([is(target, inner), home]).finally(() => answered.abort())
  })
  await target.run(vm, await proveTakenOver(source, target, vm, signal), signal)
}

/** Post-copy: the source has handed the processor state over; the target may run while its memory still comes. @throws NotProven */
export async function runSplit({ source, target }: Sides, vm: VmId, signal: AbortSignal): Promise<void> {
  await target.run(vm, await proveDeparted(source, vm, signal), signal)
}

/** @param kept what the VM was at its source, for the tombstone. @throws NotProven when the target does not run it */
export async function retire(
  { source, target }: Sides,
  vm: VmId,
  kept: Definition | undefined,
  signal: AbortSignal,
): Promise<void> {
  await source.retire(vm, await proveRunning(target, vm, signal), kept, signal)
}

/** @throws NotProven when the target is not gone afterwards; the source then stays as it is */
export async function rollBack({ source, target }: Sides, vm: VmId, signal: AbortSignal): Promise<void> {
  await target.discard(vm, signal)
  const gone = await proveGone(target, vm, signal)
  const presence = await source.presence(vm, signal)
  if (presence.state === 'paused' && presence.as !== 'home') await source.resume(vm, gone, signal)
}
