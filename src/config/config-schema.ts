/** lifeboat.yaml: sites and hosts as the operator reaches them, what is known of paths, the policy, and exceptions for VMs by name. */
import { z } from 'zod'
import { UnknownPolicy, policyByName } from '../core/policy/policy-by-name.ts'
import { parseHostShell } from './host-shell.ts'
import { parseHostUri, UriError } from './host-uri.ts'
import {
  fractionSchema,
  hostNameSchema,
  rateSchema,
  siteNameSchema,
  sizeSchema,
  timeSchema,
  valueSchema,
} from './quantity-schema.ts'
import { modesOfLastResort } from '../core/inventory/vm.ts'

const uriWith = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof UriError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })
const uriSchema = uriWith(parseHostUri)

const hostSchema = z.strictObject({
  name: hostNameSchema,
  uri: uriSchema,
  /** What guests may use together. @default what the host says it has */
  memory: sizeSchema.optional(),
  nic: rateSchema.optional(),
  cpu: z.string().optional(),
  /** Where other hosts reach it for migrations. @default the host in its uri */
  migrationAddress: z.string().min(1).optional(),
  /** Where a shell on it is to be had, for what the hypervisor does not tell. @default what the uri says */
  shell: uriWith(parseHostShell).optional(),
})

const siteSchema = z.strictObject({
  name: siteNameSchema,
  safe: z.boolean().default(false),
  uplink: rateSchema.optional(),
  hosts: z.array(hostSchema).min(1, 'a site has at least one host'),
})

export const pathSchema = z.strictObject({
  from: z.string(),
  to: z.string(),
  capacity: rateSchema.optional(),
  rtt: timeSchema.optional(),
  loss: fractionSchema.optional(),
  perFlow: rateSchema.optional(),
  background: rateSchema.optional(),
})

export const policyNameSchema = z.string().superRefine((name, context) => {
  try {
    policyByName(name)
  } catch (error) {
    if (!(error instanceof UnknownPolicy)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
})

const vmRuleSchema = z.strictObject({
  /** A name, or a pattern with `*` and `?`. */
  match: z.string().min(1),
  value: valueSchema.optional(),
  group: z.string().optional(),
  maxDowntime: timeSchema.optional(),
  allow: z.array(z.enum(modesOfLastResort)).optional(),
  action: z.enum(['move', 'stay']).optional(),
})

export const configSchema = z.strictObject({
  sites: z.array(siteSchema).min(1, 'name at least one site'),
  paths: z.array(pathSchema).default([]),
  policy: z
    .strictObject({
      name: policyNameSchema.optional(),
      maxParallel: z.number().int().min(1).optional(),
      bandwidth: rateSchema.optional(),
    })
    .prefault({}),
  vms: z.array(vmRuleSchema).default([]),
  /** Where journals and locks lie. @default /var/lib/lifeboat, or ~/.local/state/lifeboat for those who are not root */
  stateDir: z.string().startsWith('/', 'an absolute path').optional(),
})

export type Config = z.output<typeof configSchema>
export type HostConfig = Config['sites'][number]['hosts'][number]
export type VmRule = Config['vms'][number]
