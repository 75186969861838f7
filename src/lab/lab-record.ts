/**
 * What a lab made, written before it is made, so that `down` finds it whatever was killed when. Names of namespaces follow from the
 * spec; processes are known by id and start time, so that a number that was given to somebody else is left alone.
 */
import {
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  fsyncSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { dirtySchema, hostNameSchema, siteNameSchema, vmNameSchema, vmPolicySchema } from '../config/quantity-schema.ts'
import { bytes, bytesPerSecond, fraction, ms, printBytes, printRate, printTime } from '../core/units.ts'
import { LabError, LabNotFound } from './lab-error.ts'
import { labFolder } from './lab-names.ts'
import { labDrivers, type LabSpec } from './lab-spec.ts'

const recordFile = 'record.json'

const processSchema = z.object({ pid: z.number().int().positive(), startTime: z.string(), what: z.string() })
/** A process, told apart from a later one with the same number by its start time (/proc/PID/stat, field 22). */
export type KnownProcess = z.infer<typeof processSchema>

const rawBytes = z.number().transform(bytes)
const specSchema = z.object({
  name: z.string(),
  driver: z.enum(labDrivers).default('qemu'),
  ssh: z.boolean().default(false),
  tls: z.boolean().default(false),
  sites: z.array(z.object({ id: siteNameSchema, safe: z.boolean() })),
  hosts: z.array(z.object({ id: hostNameSchema, site: siteNameSchema, memory: rawBytes })),
  links: z.array(
    z.object({
      between: z.tuple([siteNameSchema, siteNameSchema]),
      capacity: z.number().transform(bytesPerSecond),
      rtt: z.number().transform(ms),
      loss: z.number().transform(fraction),
    }),
  ),
  guests: z.array(
    z.object({
      vm: vmNameSchema,
      host: hostNameSchema,
      memory: rawBytes,
      fill: rawBytes,
      dirty: dirtySchema.optional().transform(value => value),
      disks: z
        .array(
          z.object({
            size: rawBytes,
            shared: z.boolean(),
            format: z.enum(['raw', 'qcow2']).optional(),
            overBase: z.boolean().optional(),
            write: z.number().transform(bytesPerSecond).optional(),
          }),
        )
        .default([]),
      checkDisks: z.number().transform(ms).optional(),
      cd: z.boolean().optional(),
      value: z.number(),
      group: z
        .string()
        .optional()
        .transform(value => value),
      policy: vmPolicySchema,
    }),
  ),
})

const recordSchema = z.object({
  version: z.literal(1),
  spec: specSchema,
  /** `up` only when everything stands and every guest is ready. */
  state: z.enum(['making', 'up']),
  wan: z.enum(['netem', 'relay']),
  processes: z.array(processSchema),
})
export interface LabRecord extends Omit<z.output<typeof recordSchema>, 'spec'> {
  readonly spec: LabSpec
}

const writable = ({ spec, ...rest }: LabRecord): unknown => ({
  ...rest,
  spec: {
    ...spec,
    guests: spec.guests.map(guest => ({
      ...guest,
      dirty: guest.dirty && {
        hot: printBytes(guest.dirty.hot),
        period: printTime(guest.dirty.period),
        cold: printRate(guest.dirty.cold),
      },
      policy: { ...guest.policy, maxDowntime: printTime(guest.policy.maxDowntime) },
    })),
  },
})

/** On disk before it returns: written aside, synced, renamed. */
export function writeRecord(root: string, record: LabRecord): void {
  const folder = labFolder(root, record.spec.name)
  mkdirSync(folder, { recursive: true })
  const aside = join(folder, `${recordFile}.new`)
  writeFileSync(aside, JSON.stringify(writable(record), undefined, 1))
  const handle = openSync(aside, 'r')
  fsyncSync(handle)
  closeSync(handle)
  renameSync(aside, join(folder, recordFile))
}

/** @throws LabNotFound, naming the labs there are; LabError when the record is damaged */
export function readRecord(root: string, name: string): LabRecord {
  const file = join(labFolder(root, name), recordFile)
  if (!existsSync(file)) {
    const known = listLabs(root)
    throw new LabNotFound(
      `no lab named "${name}"${known.length === 0 ? '; there is none: lifeboat lab up' : `; there are: ${known.join(', ')}`}`,
    )
  }
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    throw new LabError(`the record of lab ${name} is damaged: ${file}`, { cause: error })
  }
}

export function listLabs(root: string): readonly string[] {
  if (!existsSync(root)) return []
  return readdirSync(root)
    .filter(name => !name.startsWith('.') && existsSync(join(root, name, recordFile)))
    .sort()
}

/** Also true while it is being made, or after a part of it was killed. */
export const labExists = (root: string, name: string): boolean => existsSync(join(labFolder(root, name), recordFile))
