/** Quantities, names and VM policies as zod schemas: texts with a unit in, branded values out. One source for files, flags and definitions. */
import { z } from 'zod'
import { hostId, idRule, isId, placeId, siteId, vmId } from '../core/ids.ts'
import { defaultVmPolicy, modesOfLastResort, type VmPolicy } from '../core/inventory/vm.ts'
import { parseBytes, parseFraction, parseRate, parseTime, UnitError } from '../core/units.ts'

/** A text that `parse` turns into a quantity; its {@link UnitError} becomes the issue's message. A bare number is refused with what was expected. */
function quantity<T>(parse: (text: string) => T, meta: { description: string; examples: string[] }) {
  return z
    .unknown()
    .transform((raw, context): T => {
      if (typeof raw !== 'string') {
        const what =
          typeof raw === 'number'
            ? `the bare number ${raw} has no unit`
            : raw === undefined
              ? 'is missing'
              : `${JSON.stringify(raw)} is not a quantity`
        context.addIssue({ code: 'custom', message: `${what}; expected ${meta.description}` })
        return z.NEVER
      }
      try {
        return parse(raw)
      } catch (error) {
        if (!(error instanceof UnitError)) throw error
        context.addIssue({ code: 'custom', message: error.message })
        return z.NEVER
      }
    })
    .meta(meta)
}

export const sizeSchema = quantity(parseBytes, { description: 'a size like 64MiB', examples: ['64MiB'] })
export const rateSchema = quantity(parseRate, { description: 'a rate like 100Mbit/s', examples: ['100Mbit/s'] })
export const timeSchema = quantity(parseTime, { description: 'a time like 40ms', examples: ['40ms'] })
export const fractionSchema = quantity(parseFraction, { description: 'a percentage like 1%', examples: ['0.01%'] })

const nameSchema = z.string().refine(isId, { message: `not a usable name; expected ${idRule}` })
export const siteNameSchema = nameSchema.transform(siteId)
export const hostNameSchema = nameSchema.transform(hostId)
export const vmNameSchema = nameSchema.transform(vmId)
export const placeNameSchema = nameSchema.transform(placeId)

export const dirtyShape = {
  hot: sizeSchema,
  period: timeSchema.refine(period => period > 0, 'a hot set is rewritten in some time, not in none'),
  cold: rateSchema,
}
export const dirtySchema = z.strictObject(dirtyShape)

export const diskSchema = z
  .strictObject({
    name: z.string().min(1),
    size: sizeSchema,
    used: sizeSchema.optional(),
    write: rateSchema.prefault('0B/s'),
    shared: z.boolean().default(false),
  })
  .transform(disk => ({ ...disk, used: disk.used ?? disk.size }))

/** Of a VM's policy, each part by itself: of files, of flags, of a domain's metadata. */
export const vmPolicyShape = {
  maxDowntime: timeSchema.optional(),
  allow: z.array(z.enum(modesOfLastResort)).optional(),
  action: z.enum(['move', 'stay']).optional(),
  targets: z.array(placeNameSchema).min(1, 'name at least one site or host, or leave it out').optional(),
  antiAffinity: z.string().min(1, 'a name that those have in common who keep apart').optional(),
}
export const vmPolicySchema = z.strictObject(vmPolicyShape).transform(
  (policy): VmPolicy => ({
    maxDowntime: policy.maxDowntime ?? defaultVmPolicy.maxDowntime,
    allow: policy.allow ?? defaultVmPolicy.allow,
    action: policy.action ?? defaultVmPolicy.action,
    targets: policy.targets,
    antiAffinity: policy.antiAffinity,
  }),
)

export const valueSchema = z.number().min(0, 'a value is a number, 0 or more')
