/** From flags, or from a scenario folder, to what a lab consists of. Shared by `lab up` and `demo`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command as Program } from 'commander'
import { parseInventory } from '../config/inventory-file.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { bytes, parseBytes, parseFraction, parseRate, parseTime } from '../core/units.ts'
import { defaultVmPolicy } from '../core/inventory/vm.ts'
import {
  completeLinks,
  defaultHostMemory,
  fillFor,
  type LabGuest,
  type LabHost,
  type LabSpec,
  specFromSnapshot,
} from '../lab/lab-spec.ts'
import { usageError } from './exit.ts'

export interface LabFlags {
  readonly name: string
  readonly root: string
  readonly sites: string
  readonly hosts: string
  readonly vms: string
  readonly memory: string
  readonly hostMemory?: string
  readonly fill?: string
  readonly hotVms: string
  readonly hot: string
  readonly period: string
  readonly cold: string
  readonly wan: string
  readonly rtt: string
  readonly loss: string
  readonly disk?: string
  readonly sharedDisk?: string
  readonly driver: string
  readonly allow?: readonly string[]
}

export const defaultRoot = '/var/lib/lifeboat/labs'

export function addLabFlags(command: Program, name: string): Program {
  return command
    .option('--name <name>', 'small letters, digits and -', name)
    .option('--root <folder>', 'where labs lie, each in a folder of its own', defaultRoot)
    .option('--sites <n>', 'number of sites; the first is endangered, the others are safe', '2')
    .option('--hosts <n>', 'hosts in each site', '2')
    .option('--vms <n>', 'guests, all in the first site', '12')
    .option('--memory <size>', 'memory of each guest', '96MiB')
    .option('--host-memory <size>', 'what guests may use together on a host (default: 8GiB)')
    .option('--fill <size>', 'of a guest, filled with random bytes (default: as much as fits)')
    .option('--hot-vms <n>', 'how many of the guests have a hot set', '0')
    .option('--hot <size>', 'hot set of those, rewritten every --period', '8MiB')
    .option('--period <time>', 'how often a hot set is rewritten', '2s')
    .option('--cold <rate>', 'what those guests write beside it', '256KiB/s')
    .option('--wan <rate>', 'capacity between each two sites, in each direction', '100Mbit/s')
    .option('--rtt <time>', 'round trip between each two sites', '40ms')
    .option('--loss <percent>', 'packets lost between each two sites', '0%')
    .option('--disk <size>', 'a local disk for each guest (not copied yet: such a guest stays)')
    .option('--shared-disk <size>', 'a disk for each guest on storage that all hosts share')
    .option('--allow <mode...>', 'what guests allow beyond pre-copy: post-copy')
    .option('--driver <driver>', 'qemu', 'qemu')
}

const whole = (text: string, flag: string, least: number): number => {
  const n = Number(text)
  if (!/^\d+$/.test(text) || n < least || n > 10_000)
    throw usageError(`--${flag} ${text}: expected a whole number, ${least} or more`)
  return n
}

/** Site names are letters; hosts `a-1`, guests `vm-1`. @throws CliError, UnitError */
export function specFromFlags(flags: LabFlags): LabSpec {
  insistOnDriver(flags)
  const sites = Array.from({ length: whole(flags.sites, 'sites', 1) }, (_, s) => ({
    id: siteId(letters(s)),
    safe: s > 0,
  }))
  const hostMemory = flags.hostMemory === undefined ? defaultHostMemory : parseBytes(flags.hostMemory)
  const perSite = whole(flags.hosts, 'hosts', 1)
  const hosts = sites.flatMap(site =>
    Array.from(
      { length: perSite },
      (_, h): LabHost => ({ id: hostId(`${site.id}-${h + 1}`), site: site.id, memory: hostMemory }),
    ),
  )
  const link = { capacity: parseRate(flags.wan), rtt: parseTime(flags.rtt), loss: parseFraction(flags.loss) }
  if (link.capacity === 0) throw usageError('--wan: a capacity of zero; cut the link instead: lifeboat lab cut')
  const links = sites.flatMap((a, s) => sites.slice(s + 1).map(b => ({ between: [a.id, b.id] as const, ...link })))
  const home = hosts.slice(0, perSite)
  const guests = Array.from({ length: whole(flags.vms, 'vms', 0) }, (_, v) => guestFrom(flags, v, home))
  return { name: flags.name, sites, hosts, links: completeLinks(sites, links), guests }
}

function guestFrom(flags: LabFlags, v: number, home: readonly LabHost[]): LabGuest {
  const memory = parseBytes(flags.memory)
  const isHot = v < whole(flags.hotVms, 'hot-vms', 0)
  const dirty = isHot
    ? { hot: parseBytes(flags.hot), period: parseTime(flags.period), cold: parseRate(flags.cold) }
    : undefined
  const host = home[v % home.length]
  if (host === undefined) throw usageError('guests need a host')
  const disk = flags.disk ?? flags.sharedDisk
  const allow = (flags.allow ?? []).map(mode => {
    if (mode !== 'post-copy') throw usageError(`--allow ${mode}: expected post-copy`)
    return 'post-copy' as const
  })
  return {
    vm: vmId(`vm-${v + 1}`),
    host: host.id,
    memory,
    fill: flags.fill === undefined ? fillFor(memory, dirty?.hot ?? bytes(0)) : parseBytes(flags.fill),
    dirty,
    disk: disk === undefined ? undefined : { size: parseBytes(disk), shared: flags.disk === undefined },
    value: 1,
    group: undefined,
    policy: { ...defaultVmPolicy, allow },
  }
}

export function insistOnDriver(flags: Pick<LabFlags, 'driver'>): void {
  if (flags.driver !== 'qemu') throw usageError(`--driver ${flags.driver}: this version has the driver qemu`)
}

/** A scenario folder, acted out with its own names. @throws ConfigError, CliError */
export function specFromFolder(name: string, folder: string): LabSpec {
  const file = join(folder, 'inventory.yaml')
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw usageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return specFromSnapshot(name, parseInventory(text, file))
}

/** a, b, … z, aa, ab, … */
const letters = (n: number): string =>
  (n < 26 ? '' : letters(Math.floor(n / 26) - 1)) + String.fromCharCode(97 + (n % 26))
