/** `query-dirty-rate` (qapi/migration.json, DirtyRateInfo); its unit is MiB/s. */
import { z } from 'zod'
import { bytesPerSecond, type BytesPerSecond } from '../../core/units.ts'

export interface QueryDirtyRate {
  /** `unstarted`, `measuring`, `measured`. */
  readonly status: string
  readonly rate: BytesPerSecond
}

const schema = z.object({ status: z.string(), 'dirty-rate': z.number().default(0) })

/** @throws ZodError */
export function parseQueryDirtyRate(raw: unknown): QueryDirtyRate {
  const info = schema.parse(raw)
  // -1 while it is being measured, in some versions.
  return { status: info.status, rate: bytesPerSecond(Math.max(0, info['dirty-rate']) * 1_048_576) }
}
