/** What is known of a host before anything moves. `undefined` is always: could not be found out; it never means none. */
import type { HostId, SiteId } from '../ids.ts'
import type { Bytes, Milliseconds } from '../units.ts'
import type { Version } from './version.ts'

export interface HostProfile {
  readonly id: HostId
  readonly site: SiteId
  readonly driver: 'libvirt' | 'qemu'
  readonly libvirt: Version | undefined
  readonly qemu: Version | undefined
  readonly kernel: string | undefined
  /** Of the machine, as libvirt tells hosts apart; a source refuses a target that has its own. */
  readonly uuid: string | undefined
  readonly arch: string | undefined
  readonly cpu: HostCpu | undefined
  /** What guests may use together. */
  readonly memory: Bytes
  readonly free: Bytes | undefined
  readonly hugepages: readonly PagePool[] | undefined
  /** What the daemon answered to "supports feature". */
  readonly features: readonly Feature[] | undefined
  readonly networks: readonly NetworkProfile[] | undefined
  /** Names of network interfaces, bridges among them. */
  readonly interfaces: readonly string[] | undefined
  readonly filters: readonly string[] | undefined
  /** UUIDs and usages of secrets. */
  readonly secrets: readonly string[] | undefined
  readonly pools: readonly PoolProfile[] | undefined
  /** All there are, running or not. */
  readonly domains: readonly DomainName[]
  /** Where others reach it for migrations. */
  readonly address: string
  /** How a source's daemon reaches its daemon; undefined for plain QEMU. */
  readonly connectUri: string | undefined
  readonly system: SystemProfile | undefined
  /** Why {@link system} is not known. */
  readonly systemUnknown: string
}

/** What only a command on the host can tell. */
export interface SystemProfile {
  readonly hostname: string
  /** How long it takes to look up its own name, and whether that finds an address. */
  readonly nameTook: Milliseconds | undefined
  readonly nameResolves: boolean
  /** How far its clock is ahead of the controller's, and how wrong that may be: half the round trip. @unit ms */
  readonly clockAhead: number | undefined
  readonly clockWithin: Milliseconds
  /** Whether commands run as root, as the daemon does. */
  readonly root: boolean
  /** Of a socket, what may be written to it and not sent yet (net.ipv4.tcp_notsent_lowat), in the host's own network namespace. */
  readonly tcpUnsentMost: Bytes | undefined
  /** What it may hold in all (the last of net.ipv4.tcp_wmem). */
  readonly tcpBufferMost: Bytes | undefined
  /** For memory on its way (qemu.conf, migrate_tls_x509_cert_dir, default_tls_x509_cert_dir). */
  readonly migrationTls: CertificateState
  /** With which its daemon shows itself to another daemon (qemu+tls). */
  readonly clientTls: CertificateState
}

export type CertificateState =
  | { readonly state: 'none' }
  | { readonly state: 'expired'; readonly file: string }
  | { readonly state: 'expires-soon'; readonly file: string }
  | { readonly state: 'good'; readonly file: string }

export interface HostCpu {
  readonly vendor: string | undefined
  readonly model: string
  readonly features: readonly string[]
  readonly microcode: string | undefined
}

export interface PagePool {
  readonly size: Bytes
  readonly free: number
}

export type Feature = 'migration-v3' | 'peer-to-peer' | 'migration-params'

export interface NetworkProfile {
  readonly name: string
  readonly active: boolean
  readonly autostart: boolean
  /** `nat`, `route`, `open`, `bridge`, `passthrough`, `isolated`, … */
  readonly forward: string
  readonly bridge: string | undefined
  readonly portgroups: readonly string[]
}

export interface PoolProfile {
  readonly name: string
  readonly type: string
  readonly active: boolean
  readonly autostart: boolean
  readonly path: string | undefined
  readonly capacity: Bytes
  readonly available: Bytes
}

export interface DomainName {
  readonly name: string
  readonly uuid: string
  readonly active: boolean
}

/** A host that did not answer; nothing is known of what runs on it. */
export interface SilentHost {
  readonly id: HostId
  readonly site: SiteId
  readonly why: string
}
