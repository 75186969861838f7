/** `query-migrate` (qapi/migration.json, MigrationInfo). Everything but the status may be missing; QEMU 5 to 10 differ. */
import { z } from 'zod'
import { bytes, type Bytes, bytesPerSecond, type BytesPerSecond, ms, type Milliseconds } from '../../core/units.ts'

export interface RamStats {
  /** Put on the wire so far, headers and compression included. */
  readonly transferred: Bytes
  readonly remaining: Bytes
  readonly total: Bytes
  /** Pages of zeros, sent as a mark only. A count of pages, not bytes. */
  readonly duplicatePages: number
  readonly normalBytes: Bytes
  /** Passes over memory, from 1. */
  readonly dirtySyncCount: number
  /** As QEMU saw it in the last pass; undefined before the first is over. */
  readonly dirtyRate: BytesPerSecond | undefined
  readonly pageSize: Bytes
}

export interface QueryMigrate {
  /** `none` when nothing was ever migrated. A newer QEMU may have statuses not known here. */
  readonly status: string
  readonly ram: RamStats | undefined
  readonly totalTime: Milliseconds | undefined
  readonly setupTime: Milliseconds | undefined
  /** Known at the end only. */
  readonly downtime: Milliseconds | undefined
  readonly expectedDowntime: Milliseconds | undefined
  readonly cpuThrottlePercentage: number | undefined
  readonly errorDesc: string | undefined
  readonly blockedReasons: readonly string[]
}

const count = z.number().nonnegative()
const time = count.transform(ms)
const size = count.transform(n => bytes(Math.trunc(n)))

const ramSchema = z
  .object({
    transferred: size,
    remaining: size,
    total: size,
    duplicate: count.default(0),
    'normal-bytes': size.prefault(0),
    'dirty-sync-count': count.default(0),
    'dirty-pages-rate': count.default(0),
    'page-size': size.prefault(4096),
  })
  .transform(
    (ram): RamStats => ({
      transferred: ram.transferred,
      remaining: ram.remaining,
      total: ram.total,
      duplicatePages: ram.duplicate,
      normalBytes: ram['normal-bytes'],
      dirtySyncCount: ram['dirty-sync-count'],
      // Pages a second; 0 stands for "not measured yet" in the first pass (migration/ram.c).
      dirtyRate: ram['dirty-sync-count'] > 1 ? bytesPerSecond(ram['dirty-pages-rate'] * ram['page-size']) : undefined,
      pageSize: ram['page-size'],
    }),
  )

const schema = z.object({
  status: z.string().default('none'),
  ram: ramSchema.optional(),
  'total-time': time.optional(),
  'setup-time': time.optional(),
  downtime: time.optional(),
  'expected-downtime': time.optional(),
  'cpu-throttle-percentage': count.optional(),
  'error-desc': z.string().optional(),
  'blocked-reasons': z.array(z.string()).default([]),
})

/** @throws ZodError */
export function parseQueryMigrate(raw: unknown): QueryMigrate {
  const info = schema.parse(raw)
  return {
    status: info.status,
    ram: info.ram,
    totalTime: info['total-time'],
    setupTime: info['setup-time'],
    downtime: info.downtime,
    expectedDowntime: info['expected-downtime'],
    cpuThrottlePercentage: info['cpu-throttle-percentage'],
    errorDesc: info['error-desc'],
    blockedReasons: info['blocked-reasons'],
  }
}
