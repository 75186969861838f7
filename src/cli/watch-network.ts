/**
 * The monitor of one evacuation: reads the hosts that are left and, less often, those that receive, over connections of its own, and keeps
 * what it saw for the next time.
 */
import type { SiteId } from '../core/ids.ts'
import type { Limits } from '../core/control/observed.ts'
import type { LinkState } from '../core/network/link-state.ts'
import { type Milliseconds, ms } from '../core/units.ts'
import { historyFile } from '../monitor/history.ts'
import { HistoryRecorder } from '../monitor/history-recorder.ts'
import { Monitor } from '../monitor/monitor.ts'
import { monitoredFrom } from '../monitor/monitored-config.ts'
import type { Fleet } from './fleet.ts'

export interface WatchedNetwork {
  readonly monitor: Monitor
  /** After its run has ended. */
  close(): Promise<void>
}

export interface Between {
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly limits: Limits
}

const sendersEvery = ms(1_000)
/** Whether their processors are overloaded is all that is asked of them, and there may be many. */
const receiversEvery = ms(5_000)

/** @param note for what the operator should know; migrations do not wait for any of it */
export function watchNetwork(
  fleet: Fleet,
  { endangered, targets, limits }: Between,
  note: (text: string) => void,
): WatchedNetwork {
  const { config, stateDir, clock } = fleet
  const monitored = monitoredFrom(config, (site): Milliseconds | undefined =>
    endangered.includes(site) ? sendersEvery : targets.includes(site) ? receiversEvery : undefined,
  )
  const worthKeeping = (state: LinkState): LinkState =>
    limits.bandwidth === undefined && (state.link.path.background ?? 0) === 0 ? state : withoutRates(state)
  const history = new HistoryRecorder(historyFile(stateDir), note)
  const monitor = new Monitor({
    clock,
    map: monitored.map,
    hosts: monitored.hosts,
    onSeen: (_seen, seer) => history.record(() => seer.links().map(worthKeeping), clock.now()),
  })
  return {
    monitor,
    close: async () => {
      history.close()
      await monitored.close()
    },
  }
}

/** What migrations get that are capped, all of them, says nothing of what the path carries: the next time would believe it. */
const withoutRates = (state: LinkState): LinkState => {
  const why = { why: 'migrations were capped' }
  return { ...state, measured: why, bestFlow: why, loneFlow: why }
}
