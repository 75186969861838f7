import type { Fraction } from '../units.ts'

/** `xbzrle`: pages sent before are sent as their difference. The others squeeze whole pages, on {@link StartOptions.channels}. */
export const compressions = ['none', 'xbzrle', 'zlib', 'zstd'] as const
export type Compression = (typeof compressions)[number]

/** What must be chosen before memory flows, because no hypervisor can change it afterwards. */
export interface StartOptions {
  /** Parallel connections; 1 is the plain stream. */
  readonly channels: number
  readonly compression: Compression
  readonly autoConverge: boolean
  /** How auto-converge slows a guest: at first by so much, then by so much more each time. @default the hypervisor's own (QEMU: 20 %, 10 %) */
  readonly throttle?: { readonly initial: Fraction; readonly step: Fraction } | undefined
  /** Post-copy must be allowed from the beginning, or it cannot be started later. */
  readonly postCopy: boolean
}
export const plainStart: StartOptions = { channels: 1, compression: 'none', autoConverge: false, postCopy: false }

/** Squeezed memory goes over channels (multifd), be it one. */
export const usesChannels = ({ channels, compression }: Pick<StartOptions, 'channels' | 'compression'>): boolean =>
  channels > 1 || compression !== 'none'

/**
 * Over channels QEMU sends packets of 128 pages and looks at its cap ten times a second (migration/multifd.h, migration.c): so much memory
 * goes whatever the cap. In the lab: 1.2 MiB/s allowed, 5.0 MiB/s sent. @unit bytes per second
 */
export const leastOverChannels = 128 * 4096 * 10
