/** QEMU's two answers, run state and migration status, as one {@link Presence}. Run states: qapi/run-state.json; statuses: qapi/migration.json. */
import type { Presence } from '../../core/migration/presence.ts'

export interface QemuState {
  /** `query-status`. */
  readonly runState: string
  /** `query-migrate`; `none` when there never was one. */
  readonly migration: string
  /** Its definition is still `arriving.json`: it has never been told to run. Asked only where it matters. */
  readonly arriving: boolean
}

const sendingStatuses: ReadonlySet<string> = new Set([
  'setup',
  'wait-unplug',
  'active',
  'cancelling',
  'pre-switchover',
  'device',
])

/** A migration from here goes on. @param status of `query-migrate` */
export const isSending = (status: string): boolean => sendingStatuses.has(status)

export function presenceOf({ runState, migration, arriving }: QemuState): Presence {
  if (migration.startsWith('postcopy-')) return { state: 'split', broken: migration === 'postcopy-paused' }
  switch (runState) {
    case 'running':
      return { state: 'running', migrating: isSending(migration) }
    case 'inmigrate':
      return { state: 'incoming' }
    case 'postmigrate':
      return { state: 'paused', as: 'left', detail: runState }
    case 'finish-migrate':
      return { state: 'paused', as: 'leaving', detail: runState }
    default:
      if (!arriving) return { state: 'paused', as: 'home', detail: runState }
      return migration === 'completed'
        ? { state: 'paused', as: 'ready', detail: 'arrived whole' }
        : { state: 'incoming' }
  }
}
