/** What a libvirt source tells a libvirt target about a VM, as text. */
import { z } from 'zod'
import type { Definition } from '../hypervisor.ts'

const schema = z.object({
  version: z.literal(1),
  name: z.string(),
  uuid: z.string(),
  /** Defined at its host, beyond the moment it stops. */
  persistent: z.boolean(),
  /** Its host starts it at boot; libvirt does not carry this over. */
  autostart: z.boolean(),
  /** The persistent definition; of a transient VM what it runs as. */
  xml: z.string(),
})
export type LibvirtDefinition = z.infer<typeof schema>

export const printLibvirtDefinition = (definition: Omit<LibvirtDefinition, 'version'>): string =>
  JSON.stringify({ version: 1, ...definition })
/** @throws ZodError, or SyntaxError when the text is no JSON */
export const parseLibvirtDefinition = (text: string): LibvirtDefinition => schema.parse(JSON.parse(text))

/** Undefined for a transient VM, and for one of another driver. @throws ZodError, SyntaxError */
export function persistentXml({ driver, text }: Definition): string | undefined {
  if (driver !== 'libvirt') return undefined
  const { persistent, xml } = parseLibvirtDefinition(text)
  return persistent ? xml : undefined
}

const destinationSchema = z.object({
  connect: z.string(),
  migrate: z.string(),
  listen: z.string().optional(),
  tls: z.object({ name: z.string().optional() }).optional(),
})
/** A {@link Landing}'s uri: libvirt needs two. @throws ZodError, SyntaxError */
export const parseDestination = (text: string) => destinationSchema.parse(JSON.parse(text))
