/** Lifeboat's options and tuning in libvirt's words (include/libvirt/libvirt-domain.h, virDomainMigrateFlags and VIR_MIGRATE_PARAM_*). */
import type { Compression, StartOptions } from '../../core/migration/start-options.ts'
import { type BytesPerSecond, bytesPerSecond, type Fraction, type Milliseconds } from '../../core/units.ts'
import { param, type TypedParam } from '../../libvirt/public.ts'

const flag = {
  live: 1 << 0,
  peerToPeer: 1 << 1,
  persistDest: 1 << 3,
  undefineSource: 1 << 4,
  nonSharedDisk: 1 << 6,
  nonSharedInc: 1 << 7,
  unsafe: 1 << 9,
  abortOnError: 1 << 12,
  compressed: 1 << 11,
  autoConverge: 1 << 13,
  postCopy: 1 << 15,
  tls: 1 << 16,
  parallel: 1 << 17,
  postCopyResume: 1 << 19,
} as const

/** The most that libvirt takes: INT64_MAX in bytes per second (src/qemu/qemu_domain.h, QEMU_DOMAIN_MIG_BANDWIDTH_MAX). @unit MiB/s */
const unlimited = 8_796_093_022_207
/** QEMU's limit (migration/options.c). @unit ms */
const longestDowntime = 2_000_000

export interface DomainTraits {
  readonly persistent: boolean
  /** See domain-xml.ts. */
  readonly overrulesSafety: boolean
}

/** Which disks are copied, as the target decided. */
export interface Copy {
  /** As the guest sees them. */
  readonly targets: readonly string[]
  /** Only the top of each chain: the target has the rest. */
  readonly incremental: boolean
}

export const noCopy: Copy = { targets: [], incremental: false }

/** As libvirt writes versions: major · 10⁶ + minor · 10³ + release. */
export type LibvirtVersion = number
const resumesSince: LibvirtVersion = 8_005_000
const squeezesSince: LibvirtVersion = 9_004_000

/** Compressed channels (multifd) came with libvirt 9.4, differences of pages long before. @param version undefined: not known yet */
export const compressionsOf = (version: LibvirtVersion | undefined): readonly Compression[] => {
  if (version === undefined) return ['none']
  return version >= squeezesSince ? ['none', 'xbzrle', 'zlib', 'zstd'] : ['none', 'xbzrle']
}
/** VIR_MIGRATE_POSTCOPY_RESUME came with libvirt 8.5. */
export const resumesPostCopy = (version: LibvirtVersion | undefined): boolean =>
  version === undefined || version >= resumesSince

export const showVersion = (n: LibvirtVersion): string =>
  `${Math.floor(n / 1_000_000)}.${Math.floor(n / 1_000) % 1_000}.${n % 1_000}`

/** @returns why this libvirt cannot start so; undefined where it can */
export function refusalOf(options: StartOptions, version: LibvirtVersion | undefined): string | undefined {
  const { compression, channels, postCopy } = options
  const known = compressionsOf(version)
  if (!known.includes(compression))
    return `libvirt ${version === undefined ? 'of unknown version' : showVersion(version)} does not compress with ${compression} (${compression === 'xbzrle' ? '1.3.4' : '9.4'} does); it knows ${known.join(', ')}`
  if (compression === 'xbzrle' && channels > 1) return `xbzrle goes over one connection, not over ${channels}`
  if (postCopy && (channels > 1 || squeezes(compression)))
    return 'post-copy goes over one plain connection: QEMU cannot switch several of them over'
  return undefined
}

const squeezes = (compression: Compression): boolean => compression === 'zlib' || compression === 'zstd'

/**
 * A VM that is defined at its source is defined at its target, and at its source no more: both belong to the step that ends the source,
 * so that no restart of the source's host finds a definition to start. What was transient stays so.
 */
export function flagsOf(
  options: StartOptions,
  { persistent, overrulesSafety }: DomainTraits,
  { tls, copy }: Pick<Destination, 'tls' | 'copy'>,
): number {
  return (
    flag.live |
    flag.peerToPeer |
    flag.abortOnError |
    (persistent ? flag.persistDest | flag.undefineSource : 0) |
    (overrulesSafety ? flag.unsafe : 0) |
    (tls === undefined ? 0 : flag.tls) |
    (options.autoConverge ? flag.autoConverge : 0) |
    (options.postCopy ? flag.postCopy : 0) |
    (options.compression === 'none' ? 0 : flag.compressed) |
    (options.channels > 1 || squeezes(options.compression) ? flag.parallel : 0) |
    (copy.targets.length === 0 ? 0 : copy.incremental ? flag.nonSharedInc : flag.nonSharedDisk)
  )
}
export const resumeFlag = flag.postCopyResume

/** In whole MiB/s, at least one. @param rate `undefined` lifts the limit @unit MiB/s */
export const speedOf = (rate: BytesPerSecond | undefined): number =>
  rate === undefined ? unlimited : Math.min(unlimited, Math.max(1, Math.floor(rate / 1_048_576)))

/** @unit ms */
export const downtimeOf = (limit: Milliseconds): number => Math.min(longestDowntime, Math.max(1, Math.round(limit)))

export interface Destination {
  /** How the source's daemon reaches the target's. */
  readonly connect: string
  /** Where memory goes; the target's daemon chooses a port. */
  readonly migrate: string
  /** For what an operator reads. */
  readonly host: string
  readonly copy: Copy
  /** The address at which the target's QEMU listens. @default all it has */
  readonly listen?: string | undefined
  /** Memory is encrypted. `name`: what the target's certificate must say. @default the host in {@link Destination.migrate} */
  readonly tls?: { readonly name?: string | undefined } | undefined
}

/**
 * libvirt gives each disk's copy the whole bandwidth, and memory after them (src/qemu/qemu_migration.c, qemuMigrationSrcNBDStorageCopy):
 * what all may have together is divided.
 */
const shareOfEach = (rate: BytesPerSecond, { targets }: Copy): BytesPerSecond =>
  bytesPerSecond(rate / Math.max(1, targets.length))

export function paramsOf(
  { migrate, listen, tls, copy }: Destination,
  rate: BytesPerSecond | undefined,
  options: StartOptions,
): readonly TypedParam[] {
  return [
    param.string('migrate_uri', migrate),
    ...(rate === undefined ? [] : [param.ullong('bandwidth', speedOf(shareOfEach(rate, copy)))]),
    ...(rate === undefined || !options.postCopy ? [] : [param.ullong('bandwidth.postcopy', speedOf(rate))]),
    ...copy.targets.map(target => param.string('migrate_disks', target)),
    ...(listen === undefined ? [] : [param.string('listen_address', listen)]),
    ...(tls?.name === undefined ? [] : [param.string('tls.destination', tls.name)]),
    ...(options.channels > 1 || squeezes(options.compression)
      ? [param.int('parallel.connections', options.channels)]
      : []),
    ...(options.compression === 'none' ? [] : [param.string('compression', options.compression)]),
    ...(options.autoConverge && options.throttle !== undefined
      ? [
          param.int('auto_converge.initial', percent(options.throttle.initial)),
          param.int('auto_converge.increment', percent(options.throttle.step)),
        ]
      : []),
  ]
}

/** QEMU takes whole per cent from 1 to 99. */
const percent = (share: Fraction): number => Math.min(99, Math.max(1, Math.round(share * 100)))
