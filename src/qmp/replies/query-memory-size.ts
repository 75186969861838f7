/** `query-memory-size-summary` (qapi/machine.json, MemoryInfo). */
import { z } from 'zod'
import { type Bytes, bytes } from '../../core/units.ts'

const schema = z.object({ 'base-memory': z.number().nonnegative() })
/** @returns what the guest was started with. @throws ZodError */
export const parseMemorySize = (raw: unknown): Bytes => bytes(schema.parse(raw)['base-memory'])
