/**
 * The images behind a lab guest's disks. A host's own lie in its folder of VMs, so that they have one path below it on every host; those on
 * shared storage lie beside all hosts. Overlays have a base of random bytes, made once a lab and copied to every host.
 */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { localRemote } from '../remote/local.ts'
import { runOk } from '../remote/remote.ts'
import { labFolder, vmsFolder } from './lab-names.ts'
import type { LabDisk, LabGuest, LabSpec } from './lab-spec.ts'

/** Below a host's folder of VMs; no VM can have this name, it begins with a dot. */
const disksFolder = '.disks'
export const hostDisks = (vms: string): string => join(vms, disksFolder)

export const cdFile = (vms: string): string => `${vms}/${disksFolder}/lab.iso`
/** Its name says how large it is: overlays of one size share one. */
const baseFile = (vms: string, disk: LabDisk): string => `${vms}/${disksFolder}/base-${disk.size}.qcow2`

/** @param dir of the VM, on its host: `{dir}` where that is filled in later */
export function diskFile(root: string, spec: LabSpec, guest: LabGuest, n: number, dir: string): string {
  const disk = guest.disks[n]
  if (disk?.shared === true) return join(labFolder(root, spec.name), 'shared', `${guest.vm}-${n}.img`)
  const ending = disk?.format === 'qcow2' ? 'qcow2' : 'img'
  // Under libvirt, pools are folders: one for all guests of a host.
  return spec.driver === 'libvirt'
    ? `${dir}/../${disksFolder}/${guest.vm}-${n}.${ending}`
    : `${dir}/disk-${n}.${ending}`
}

/** Makes what a guest needs before it starts: its own images at home, and at every host what it only reads. @param dir of the VM at home */
export async function makeDisks(
  root: string,
  spec: LabSpec,
  guest: LabGuest,
  dir: string,
  signal: AbortSignal,
): Promise<void> {
  for (const { id } of spec.hosts) mkdirSync(hostDisks(vmsFolder(root, spec.name, id)), { recursive: true })
  if (guest.cd === true)
    for (const { id } of spec.hosts) {
      const file = cdFile(vmsFolder(root, spec.name, id))
      if (!existsSync(file)) writeFileSync(file, Buffer.alloc(1_048_576, 'a CD of the lab '))
    }
  for (const [n, disk] of guest.disks.entries()) {
    const file = diskFile(root, spec, guest, n, dir)
    mkdirSync(join(file, '..'), { recursive: true })
    if (disk.overBase === true) await makeBase(root, spec, disk, signal)
    const over = disk.overBase === true ? ['-b', relativeBase(spec, disk), '-F', 'qcow2'] : []
    const argv = ['qemu-img', 'create', '-q', '-f', disk.format ?? 'raw', ...over, file, String(disk.size)]
    await runOk(localRemote, argv, {}, signal)
  }
}

/** From an overlay to its base: the same on every host. */
const relativeBase = (spec: LabSpec, disk: LabDisk): string =>
  spec.driver === 'libvirt' ? `base-${disk.size}.qcow2` : `../${disksFolder}/base-${disk.size}.qcow2`

async function makeBase(root: string, spec: LabSpec, disk: LabDisk, signal: AbortSignal): Promise<void> {
  const [first, ...others] = spec.hosts.map(({ id }) => baseFile(vmsFolder(root, spec.name, id), disk))
  if (first === undefined || existsSync(first)) return
  const raw = `${first}.raw`
  writeFileSync(raw, randomBytes(disk.size))
  await runOk(localRemote, ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, first], {}, signal)
  await runOk(localRemote, ['rm', raw], {}, signal)
  for (const other of others) copyFileSync(first, other)
}
