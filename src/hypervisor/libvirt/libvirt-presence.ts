/** libvirt's answers about a domain, its state with the reason and the job on it, as one {@link Presence}. Numbers: include/libvirt/libvirt-domain.h. */
import type { Presence } from '../../core/migration/presence.ts'

/** virDomainState. */
export const domainState = {
  noState: 0,
  running: 1,
  blocked: 2,
  paused: 3,
  shutdown: 4,
  shutoff: 5,
  crashed: 6,
  suspended: 7,
} as const
/** virDomainRunningReason. */
export const runningReason = { postCopy: 10, postCopyFailed: 11 } as const
/** virDomainPausedReason. */
export const pausedReason = { migration: 2, startingUp: 11, postCopy: 12, postCopyFailed: 13 } as const

export interface DomainSeen {
  readonly state: number
  readonly reason: number
  /** `out` and `in`: a migration, as its source and as its target. */
  readonly job: 'none' | 'out' | 'in' | 'other'
}

/** Whether the domain's job matters to its presence: asking for it is one more call. */
export const jobMatters = (state: number): boolean => state !== domainState.shutoff && state !== domainState.crashed

export function presenceOf({ state, reason, job }: DomainSeen): Presence {
  switch (state) {
    case domainState.running:
    case domainState.blocked:
    case domainState.shutdown:
    case domainState.suspended:
      if (state === domainState.running && reason === runningReason.postCopy) return { state: 'split', broken: false }
      if (state === domainState.running && reason === runningReason.postCopyFailed)
        return { state: 'split', broken: true }
      return { state: 'running', migrating: job === 'out' }
    case domainState.paused:
      return presenceOfPaused(reason, job)
    case domainState.shutoff:
    case domainState.crashed:
      return { state: 'absent', detail: 'shut off' }
    default:
      return job === 'in' ? { state: 'incoming' } : { state: 'unreachable', detail: `libvirt says state ${state}` }
  }
}

function presenceOfPaused(reason: number, job: DomainSeen['job']): Presence {
  if (reason === pausedReason.postCopy) return { state: 'split', broken: false }
  if (reason === pausedReason.postCopyFailed) return { state: 'split', broken: true }
  if (job === 'in') return { state: 'incoming' }
  if (reason === pausedReason.migration)
    // Without a job nobody works on it any more: its daemon was restarted after all was sent, or never heard of its target's end.
    return { state: 'paused', as: job === 'out' ? 'leaving' : 'left', detail: 'paused for its migration' }
  return { state: 'paused', as: 'home', detail: `paused, reason ${reason}` }
}
