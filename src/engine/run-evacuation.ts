/**
 * The one imperative loop: take what was observed, step, journal, execute. The same for a first start and after a crash: then the
 * state is the fold of the journal, and the first new fact is that the controller was restarted.
 */
import { HostLoadsTold } from '../core/forecast/host-signal.ts'
import type { Evacuation } from '../core/control/evacuation.ts'
import type { Observed } from '../core/control/observed.ts'
import { isInFlight } from '../core/migration/migration.ts'
import type { Entry } from '../journal/journal.ts'
import { Executor } from './executor.ts'
import { Inbox } from './inbox.ts'
import { NetworkFacts, seenOfHosts } from './network-facts.ts'
import { tickEvery } from './patience.ts'
import { Recorder } from './recorder.ts'
import type { World } from './world.ts'

export interface RunOptions {
  /** Folded from the journal, for a run that is taken up again. */
  readonly resumeFrom: Evacuation | undefined
  /** The fact that begins this run: `evacuation-started` or `controller-restarted`. */
  readonly first: Observed
  /** Called after every batch that is durable. Must not throw. */
  readonly onRecorded: (entries: readonly Entry[], state: Evacuation) => void
}

/** What the outside may do to a run. */
export interface RunHandle {
  post(event: Observed): void
}

export type Ending =
  /** Every VM has an outcome. */
  | 'done'
  /** Told to wind down; nothing was in flight any more, though VMs may still be queued. */
  | 'idle'
  /** Let go in the middle: hypervisors go on, `--resume` takes it up. */
  | 'detached'

export interface RunResult {
  readonly state: Evacuation
  readonly ending: Ending
  /** Facts that did not get onto the disk. */
  readonly unwritten: number
}

/** @throws JournalFull, JournalBroken when the first fact cannot be written: then nothing was done */
export async function runEvacuation(
  world: World,
  options: RunOptions,
  onHandle: (handle: RunHandle) => void,
  signal: AbortSignal,
): Promise<RunResult> {
  const inbox = new Inbox(world.clock)
  const recorder = new Recorder(world.journal)
  const stop = new AbortController()
  const inner = AbortSignal.any([signal, stop.signal])
  const executor = new Executor(world, event => inbox.post(event), inner)
  let state = options.resumeFrom

  inbox.post(options.first)
  onHandle({
    post: event => inbox.post(event),
  })
  const ticking = tick(world, inbox, inner)
  const watching = world.monitor?.run(inner)
  try {
    for (;;) {
      const arrivals = await inbox.take(inner)
      const recorded = recorder.record(state, arrivals, world.clock.now())
      state = recorded.state
      for (const { commands } of recorded.entries) for (const command of commands) executor.submit(command)
      if (recorded.entries.length > 0) options.onRecorded(recorded.entries, state)
      if (state.endedAt !== undefined) return { state, ending: 'done', unwritten: recorder.unwritten }
      if (state.intent === 'winding-down' && isIdle(state))
        return { state, ending: 'idle', unwritten: recorder.unwritten }
    }
  } catch (error) {
    if (state === undefined || !signal.aborted) throw error
    return { state, ending: 'detached', unwritten: recorder.unwritten }
  } finally {
    stop.abort()
    await Promise.all([ticking, watching, executor.settled()])
  }
}

const isIdle = (state: Evacuation): boolean =>
  ![...state.migrations.values()].some(
    m => isInFlight(m) || (m.phase === 'landed' && !m.sourceEnded && !m.retire.gaveUp),
  )

async function tick(world: World, inbox: Inbox, signal: AbortSignal): Promise<void> {
  const facts = new NetworkFacts()
  const loads = new HostLoadsTold()
  while (!signal.aborted) {
    try {
      await world.clock.sleep(tickEvery, signal)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    const paths = facts.worthTelling(world.monitor?.links() ?? [], world.clock.now())
    if (paths.length > 0) inbox.post({ kind: 'network', paths })
    const hosts = loads.worthTelling(seenOfHosts(world.monitor?.hosts() ?? []), world.clock.now())
    if (hosts.length > 0) inbox.post({ kind: 'host-load', hosts })
    inbox.post({ kind: 'tick' })
  }
}
