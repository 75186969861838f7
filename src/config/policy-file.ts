/** policy.yaml of a scenario folder: which policy, and what bounds it. */
import { z } from 'zod'
import type { Limits } from '../core/control/observed.ts'
import { policyNameSchema } from './config-schema.ts'
import { rateSchema } from './quantity-schema.ts'
import { parseYamlFile } from './yaml-file.ts'

export interface PolicyFile {
  readonly policy: string | undefined
  readonly limits: Limits
}

const policySchema = z.strictObject({
  policy: policyNameSchema.optional(),
  maxParallel: z.int().min(1).optional(),
  bandwidth: rateSchema.optional(),
})

export const noPolicyFile: PolicyFile = { policy: undefined, limits: { maxParallel: undefined, bandwidth: undefined } }

/** @throws ConfigError with every mistake, its line and column */
export function parsePolicyFile(text: string, file: string): PolicyFile {
  const { policy, maxParallel, bandwidth } = parseYamlFile(text, file, policySchema)
  return { policy, limits: { maxParallel, bandwidth } }
}
