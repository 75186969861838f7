/** Domains that cannot be moved, or not without a word, each for one reason: what the preflight is tried on. */

export interface DomainParts {
  readonly name: string
  readonly uuid?: string
  readonly emulator?: string
  readonly machine?: string
  readonly os?: string
  readonly cpu?: string
  readonly devices?: string
}

/** Small, and idle once its firmware has found nothing to boot. */
export const tinyDomain = ({ name, uuid, emulator, machine = 'pc', os = '', cpu, devices = '' }: DomainParts): string =>
  `<domain type='qemu'>
  <name>${name}</name>${uuid === undefined ? '' : `<uuid>${uuid}</uuid>`}
  <memory unit='MiB'>8</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='${machine}'>hvm</type>${os}</os>
  <features><acpi/></features>
  ${cpu ?? "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"}
  <devices>
    <emulator>${emulator ?? '/usr/bin/qemu-system-x86_64'}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${devices}
  </devices>
</domain>`

export const onNetwork = (network: string, mac: string): string =>
  `<interface type='network'><mac address='${mac}'/><source network='${network}'/><model type='virtio'/></interface>`
export const onBridge = (bridge: string, mac: string): string =>
  `<interface type='bridge'><mac address='${mac}'/><source bridge='${bridge}'/><model type='virtio'/></interface>`
export const fileDisk = (
  file: string,
  options: { readonly format?: string; readonly more?: string; readonly cache?: string } = {},
): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='${options.format ?? 'raw'}' cache='${options.cache ?? 'none'}'/><source file='${file}'/><target dev='vda' bus='virtio'/>${options.more ?? ''}</disk>`
export const cdrom = (file: string): string =>
  `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='hda' bus='ide'/><readonly/></disk>`
/** A network that is a bridge of the host, which needs no firewall and no name server. */
export const bridgeNetwork = (name: string, bridge: string): string =>
  `<network><name>${name}</name><forward mode='bridge'/><bridge name='${bridge}'/></network>`
export const folderPool = (name: string, path: string): string =>
  `<pool type='dir'><name>${name}</name><target><path>${path}</path></target></pool>`
