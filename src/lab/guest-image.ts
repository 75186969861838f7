/** The kernel and initramfs all guests of all labs boot, built once and kept: busybox, the init script, the modules for a virtio disk. */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { localRemote } from '../remote/local.ts'
import { runOk } from '../remote/remote.ts'
import { guestInit } from './guest-init.ts'
import { LabRequirement } from './lab-error.ts'
import { findKernel, findProgram } from './requirements.ts'

export interface GuestImage {
  readonly kernel: string
  readonly initrd: string
}

/** Loaded in this order; those that are built into the kernel have no file. */
const diskModules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
]

/** @throws LabRequirement when kernel or busybox are not there; CommandFailed */
export async function guestImage(root: string, signal: AbortSignal): Promise<GuestImage> {
  const kernel = findKernel()
  const busybox = findProgram('busybox')
  if (kernel === undefined || busybox === undefined)
    throw new LabRequirement('no kernel or no busybox to make guests of')
  const hash = createHash('sha256')
    .update(guestInit)
    .update(kernel)
    .update(readFileSync(busybox))
    .digest('hex')
    .slice(0, 16)
  const folder = join(root, `.image-${hash}`)
  const image = { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz') }
  if (existsSync(image.initrd)) return image

  mkdirSync(root, { recursive: true })
  const work = mkdtempSync(join(root, '.image-new-'))
  try {
    const tree = join(work, 'tree')
    mkdirSync(join(tree, 'bin'), { recursive: true })
    mkdirSync(join(tree, 'modules'))
    copyFileSync(busybox, join(tree, 'bin/busybox'))
    symlinkSync('busybox', join(tree, 'bin/sh'))
    writeFileSync(join(tree, 'init'), guestInit, { mode: 0o755 })
    await copyModules(basename(kernel).replace('vmlinuz-', ''), join(tree, 'modules'), signal)
    copyFileSync(kernel, join(work, 'vmlinuz'))
    await runOk(
      localRemote,
      ['sh', '-c', 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >../initrd.gz', 'sh', tree],
      {},
      signal,
    )
    rmSync(tree, { recursive: true })
    publish(work, folder, image)
    return image
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Another lab may have made the same at the same time: whoever is first has made it. */
function publish(work: string, folder: string, { initrd }: GuestImage): void {
  if (existsSync(initrd)) return
  try {
    renameSync(work, folder)
  } catch (error) {
    if (!existsSync(initrd)) throw error
  }
}

async function copyModules(version: string, to: string, signal: AbortSignal): Promise<void> {
  const found = await runOk(
    localRemote,
    ['find', `/lib/modules/${version}/kernel/drivers`, '-name', 'virtio*.ko*'],
    {},
    signal,
  ).catch(() => '')
  const files = found.split('\n')
  for (const [order, name] of diskModules.entries()) {
    const file = files.find(path => basename(path).replace(/\.ko.*$/, '') === name)
    if (file === undefined) continue
    const target = join(to, `${order}-${name}.ko`)
    if (file.endsWith('.ko')) copyFileSync(file, target)
    else
      await runOk(
        localRemote,
        ['sh', '-c', '{ xz -dc "$1" || zstd -dc "$1"; } 2>/dev/null >"$2"', 'sh', file, target],
        {},
        signal,
      )
  }
}
