/** What is so with a host by itself, whichever VMs come or go. */
import { type Milliseconds, ms, showTime } from '../units.ts'
import type { Feature } from './host-profile.ts'
import { few, type HostRule, type Table, when } from './reason.ts'

export interface HostReasons {
  readonly silent: { readonly why: string }
  readonly 'name-slow': { readonly hostname: string; readonly took: Milliseconds }
  readonly 'name-unresolved': { readonly hostname: string; readonly took: Milliseconds | undefined }
  readonly 'feature-missing': { readonly features: readonly string[] }
  readonly 'shut-off': { readonly names: readonly string[] }
  readonly 'address-local': { readonly address: string }
  readonly 'no-shell': { readonly why: string }
}

export const hostTable: Table<HostReasons> = {
  silent: {
    severity: 'blocks',
    says: ({ why }) => `does not answer: ${why}`,
    next: () => 'bring it back, or take it out of lifeboat.yaml',
  },
  'name-slow': {
    severity: 'warns',
    says: ({ hostname, took }) =>
      `looking up its own name ${hostname} takes ${showTime(took)}; libvirt does that several times in each migration, while it waits`,
    next: ({ hostname }) => `put "ADDRESS ${hostname}" into its /etc/hosts`,
  },
  'name-unresolved': {
    severity: 'warns',
    says: ({ hostname, took }) =>
      `its own name ${hostname} resolves to nothing${took === undefined ? '' : ` (after ${showTime(took)})`}; libvirt looks it up several times in each migration`,
    next: ({ hostname }) => `put "ADDRESS ${hostname}" into its /etc/hosts`,
  },
  'feature-missing': {
    severity: 'blocks',
    says: ({ features }) => `its libvirt does not know ${few(features)}`,
    next: () => 'update libvirt there: Lifeboat needs peer-to-peer migration with parameters (libvirt 1.1.0 or newer)',
  },
  'shut-off': {
    severity: 'note',
    says: ({ names }) =>
      `${names.length} VM${names.length === 1 ? '' : 's'} there ${names.length === 1 ? 'is' : 'are'} shut off and will stay: ${few(names)}`,
    next: () => 'copy their disks and definitions before the day, if they matter',
  },
  'address-local': {
    severity: 'blocks',
    says: ({ address }) => `other hosts would be told to reach it at ${address}, which is themselves`,
    next: () => 'set `migrationAddress` of this host in lifeboat.yaml to its address on the WAN',
  },
  'no-shell': {
    severity: 'note',
    says: ({ why }) => `its clock, name, ports and certificates were not looked at: ${why}`,
    next: () => 'use qemu+ssh for this host, or give it `shell: ssh://USER@HOST` in lifeboat.yaml',
  },
}

/** A lookup in files takes a millisecond or two; a name server that is near some ten. */
const slowName = ms(1_000)

const slow: HostRule<HostReasons> = ({ system }) => {
  if (system === undefined) return []
  const { hostname, nameTook, nameResolves } = system
  if (!nameResolves) return [{ rule: 'name-unresolved', hostname, took: nameTook }]
  return nameTook === undefined ? [] : when(nameTook >= slowName, { rule: 'name-slow', hostname, took: nameTook })
}

const needed: readonly (readonly [Feature, string])[] = [
  ['migration-v3', 'migration protocol 3'],
  ['peer-to-peer', 'peer-to-peer migration'],
  ['migration-params', 'migration with parameters'],
]

const features: HostRule<HostReasons> = ({ features: has }) => {
  if (has === undefined) return []
  const missing = needed.filter(([feature]) => !has.includes(feature)).map(([, name]) => name)
  return when(missing.length > 0, { rule: 'feature-missing', features: missing })
}

const left: HostRule<HostReasons> = ({ domains }, role) => {
  if (role === 'target') return []
  // A tombstone is a VM that has left already.
  const names = domains.filter(({ active, name }) => !active && !name.endsWith('.evacuated')).map(({ name }) => name)
  return when(names.length > 0, { rule: 'shut-off', names })
}

const loopback = /^(localhost|127\.|::1$|0\.0\.0\.0$|::$)/
const address: HostRule<HostReasons> = ({ address: text }, role) =>
  when(role === 'target' && loopback.test(text), { rule: 'address-local', address: text })

const shell: HostRule<HostReasons> = ({ system, systemUnknown }) =>
  when(system === undefined, { rule: 'no-shell', why: systemUnknown })

export const hostRules: readonly HostRule<HostReasons>[] = [slow, features, left, address, shell]
