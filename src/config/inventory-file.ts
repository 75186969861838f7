/** inventory.yaml (the format of scenario folders): read into a snapshot, and written from one, without loss. */
import { stringify } from 'yaml'
import { z } from 'zod'
import { hostId, siteId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { defaultVmPolicy, type Vm } from '../core/inventory/vm.ts'
import type { Path, Snapshot } from '../core/inventory/snapshot.ts'
import { compressions } from '../core/migration/start-options.ts'
import { printBytes, printFraction, printRate, printTime, type Milliseconds } from '../core/units.ts'
import { checkInventoryNames } from './check-names.ts'
import { pathSchema } from './config-schema.ts'
import {
  dirtySchema,
  diskSchema,
  hostNameSchema,
  rateSchema,
  siteNameSchema,
  sizeSchema,
  timeSchema,
  valueSchema,
  vmNameSchema,
  vmPolicySchema,
} from './quantity-schema.ts'
import { parseYamlFile } from './yaml-file.ts'

const hostSchema = z.strictObject({
  name: hostNameSchema,
  memory: sizeSchema,
  nic: rateSchema.optional(),
  outgoingMost: z.number().int().min(1).optional(),
  rateStep: rateSchema.optional(),
  compressions: z.array(z.enum(compressions)).optional(),
  cpu: z.string().optional(),
})

const vmSchema = z.strictObject({
  name: vmNameSchema,
  host: hostNameSchema,
  memory: sizeSchema,
  used: sizeSchema.optional(),
  dirty: dirtySchema.optional(),
  disks: z.array(diskSchema).default([]),
  value: valueSchema.default(1),
  group: z.string().optional(),
  policy: vmPolicySchema.prefault({}),
  paused: z.boolean().default(false),
})

const inventorySchema = z.strictObject({
  sites: z
    .array(
      z.strictObject({
        name: siteNameSchema,
        safe: z.boolean().default(false),
        uplink: rateSchema.optional(),
        hosts: z.array(hostSchema).default([]),
      }),
    )
    .min(1, 'name at least one site'),
  paths: z.array(pathSchema).default([]),
  vms: z.array(vmSchema).default([]),
  power: z.array(z.strictObject({ site: siteNameSchema, runtime: timeSchema })).default([]),
  deadline: timeSchema.optional(),
})

/** @throws ConfigError with every mistake, its line and column */
export function parseInventory(text: string, file: string): Snapshot {
  const parsed = parseYamlFile(text, file, inventorySchema, checkInventoryNames)
  return {
    takenAt: instant(0),
    sites: parsed.sites.map(({ name, safe, uplink }) => ({ id: name, safe, uplink })),
    hosts: parsed.sites.flatMap(site =>
      site.hosts.map(({ name, memory, nic, cpu, outgoingMost, rateStep, compressions: squeezes }) => ({
        id: name,
        site: site.name,
        memory,
        nic,
        cpu,
        ...(outgoingMost === undefined ? {} : { outgoingMost }),
        ...(rateStep === undefined ? {} : { rateStep }),
        ...(squeezes === undefined ? {} : { compressions: squeezes }),
      })),
    ),
    paths: parsed.paths.map(path => pathFrom(path, new Set(parsed.sites.map(({ name }) => String(name))))),
    vms: parsed.vms.map(
      ({ name, host, memory, used, dirty, disks, value, group, policy, paused }): Vm => ({
        id: name,
        host,
        memory,
        used: used ?? memory,
        dirty,
        disks,
        value,
        group,
        policy,
        paused,
      }),
    ),
    unreachable: [],
    power: parsed.power,
    deadline: parsed.deadline,
  }
}

/** An end of a path is a site where one has that name, else a host; check-names.ts has seen that it is one of them. */
export const pathFrom = (path: z.output<typeof pathSchema>, sites: ReadonlySet<string>): Path => {
  const end = (name: string) => (sites.has(name) ? siteId(name) : hostId(name))
  const { capacity, rtt, loss, perFlow, background } = path
  return { from: end(path.from), to: end(path.to), capacity, rtt, loss, perFlow, background }
}

const maybe = <T>(value: T | undefined, print: (value: T) => string): string | undefined =>
  value === undefined ? undefined : print(value)

/** The text of an inventory.yaml that {@link parseInventory} reads back to the same sites, hosts, paths and VMs. */
export function printInventory(snapshot: Snapshot, comment: string): string {
  const tree = {
    sites: snapshot.sites.map(site => ({
      name: site.id,
      ...(site.safe ? { safe: true } : {}),
      uplink: maybe(site.uplink, printRate),
      hosts: snapshot.hosts
        .filter(host => host.site === site.id)
        .map(host => ({
          name: host.id,
          memory: printBytes(host.memory),
          nic: maybe(host.nic, printRate),
          cpu: host.cpu,
          outgoingMost: host.outgoingMost,
          rateStep: maybe(host.rateStep, printRate),
          compressions: host.compressions === undefined ? undefined : [...host.compressions],
        })),
    })),
    paths: snapshot.paths.map(path => ({
      from: path.from,
      to: path.to,
      capacity: maybe(path.capacity, printRate),
      rtt: maybe(path.rtt, printTime),
      loss: maybe(path.loss, printFraction),
      perFlow: maybe(path.perFlow, printRate),
      background: maybe(path.background, printRate),
    })),
    vms: snapshot.vms.map(printVm),
    power:
      snapshot.power.length === 0
        ? undefined
        : snapshot.power.map(({ site, runtime }) => ({ site, runtime: printTime(runtime) })),
    deadline: maybe(snapshot.deadline, (time: Milliseconds) => printTime(time)),
  }
  return `${comment.replaceAll(/^/gm, '# ')}\n${stringify(tree, { lineWidth: 0 })}`
}

const printVm = (vm: Vm) => ({
  name: vm.id,
  host: vm.host,
  memory: printBytes(vm.memory),
  used: vm.used === vm.memory ? undefined : printBytes(vm.used),
  dirty: vm.dirty && {
    hot: printBytes(vm.dirty.hot),
    period: printTime(vm.dirty.period),
    cold: printRate(vm.dirty.cold),
  },
  disks:
    vm.disks.length === 0
      ? undefined
      : vm.disks.map(disk => ({
          name: disk.name,
          size: printBytes(disk.size),
          used: printBytes(disk.used),
          write: printRate(disk.write),
          ...(disk.shared ? { shared: true } : {}),
        })),
  value: vm.value === 1 ? undefined : vm.value,
  group: vm.group,
  policy: printPolicy(vm),
  paused: vm.paused ? true : undefined,
})

function printPolicy({ policy }: Vm) {
  const { maxDowntime, allow, action, targets, antiAffinity } = policy
  const differing = {
    ...(maxDowntime === defaultVmPolicy.maxDowntime ? {} : { maxDowntime: printTime(maxDowntime) }),
    ...(allow.length === 0 ? {} : { allow: [...allow] }),
    ...(action === defaultVmPolicy.action ? {} : { action }),
    ...(targets === undefined ? {} : { targets: [...targets] }),
    ...(antiAffinity === undefined ? {} : { antiAffinity }),
  }
  return Object.keys(differing).length === 0 ? undefined : differing
}
