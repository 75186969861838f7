/** Guests of a lab as libvirt domains: the same kernel, command line and console as those that QEMU runs by itself (start-guests.ts). */
import { readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { wordsBeyondDefault } from '../core/inventory/policy-words.ts'
import { policyMetadata } from '../hypervisor/libvirt/domain-policy.ts'
import type { GuestImage } from './guest-image.ts'
import { LabError } from './lab-error.ts'
import { guestFolder, hereFolder, libvirtFolder } from './lab-names.ts'
import type { KnownProcess } from './lab-record.ts'
import type { LabGuest, LabSpec } from './lab-spec.ts'
import { startTimeOf } from './processes.ts'
import { findProgram } from './requirements.ts'
import { connectTo } from './start-daemons.ts'
import { cdFile, diskFile, makeDisks } from './make-disks.ts'
import { crookedMemory, diskName, kernelParameters, uuidOf } from './start-guests.ts'

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll("'", '&apos;')

/**
 * libvirt rounds memory up to whole MiB, and a multiple of 64 pages loses writes under TCG (see start-guests.ts): QEMU is told the size
 * behind libvirt's back. The last argument carries the lab's folder, so that the process is known as the lab's.
 */
const hiddenArguments = (guest: LabGuest, here: string): readonly string[] => [
  '-object',
  `memory-backend-ram,id=lb.ram,size=${crookedMemory(guest)}K`,
  '-machine',
  'memory-backend=lb.ram',
  '-m',
  `${crookedMemory(guest)}K`,
  '-fw_cfg',
  `name=opt/lifeboat.lab,string=${here}/`,
]

export function domainXml(root: string, spec: LabSpec, guest: LabGuest, image: GuestImage): string {
  const here = join(hereFolder(root, spec.name), guest.vm)
  const vms = hereFolder(root, spec.name)
  const disks = guest.disks.map(
    (disk, n) => `
    <disk type='file' device='disk'>
      <driver name='qemu' type='${disk.format ?? 'raw'}' cache='none'/>
      <source file='${escaped(normalize(diskFile(root, spec, guest, n, here)))}'/>
      <target dev='${diskName(n)}' bus='virtio'/>${disk.shared ? '<shareable/>' : ''}
    </disk>`,
  )
  const cd =
    guest.cd === true
      ? `
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='${escaped(cdFile(vms))}'/>
      <target dev='hda' bus='ide'/><readonly/>
    </disk>`
      : ''
  const policy = policyMetadata(wordsBeyondDefault(guest))
  const metadata =
    policy === undefined
      ? ''
      : `
  <metadata>${policy}</metadata>`
  const hidden = hiddenArguments(guest, here)
    .map(word => `<qemu:arg value='${escaped(word)}'/>`)
    .join('')
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${escaped(guest.vm)}</name>
  <uuid>${uuidOf(spec.name, guest)}</uuid>${metadata}
  <memory unit='b'>${guest.memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>${escaped(image.kernel)}</kernel>
    <initrd>${escaped(image.initrd)}</initrd>
    <cmdline>${escaped(kernelParameters(guest))}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>${findProgram('qemu-system-x86_64') ?? '/usr/bin/qemu-system-x86_64'}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='${escaped(here)}/serial.log'/><target port='0'/></serial>${disks.join('')}${cd}
  </devices>
  <qemu:commandline>${hidden}</qemu:commandline>
</domain>
`
}

/** Defines and starts it, as an operator would. */
export async function startDomain(
  root: string,
  spec: LabSpec,
  guest: LabGuest,
  image: GuestImage,
  signal: AbortSignal,
): Promise<KnownProcess> {
  await makeDisks(root, spec, guest, guestFolder(root, spec.name, guest.host, guest.vm), signal)
  const libvirt = await connectTo(root, spec, guest.host, signal)
  try {
    const xml = domainXml(root, spec, guest, image)
    const { dom } = await libvirt.call('domainDefineXmlFlags', { xml, flags: 0 }, signal)
    await libvirt.call('domainCreateWithFlags', { dom, flags: 0 }, signal)
  } finally {
    await libvirt.close()
  }
  const pidFile = join(libvirtFolder(root, spec.name, guest.host), 'run', 'qemu', `${guest.vm}.pid`)
  const pid = Number(readFileSync(pidFile, 'utf8').trim())
  const startTime = startTimeOf(pid)
  if (startTime === undefined)
    throw new LabError(
      `${guest.vm} ended at once; see ${guestFolder(root, spec.name, guest.host, guest.vm)}/serial.log`,
    )
  return { pid, startTime, what: guest.vm }
}
