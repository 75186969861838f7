/** What a libvirt source tells a libvirt target about a VM, and the target the source, as text. */
import { z } from 'zod'
import { bytes } from '../../core/units.ts'
import type { Definition } from '../hypervisor.ts'

const size = z.number().transform(bytes)
const imageSchema = z.object({
  path: z.string(),
  format: z.string(),
  capacity: size,
  allocation: size,
  length: size,
})
const diskSchema = z.object({
  target: z.string(),
  kind: z.enum(['copied', 'read', 'shared', 'empty', 'unknown']),
  storage: z.string(),
  mayBeMissing: z.boolean(),
  /** From the top to the base. */
  chain: z.array(imageSchema),
})
export type DiskDefinition = z.infer<typeof diskSchema>

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
  /** As it runs now. */
  disks: z.array(diskSchema).default([]),
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
  /** For what an operator reads. */
  host: z.string().default('the target'),
  copy: z
    .object({ targets: z.array(z.string()), incremental: z.boolean() })
    .default({ targets: [], incremental: false }),
})
/** A {@link Landing}'s uri: libvirt needs two, and is told what to copy. @throws ZodError, SyntaxError */
export const parseDestination = (text: string) => destinationSchema.parse(JSON.parse(text))
