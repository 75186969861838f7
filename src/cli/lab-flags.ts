/** From flags, or from a scenario folder, to what a lab consists of. Shared by `lab up` and `demo`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command as Program, Option } from 'commander'
import { parseInventory } from '../config/inventory-file.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { type Bytes, bytes, type BytesPerSecond, type Fraction, type Milliseconds } from '../core/units.ts'
import { defaultVmPolicy } from '../core/inventory/vm.ts'
import {
  completeLinks,
  fillFor,
  type LabDriver,
  labDrivers,
  type LabGuest,
  type LabHost,
  type LabSpec,
  specFromSnapshot,
} from '../lab/lab-spec.ts'
import { usageError } from './exit.ts'
import { countOption, quantityOption } from './quantity-option.ts'

export interface LabFlags {
  readonly name: string
  readonly root: string
  readonly sites: number
  readonly hosts: number
  readonly vms: number
  readonly memory: Bytes
  readonly hostMemory: Bytes
  readonly fill?: Bytes
  readonly hotVms: number
  readonly hot: Bytes
  readonly period: Milliseconds
  readonly cold: BytesPerSecond
  readonly wan: BytesPerSecond
  readonly rtt: Milliseconds
  readonly loss: Fraction
  readonly disk?: Bytes
  readonly sharedDisk?: Bytes
  readonly diskWrite?: BytesPerSecond
  readonly checkDisks?: Milliseconds
  readonly driver: LabDriver
  readonly ssh?: boolean
  readonly tls?: boolean
  readonly allow?: readonly string[]
}

export const defaultRoot = '/var/lib/lifeboat/labs'

export function addLabFlags(command: Program, name: string): Program {
  return command
    .option('--name <name>', 'small letters, digits and -', name)
    .option('--root <folder>', 'where labs lie, each in a folder of its own', defaultRoot)
    .addOption(countOption('--sites <n>', 'number of sites; the first is endangered, the others are safe', 1, 2))
    .addOption(countOption('--hosts <n>', 'hosts in each site', 1, 2))
    .addOption(countOption('--vms <n>', 'guests, all in the first site', 0, 12))
    .addOption(quantityOption('--memory <size>', 'size', 'memory of each guest', '96MiB'))
    .addOption(quantityOption('--host-memory <size>', 'size', 'what guests may use together on a host', '8GiB'))
    .addOption(
      quantityOption('--fill <size>', 'size', 'of a guest, filled with random bytes (default: as much as fits)'),
    )
    .addOption(countOption('--hot-vms <n>', 'how many of the guests have a hot set', 0, 0))
    .addOption(quantityOption('--hot <size>', 'size', 'hot set of those, rewritten every --period', '8MiB'))
    .addOption(quantityOption('--period <time>', 'time', 'how often a hot set is rewritten', '2s'))
    .addOption(quantityOption('--cold <rate>', 'rate', 'what those guests write beside it', '256KiB/s'))
    .addOption(quantityOption('--wan <rate>', 'rate', 'capacity between each two sites, each direction', '100Mbit/s'))
    .addOption(quantityOption('--rtt <time>', 'time', 'round trip between each two sites', '40ms'))
    .addOption(quantityOption('--loss <percent>', 'percent', 'packets lost between each two sites', '0%'))
    .addOption(
      quantityOption(
        '--disk <size>',
        'size',
        'a disk for each guest on its host’s own storage, filled with random bytes',
      ),
    )
    .addOption(quantityOption('--disk-write <rate>', 'rate', 'what each guest writes to its --disk, and reads back'))
    .addOption(
      quantityOption('--check-disks <time>', 'time', 'how often a guest reads its disks whole (default: once)'),
    )
    .addOption(quantityOption('--shared-disk <size>', 'size', 'a disk for each guest on storage that all hosts share'))
    .addOption(new Option('--allow <mode...>', 'what guests allow beyond pre-copy').choices(['post-copy'] as const))
    .addOption(new Option('--driver <driver>', 'what runs the guests').choices(labDrivers).default('qemu'))
    .option('--ssh', 'libvirt: reach each host, and let hosts reach each other, by an sshd of its own')
    .option('--tls', 'libvirt: hosts reach each other by TLS, and memory is encrypted')
}

/** What is said of how hosts are reached. */
export const waysFromFlags = ({ driver, ssh, tls }: LabFlags): Pick<LabSpec, 'driver' | 'ssh' | 'tls'> => ({
  driver,
  ssh: ssh === true,
  tls: tls === true,
})

/** Site names are letters; hosts `a-1`, guests `vm-1`. @throws CliError */
export function specFromFlags(flags: LabFlags): LabSpec {
  const sites = Array.from({ length: flags.sites }, (_, s) => ({ id: siteId(letters(s)), safe: s > 0 }))
  const hosts = sites.flatMap(site =>
    Array.from(
      { length: flags.hosts },
      (_, h): LabHost => ({ id: hostId(`${site.id}-${h + 1}`), site: site.id, memory: flags.hostMemory }),
    ),
  )
  const link = { capacity: flags.wan, rtt: flags.rtt, loss: flags.loss }
  if (link.capacity === 0) throw usageError('--wan: a capacity of zero; cut the link instead: lifeboat lab cut')
  const links = sites.flatMap((a, s) => sites.slice(s + 1).map(b => ({ between: [a.id, b.id] as const, ...link })))
  const home = hosts.slice(0, flags.hosts)
  const guests = Array.from({ length: flags.vms }, (_, v) => guestFrom(flags, v, home))
  return { name: flags.name, ...waysFromFlags(flags), sites, hosts, links: completeLinks(sites, links), guests }
}

function guestFrom(flags: LabFlags, v: number, home: readonly LabHost[]): LabGuest {
  const { memory, hot, period, cold } = flags
  const dirty = v < flags.hotVms ? { hot, period, cold } : undefined
  const host = home[v % home.length]
  if (host === undefined) throw usageError('guests need a host')
  const disks = [
    ...(flags.disk === undefined ? [] : [{ size: flags.disk, shared: false, write: flags.diskWrite }]),
    ...(flags.sharedDisk === undefined ? [] : [{ size: flags.sharedDisk, shared: true }]),
  ]
  return {
    vm: vmId(`vm-${v + 1}`),
    host: host.id,
    memory,
    fill: flags.fill ?? fillFor(memory, dirty?.hot ?? bytes(0)),
    dirty,
    disks,
    checkDisks: flags.checkDisks,
    value: 1,
    group: undefined,
    policy: { ...defaultVmPolicy, allow: (flags.allow ?? []).map(() => 'post-copy' as const) },
  }
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
