/** `query-migrate` and `query-status` of a source, as one {@link Sample}. */
import { type Bytes, bytes, bytesPerSecond } from '../../core/units.ts'
import type { QueryMigrate } from '../../qmp/public.ts'
import type { MigrationStatus, Sample } from '../hypervisor.ts'
import { noSample } from '../no-sample.ts'
import type { CopyState } from './mirrors.ts'

/**
 * Memory and disks as one. While disks are copied, memory does not flow, and counts whole.
 * @param memory of the guest
 */
export function withDisks(sample: Sample, { stage, error, failure, disk, writes }: CopyState, memory: Bytes): Sample {
  // A migration that is being set up knows nothing of memory yet.
  const waits = stage === 'disks' || (stage === 'memory' && sample.total === 0)
  const ofMemory = waits ? { ...noSample, remaining: memory, total: memory } : sample
  return {
    ...ofMemory,
    status: waits ? 'active' : stage === 'memory' ? sample.status : stage,
    sent: bytes(ofMemory.sent + disk.copied),
    remaining: bytes(ofMemory.remaining + disk.remaining),
    total: bytes(ofMemory.total + disk.total),
    disk,
    dirtyRate: waits ? writes : ofMemory.dirtyRate && bytesPerSecond(ofMemory.dirtyRate + writes),
    error: error ?? ofMemory.error,
    failure,
  }
}

/** @param runState of the guest: QEMU's status stays `active` while the guest is stopped for the last part, only the run state tells */
export function sampleOf(migration: QueryMigrate, runState: string): Sample {
  const { ram } = migration
  return {
    status: statusOf(migration.status, runState),
    sent: ram?.transferred ?? bytes(0),
    remaining: ram?.remaining ?? bytes(0),
    total: ram?.total ?? bytes(0),
    disk: undefined,
    zero: bytes((ram?.duplicatePages ?? 0) * (ram?.pageSize ?? 4096)),
    round: ram?.dirtySyncCount ?? 0,
    dirtyRate: ram?.dirtyRate,
    throttle: (migration.cpuThrottlePercentage ?? 0) / 100,
    expectedDowntime: migration.expectedDowntime,
    downtime: migration.downtime,
    error: migration.errorDesc,
  }
}

function statusOf(status: string, runState: string): MigrationStatus {
  switch (status) {
    case 'none':
      return 'none'
    case 'setup':
    case 'wait-unplug':
    case 'colo':
      return 'starting'
    case 'pre-switchover':
    case 'device':
      return 'stopping'
    case 'postcopy-active':
    case 'postcopy-recover':
    case 'postcopy-recover-setup':
      return 'post-copy'
    case 'postcopy-paused':
      return 'post-copy-broken'
    case 'completed':
      return 'completed'
    case 'failed':
      return 'failed'
    case 'cancelled':
      return 'cancelled'
    // 'active', 'cancelling', and whatever a newer QEMU adds in between: it has not ended.
    default:
      return runState === 'finish-migrate' ? 'stopping' : 'active'
  }
}
