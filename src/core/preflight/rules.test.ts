/** Each rule by itself: silent where all is in order, and with its numbers where it is not. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { siteId } from '../ids.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import type { HostProfile } from './host-profile.ts'
import type { LinkProfile } from './link-profile.ts'
import type { SourceFacts } from './reason.ts'
import {
  hostRules,
  linkRules,
  nextStepOf,
  type Reason,
  type RuleName,
  ruleTable,
  sentenceOfReason,
  sourceRules,
  targetRules,
  vmRules,
} from './rule-table.ts'
import { sampleAnswer, sampleDisk, sampleHost, sampleLink, sampleSystem, sampleVm } from './sample-profiles.ts'
import { version } from './version.ts'
import type { TargetAnswer, VmDevice, VmProfile } from './vm-profile.ts'

const seen = new Map<RuleName, Reason>()
const told = (reasons: readonly Reason[]): readonly RuleName[] => {
  for (const reason of reasons) seen.set(reason.rule, reason)
  return reasons.map(({ rule }) => rule)
}

const ofHost = (change: Partial<HostProfile>, role: 'source' | 'target' = 'source') =>
  told(hostRules.flatMap(rule => rule(sampleHost('a-1', change), role)))
const bothWays: SourceFacts = {
  ways: [
    { to: siteId('b'), rate: megabitsPerSecond(1_000) },
    { to: siteId('c'), rate: megabitsPerSecond(30) },
  ],
  strictest: ms(300),
}
const leaving = (
  system: Partial<NonNullable<HostProfile['system']>>,
  facts: Partial<SourceFacts> = {},
): readonly RuleName[] =>
  told(
    sourceRules.flatMap(rule =>
      rule(sampleHost('a-1', { system: { ...sampleSystem, ...system } }), { ...bothWays, ...facts }),
    ),
  )
const ofVm = (change: Partial<VmProfile>, source: Partial<HostProfile> = {}) =>
  told(vmRules.flatMap(rule => rule(sampleVm('web-1', change), sampleHost('a-1', source))))
const atTarget = (
  change: Partial<VmProfile>,
  target: Partial<HostProfile> = {},
  answer: Partial<TargetAnswer> = {},
  source: Partial<HostProfile> = {},
) =>
  told(
    targetRules.flatMap(rule =>
      rule(sampleVm('web-1', change), {
        source: sampleHost('a-1', source),
        target: sampleHost('b-1', target),
        answer: sampleAnswer('web-1', 'b-1', answer),
      }),
    ),
  )
const between = (
  source: Partial<HostProfile>,
  target: Partial<HostProfile>,
  tried: LinkProfile | undefined = sampleLink('a-1', 'b-1'),
) =>
  told(linkRules.flatMap(rule => rule({ source: sampleHost('a-1', source), target: sampleHost('b-1', target), tried })))

test('where all is in order nothing is said', () => {
  assert.deepEqual(ofHost({}), [])
  assert.deepEqual(ofHost({}, 'target'), [])
  assert.deepEqual(leaving({}), [])
  assert.deepEqual(ofVm({}), [])
  assert.deepEqual(atTarget({ disks: [sampleDisk()] }), [])
  assert.deepEqual(between({}, {}), [])
})

describe('hosts', () => {
  const cases: readonly (readonly [RuleName, Partial<HostProfile>, 'source' | 'target'])[] = [
    ['name-slow', { system: { ...sampleSystem, nameTook: ms(5_010) } }, 'source'],
    ['name-unresolved', { system: { ...sampleSystem, nameResolves: false } }, 'target'],
    ['feature-missing', { features: ['migration-v3'] }, 'target'],
    ['shut-off', { domains: [{ name: 'old', uuid: '1', active: false }] }, 'source'],
    ['address-local', { address: '127.0.0.1' }, 'target'],
    ['no-shell', { system: undefined, systemUnknown: 'its uri reaches its daemon by tcp' }, 'source'],
  ]
  for (const [rule, change, role] of cases) test(rule, () => assert.deepEqual(ofHost(change, role), [rule]))

  test('a tombstone is not a VM that is left behind, nor is one that runs', () => {
    const domains = [
      { name: 'web-1.evacuated', uuid: '1', active: false },
      { name: 'web-2', uuid: '2', active: true },
    ]
    assert.deepEqual(ofHost({ domains }), [])
  })
  test('a source may be reached at whatever address', () => assert.deepEqual(ofHost({ address: 'localhost' }), []))
  test('a plain QEMU host is asked for no features', () => assert.deepEqual(ofHost({ features: undefined }), []))
})

describe('what stands unsent when a guest is switched over', () => {
  const unlimited = { tcpUnsentMost: bytes(4_294_967_295) }
  const only = (rate: number | undefined): Partial<SourceFacts> => ({
    ways: [{ to: siteId('b'), rate: rate === undefined ? undefined : megabitsPerSecond(rate) }],
  })
  const cases: readonly (readonly [what: string, Parameters<typeof leaving>, readonly RuleName[]])[] = [
    ['a slow way, beside a fast one', [unlimited], ['unsent-bytes']],
    ['a fast way', [unlimited, only(1_000)], []],
    ['just slow enough', [unlimited, only(335)], ['unsent-bytes']],
    ['just not', [unlimited, only(336)], []],
    ['a guest that may stand still for longer', [unlimited, { ...only(100), strictest: ms(2_000) }], []],
    ['none that would leave', [unlimited, { strictest: undefined }], []],
    ['a way of which nothing is known', [unlimited, only(undefined)], ['unsent-unknown']],
    ['a way that carries nothing', [unlimited, only(0)], []],
    ['no way at all', [unlimited, { ways: [] }], []],
    ['a limit that was set and is not enough', [{ tcpUnsentMost: mebibytes(2) }], ['unsent-bytes']],
    ['one that is', [{ tcpUnsentMost: mebibytes(1) }], []],
    ['small buffers', [{ ...unlimited, tcpBufferMost: bytes(65_536) }], []],
    ['a kernel that does not tell', [{ tcpUnsentMost: undefined }], []],
  ]
  for (const [what, change, rules] of cases) test(what, () => assert.deepEqual(leaving(...change), rules))

  test('a host without a shell: not known', () =>
    assert.deepEqual(
      sourceRules.flatMap(rule => rule(sampleHost('a-1', { system: undefined }), bothWays)),
      [],
    ))
  test('the numbers are those of the slowest way, and of no more than a socket may hold', () => {
    leaving(unlimited)
    const reason = seen.get('unsent-bytes')
    assert.ok(reason?.rule === 'unsent-bytes')
    assert.equal(reason.most, 4 * 1_048_576)
    assert.equal(reason.to, 'c')
    assert.equal(Math.round(reason.takes), 1118)
    assert.match(
      sentenceOfReason(reason),
      /up to 4\.00 MiB .* is 4294967295.*: 1\.1 s at the 30\.0 Mbit\/s to c.*300 ms/,
    )
    assert.match(nextStepOf(reason), /sysctl -w net\.ipv4\.tcp_notsent_lowat=131072 .*\/etc\/sysctl\.d\//)
  })
})

describe('VMs', () => {
  const device = (value: VmDevice): Partial<VmProfile> => ({ devices: [value], rehearsal: undefined })
  const refused = (said: string): Partial<VmProfile> => ({ rehearsal: { allowed: false, code: 55, said } })
  const cases: readonly (readonly [what: string, Partial<VmProfile>, readonly RuleName[]])[] = [
    ['a PCI device', device({ kind: 'hostdev', type: 'pci', address: '0000:3b:00.0', teamed: false }), ['hostdev']],
    ['a mediated device', device({ kind: 'hostdev', type: 'mdev', address: 'uuid', teamed: false }), ['hostdev']],
    [
      'one that QEMU can move',
      { devices: [{ kind: 'hostdev', type: 'pci', address: '0000:3b:00.0', teamed: false }] },
      ['hostdev-needed'],
    ],
    ['one that is paired', device({ kind: 'hostdev', type: 'pci', address: '0000:3b:00.0', teamed: true }), []],
    ['a USB device', device({ kind: 'hostdev', type: 'usb', address: '046d:0825', teamed: false }), ['usb-device']],
    [
      'virtiofs',
      {
        ...device({ kind: 'filesystem', driver: 'virtiofs', tag: 'data' }),
        ...refused('migration with virtiofs device is not supported'),
      },
      ['virtiofs'],
    ],
    [
      'virtiofs that moves',
      { devices: [{ kind: 'filesystem', driver: 'virtiofs', tag: 'data' }] },
      ['virtiofs-shared'],
    ],
    ['9p', device({ kind: 'filesystem', driver: '9p', tag: 'data' }), ['shared-folder']],
    ['shared memory', device({ kind: 'shmem', name: 's', model: 'ivshmem-plain', role: 'peer' }), ['shared-memory']],
    ['shared memory of the master', device({ kind: 'shmem', name: 's', model: 'ivshmem-plain', role: 'master' }), []],
    ['vhost-user', device({ kind: 'vhost-user', what: 'network card', sharedMemory: false }), ['vhost-user']],
    [
      'vhost-user with shared memory',
      device({ kind: 'vhost-user', what: 'network card', sharedMemory: true }),
      ['vhost-user-needed'],
    ],
    ['the host’s TPM', device({ kind: 'tpm', backend: 'passthrough' }), ['tpm-passthrough']],
    ['an emulated TPM', device({ kind: 'tpm', backend: 'emulator' }), ['tpm-state']],
    ['NVRAM', device({ kind: 'nvram', file: '/var/lib/libvirt/qemu/nvram/x' }), ['nvram']],
    ['SEV', device({ kind: 'launch-security', type: 'sev' }), ['launch-security']],
    ['snapshots', { snapshots: 2, ...refused('cannot migrate domain with 2 snapshots') }, ['snapshots']],
    ['checkpoints', { checkpoints: 1 }, ['checkpoints']],
    ['whatever else its daemon says', refused('domain has active block job'), ['source-refuses']],
    ['a transient one', { persistent: false }, ['transient']],
    ['one that starts with its host', { autostart: true }, ['autostart']],
    ['a paused one', { state: 'paused' }, ['paused']],
    ['one under way', { state: 'migrating' }, ['migrating']],
    ['a name with spaces', { name: 'web 1' }, ['name-unusable']],
    ['a transient disk', { disks: [sampleDisk({ transient: true, shared: true })] }, ['disk-transient']],
    ['a disk on others', { disks: [sampleDisk({ backing: ['/srv/base.qcow2'] })] }, ['disk-backing']],
    [
      'a shared disk through the cache',
      {
        disks: [sampleDisk({ shared: true, cache: 'writeback' })],
        ...refused('Migration without shared storage is unsafe'),
      },
      ['disk-cache'],
    ],
    [
      'a disk that is not shared: other rules judge it',
      { disks: [sampleDisk()], ...refused('Migration without shared storage is unsafe') },
      [],
    ],
    [
      'QEMU’s own network',
      { nics: [{ mac: 'x', type: 'user', source: undefined, portgroup: undefined, filter: undefined, teamed: false }] },
      ['nic-user'],
    ],
    [
      'a piece of a network card',
      {
        nics: [
          { mac: 'x', type: 'hostdev', source: undefined, portgroup: undefined, filter: undefined, teamed: false },
        ],
        rehearsal: undefined,
      },
      ['nic-passthrough'],
    ],
    [
      'an invariant counter',
      { cpu: { mode: 'custom', model: 'x', check: 'full', features: ['invtsc'], xml: '', tscFrequency: false } },
      ['cpu-invtsc'],
    ],
    [
      'one with a set frequency',
      { cpu: { mode: 'custom', model: 'x', check: 'full', features: ['invtsc'], xml: '', tscFrequency: true } },
      [],
    ],
  ]
  for (const [what, change, rules] of cases) test(what, () => assert.deepEqual(ofVm(change), rules))
  test('plain QEMU keeps no definitions of its own: nothing is transient there', () => {
    assert.deepEqual(ofVm({ persistent: false }, { driver: 'qemu' }), [])
  })
})

describe('VMs at a target', () => {
  const cpu = (mode: 'host-passthrough' | 'maximum') => ({
    mode,
    model: undefined,
    check: 'none' as const,
    features: [],
    xml: '',
    tscFrequency: false,
  })
  const nic = (type: string, source: string, more: object = {}) => ({
    nics: [{ mac: '52:54:00:00:00:01', type, source, portgroup: undefined, filter: undefined, teamed: false, ...more }],
  })
  const lan = sampleHost('b-1').networks?.[0]
  assert.ok(lan !== undefined)
  const pool = sampleHost('b-1').pools?.[0]
  assert.ok(pool !== undefined)
  const cases: readonly (readonly [
    what: string,
    rules: readonly RuleName[],
    vm: Partial<VmProfile>,
    target?: Partial<HostProfile>,
    answer?: Partial<TargetAnswer>,
    source?: Partial<HostProfile>,
  ])[] = [
    ['a CPU that is not enough', ['cpu-incompatible'], {}, {}, { cpu: { answer: 'incompatible', said: 'avx2' } }],
    [
      'one that nobody checks',
      ['cpu-unchecked'],
      { cpu: { mode: 'custom', model: 'x', check: 'none', features: [], xml: '', tscFrequency: false } },
      {},
      { cpu: { answer: 'incompatible', said: 'avx2' } },
    ],
    ['one that cannot be compared', ['cpu-unknown'], {}, {}, { cpu: { answer: 'unknown' } }],
    ['the host’s own, the same', ['cpu-passthrough'], { cpu: cpu('host-passthrough') }],
    [
      'the host’s own, another model',
      ['cpu-passthrough-differs'],
      { cpu: cpu('host-passthrough') },
      { cpu: { vendor: 'AMD', model: 'EPYC', features: ['aes', 'avx2'], microcode: '1' } },
    ],
    [
      'the host’s own, a feature less',
      ['cpu-passthrough-differs'],
      { cpu: cpu('maximum') },
      { cpu: { vendor: 'Intel', model: 'Icelake-Server', features: ['aes'], microcode: '1' } },
    ],
    ['the host’s own, not known', ['cpu-passthrough-unknown'], { cpu: cpu('host-passthrough') }, { cpu: undefined }],
    [
      'all that emulation has',
      [],
      { cpu: cpu('maximum'), machine: { emulator: 'q', arch: 'x86_64', type: 'pc-q35-7.2', acceleration: 'qemu' } },
      { cpu: undefined },
    ],
    [
      'a machine type',
      ['machine-type'],
      {},
      {},
      { machine: { answer: 'refused', said: "the machine 'pc-q35-7.2' is not supported by emulator 'q'" } },
    ],
    [
      'no KVM',
      ['acceleration'],
      {},
      {},
      { machine: { answer: 'refused', said: "the accel 'kvm' is not supported by 'q' on this host" } },
    ],
    [
      'no emulator',
      ['emulator'],
      {},
      {},
      { machine: { answer: 'refused', said: 'Cannot check QEMU binary q: No such file or directory' } },
    ],
    [
      'something else',
      ['machine-refused'],
      {},
      {},
      { machine: { answer: 'refused', said: 'architecture does not match' } },
    ],
    [
      'a machine without a version',
      ['machine-unversioned'],
      { machine: { emulator: 'q', arch: 'x86_64', type: 'q35', acceleration: 'kvm' } },
    ],
    [
      'a device that QEMU lacks',
      ['device-model'],
      { models: [{ device: 'video', model: 'qxl' }] },
      {},
      { models: new Map([['video', ['vga', 'virtio']]]) },
    ],
    ['a device of which nothing is said', [], { models: [{ device: 'video', model: 'qxl' }] }],
    [
      'a file that is missing',
      ['file-missing'],
      { files: [{ what: 'kernel', path: '/k' }] },
      {},
      { absent: new Set(['/k']) },
    ],
    ['a file of which nothing is known', ['file-unknown'], { files: [{ what: 'kernel', path: '/k' }] }],
    ['a file that is there', [], { files: [{ what: 'kernel', path: '/k' }] }, {}, { present: new Set(['/k']) }],
    ['large pages', ['hugepages'], { hugepages: mebibytes(2) }, { hugepages: [{ size: mebibytes(2), free: 511 }] }],
    ['enough large pages', [], { hugepages: mebibytes(2) }, { hugepages: [{ size: mebibytes(2), free: 512 }] }],
    ['a name', ['name-taken'], {}, { domains: [{ name: 'web-1', uuid: 'other', active: false }] }],
    ['a UUID', ['uuid-taken'], {}, { domains: [{ name: 'other', uuid: 'uuid of web-1', active: false }] }],
    [
      'both, by two',
      ['name-taken', 'uuid-taken'],
      {},
      {
        domains: [
          { name: 'web-1', uuid: 'other', active: false },
          { name: 'other', uuid: 'uuid of web-1', active: true },
        ],
      },
    ],
    [
      'a leftover of itself',
      ['definition-replaced'],
      {},
      { domains: [{ name: 'web-1', uuid: 'uuid of web-1', active: false }] },
    ],
    ['itself', ['runs-there'], {}, { domains: [{ name: 'web-1', uuid: 'uuid of web-1', active: true }] }],
    ['a network', ['network-missing'], nic('network', 'dmz')],
    ['a network that sleeps', ['network-inactive'], nic('network', 'lan'), { networks: [{ ...lan, active: false }] }],
    [
      'a network that will not start',
      ['network-autostart'],
      nic('network', 'lan'),
      { networks: [{ ...lan, autostart: false }] },
    ],
    [
      'a network that is another',
      ['network-differs'],
      nic('network', 'lan'),
      { networks: [{ ...lan, forward: 'nat' }] },
    ],
    [
      'a network of the host’s own',
      ['network-local'],
      nic('network', 'lan'),
      { networks: [{ ...lan, forward: 'nat' }] },
      {},
      { networks: [{ ...lan, forward: 'nat' }] },
    ],
    ['networks unknown', ['networks-unknown'], nic('network', 'lan'), { networks: undefined }],
    ['a port group', ['portgroup-missing'], nic('network', 'lan', { portgroup: 'office' })],
    ['a port group that is there', [], nic('network', 'lan', { portgroup: 'dmz' })],
    ['a bridge', ['bridge-missing'], nic('bridge', 'br1')],
    ['a device for macvtap', ['bridge-missing'], nic('direct', 'eth1')],
    ['interfaces unknown', ['bridge-unknown'], nic('bridge', 'br1'), { interfaces: undefined }],
    ['a filter', ['filter-missing'], nic('bridge', 'br0', { filter: 'no-spoofing' })],
    ['a secret', ['secret-missing'], { secrets: ['luks'] }],
    ['no pool in that folder', ['pool-missing'], { disks: [sampleDisk({ source: '/data/x.img' })] }],
    ['no pool of that name', ['pool-missing'], { disks: [sampleDisk({ pool: 'fast' })] }],
    ['a pool that sleeps', ['pool-inactive'], { disks: [sampleDisk()] }, { pools: [{ ...pool, active: false }] }],
    [
      'a pool that will not start',
      ['pool-autostart'],
      { disks: [sampleDisk()] },
      { pools: [{ ...pool, autostart: false }] },
    ],
    [
      'a pool too small for two disks, not for one',
      ['pool-full'],
      { disks: [sampleDisk({ size: mebibytes(300) }), sampleDisk({ name: 'vdb', size: mebibytes(300) })] },
    ],
    ['a pool just large enough', [], { disks: [sampleDisk({ size: mebibytes(500) })] }],
    ['pools unknown', ['pools-unknown'], { disks: [sampleDisk()] }, { pools: undefined }],
    [
      'an empty drive and a read-only disk',
      [],
      {
        disks: [
          sampleDisk({ device: 'cdrom', source: undefined }),
          sampleDisk({ source: '/elsewhere/x', readonly: true }),
        ],
      },
    ],
  ]
  for (const [what, rules, ...change] of cases) test(what, () => assert.deepEqual(atTarget(...change), rules))

  test('a target that gave no answer about it is asked nothing more', () => {
    const facts = { source: sampleHost('a-1'), target: sampleHost('b-1'), answer: undefined }
    assert.deepEqual(told(targetRules.flatMap(rule => rule(sampleVm('web-1'), facts))), [])
  })
})

describe('from host to host', () => {
  const link = (change: Partial<LinkProfile>) => sampleLink('a-1', 'b-1', change)
  const ahead = (clockAhead: number, within = 5) => ({
    system: { ...sampleSystem, clockAhead, clockWithin: ms(within) },
  })
  const tls = (state: 'none' | 'expired' | 'expires-soon') => ({
    system: {
      ...sampleSystem,
      migrationTls: state === 'none' ? { state } : { state, file: '/etc/pki/qemu/server-cert.pem' },
    },
  })
  const cases: readonly (readonly [
    what: string,
    rules: readonly RuleName[],
    source: Partial<HostProfile>,
    target: Partial<HostProfile>,
    tried?: LinkProfile,
  ])[] = [
    ['one machine', ['same-host'], { uuid: 'x' }, { uuid: 'x' }],
    ['machines of which none is known', [], { uuid: undefined }, { uuid: undefined }],
    ['another driver', ['driver-differs'], {}, { driver: 'qemu' }],
    ['another architecture', ['arch-differs'], {}, { arch: 'aarch64' }],
    ['an older libvirt', ['libvirt-older'], {}, { libvirt: version(8_010_000) }],
    ['a correction less', [], { libvirt: version(9_000_003) }, { libvirt: version(9_000_001) }],
    ['a newer libvirt', [], {}, { libvirt: version(10_000_000) }],
    ['an older QEMU', ['qemu-older'], {}, { qemu: version(7_001_000) }],
    ['a clock behind', ['clock'], ahead(0), ahead(-1_200)],
    ['a clock ahead', ['clock'], ahead(0), ahead(90_000)],
    ['clocks that differ together', ['clock'], ahead(-600), ahead(600)],
    ['clocks alike, both wrong', [], ahead(50_000), ahead(50_400)],
    ['less than a round trip can tell', [], ahead(0), ahead(1_500, 700)],
    ['a clock that was not read', [], { system: { ...sampleSystem, clockAhead: undefined } }, ahead(9_000)],
    [
      'ports that are dropped',
      ['ports-filtered'],
      {},
      {},
      link({
        migration: [
          { port: 49_152, reached: 'silent' },
          { port: 49_215, reached: 'refused' },
        ],
      }),
    ],
    [
      'ports that are rejected',
      ['ports-filtered'],
      {},
      {},
      link({ migration: [{ port: 49_152, reached: 'no-route' }] }),
    ],
    [
      'ports that a firewall refuses',
      ['ports-filtered'],
      {},
      {},
      link({
        migration: [
          { port: 49_184, reached: 'rejected' },
          { port: 49_152, reached: 'refused' },
        ],
      }),
    ],
    [
      'ports of which one was tried with a listener',
      [],
      {},
      {},
      link({
        migration: [
          { port: 49_184, reached: 'open' },
          { port: 49_152, reached: 'refused' },
        ],
      }),
    ],
    ['ports nobody listens on', ['ports-closed'], {}, {}, link({ migration: [{ port: 49_152, reached: 'refused' }] })],
    [
      'ports that nothing tried',
      ['ports-unknown'],
      {},
      {},
      link({ migration: [{ port: 49_152, reached: 'unknown' }] }),
    ],
    [
      'an address without a number',
      ['address-unknown'],
      {},
      {},
      link({ migration: [{ port: 49_152, reached: 'no-name' }] }),
    ],
    [
      'a daemon that is closed',
      ['daemon-unreachable'],
      {},
      {},
      link({
        daemon: { port: 22, reached: 'refused' },
        greeting: { by: 'ssh', answer: 'refused', said: 'Connection refused' },
      }),
    ],
    [
      'a key that is not accepted',
      ['greeting-refused'],
      {},
      {},
      link({ greeting: { by: 'ssh', answer: 'refused', said: 'root@b-1: Permission denied (publickey).' } }),
    ],
    [
      'a host key that is not known',
      ['greeting-refused'],
      {},
      {},
      link({ greeting: { by: 'ssh', answer: 'refused', said: 'Host key verification failed.' } }),
    ],
    [
      'a certificate with another name',
      ['greeting-refused'],
      {},
      {},
      link({ greeting: { by: 'tls', answer: 'refused', said: 'verify error:num=62:hostname mismatch' } }),
    ],
    [
      'a greeting nobody could try',
      ['greeting-unknown'],
      {},
      {},
      link({ greeting: { by: 'ssh', answer: 'unknown', why: 'not root' } }),
    ],
    ['no certificates', ['tls-none'], tls('none'), tls('none')],
    ['a certificate on one side', ['tls-one-sided'], tls('none'), {}],
    ['an expired one', ['tls-expired'], {}, tls('expired')],
    ['one that is about to', ['tls-expires-soon'], tls('expires-soon'), {}],
  ]
  for (const [what, rules, ...change] of cases) test(what, () => assert.deepEqual(between(...change), rules))

  test('an expired client certificate matters where daemons speak TLS', () => {
    const system = {
      ...sampleSystem,
      clientTls: { state: 'expired' as const, file: '/etc/pki/libvirt/clientcert.pem' },
    }
    assert.deepEqual(between({ system }, { connectUri: 'qemu+tls://b-1/system' }), ['tls-expired'])
    assert.deepEqual(between({ system }, { connectUri: 'qemu+ssh://b-1/system' }), [])
  })
  test('nothing was tried', () => {
    const facts = {
      source: sampleHost('a-1', { systemUnknown: 'by tcp' }),
      target: sampleHost('b-1'),
      tried: undefined,
    }
    assert.deepEqual(told(linkRules.flatMap(rule => rule(facts))), ['ports-unknown'])
  })
  test('the next step of a refusal fits what was said', () => {
    const next = (said: string, by: 'ssh' | 'tls' = 'ssh') =>
      nextStepOf({ rule: 'greeting-refused', by, uri: 'u', said })
    assert.match(next('Host key verification failed.'), /known_hosts/)
    assert.match(next('Permission denied (publickey).'), /ssh-copy-id/)
    assert.match(next('/etc/pki/CA/cacert.pem: No such file', 'tls'), /put cacert\.pem/)
    assert.match(next('certificate has expired', 'tls'), /dates/)
  })
})

describe('the table', () => {
  /** Made by preflight.ts, which has its own tests. */
  const madeElsewhere: readonly Reason[] = [
    { rule: 'silent', why: 'connect ECONNREFUSED\nis libvirtd running there?' },
    { rule: 'memory', need: mebibytes(1024), free: bytes(0) },
    { rule: 'no-path', from: 'a', to: 'b' },
    { rule: 'stays', detail: 'its policy says stay' },
    { rule: 'name-twice', name: 'web-1', hosts: ['a-1', 'a-2'] },
  ]
  const names = Object.keys(ruleTable)

  test('each rule was found above, and its words are whole', () => {
    for (const reason of madeElsewhere) seen.set(reason.rule, reason)
    assert.deepEqual([...seen.keys()].toSorted(), names.toSorted())
    for (const reason of seen.values()) {
      const words = `${sentenceOfReason(reason)} | ${nextStepOf(reason)}`
      assert.doesNotMatch(words, /undefined|NaN|\[object|\n/, reason.rule)
      assert.ok(sentenceOfReason(reason).length > 10, reason.rule)
      assert.doesNotMatch(sentenceOfReason(reason), /\.$/, reason.rule)
    }
  })
  test('docs/libvirt.md has each, with its gravity', () => {
    const text = readFileSync(new URL('../../../docs/libvirt.md', import.meta.url), 'utf8')
    const documented = new Map(
      [...text.matchAll(/^\| `([\w-]+)` \| (blocks|warns|note) \|/gm)].map(([, rule, gravity]) => [rule, gravity]),
    )
    for (const [rule, { severity }] of Object.entries(ruleTable)) assert.equal(documented.get(rule), severity, rule)
    assert.equal(documented.size, names.length)
  })
})
