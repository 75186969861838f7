/** The monitor of one evacuation: reads the hosts that are left, over connections of its own, and keeps what it saw for the next time. */
import type { SiteId } from '../core/ids.ts'
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

/** @param note for what the operator should know; migrations do not wait for any of it */
export function watchNetwork(fleet: Fleet, endangered: SiteId, note: (text: string) => void): WatchedNetwork {
  const { config, stateDir, clock } = fleet
  const hosts = config.sites.filter(({ name }) => name === endangered).flatMap(site => site.hosts)
  const monitored = monitoredFrom(config, new Set(hosts.map(({ name }) => name)))
  const history = new HistoryRecorder(historyFile(stateDir), note)
  const monitor = new Monitor({
    clock,
    map: monitored.map,
    hosts: monitored.hosts,
    onSeen: (_seen, seer) => history.record(() => seer.links(), clock.now()),
  })
  return {
    monitor,
    close: async () => {
      history.close()
      await monitored.close()
    },
  }
}
