/** `query-block` (qapi/block-core.json, BlockInfo, ImageInfo): the drives a guest sees, and the images behind them. */
import { z } from 'zod'
import { type Bytes, bytes } from '../../core/units.ts'

export interface BlockImage {
  /** As QEMU opened it; absolute where its command line was. */
  readonly path: string
  readonly format: string
  /** What the guest sees. */
  readonly size: Bytes
  /** What it takes where it lies; undefined where that is not known. */
  readonly taken: Bytes | undefined
  readonly backing: BlockImage | undefined
  /** How this image names the one below it. */
  readonly backingName: string | undefined
}

export interface BlockDrive {
  /** Of `-drive id=…`; empty where it was made with `-blockdev`. */
  readonly device: string
  /** Undefined for a drive without a medium. */
  readonly inserted: { readonly node: string; readonly readOnly: boolean; readonly image: BlockImage } | undefined
}

const size = z.number().nonnegative().transform(bytes)
const imageSchema: z.ZodType<BlockImage> = z
  .object({
    filename: z.string(),
    format: z.string(),
    'virtual-size': size,
    'actual-size': size.optional(),
    'backing-filename': z.string().optional(),
    get 'backing-image'() {
      return imageSchema.optional()
    },
  })
  .transform(image => ({
    path: image.filename,
    format: image.format,
    size: image['virtual-size'],
    taken: image['actual-size'],
    backing: image['backing-image'],
    backingName: image['backing-filename'],
  }))
const schema = z.array(
  z
    .object({
      device: z.string(),
      inserted: z.object({ 'node-name': z.string().default(''), ro: z.boolean(), image: imageSchema }).optional(),
    })
    .transform(
      ({ device, inserted }): BlockDrive => ({
        device,
        inserted: inserted && { node: inserted['node-name'], readOnly: inserted.ro, image: inserted.image },
      }),
    ),
)

/** @throws ZodError */
export const parseQueryBlock = (raw: unknown): readonly BlockDrive[] => schema.parse(raw)
