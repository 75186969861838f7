/** The greeting: version and capabilities (docs/interop/qmp-spec). */
import { z } from 'zod'

export interface QmpVersion {
  readonly major: number
  readonly minor: number
  readonly micro: number
  /** The distribution's own version, such as `Debian 1:7.2+dfsg-7`. */
  readonly package: string
}

const greetingSchema = z.object({
  version: z.object({
    qemu: z.object({ major: z.number(), minor: z.number(), micro: z.number() }),
    package: z.string().default(''),
  }),
  capabilities: z.array(z.string()).default([]),
})

/** @throws ZodError */
export function parseGreeting(raw: unknown): {
  readonly version: QmpVersion
  readonly capabilities: readonly string[]
} {
  const { version, capabilities } = greetingSchema.parse(raw)
  return { version: { ...version.qemu, package: version.package }, capabilities }
}
