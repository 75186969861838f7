/** lifeboat.yaml: sites and hosts as the operator reaches them, what is known of paths, the policy, and exceptions for VMs by name. */
import { z } from 'zod'
import { UnknownPolicy, policyByName } from '../core/policy/policy-by-name.ts'
import { LibvirtUriError, parseLibvirtUri } from '../libvirt/public.ts'
import { parseHostUri, UriError } from './host-uri.ts'
import {
  fractionSchema,
  hostNameSchema,
  rateSchema,
  siteNameSchema,
  sizeSchema,
  timeSchema,
  valueSchema,
  dirtySchema,
  vmPolicyShape,
} from './quantity-schema.ts'
import { parseShellUri } from './shell-uri.ts'

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

const peerUriSchema = z.string().transform((text, context) => {
  try {
    const { host } = parseLibvirtUri(text)
    if (host !== undefined) return text
    context.addIssue({ code: 'custom', message: `"${text}" names no host: other hosts cannot reach this one so` })
  } catch (error) {
    if (!(error instanceof LibvirtUriError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
  return z.NEVER
})

const shellSchema = uriWith(parseShellUri)

/** What only a libvirt daemon can be told. */
const ofLibvirt = ['peerUri', 'listenAddress', 'tls', 'tlsName'] as const

const plainHostSchema = z.strictObject({
  name: hostNameSchema,
  uri: uriSchema,
  /** What guests may use together. @default what the host says it has */
  memory: sizeSchema.optional(),
  nic: rateSchema.optional(),
  cpu: z.string().optional(),
  /** Where other hosts reach it for migrations. @default the host in its uri */
  migrationAddress: z.string().min(1).optional(),
  /** Where commands for it run (shell-uri.ts): what only a command tells. @default where its uri leads */
  shell: shellSchema.optional(),
  /** How the daemons of other hosts reach this one's. @default its uri without what names files here; over TCP where that is a local socket */
  peerUri: peerUriSchema.optional(),
  /** Where it listens for migrations. @default all its addresses */
  listenAddress: z.string().min(1).optional(),
  /** Memory sent to this host is encrypted, with certificates that its QEMU and the source's have. @default the site's */
  tls: z.boolean().optional(),
  /** What its certificate says. @default its migrationAddress */
  tlsName: z.string().min(1).optional(),
})
const hostSchema = plainHostSchema.superRefine((host, context) => {
  if (host.uri.kind === 'libvirt') return
  for (const key of ofLibvirt)
    if (host[key] !== undefined)
      context.addIssue({
        code: 'custom',
        path: [key],
        message: `is for hosts under libvirt only, and ${host.name} is none`,
      })
})

const siteSchema = z
  .strictObject({
    name: siteNameSchema,
    safe: z.boolean().default(false),
    uplink: rateSchema.optional(),
    /** Memory sent to its hosts is encrypted, but where a host says otherwise. */
    tls: z.boolean().default(false),
    hosts: z.array(hostSchema).min(1, 'a site has at least one host'),
  })
  .superRefine(({ tls, hosts }, context) => {
    const other = hosts.find(({ uri }) => tls && uri.kind !== 'libvirt')
    if (other === undefined) return
    const message = `is for hosts under libvirt only, and ${other.name} is none: say tls: true at those hosts that are`
    context.addIssue({ code: 'custom', path: ['tls'], message })
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
  ...vmPolicyShape,
  /** What it writes, where somebody knows: its hot set, in which time that is rewritten, and what it writes beside. */
  dirty: dirtySchema.optional(),
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
