/** Lifeboat's options and tuning in libvirt's words (include/libvirt/libvirt-domain.h, virDomainMigrateFlags and VIR_MIGRATE_PARAM_*). */
import type { StartOptions } from '../../core/migration/start-options.ts'
import { type BytesPerSecond, bytesPerSecond, type Milliseconds } from '../../core/units.ts'
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
  autoConverge: 1 << 13,
  postCopy: 1 << 15,
  parallel: 1 << 17,
  postCopyResume: 1 << 19,
} as const

/** The most that libvirt takes: INT64_MAX in bytes per second (src/qemu/qemu_domain.h, QEMU_DOMAIN_MIG_BANDWIDTH_MAX). @unit MiB/s */
const unlimited = 8_796_093_022_207
/** QEMU's limit (migration/options.c). @unit ms */
const longestDowntime = 2_000_000

export interface DomainTraits {
  readonly persistent: boolean
  /**
   * It has disks of which only its definition says that they are shared (`<shareable/>`). libvirt believes in file systems it knows
   * and refuses others as unsafe, unless told; what it would check besides, the cache, was checked here (domain-xml.ts).
   */
  readonly sharedByWord: boolean
}

/** Which disks are copied, as the target decided. */
export interface Copy {
  /** As the guest sees them. */
  readonly targets: readonly string[]
  /** Only the top of each chain: the target has the rest. */
  readonly incremental: boolean
}

/**
 * A VM that is defined at its source is defined at its target, and at its source no more: both belong to the step that ends the source,
 * so that no restart of the source's host finds a definition to start. What was transient stays so.
 */
export function flagsOf(options: StartOptions, { persistent, sharedByWord }: DomainTraits, copy: Copy): number {
  return (
    flag.live |
    flag.peerToPeer |
    flag.abortOnError |
    (persistent ? flag.persistDest | flag.undefineSource : 0) |
    (sharedByWord ? flag.unsafe : 0) |
    (options.autoConverge ? flag.autoConverge : 0) |
    (options.postCopy ? flag.postCopy : 0) |
    (options.channels > 1 ? flag.parallel : 0) |
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
}

/**
 * libvirt gives each disk's copy the whole bandwidth, and memory after them (src/qemu/qemu_migration.c, qemuMigrationSrcNBDStorageCopy):
 * what all may have together is divided.
 */
const shareOfEach = (rate: BytesPerSecond, { targets }: Copy): BytesPerSecond =>
  bytesPerSecond(rate / Math.max(1, targets.length))

/** Compressed channels need libvirt 9.4; before that memory goes as it is. */
export function paramsOf(
  { migrate, copy }: Destination,
  rate: BytesPerSecond | undefined,
  options: StartOptions,
): readonly TypedParam[] {
  return [
    param.string('migrate_uri', migrate),
    ...(rate === undefined ? [] : [param.ullong('bandwidth', speedOf(shareOfEach(rate, copy)))]),
    ...(rate === undefined || !options.postCopy ? [] : [param.ullong('bandwidth.postcopy', speedOf(rate))]),
    ...copy.targets.map(target => param.string('migrate_disks', target)),
    ...(options.channels > 1 ? [param.int('parallel.connections', options.channels)] : []),
  ]
}
