/** A host, a VM and what a target says of it, all in order: tests change the one thing they are about. */
import { hostId, siteId, vmId } from '../ids.ts'
import { bytes, mebibytes, ms } from '../units.ts'
import type { HostProfile, SystemProfile } from './host-profile.ts'
import type { LinkProfile } from './link-profile.ts'
import { version } from './version.ts'
import type { TargetAnswer, VmDisk, VmProfile } from './vm-profile.ts'

export const sampleSystem: SystemProfile = {
  hostname: 'a-1',
  nameTook: ms(2),
  nameResolves: true,
  clockAhead: 0,
  clockWithin: ms(5),
  root: true,
  tcpUnsentMost: bytes(131_072),
  tcpBufferMost: mebibytes(4),
  migrationTls: { state: 'good', file: '/etc/pki/qemu/server-cert.pem' },
  clientTls: { state: 'good', file: '/etc/pki/libvirt/clientcert.pem' },
}

export function sampleHost(id: string, change: Partial<HostProfile> = {}): HostProfile {
  return {
    id: hostId(id),
    site: siteId(id.slice(0, 1)),
    driver: 'libvirt',
    libvirt: version(9_000_000),
    qemu: version(7_002_022),
    kernel: '6.1.0',
    uuid: `uuid of ${id}`,
    arch: 'x86_64',
    cpu: { vendor: 'Intel', model: 'Icelake-Server', features: ['aes', 'avx2'], microcode: '1' },
    memory: mebibytes(8192),
    free: mebibytes(4096),
    hugepages: [],
    features: ['migration-v3', 'peer-to-peer', 'migration-params'],
    networks: [{ name: 'lan', active: true, autostart: true, forward: 'bridge', bridge: 'br0', portgroups: ['dmz'] }],
    interfaces: ['lo', 'eth0', 'br0'],
    filters: ['clean-traffic'],
    secrets: ['ceph'],
    pools: [
      {
        name: 'default',
        type: 'dir',
        active: true,
        autostart: true,
        path: '/srv/images',
        capacity: mebibytes(1000),
        available: mebibytes(500),
      },
    ],
    domains: [],
    address: `10.0.0.${id.length}`,
    connectUri: `qemu+ssh://root@${id}/system`,
    system: { ...sampleSystem, hostname: id },
    systemUnknown: '',
    ...change,
  }
}

export function sampleVm(id: string, change: Partial<VmProfile> = {}): VmProfile {
  return {
    id: vmId(id),
    host: hostId('a-1'),
    name: id,
    uuid: `uuid of ${id}`,
    state: 'running',
    memory: mebibytes(1024),
    hugepages: undefined,
    machine: {
      emulator: '/usr/bin/qemu-system-x86_64',
      arch: 'x86_64',
      type: 'pc-q35-7.2',
      acceleration: 'kvm',
    },
    cpu: { mode: 'custom', model: 'Haswell', check: 'full', features: ['aes'], xml: '<cpu/>', tscFrequency: false },
    disks: [],
    nics: [],
    devices: [],
    files: [],
    models: [],
    secrets: [],
    persistent: true,
    autostart: false,
    snapshots: 0,
    checkpoints: 0,
    rehearsal: { allowed: true },
    ...change,
  }
}

export const sampleDisk = (change: Partial<VmDisk> = {}): VmDisk => ({
  name: 'vda',
  device: 'disk',
  type: 'file',
  source: '/srv/images/vda.qcow2',
  pool: undefined,
  format: 'qcow2',
  cache: 'none',
  size: bytes(100 * 1_048_576),
  backing: [],
  shared: false,
  readonly: false,
  transient: false,
  optional: false,
  ...change,
})

export const sampleAnswer = (vm: string, target: string, change: Partial<TargetAnswer> = {}): TargetAnswer => ({
  vm: vmId(vm),
  target: hostId(target),
  machine: { answer: 'supported' },
  cpu: { answer: 'superset' },
  models: new Map(),
  present: new Set(),
  absent: new Set(),
  ...change,
})

export const sampleLink = (from: string, to: string, change: Partial<LinkProfile> = {}): LinkProfile => ({
  from: hostId(from),
  to: hostId(to),
  migration: [{ port: 49_152, reached: 'open' }],
  daemon: { port: 22, reached: 'open' },
  greeting: { by: 'ssh', answer: 'welcome' },
  ...change,
})
