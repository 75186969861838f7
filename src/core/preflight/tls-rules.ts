/** Certificates for memory on its way, and for daemons that show themselves to each other. */
import type { CertificateState } from './host-profile.ts'
import { type LinkRule, type Table, when } from './reason.ts'

export interface TlsReasons {
  readonly 'tls-one-sided': { readonly has: 'source' | 'target'; readonly file: string }
  readonly 'tls-none': object
  readonly 'tls-expired': { readonly side: 'source' | 'target'; readonly file: string }
  readonly 'tls-expires-soon': { readonly side: 'source' | 'target'; readonly file: string }
}

export const tlsTable: Table<TlsReasons> = {
  'tls-one-sided': {
    severity: 'warns',
    says: ({ has, file }) =>
      `only the ${has} has a certificate for encrypted migration (${file}); memory goes in the clear`,
    next: ({ has }) =>
      `put ca-cert.pem, server-cert.pem and server-key.pem into /etc/pki/qemu of the ${has === 'source' ? 'target' : 'source'} too`,
  },
  'tls-none': {
    severity: 'note',
    says: () => 'neither has certificates for encrypted migration: memory crosses the network in the clear',
    next: () => 'use a tunnel between the sites (WireGuard, IPsec), or set up /etc/pki/qemu on both',
  },
  'tls-expired': {
    severity: 'warns',
    says: ({ side, file }) => `${file} of the ${side} has expired`,
    next: () => 'renew it, and compare the clocks of both hosts',
  },
  'tls-expires-soon': {
    severity: 'note',
    says: ({ side, file }) => `${file} of the ${side} expires within two weeks`,
    next: () => 'renew it',
  },
}

const agreement: LinkRule<TlsReasons> = ({ source, target }) => {
  const [here, there] = [source.system?.migrationTls, target.system?.migrationTls]
  if (here === undefined || there === undefined) return []
  if (here.state === 'none' && there.state === 'none') return [{ rule: 'tls-none' }]
  if (here.state !== 'none' && there.state !== 'none') return []
  const [has, state] = here.state === 'none' ? (['target', there] as const) : (['source', here] as const)
  return state.state === 'none' ? [] : [{ rule: 'tls-one-sided', has, file: state.file }]
}

const dates: LinkRule<TlsReasons> = ({ source, target }) => {
  const look = (side: 'source' | 'target', state: CertificateState | undefined) => {
    if (state === undefined || state.state === 'none' || state.state === 'good') return []
    const rule = state.state === 'expired' ? ('tls-expired' as const) : ('tls-expires-soon' as const)
    return [{ rule, side, file: state.file }]
  }
  const daemonTls =
    target.connectUri?.startsWith('qemu+tls') === true || target.connectUri?.startsWith('qemu://') === true
  return [
    ...look('source', source.system?.migrationTls),
    ...look('target', target.system?.migrationTls),
    ...when(daemonTls, source.system?.clientTls).flatMap(state => look('source', state)),
  ]
}

export const tlsLinkRules: readonly LinkRule<TlsReasons>[] = [agreement, dates]
