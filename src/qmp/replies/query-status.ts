/** `query-status` (qapi/run-state.json). */
import { z } from 'zod'

export interface QueryStatus {
  /** `running`, `paused`, `inmigrate`, `postmigrate`, … A newer QEMU may have more: compare, do not enumerate. */
  readonly status: string
  readonly running: boolean
}
const schema = z.object({ status: z.string(), running: z.boolean() })
/** @throws ZodError */
export const parseQueryStatus = (raw: unknown): QueryStatus => schema.parse(raw)
