/** `query-jobs` (qapi/job.json, JobInfo). */
import { z } from 'zod'
import { type Bytes, bytes } from '../../core/units.ts'

export interface QmpJob {
  readonly id: string
  readonly type: string
  /** `created`, `running`, `paused`, `ready`, `standby`, `waiting`, `pending`, `aborting`, `concluded`, … */
  readonly status: string
  /** Of a mirror: bytes, which grow with what the guest writes. */
  readonly done: Bytes
  readonly total: Bytes
  readonly error: string | undefined
}

const size = z.number().nonnegative().transform(bytes)
const schema = z.array(
  z
    .object({
      id: z.string(),
      type: z.string(),
      status: z.string(),
      'current-progress': size,
      'total-progress': size,
      error: z.string().optional(),
    })
    .transform(
      (job): QmpJob => ({
        id: job.id,
        type: job.type,
        status: job.status,
        done: job['current-progress'],
        total: job['total-progress'],
        error: job.error,
      }),
    ),
)

/** @throws ZodError */
export const parseQueryJobs = (raw: unknown): readonly QmpJob[] => schema.parse(raw)
