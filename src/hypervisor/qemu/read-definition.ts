/** Reads a host's own `vm.json`, which a human may have written: a policy that cannot be read keeps no VM from being seen, and moved. */
import { z } from 'zod'
import { definitionSchema, type QemuDefinition } from './definition.ts'

export interface ReadDefinition {
  readonly definition: QemuDefinition
  /** What of its policy could not be read and does not count, each in half a sentence. */
  readonly unread: readonly string[]
}

/** @throws ZodError for mistakes elsewhere, or SyntaxError when the text is no JSON */
export function readDefinition(text: string): {
  readonly definition: QemuDefinition
  readonly unread: readonly string[]
} {
  const raw: unknown = JSON.parse(text)
  const first = definitionSchema.safeParse(raw)
  if (first.success) return { definition: first.data, unread: [] }
  const { rest, unread } = withoutBadPolicy(raw, first.error)
  return { definition: definitionSchema.parse(rest), unread }
}

const looseSchema = z.looseObject({ policy: z.looseObject({}).optional().catch(undefined) })

function withoutBadPolicy(raw: unknown, { issues }: z.ZodError): { rest: unknown; unread: readonly string[] } {
  const loose = looseSchema.safeParse(raw)
  if (!loose.success) return { rest: raw, unread: [] }
  const rest: Record<string, unknown> = { ...loose.data }
  const policy: Record<string, unknown> = { ...loose.data.policy }
  const unread = issues.flatMap(issue => {
    const [part, field] = issue.path
    if (part === 'value' || part === 'group') delete rest[part]
    else if (part !== 'policy') return []
    else if (typeof field === 'string') delete policy[field]
    else if (issue.code === 'unrecognized_keys') for (const key of issue.keys) delete policy[key]
    return [`${issue.path.join('.')}: ${issue.message}`]
  })
  return { rest: { ...rest, policy }, unread }
}
