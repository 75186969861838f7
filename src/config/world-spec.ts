/** What `lifeboat simulate --generate` is told: JSON on the command line, with the same quantities as everywhere. */
import { z } from 'zod'
import { pathKinds, type WorldSpec } from '../core/sim/generate.ts'
import { parseBytes } from '../core/units.ts'
import { rateSchema, sizeSchema, timeSchema } from './quantity-schema.ts'
import { parseYamlFile } from './yaml-file.ts'

const many = (least: number) => z.int().min(least).max(100_000)
const few = (standard: number) => z.int().min(1).max(200).default(standard)
/** Draws are by 32 bits of seed. */
const seedMost = 2 ** 31 - 1
const largestGuest = parseBytes('64TiB')
const guestSizeSchema = sizeSchema.refine(size => size <= largestGuest, 'no guest has more than 64TiB')
const share = z.number().min(0).max(1)

const sizesSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fixed'), size: guestSizeSchema }),
  z.strictObject({ kind: z.literal('uniform'), from: guestSizeSchema, to: guestSizeSchema }),
  z.strictObject({
    kind: z.literal('lognormal'),
    median: guestSizeSchema,
    spread: z.number().min(1).max(10).default(2),
  }),
])

const worldSchema = z.strictObject({
  endangered: few(1),
  safe: few(1),
  hosts: few(2),
  vms: many(0).default(20),
  memory: sizesSchema.prefault({ kind: 'lognormal', median: '2GiB', spread: 2 }),
  activity: z
    .strictObject({ warm: share.default(0.3), hot: share.default(0.1) })
    .refine(({ warm, hot }) => warm + hot <= 1, 'warm and hot are shares of all guests: together at most 1')
    .prefault({}),
  path: z
    .strictObject({
      kind: z.enum(pathKinds).default('steady'),
      capacity: rateSchema.refine(rate => rate > 0, 'a path carries something').prefault('1Gbit/s'),
      rtt: timeSchema.prefault('20ms'),
    })
    .prefault({}),
  room: z.number().min(0).max(100).default(1.5),
  deadline: timeSchema.optional(),
  seed: z.int().min(0).max(seedMost).default(1),
})

/** JSON is YAML, so mistakes have a line and a column here too. @throws ConfigError */
export function parseWorldSpec(text: string): WorldSpec {
  const { deadline, ...spec } = parseYamlFile(text, '--generate', worldSchema)
  return { ...spec, deadline }
}

export const worldSpecExample =
  '{ "vms": 50, "hosts": 4, "memory": { "kind": "lognormal", "median": "4GiB" }, "path": { "kind": "step", "capacity": "1Gbit/s" }, "seed": 7 }'
