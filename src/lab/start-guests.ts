/** Guests of a lab: their definitions on disk, their processes, and the wait until each says it is ready. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import type { Bytes } from '../core/units.ts'
import { ms, printBytes, printRate, seconds } from '../core/units.ts'
import {
  commandLine,
  definitionFile,
  parseDefinition,
  pidFile,
  printDefinition,
} from '../hypervisor/qemu/definition.ts'
import { namespaceRemote } from '../remote/namespace.ts'
import { runOk } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import type { GuestImage } from './guest-image.ts'
import { LabError } from './lab-error.ts'
import { guestFolder, hostNamespace, serialLog } from './lab-names.ts'
import type { KnownProcess } from './lab-record.ts'
import { type LabDisk, type LabGuest, type LabSpec, usedBy } from './lab-spec.ts'
import { cdFile, diskFile, makeDisks } from './make-disks.ts'
import { startTimeOf } from './processes.ts'

/** Software emulation: works everywhere, also where /dev/kvm exists and cannot boot a guest. */
const accelerator = ['-accel', 'tcg', '-cpu', 'qemu64']
/**
 * Less memory than asked for, so that its size is no multiple of 64 pages. Under TCG, QEMU 7.2 loses writes during a migration
 * where it is one: the quick way through the dirty bitmap (cpu_physical_memory_sync_dirty_bitmap) clears bits without telling the
 * vCPU's TLB when it found nothing new, as at the very first pass. Guests then hung in one of about forty moves. @unit KiB
 */
const crooked = 8
/** sun_path has 108 bytes, one for the terminator (unix(7)). */
export const longestSocketPath = 107
/** Measured: a guest is ready in some 3 s of one core; the fill adds to that. Twenty times as much is not slow, it is stuck. */
const readyWithinPerGuest = seconds(15)
const readyWithinAtLeast = seconds(90)
const askEvery = ms(100)

/** QEMU of guests booting at once, a core each; more would only slow each other down. */
export const bootsAtOnce = (cores: number): number => Math.max(2, cores * 2)

const mebi = (size: Bytes): number => Math.floor(size / 1_048_576)
const kibi = (size: number): number => Math.floor(size / 1024)

/** The rest is written behind what is hashed. */
const hashedShare = 3 / 4

/** As the guest is told of one disk (guest-init.ts). An overlay's first quarter is its own, the rest is the base's. */
function wordOfDisk({ size, overBase, write }: LabDisk, n: number): string {
  const writes = write === undefined ? 0 : kibi(write)
  const hashed = writes === 0 ? mebi(size) : Math.floor(mebi(size) * hashedShare)
  const filled = overBase === true ? Math.max(1, Math.floor(mebi(size) / 4)) : hashed
  return `${diskName(n)}/${filled}/${hashed}/${writes}`
}
/** As the guest sees it. */
export const diskName = (n: number): string => `vd${String.fromCharCode(97 + n)}`

export function kernelParameters({ fill, dirty, disks, checkDisks }: LabGuest): string {
  return [
    'console=ttyS0 quiet rdinit=/init panic=1 nokaslr mitigations=off',
    `lb.fill=${mebi(fill)}`,
    ...(dirty === undefined
      ? []
      : [`lb.hot=${kibi(dirty.hot)} lb.period=${Math.round(dirty.period)} lb.cold=${kibi(dirty.cold)}`]),
    ...(disks.length === 0 ? [] : [`lb.disks=${disks.map(wordOfDisk).join(',')}`]),
    ...(checkDisks === undefined ? [] : [`lb.check=${Math.max(1, Math.round(checkDisks / 1000))}`]),
  ].join(' ')
}

/** @unit KiB */
export const crookedMemory = (guest: LabGuest): number => kibi(guest.memory) - crooked

function argvOf(root: string, spec: LabSpec, guest: LabGuest, image: GuestImage): readonly string[] {
  return [
    'qemu-system-x86_64',
    ...accelerator,
    '-machine',
    'pc,hpet=off,usb=off',
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-m',
    `${crookedMemory(guest)}K`,
    '-kernel',
    image.kernel,
    '-initrd',
    image.initrd,
    '-append',
    kernelParameters(guest),
    '-serial',
    'file:{dir}/serial.log',
    ...guest.disks.flatMap((disk, n) => [
      '-drive',
      `file=${diskFile(root, spec, guest, n, '{dir}')},format=${disk.format ?? 'raw'},if=virtio,cache=none,id=${diskName(n)}`,
    ]),
    ...(guest.cd === true ? ['-drive', `file=${cdFile('{dir}/..')},format=raw,media=cdrom,if=ide,id=cd`] : []),
  ]
}

/** The same lab has the same UUIDs each time. */
export function uuidOf(lab: string, guest: LabGuest): string {
  const hex = createHash('sha256').update(`${lab}/${guest.vm}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** @throws LabError when a socket's path would be too long for the system */
export async function writeDefinition(
  root: string,
  spec: LabSpec,
  guest: LabGuest,
  image: GuestImage,
  signal: AbortSignal,
): Promise<void> {
  const dir = guestFolder(root, spec.name, guest.host, guest.vm)
  const longest = Math.max(
    ...spec.hosts.map(host => Buffer.byteLength(`${guestFolder(root, spec.name, host.id, guest.vm)}/qmp-2.sock`)),
  )
  if (longest > longestSocketPath) {
    throw new LabError(
      `${dir}: a socket there would have a path of ${longest} bytes, the system allows ${longestSocketPath}; use shorter names, or another --root`,
    )
  }
  mkdirSync(dir, { recursive: true })
  await makeDisks(root, spec, guest, dir, signal)
  const definition = parseDefinition(
    JSON.stringify({
      version: 1,
      name: guest.vm,
      uuid: uuidOf(spec.name, guest),
      memory: printBytes(guest.memory),
      used: printBytes(usedBy(guest)),
      argv: argvOf(root, spec, guest, image),
      value: guest.value,
      group: guest.group,
      disks: guest.disks.map((disk, n) => ({
        name: diskName(n),
        size: printBytes(disk.size),
        shared: disk.shared,
        ...(disk.write === undefined ? {} : { write: printRate(disk.write) }),
      })),
    }),
  )
  const whole = { ...definition, policy: guest.policy, dirty: guest.dirty }
  writeFileSync(join(dir, definitionFile), printDefinition(whole))
}

export async function startGuest(
  root: string,
  spec: LabSpec,
  guest: LabGuest,
  signal: AbortSignal,
): Promise<KnownProcess> {
  const dir = guestFolder(root, spec.name, guest.host, guest.vm)
  const definition = parseDefinition(readFileSync(join(dir, definitionFile), 'utf8'))
  await runOk(
    namespaceRemote(hostNamespace(spec.name, guest.host)),
    commandLine(definition, dir, 'running'),
    {},
    signal,
  )
  const pid = Number(readFileSync(join(dir, pidFile), 'utf8').trim())
  const startTime = startTimeOf(pid)
  if (startTime === undefined) throw new LabError(`${guest.vm} ended at once; see ${join(dir, 'serial.log')}`)
  return { pid, startTime, what: guest.vm }
}

const consoleOf = (root: string, spec: LabSpec, guest: LabGuest): string => {
  const file = serialLog(root, spec.name, guest.host, guest.vm)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** @throws LabError naming each guest that reports an error, or is not ready in time, with the end of its console */
export async function waitForReady(
  root: string,
  spec: LabSpec,
  guests: readonly LabGuest[],
  clock: Clock,
  onReady: (ready: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.now() + Math.max(readyWithinAtLeast, readyWithinPerGuest * guests.length)
  const waiting = new Set(guests)
  while (waiting.size > 0) {
    for (const guest of waiting) {
      const text = consoleOf(root, spec, guest)
      const failed = /^LB error .*$/m.exec(text)?.[0]
      if (failed !== undefined) throw new LabError(`guest ${guest.vm} says: ${failed}`)
      if (!/^LB ready/m.test(text)) continue
      waiting.delete(guest)
      onReady(guests.length - waiting.size)
    }
    if (waiting.size === 0) return
    if (clock.now() > until) {
      const tails = [...waiting].map(
        guest =>
          `${guest.vm}: ${consoleOf(root, spec, guest).split('\n').slice(-4).join(' | ') || 'nothing on its console'}`,
      )
      throw new LabError(`not ready in time:\n  ${tails.join('\n  ')}`)
    }
    await clock.sleep(askEvery, signal)
  }
}
