/** The lifeboat.yaml that `lifeboat init` writes: what was found, and as comments whatever else may be said. Text, since comments matter. */
import { type Bytes, bytes, printBytes } from '../core/units.ts'

export interface StarterHost {
  readonly name: string
  readonly uri: string
  readonly memory: Bytes
  /** `libvirt 9.0.0, QEMU 7.2.22; 12 VMs run`, for the comment. */
  readonly found: string
  /** Its uri does not say where other hosts reach it. */
  readonly addressUnknown: boolean
}

export interface StarterSite {
  readonly name: string
  readonly safe: boolean
  readonly hosts: readonly StarterHost[]
}

export interface MissedHost {
  readonly uri: string
  readonly why: string
}

/** As YAML takes any text: JSON is a part of it. */
const quoted = (text: string): string => JSON.stringify(text)
/** Somewhat less, but easily read. */
const inWhole = (memory: Bytes): Bytes => {
  const unit = memory >= 2 ** 30 ? 2 ** 30 : 2 ** 20
  return bytes(Math.floor(memory / unit) * unit)
}
const comment = (text: string): string => text.replaceAll(/\s*[\r\n]+\s*/g, '; ')

export function starterConfig(sites: readonly StarterSite[], missed: readonly MissedHost[], madeBy: string): string {
  const [from, to] = pathExample(sites)
  return [
    `# ${comment(madeBy)}`,
    '# Next: lifeboat check, then lifeboat plan SITE, then lifeboat evacuate SITE --to SITE.',
    '# Lines with "#: " are examples: take these three characters away to use them.',
    '',
    '# A site is a place that fails as one: power, uplink. Safe ones receive.',
    'sites:',
    ...sites.flatMap(siteLines),
    ...missed.flatMap(({ uri, why }) => [`# did not answer: ${comment(uri)}`, `#   ${comment(why)}`]),
    '',
    '# The ways between sites (or hosts), each in one direction. Without any, every site reaches every other, and forecasts go by what',
    '# was measured before: lifeboat links --probe. With some, those that are not named do not exist.',
    '#: paths:',
    `#:   - from: ${quoted(from)}`,
    `#:     to: ${quoted(to)}`,
    '#:     capacity: 1Gbit/s      # what all flows together get',
    '#:     rtt: 20ms              # round trip',
    '#:     loss: 0.01%            # of packets',
    '#:     perFlow: 400Mbit/s     # what one TCP stream gets',
    "#:     background: 100Mbit/s  # other people's traffic, which is left alone",
    '',
    '# How an evacuation goes about it.',
    '#: policy:',
    '#:   name: finish-first       # lifeboat simulate compares them',
    '#:   maxParallel: 8           # migrations at one time',
    '#:   bandwidth: 800Mbit/s     # for all of them together',
    '',
    '# What is so with some VMs; the later rule goes before the earlier, part by part. Patterns have * and ?.',
    '#: vms:',
    '#:   - match: "db-*"',
    '#:     value: 10              # those worth more go first (1 is usual)',
    '#:     maxDowntime: 2s        # how long it may stand still at the switchover (300ms is usual)',
    '#:     allow: [post-copy]     # beyond plain pre-copy; without it only pre-copy',
    '#:     group: shop            # leaves in one go, to one site if that has room',
    `#:     targets: [${quoted(to)}]  # only these sites or hosts may take it`,
    '#:     antiAffinity: db       # never on one host with others of that word',
    '#:   - match: "scratch-*"',
    '#:     action: stay           # is not moved, on purpose',
    '',
    '# Where journals and locks lie (default: /var/lib/lifeboat for root, ~/.local/state/lifeboat for others).',
    '#: stateDir: /var/lib/lifeboat',
    '',
  ].join('\n')
}

function pathExample(sites: readonly StarterSite[]): readonly [string, string] {
  const from = sites.find(({ safe }) => !safe) ?? sites[0]
  const to = sites.find(site => site.safe && site !== from) ?? sites.find(site => site !== from) ?? from
  return [from?.name ?? 'here', to?.name ?? 'there']
}

const siteLines = ({ name, safe, hosts }: StarterSite): readonly string[] => [
  `  - name: ${quoted(name)}`,
  safe ? '    safe: true' : '    #: safe: true',
  '    #: uplink: 1Gbit/s        # shared by all that leaves or enters',
  ...(hosts.every(isLibvirt) ? ['    #: tls: true              # memory sent to its hosts is encrypted'] : []),
  '    hosts:',
  ...hosts.flatMap(hostLines),
]

const isLibvirt = ({ uri }: StarterHost): boolean => uri.startsWith('qemu')

const hostLines = ({ name, uri, memory, found, addressUnknown }: StarterHost): readonly string[] => [
  `      # ${comment(found)}`,
  `      - name: ${quoted(name)}`,
  `        uri: ${quoted(uri)}`,
  `        #: memory: ${printBytes(inWhole(memory))}  # what guests may use together (default: all it has)`,
  addressUnknown
    ? '        # NEEDED before VMs come here: its uri does not say where other hosts reach it.'
    : '        # Where other hosts reach it for migrations (default: the host in its uri).',
  '        #: migrationAddress: 192.0.2.10',
  '        #: nic: 10Gbit/s',
  '        # Where commands for it run, for lifeboat check (default: where its uri leads).',
  '        #: shell: ssh://root@192.0.2.10',
  ...(uri.startsWith('qemu') ? libvirtLines : []),
]

const libvirtLines = [
  '        # How the daemons of other hosts reach its own, where it listens for migrations, and encryption (docs/libvirt-hosts.md).',
  '        #: peerUri: qemu+tls://192.0.2.10/system',
  '        #: listenAddress: 192.0.2.10',
  '        #: tls: true',
  '        #: tlsName: host.example   # what its certificate says (default: its migrationAddress)',
]
