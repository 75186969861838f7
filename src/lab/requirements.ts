/** What the lab needs of a machine, all of it at once, with the command that installs what is missing. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { LabRequirement } from './lab-error.ts'
import type { LabDriver } from './lab-spec.ts'

/** Programs, and the Debian package each comes with. */
const programs: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  busybox: 'busybox-static',
  cpio: 'cpio',
  ip: 'iproute2',
  tc: 'iproute2',
  ethtool: 'ethtool',
  ping: 'iputils-ping',
  pgrep: 'procps',
}

/** Beyond those, where each host has a libvirtd. */
const libvirtPrograms: Readonly<Record<string, string>> = {
  libvirtd: 'libvirt-daemon-system libvirt-daemon-driver-qemu',
  unshare: 'util-linux',
  hostname: 'hostname',
}

const sshPrograms: Readonly<Record<string, string>> = {
  ssh: 'openssh-client',
  sshd: 'openssh-server',
  nsenter: 'util-linux',
}
const tlsPrograms: Readonly<Record<string, string>> = { openssl: 'openssl' }

const searched = (): string[] => [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin']
const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch (error) {
    return !(error instanceof Error)
  }
}
export const findProgram = (name: string): string | undefined =>
  searched()
    .map(folder => join(folder, name))
    .find(isExecutable)

/** The kernel guests boot: Debian's cloud kernel, the newest one, else any. */
export function findKernel(): string | undefined {
  const byVersion = new Intl.Collator('en', { numeric: true }).compare
  const all = existsSync('/boot')
    ? readdirSync('/boot')
        .filter(name => name.startsWith('vmlinuz-'))
        .sort(byVersion)
    : []
  const chosen = all.findLast(name => name.includes('cloud')) ?? all.at(-1)
  return chosen === undefined ? undefined : join('/boot', chosen)
}

/** What a machine has, as far as the lab cares. */
export interface Machine {
  readonly isRoot: boolean
  has(program: string): boolean
  readonly hasKernel: boolean
}

const thisMachine = (): Machine => ({
  isRoot: process.getuid?.() === 0,
  has: program => findProgram(program) !== undefined,
  hasKernel: findKernel() !== undefined,
})

/** @throws LabRequirement listing everything that is missing */
export function insistOnRequirements(
  machine: Machine = thisMachine(),
  { driver, ssh, tls }: { readonly driver?: LabDriver; readonly ssh?: boolean; readonly tls?: boolean } = {},
): void {
  if (!machine.isRoot) {
    throw new LabRequirement('the lab makes network namespaces, which needs root: try again with sudo')
  }
  const needed = {
    ...programs,
    ...(driver === 'libvirt' ? libvirtPrograms : {}),
    ...(ssh === true ? sshPrograms : {}),
    ...(tls === true ? tlsPrograms : {}),
  }
  const missing = Object.entries(needed).filter(([program]) => !machine.has(program))
  const kernel = !machine.hasKernel
  if (missing.length === 0 && !kernel) return
  const packages = [...new Set([...missing.map(([, name]) => name), ...(kernel ? ['linux-image-cloud-amd64'] : [])])]
  const what = [...missing.map(([program]) => program), ...(kernel ? ['a kernel for the guests in /boot'] : [])]
  throw new LabRequirement(
    `the lab needs what is not installed: ${what.join(', ')}\ninstall it: apt-get install --no-install-recommends ${packages.join(' ')}`,
  )
}
