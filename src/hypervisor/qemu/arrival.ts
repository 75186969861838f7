/** What a QEMU source tells a QEMU target about a VM, and the target the source, as text. */
import { z } from 'zod'
import { bytes } from '../../core/units.ts'
import { parseDefinition, printDefinition, type QemuDefinition } from './definition.ts'

const size = z.number().transform(bytes)
const imageSchema = z.object({
  /** `{dir}` stands for the VM's folder. */
  path: z.string(),
  format: z.string(),
  capacity: size,
  /** What it takes where it lies. */
  allocation: size,
  /** Of the file; 0 where that is not known. */
  length: size,
  /** How the image above names it, where that is no absolute path. */
  name: z.string().optional(),
})
const diskSchema = z.object({
  /** As the definition calls it: the id of its drive. */
  target: z.string(),
  /** From the top to the base. */
  chain: z.array(imageSchema),
})
/** `{dir}` stands for the VM's folder. */
const mediumSchema = z.object({ target: z.string(), path: z.string() })
export type Medium = z.infer<typeof mediumSchema>
export type ArrivingImage = z.infer<typeof imageSchema>
export type ArrivingDisk = z.infer<typeof diskSchema>

export interface Arrival {
  readonly definition: QemuDefinition
  /** Disks to be copied. */
  readonly disks: readonly ArrivingDisk[]
  /** What is only read, and must be at the target already. */
  readonly media: readonly Medium[]
}

const arrivalSchema = z.object({
  version: z.literal(2),
  definition: z.string(),
  disks: z.array(diskSchema),
  media: z.array(mediumSchema),
})

export const printArrival = ({ definition, disks, media }: Arrival): string =>
  JSON.stringify({ version: 2, definition: printDefinition(definition), disks, media })

/** @throws ZodError, or SyntaxError when the text is no JSON */
export function parseArrival(text: string): Arrival {
  const { definition, disks, media } = arrivalSchema.parse(JSON.parse(text))
  return { definition: parseDefinition(definition), disks, media }
}

const landingSchema = z.object({
  /** Where memory goes. */
  migrate: z.string(),
  /** Where disks go, by NBD; null where none does. */
  disks: z
    .object({
      /** What an operator calls the target. */
      name: z.string(),
      host: z.string(),
      port: z.number(),
      targets: z.array(z.string()),
      incremental: z.boolean(),
    })
    .nullable(),
})
export type QemuLanding = z.infer<typeof landingSchema>

export const printLanding = (landing: QemuLanding): string => JSON.stringify(landing)
/** @throws ZodError, SyntaxError */
export const parseLanding = (text: string): QemuLanding => landingSchema.parse(JSON.parse(text))
