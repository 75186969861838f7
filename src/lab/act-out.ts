/** Lets the timeline of a scenario happen to a lab: what the simulator does in virtual time, done to links, hosts and sites that are real. */
import type { Happening, Timeline } from '../core/sim/timeline.ts'
import { ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { changeLink, killHost, killSite, linkOf } from './lab-harm.ts'
import type { LabRecord } from './lab-record.ts'

export interface Acting {
  readonly root: string
  readonly record: LabRecord
  readonly clock: Clock
  /** Told of each as it is done, or why it is not. */
  readonly onEvent: (at: number, what: Happening, notDone: string | undefined) => void
}

/** From now on, which is the alarm. Returns when the last has happened. @throws LabError for what the lab does not have */
export async function actOut(timeline: Timeline, acting: Acting, signal: AbortSignal): Promise<void> {
  const { clock, onEvent } = acting
  const alarm = clock.now()
  for (const { at, what } of timeline) {
    const wait = alarm + at - clock.now()
    if (wait > 0) await clock.sleep(ms(wait), signal)
    onEvent(at, what, await happen(what, acting, signal))
  }
}

/** @returns why it is left to the simulator; undefined when it was done */
async function happen(
  what: Happening,
  { root, record, clock }: Acting,
  signal: AbortSignal,
): Promise<string | undefined> {
  switch (what.kind) {
    case 'path': {
      const { capacity, rtt, loss, perFlow, background } = what.change
      const change = {
        ...(capacity === undefined ? {} : { capacity }),
        ...(rtt === undefined ? {} : { rtt }),
        ...(loss === undefined ? {} : { loss }),
      }
      if (Object.keys(change).length > 0) await changeLink(root, record, linkOf(record, ...what.path), change, signal)
      return perFlow === undefined && background === undefined
        ? undefined
        : 'a lab has no limit for one flow, and no other traffic'
    }
    case 'cut':
    case 'heal':
      await changeLink(root, record, linkOf(record, ...what.path), { cut: what.kind === 'cut' }, signal)
      return undefined
    case 'host-down':
      await killHost(root, record, what.host, clock, signal)
      return undefined
    case 'power-off':
      await killSite(root, record, what.site, clock, signal)
      return undefined
    case 'power':
      return 'a lab has no UPS'
    case 'dirty':
      return 'a lab guest writes as it was made to'
    case 'endanger':
      return 'say it to the controller: lifeboat endanger SITE'
    case 'occupied':
      return 'nobody else has guests in a lab'
    case 'busy':
      return 'hosts of a lab share the processors of this machine'
    case 'crash':
      return 'end the controller by hand: kill -9, then evacuate --resume'
    case 'fail':
      return 'a lab fails by itself only'
  }
}
