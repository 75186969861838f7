/** What is so between two hosts, for every VM that would go from one to the other. */
import { type Milliseconds, ms, showTime } from '../units.ts'
import { few, type LinkRule, type Table, when } from './reason.ts'
import type { PortTried } from './link-profile.ts'
import { showVersion, type Version } from './version.ts'

export interface LinkReasons {
  readonly 'same-host': { readonly uuid: string }
  readonly 'driver-differs': { readonly source: string; readonly target: string }
  readonly 'arch-differs': { readonly source: string; readonly target: string }
  readonly 'libvirt-older': { readonly source: Version; readonly target: Version }
  readonly 'qemu-older': { readonly source: Version; readonly target: Version }
  readonly clock: { readonly apart: Milliseconds; readonly ahead: 'source' | 'target' }
  readonly 'ports-filtered': { readonly address: string; readonly ports: readonly number[]; readonly how: string }
  readonly 'ports-unknown': { readonly address: string; readonly why: string }
  readonly 'ports-closed': { readonly address: string; readonly ports: readonly number[] }
  readonly 'address-unknown': { readonly address: string }
  readonly 'daemon-unreachable': { readonly uri: string; readonly port: number; readonly how: string }
  readonly 'greeting-refused': { readonly by: 'ssh' | 'tls'; readonly uri: string; readonly said: string }
  readonly 'greeting-unknown': { readonly by: 'ssh' | 'tls'; readonly uri: string; readonly why: string }
}

/** libvirt's own (qemu.conf, migration_port_min and _max), and plain QEMU hosts' too. */
export const migrationPorts = { first: 49_152, last: 49_215 } as const
const range = `${migrationPorts.first}–${migrationPorts.last}`

export const linkTable: Table<LinkReasons> = {
  'same-host': {
    severity: 'blocks',
    says: ({ uuid }) => `libvirt takes both for one machine: they have the same host UUID ${uuid}`,
    next: () =>
      'give one its own: host_uuid in libvirtd.conf (virtqemud.conf), or host_uuid_source = "machine-id"; or is the same host in lifeboat.yaml twice?',
  },
  'driver-differs': {
    severity: 'blocks',
    says: ({ source, target }) => `one is a ${source} host, the other a ${target} host`,
    next: () => 'a VM of plain QEMU goes to plain QEMU only, one of libvirt to libvirt',
  },
  'arch-differs': {
    severity: 'blocks',
    says: ({ source, target }) => `the source is ${source}, the target ${target}`,
    next: () => 'use a target of the same architecture',
  },
  'libvirt-older': {
    severity: 'warns',
    says: ({ source, target }) =>
      `libvirt is older at the target: ${showVersion(source)} here, ${showVersion(target)} there`,
    next: () =>
      'libvirt promises migration to the same or newer only; update the target, or move one VM first and look',
  },
  'qemu-older': {
    severity: 'warns',
    says: ({ source, target }) =>
      `QEMU is older at the target: ${showVersion(source)} here, ${showVersion(target)} there`,
    next: () =>
      'machine types that both have can go, with no promise; update the target, or move one VM first and look',
  },
  clock: {
    severity: 'warns',
    says: ({ apart, ahead }) => `their clocks differ by ${showTime(apart)}: the ${ahead}'s is ahead`,
    next: () => 'run chrony or ntpd on both: guests see a jump, certificates and tickets may be refused',
  },
  'ports-filtered': {
    severity: 'blocks',
    says: ({ address, ports, how }) =>
      `memory would go to ${address} ports ${range}, and ${few(ports.map(String))} ${how}`,
    next: ({ address }) => `open TCP ${range} to ${address} in the firewalls between, for the source host`,
  },
  'ports-unknown': {
    severity: 'note',
    says: ({ address, why }) => `whether ${address} ports ${range} are open for the source is not known: ${why}`,
    next: () =>
      'use qemu+ssh for the source, or give it `shell: ssh://USER@HOST` in lifeboat.yaml; or try by hand: nc -vz',
  },
  'ports-closed': {
    severity: 'note',
    says: ({ address, ports }) =>
      `${address} answers for ports ${few(ports.map(String))}; nobody listens there until a VM comes, so a firewall that refuses looks the same`,
    next: () => `make sure that no rule there rejects TCP ${range}`,
  },
  'address-unknown': {
    severity: 'blocks',
    says: ({ address }) => `the source host cannot resolve ${address}`,
    next: ({ address }) => `put ${address} into its /etc/hosts or name server, or set \`migrationAddress\` to a number`,
  },
  'daemon-unreachable': {
    severity: 'blocks',
    says: ({ uri, port, how }) => `the source's daemon would connect to ${uri}, and port ${port} there ${how}`,
    next: ({ uri }) =>
      uri.startsWith('qemu+ssh')
        ? 'let sshd listen there, and the firewall through'
        : 'let libvirtd listen there (libvirtd --listen, or the socket libvirtd-tcp or libvirtd-tls), and the firewall through',
  },
  'greeting-refused': {
    severity: 'blocks',
    says: ({ by, uri, said }) => `the source's daemon would connect to ${uri}, and its ${by} is refused: ${said}`,
    next: ({ by, said }) =>
      by === 'tls'
        ? /no such file|missing|cannot read/i.test(said)
          ? 'put cacert.pem into /etc/pki/CA, clientcert.pem and private/clientkey.pem into /etc/pki/libvirt of the source host'
          : 'look at the dates, the name and the authority of the certificate at the target, and at cacert.pem of the source'
        : /host key|identification/i.test(said)
          ? 'connect once by hand, as root on the source host, and check the key: ssh-keyscan and known_hosts there'
          : 'give root on the source host a key that the target accepts (ssh-copy-id), without a passphrase',
  },
  'greeting-unknown': {
    severity: 'note',
    says: ({ by, uri, why }) => `whether the source's daemon may connect to ${uri} by ${by} is not known: ${why}`,
    next: ({ by, uri }) =>
      by === 'ssh'
        ? `try it as root on the source host: virsh -c ${uri} hostname`
        : `try it on the source host: virsh -c ${uri} hostname`,
  },
}

const sameHost: LinkRule<LinkReasons> = ({ source, target }) =>
  source.uuid !== undefined && source.uuid === target.uuid ? [{ rule: 'same-host', uuid: source.uuid }] : []

const sameDriver: LinkRule<LinkReasons> = ({ source, target }) =>
  when(source.driver !== target.driver, { rule: 'driver-differs', source: source.driver, target: target.driver })

const sameArch: LinkRule<LinkReasons> = ({ source: { arch: here }, target: { arch: there } }) =>
  here === undefined || there === undefined || here === there
    ? []
    : [{ rule: 'arch-differs', source: here, target: there }]

const older = (rule: 'libvirt-older' | 'qemu-older', key: 'libvirt' | 'qemu'): LinkRule<LinkReasons> => {
  return ({ source, target }) => {
    const [here, there] = [source[key], target[key]]
    // The last part of a version are corrections.
    return here === undefined || there === undefined || Math.floor(there / 1_000) >= Math.floor(here / 1_000)
      ? []
      : [{ rule, source: here, target: there }]
  }
}

const clockMost = ms(1_000)
const clock: LinkRule<LinkReasons> = ({ source, target }) => {
  const [here, there] = [source.system, target.system]
  if (here?.clockAhead === undefined || there?.clockAhead === undefined) return []
  const ahead = here.clockAhead - there.clockAhead
  // What the round trips leave open is not counted as a difference.
  const certain = Math.abs(ahead) - here.clockWithin - there.clockWithin
  return when(certain > clockMost, {
    rule: 'clock' as const,
    apart: ms(Math.abs(Math.round(ahead))),
    ahead: ahead > 0 ? ('source' as const) : ('target' as const),
  })
}

const how = {
  silent: 'do not answer',
  'no-route': 'have no route, or are rejected',
  rejected: 'are refused by a firewall: something did listen there',
} as const
const ports: LinkRule<LinkReasons> = ({ source, target, tried }) => {
  const { address } = target
  if (tried === undefined || tried.migration.length === 0)
    return [{ rule: 'ports-unknown', address, why: source.systemUnknown }]
  const those = (reached: PortTried['reached']) =>
    tried.migration.filter(each => each.reached === reached).map(({ port }) => port)
  if (those('no-name').length > 0) return [{ rule: 'address-unknown', address }]
  const filtered = (['silent', 'no-route', 'rejected'] as const).flatMap(reached =>
    when(those(reached).length > 0, {
      rule: 'ports-filtered' as const,
      address,
      ports: those(reached),
      how: how[reached],
    }),
  )
  const [unknown, refused, open] = [those('unknown'), those('refused'), those('open')]
  return [
    ...filtered,
    ...when(filtered.length === 0 && unknown.length > 0, {
      rule: 'ports-unknown' as const,
      address,
      why: 'the source host has neither bash nor nc to try with',
    }),
    ...when(refused.length > 0 && open.length === 0 && filtered.length === 0, {
      rule: 'ports-closed' as const,
      address,
      ports: refused,
    }),
  ]
}

const daemonHow = {
  refused: 'is closed',
  rejected: 'is closed',
  silent: 'does not answer',
  'no-route': 'cannot be reached',
  'no-name': 'cannot be reached: its name does not resolve there',
} as const
const daemon: LinkRule<LinkReasons> = ({ target: { connectUri: uri }, tried }) => {
  const at = tried?.daemon
  if (uri === undefined || at === undefined || at.reached === 'open' || at.reached === 'unknown') return []
  return [{ rule: 'daemon-unreachable', uri, port: at.port, how: daemonHow[at.reached] }]
}

const greeting: LinkRule<LinkReasons> = ({ target: { connectUri: uri }, tried }) => {
  if (uri === undefined || tried === undefined || tried.greeting.by === 'none') return []
  const said = tried.greeting
  switch (said.answer) {
    case 'welcome':
      return []
    case 'refused':
      // A port that is closed says it already.
      return tried.daemon?.reached === 'open' || tried.daemon === undefined
        ? [{ rule: 'greeting-refused', by: said.by, uri, said: said.said }]
        : []
    case 'unknown':
      return [{ rule: 'greeting-unknown', by: said.by, uri, why: said.why }]
  }
}

export const linkRules: readonly LinkRule<LinkReasons>[] = [
  sameHost,
  sameDriver,
  sameArch,
  older('libvirt-older', 'libvirt'),
  older('qemu-older', 'qemu'),
  clock,
  ports,
  daemon,
  greeting,
]
