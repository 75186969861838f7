/**
 * The definition of one VM on a raw QEMU host: the file `vm.json` in the VM's own folder below the host's folder.
 *
 *     <host folder>/<vm>/vm.json        this definition
 *     <host folder>/<vm>/qemu.pid       written by QEMU itself
 *     <host folder>/<vm>/arriving.json  the same, of a VM that is being received and has not been told to run yet
 *     <host folder>/<vm>/evacuated.json a tombstone: the VM left, and where it went; nothing may start it here
 *
 * `argv` must be the same on both sides of a migration, so places that differ between hosts are written `{dir}` (the VM's own
 * folder on that host). Lifeboat adds `-name`, `-uuid`, the monitors, `-pidfile`, `-daemonize` and, on a target, `-S -incoming defer`.
 */
import { z } from 'zod'
import {
  dirtySchema,
  diskSchema,
  sizeSchema,
  valueSchema,
  vmNameSchema,
  vmPolicySchema,
} from '../../config/quantity-schema.ts'
import { type PolicyWords, wordsBeyondDefault } from '../../core/inventory/policy-words.ts'
import { defaultVmPolicy } from '../../core/inventory/vm.ts'
import { printBytes, printRate, printTime } from '../../core/units.ts'

export const definitionFile = 'vm.json'
export const arrivingFile = 'arriving.json'
export const tombstoneFile = 'evacuated.json'
export const pidFile = 'qemu.pid'

/** Arguments that Lifeboat sets itself; a definition that brings its own would start two monitors on one socket, or no daemon. */
const reserved = new Set(['-name', '-uuid', '-qmp', '-pidfile', '-daemonize', '-incoming', '-S'])

export const definitionSchema = z.strictObject({
  version: z.literal(1),
  name: vmNameSchema,
  uuid: z.uuid(),
  memory: sizeSchema,
  /** Non-zero memory, if its owner knows. */
  used: sizeSchema.optional(),
  dirty: dirtySchema.optional(),
  disks: z.array(diskSchema).default([]),
  argv: z
    .array(z.string())
    .min(1)
    .superRefine((argv, context) => {
      for (const word of argv) {
        if (reserved.has(word))
          context.addIssue({ code: 'custom', message: `${word} is set by Lifeboat; leave it out` })
      }
    }),
  /** Sockets of QMP monitors. A monitor serves one client, so a second one lets `inventory` look while an evacuation holds the first. */
  monitors: z.array(z.string()).min(1).default(['{dir}/qmp.sock', '{dir}/qmp-2.sock']),
  value: valueSchema.default(1),
  group: z.string().optional(),
  policy: vmPolicySchema.prefault({}),
})

export type QemuDefinition = z.infer<typeof definitionSchema>

/** @throws ZodError, or SyntaxError when the text is no JSON */
export const parseDefinition = (text: string): QemuDefinition => definitionSchema.parse(JSON.parse(text))

/** The same VM with these words in place of those it had. */
export const withWords = (definition: QemuDefinition, words: PolicyWords): QemuDefinition => ({
  ...definition,
  value: words.value ?? 1,
  group: words.group,
  policy: {
    maxDowntime: words.maxDowntime ?? defaultVmPolicy.maxDowntime,
    allow: words.allow ?? defaultVmPolicy.allow,
    action: words.action ?? defaultVmPolicy.action,
    targets: words.targets,
    antiAffinity: words.antiAffinity,
  },
})

/** The text of `vm.json`; {@link parseDefinition} reads it back to an equal definition. */
export function printDefinition(definition: QemuDefinition): string {
  const { dirty, disks, used } = definition
  const { value, group, maxDowntime, ...policy } = wordsBeyondDefault(definition)
  return `${JSON.stringify(
    {
      ...definition,
      memory: printBytes(definition.memory),
      used: used === undefined ? undefined : printBytes(used),
      dirty: dirty && { hot: printBytes(dirty.hot), period: printTime(dirty.period), cold: printRate(dirty.cold) },
      disks: disks.map(disk => ({
        ...disk,
        size: printBytes(disk.size),
        used: printBytes(disk.used),
        write: printRate(disk.write),
      })),
      value,
      group,
      policy: { ...policy, maxDowntime: maxDowntime === undefined ? undefined : printTime(maxDowntime) },
    },
    undefined,
    2,
  )}\n`
}

/** The whole command line on a host whose folder for this VM is `dir`. */
export function commandLine(definition: QemuDefinition, dir: string, as: 'running' | 'target'): readonly string[] {
  const place = (word: string): string => word.replaceAll('{dir}', dir)
  return [
    ...definition.argv.map(place),
    '-name',
    definition.name,
    '-uuid',
    definition.uuid,
    ...definition.monitors.flatMap(socket => ['-qmp', `unix:${place(socket)},server=on,wait=off`]),
    '-pidfile',
    `${dir}/${pidFile}`,
    '-daemonize',
    ...(as === 'target' ? ['-S', '-incoming', 'defer'] : []),
  ]
}
export const monitorSockets = (definition: QemuDefinition, dir: string): readonly string[] =>
  definition.monitors.map(socket => socket.replaceAll('{dir}', dir))
