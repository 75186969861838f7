/** Lifeboat's options and tuning, in QEMU's words: capabilities and parameters of qapi/migration.json. */
import type { StartOptions } from '../../core/migration/start-options.ts'
import type { Adjustment } from '../hypervisor.ts'

/** QEMU's own default is 128 MiB/s; "as much as it gets" must be said. @unit bytes per second */
const unlimited = 2 ** 40
/** QEMU refuses more than 2000 s (migration/options.c). @unit ms */
const longestDowntime = 2_000_000

/** Whole pages are compressed by the threads of multifd only. */
const overChannels = ({ channels, compression }: StartOptions): boolean =>
  channels > 1 || compression === 'zlib' || compression === 'zstd'

/** Both sides must agree, and must be told before the target listens. `return-path`: "completed" means that the target has it. */
export const capabilitiesOf = (options: StartOptions, pauses: 'pauses' | 'goes on') => ({
  capabilities: [
    { capability: 'events', state: true },
    { capability: 'return-path', state: true },
    { capability: 'multifd', state: overChannels(options) },
    { capability: 'xbzrle', state: options.compression === 'xbzrle' },
    { capability: 'auto-converge', state: options.autoConverge },
    { capability: 'postcopy-ram', state: options.postCopy },
    // Before the last part: disks must have ended then.
    { capability: 'pause-before-switchover', state: pauses === 'pauses' },
  ],
})

export const startParametersOf = (options: StartOptions) => ({
  ...(overChannels(options)
    ? {
        'multifd-channels': options.channels,
        'multifd-compression': options.compression === 'xbzrle' ? 'none' : options.compression,
      }
    : {}),
  ...(options.autoConverge && options.throttle !== undefined
    ? {
        'cpu-throttle-initial': percent(options.throttle.initial),
        'cpu-throttle-increment': percent(options.throttle.step),
      }
    : {}),
})

/** QEMU takes whole per cent from 1 to 99. */
const percent = (share: number): number => Math.min(99, Math.max(1, Math.round(share * 100)))

/** Once in post-copy QEMU heeds a limit of its own, of which 0 is none (qapi, `max-postcopy-bandwidth`). */
function ratesOf(rate: Adjustment['rate']) {
  const limit = rate === undefined ? undefined : Math.max(1, Math.floor(rate))
  return { 'max-bandwidth': limit ?? unlimited, 'max-postcopy-bandwidth': limit ?? 0 }
}

/** @param to a rate given as `undefined` lifts the limit; one not given is left alone */
export const parametersOf = (to: Adjustment) => ({
  ...('rate' in to ? ratesOf(to.rate) : {}),
  ...(to.downtimeLimit === undefined
    ? {}
    : { 'downtime-limit': Math.min(longestDowntime, Math.round(to.downtimeLimit)) }),
  ...(to.throttle === undefined ? {} : { 'max-cpu-throttle': percent(to.throttle) }),
})
