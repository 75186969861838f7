/** libvirt's statistics of a migration job as one {@link Sample}. Fields: include/libvirt/libvirt-domain.h, VIR_DOMAIN_JOB_*. */
import { type Bytes, bytes, type BytesPerSecond, bytesPerSecond, ms } from '../../core/units.ts'
import { paramsByName, type TypedParam } from '../../libvirt/public.ts'
import type { MigrationStatus, Sample } from '../hypervisor.ts'
import { domainState, pausedReason } from './libvirt-presence.ts'

/** virDomainJobType. */
export const jobType = { none: 0, bounded: 1, unbounded: 2, completed: 3, failed: 4, cancelled: 5 } as const
/** virDomainJobOperation. */
export const jobOperation = { migrationIn: 4, migrationOut: 5 } as const

type Numbers = (field: string) => number | undefined

export function numbersOf(params: readonly TypedParam[]): Numbers {
  const values = paramsByName(params)
  return field => {
    const value = values.get(field)
    return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : undefined
  }
}

/** While disks are copied, libvirt says nothing of memory: it counts whole. @param memory of the guest */
export const withWholeMemory = (sample: Sample, memory: Bytes): Sample =>
  isBeforeMemory(sample)
    ? { ...sample, remaining: bytes(sample.remaining + memory), total: bytes(sample.total + memory) }
    : sample

/** What a guest dirties is memory and blocks; while disks are copied, blocks only. @param writes to blocks that were copied before */
export function withWrites(sample: Sample, writes: BytesPerSecond): Sample {
  if (isBeforeMemory(sample)) return { ...sample, dirtyRate: writes }
  const { dirtyRate } = sample
  return dirtyRate === undefined ? sample : { ...sample, dirtyRate: bytesPerSecond(dirtyRate + writes) }
}

/** Passes over memory are counted from 1. */
export const isBeforeMemory = ({ disk, round }: Sample): boolean => disk !== undefined && round === 0

/** @param from the daemon's word on a job that goes on, where `downtime` is what it expects, or on one that is over */
export function sampleOf(params: readonly TypedParam[], status: MigrationStatus, from: 'live' | 'final'): Sample {
  const number = numbersOf(params)
  const pageSize = number('memory_page_size') ?? 4096
  const dirtyPages = number('memory_dirty_rate')
  const sum = (...fields: readonly string[]) => bytes(fields.reduce((total, field) => total + (number(field) ?? 0), 0))
  const downtime = number('downtime')
  const disk = {
    copied: sum('disk_processed'),
    remaining: sum('disk_remaining'),
    total: sum('disk_total'),
  }
  return {
    status,
    sent: sum('memory_processed', 'disk_processed'),
    remaining: sum('memory_remaining', 'disk_remaining'),
    total: sum('memory_total', 'disk_total'),
    disk: disk.total === 0 ? undefined : disk,
    zero: bytes((number('memory_constant') ?? 0) * pageSize),
    round: number('memory_iteration') ?? 0,
    dirtyRate: dirtyPages === undefined ? undefined : bytesPerSecond(dirtyPages * pageSize),
    throttle: (number('auto_converge_throttle') ?? 0) / 100,
    expectedDowntime: from === 'live' && downtime !== undefined ? ms(downtime) : undefined,
    downtime: from === 'final' && downtime !== undefined ? ms(downtime) : undefined,
    error: undefined,
  }
}

/**
 * What a source whose job goes on is about. Stopped with nothing left to send, it has sent everything: the target is let run within
 * milliseconds, while the end of the job, with that of the source's process, takes another second or two.
 */
export function statusOf(type: number, state: number, reason: number, remaining: number): MigrationStatus {
  if (state === domainState.paused) {
    if (reason === pausedReason.postCopy) return 'post-copy'
    if (reason === pausedReason.postCopyFailed) return 'post-copy-broken'
    if (reason === pausedReason.migration) return remaining === 0 ? 'completed' : 'stopping'
  }
  return type === jobType.none ? 'none' : 'active'
}
