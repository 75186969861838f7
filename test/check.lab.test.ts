/** The preflight on real libvirt daemons: every rule that can be provoked on one machine is, and `init` meets what answers and what does not. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadConfig } from '../src/config/load-config.ts'
import { hostId } from '../src/core/ids.ts'
import { hereFolder, hostNamespace, labFolder, libvirtFolder, libvirtSocket, vmsFolder } from '../src/lab/lab-names.ts'
import { findProgram, insistOnRequirements } from '../src/lab/requirements.ts'
import { connectTo } from '../src/lab/start-daemons.ts'
import type { LibvirtClient } from '../src/libvirt/public.ts'
import { insideRemote } from '../src/remote/inside.ts'
import { localRemote } from '../src/remote/local.ts'
import { runOk } from '../src/remote/remote.ts'
import { smallSpec, testLab, testRoot, type TestLab } from './lab-fixture.ts'
import { runLifeboat } from './run-lifeboat.ts'
import { bridgeNetwork, cdrom, fileDisk, folderPool, onBridge, onNetwork, tinyDomain } from './troubled-domains.ts'

function whyNot(): string | undefined {
  try {
    insistOnRequirements(undefined, { driver: 'libvirt' })
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll('\n', '; ') : String(error)
  }
}

const name = 'check'
const [home, away] = [hostId('a-1'), hostId('b-1')]
const socket = (host: typeof home): string => `qemu+unix:///system?socket=${libvirtSocket(testRoot, name, host)}`
const pidFile = (host: typeof home): string => join(libvirtFolder(testRoot, name, host), 'run', 'libvirtd.pid')
/** include/libvirt/libvirt-domain.h, VIR_DOMAIN_START_PAUSED. */
const startPaused = 1
const patience = () => AbortSignal.timeout(30_000)
/** On the host: in its network, its files, under its name. */
const on = (host: typeof home, ...argv: string[]) => runOk(insideRemote(pidFile(host)), argv, {}, patience())
const virsh = (host: typeof home, ...argv: string[]) =>
  runOk(localRemote, ['virsh', '-q', '-c', socket(host), ...argv], {}, patience())

interface FindingJson {
  readonly rule: string
  readonly severity: string
  readonly host: string
  readonly target: string | null
  readonly says: string
  readonly next: string
}
interface CheckJson {
  readonly summary: {
    readonly vms: number
    readonly canGo: number
    readonly cannot: readonly string[]
    readonly silent: readonly string[]
  }
  readonly findings: readonly FindingJson[]
  readonly vms: readonly {
    readonly vm: string
    readonly verdict: string
    readonly place: string | null
    readonly findings: readonly FindingJson[]
    readonly targets: readonly {
      readonly target: string
      readonly takesIt: boolean
      readonly findings: readonly FindingJson[]
    }[]
  }[]
}

describe('the preflight of libvirt hosts', { skip: whyNot() ?? false }, () => {
  let lab: TestLab
  let libvirt: LibvirtClient
  let n = 0
  const here = hereFolder(testRoot, name)
  const lifeboat = (...args: string[]) => runLifeboat(args)

  const failures: string[] = []
  /** What cannot be set up is told at the end, with all else that cannot. */
  async function attempt(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }

  /** Runs at the first host; `here` is that host's own folder, elsewhere it is another one. */
  async function run(xml: string, startFlags = 0): Promise<void> {
    await attempt(async () => {
      const { dom } = await libvirt.call('domainDefineXmlFlags', { xml, flags: 0 }, patience())
      await libvirt.call('domainCreateWithFlags', { dom, flags: startFlags }, patience())
    })
  }
  async function define(host: typeof home, kind: 'define' | 'net-define' | 'pool-define', xml: string): Promise<void> {
    const file = join(labFolder(testRoot, name), `definition-${(n += 1)}.xml`)
    writeFileSync(file, xml)
    await virsh(host, kind, file)
  }
  async function check(config: string, ...args: string[]): Promise<CheckJson & { readonly code: number | null }> {
    const { code, stdout, stderr } = await lifeboat('--config', config, 'check', '-q', '-o', 'json', ...args)
    assert.ok(stdout.startsWith('{'), `${code}: ${stderr}`)
    return { ...(JSON.parse(stdout) as CheckJson), code }
  }
  /** The lab's configuration with a change to its text. */
  function configWith(change: (text: string) => string): string {
    const file = join(labFolder(testRoot, name), `changed-${(n += 1)}.yaml`)
    writeFileSync(file, change(readFileSync(lab.config, 'utf8')))
    return file
  }
  const rulesOf = (found: CheckJson, vm: string): readonly string[] => {
    const verdict = found.vms.find(each => each.vm === vm)
    assert.ok(verdict !== undefined, `${vm} is not in the report`)
    return [...verdict.findings, ...verdict.targets.flatMap(({ findings }) => findings)].map(({ rule }) => rule)
  }
  const verdictOf = (found: CheckJson, vm: string): string | undefined =>
    found.vms.find(each => each.vm === vm)?.verdict
  const ofHosts = (found: CheckJson): readonly string[] => found.findings.map(({ rule }) => rule)

  before(async () => {
    lab = await testLab({ ...smallSpec(name, 1), driver: 'libvirt' })
    libvirt = await connectTo(testRoot, lab.record.spec, home, patience())
  })
  after(async () => {
    await libvirt?.close()
    await lab?.down()
  })

  test('a VM that nothing keeps can go, and the exit code says so', async () => {
    const { code, stdout, stderr } = await lifeboat('--config', lab.config, 'check')
    assert.equal(code, 0, stderr)
    assert.match(stdout, /vm-1 +a-1 +can go +b-1/)
    assert.match(stdout, /1 of 1 VM can go/)
    assert.match(stderr, /check: trying the way from a-1/)
    const found = await check(lab.config, 'a', '--to', 'b')
    assert.deepEqual(rulesOf(found, 'vm-1'), [])
    assert.deepEqual(ofHosts(found), ['tls-none'])
  })

  test('sockets that hold more than a slow path carries away in time, until the host is told otherwise', async () => {
    const slow = configWith(text => text.replace(/capacity: .*/, 'capacity: 30Mbit/s'))
    const { findings, code } = await check(slow)
    const unsent = findings.filter(({ rule }) => rule.startsWith('unsent-'))
    assert.deepEqual(
      unsent.map(({ rule, severity, host, target }) => [rule, severity, host, target]),
      [['unsent-bytes', 'note', 'a-1', null]],
    )
    assert.equal(code, 0)
    assert.match(unsent[0]?.says ?? '', /is 4294967295\).* at the 30\.0 Mbit\/s to b/)
    const [command = ''] = /sysctl -w \S+/.exec(unsent[0]?.next ?? '') ?? []
    await on(home, ...command.split(' '))
    try {
      assert.deepEqual(ofHosts(await check(slow)), ['tls-none'])
    } finally {
      await on(home, 'sysctl', '-w', 'net.ipv4.tcp_notsent_lowat=4294967295')
    }
    assert.ok(ofHosts(await check(configWith(text => text.replace(/ +capacity: .*\n/, '')))).includes('unsent-unknown'))
  })

  test('versions, features and memory of hosts are in the report', async () => {
    const { hosts } = (await check(lab.config)) as unknown as {
      readonly hosts: readonly {
        id: string
        libvirt: string
        qemu: string
        features: string[]
        system: { clockAhead: number }
      }[]
    }
    assert.deepEqual(
      hosts.map(({ id }) => id),
      ['a-1', 'b-1'],
    )
    for (const { libvirt, qemu, features, system } of hosts) {
      assert.match(libvirt, /^\d+\.\d+\.\d+$/)
      assert.match(qemu, /^\d+\.\d+\.\d+$/)
      assert.deepEqual(features.toSorted(), ['migration-params', 'migration-v3', 'peer-to-peer'])
      assert.ok(Math.abs(system.clockAhead) < 1000)
    }
  })

  test('every VM and every reason at once', async t => {
    const emulator = join(here, 'qemu')
    const wrapper = '#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 "$@"\n'
    const place = (host: typeof home, file: string, text: string): string => {
      const path = join(vmsFolder(testRoot, name, host), file)
      writeFileSync(path, text)
      return path
    }
    // The same program at both hosts, of which the target's daemon will believe that it can do less.
    const old = join(labFolder(testRoot, name), 'qemu-old')
    writeFileSync(old, wrapper)
    chmodSync(old, 0o755)
    chmodSync(place(home, 'qemu', wrapper), 0o755)
    place(home, 'medium.iso', 'x'.repeat(4096))
    const image = readdirSync(testRoot).find(each => each.startsWith('.image')) ?? ''
    copyFileSync(join(testRoot, image, 'vmlinuz'), join(vmsFolder(testRoot, name, home), 'kernel'))
    // Disks: in folders that are pools at the target, or none.
    const pools = join(labFolder(testRoot, name), 'pools')
    for (const pool of ['small', 'asleep', 'nowhere', 'vdi']) mkdirSync(join(pools, pool), { recursive: true })
    await on(away, 'mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', join(pools, 'small'))
    await define(away, 'pool-define', folderPool('small', join(pools, 'small')))
    await virsh(away, 'pool-start', 'small')
    await define(away, 'pool-define', folderPool('asleep', join(pools, 'asleep')))
    const disk = async (pool: string, format = 'raw'): Promise<string> => {
      const file = join(pools, pool, `${(n += 1)}.${format}`)
      await runOk(localRemote, ['qemu-img', 'create', '-q', '-f', format, file, '16M'], {}, patience())
      return file
    }
    // Networks and bridges.
    for (const host of [home, away]) await on(host, 'ip', 'link', 'add', 'br-both', 'type', 'bridge')
    await on(home, 'ip', 'link', 'add', 'br-here', 'type', 'bridge')
    for (const [network, bridge] of [
      ['onlyhere', 'br-here'],
      ['sleeping', 'br-both'],
      ['shared', 'br-both'],
    ] as const) {
      await define(home, 'net-define', bridgeNetwork(network, bridge))
      await virsh(home, 'net-start', network)
    }
    await define(away, 'net-define', bridgeNetwork('sleeping', 'br-both'))
    await define(away, 'net-define', bridgeNetwork('shared', 'br-both'))
    await virsh(away, 'net-start', 'shared')

    await run(tinyDomain({ name: 'net-gone', devices: onNetwork('onlyhere', '52:54:00:00:00:01') }))
    await run(tinyDomain({ name: 'net-down', devices: onNetwork('sleeping', '52:54:00:00:00:02') }))
    await run(tinyDomain({ name: 'net-fine', devices: onNetwork('shared', '52:54:00:00:00:03') }))
    await run(tinyDomain({ name: 'bridge-gone', devices: onBridge('br-here', '52:54:00:00:00:04') }))
    await run(
      tinyDomain({
        name: 'two-reasons',
        devices: onBridge('br-here', '52:54:00:00:00:05') + cdrom(join(here, 'medium.iso')),
      }),
    )
    await run(tinyDomain({ name: 'kernel-gone', os: `<kernel>${join(here, 'kernel')}</kernel>` }))
    await run(tinyDomain({ name: 'emulator-gone', emulator }))
    await run(tinyDomain({ name: 'machine-old', emulator: old, machine: 'pc-i440fx-6.2' }))
    const needs = (feature: string): string =>
      `<cpu mode='custom' match='exact' check='partial'><model fallback='forbid'>qemu64</model><feature policy='require' name='${feature}'/></cpu>`
    await run(tinyDomain({ name: 'cpu-more', emulator: old, cpu: needs('avx2') }))
    await run(
      tinyDomain({
        name: 'ivshmem',
        devices: "<shmem name='seen'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>",
      }),
    )
    await run(
      tinyDomain({
        name: 'folder',
        devices: "<filesystem type='mount'><source dir='/tmp'/><target dir='tag'/></filesystem>",
      }),
    )
    await run(tinyDomain({ name: 'vdi', devices: fileDisk(await disk('vdi', 'vdi'), { format: 'vdi' }) }))
    await run(
      tinyDomain({
        name: 'cached',
        devices: fileDisk(await disk('vdi'), { cache: 'writeback', more: '<shareable/>' }),
      }),
    )
    await run(tinyDomain({ name: 'pool-full', devices: fileDisk(await disk('small')) }))
    await run(tinyDomain({ name: 'pool-down', devices: fileDisk(await disk('asleep')) }))
    const snapped = await disk('nowhere', 'qcow2')
    await run(tinyDomain({ name: 'snapped', devices: fileDisk(snapped, { format: 'qcow2' }) }))
    await attempt(() =>
      virsh(home, 'snapshot-create-as', 'snapped', 's1', '--disk-only', '--diskspec', `vda,file=${snapped}.s1`),
    )
    await run(tinyDomain({ name: 'backed-up', devices: fileDisk(await disk('nowhere', 'qcow2'), { format: 'qcow2' }) }))
    await attempt(() => virsh(home, 'checkpoint-create-as', 'backed-up', 'c1'))
    await run(tinyDomain({ name: 'passing' }))
    await attempt(() => virsh(home, 'undefine', 'passing'))
    await run(tinyDomain({ name: 'starts' }))
    await attempt(() => virsh(home, 'autostart', 'starts'))
    await run(tinyDomain({ name: 'held' }), startPaused)
    const uuid = '11111111-2222-4333-8444-55555555555'
    await run(tinyDomain({ name: 'twin' }))
    await define(away, 'define', tinyDomain({ name: 'twin', uuid: `${uuid}1` }))
    await run(tinyDomain({ name: 'clone', uuid: `${uuid}2` }))
    await define(away, 'define', tinyDomain({ name: 'original', uuid: `${uuid}2` }))
    await run(tinyDomain({ name: 'was-there', uuid: `${uuid}3` }))
    await define(away, 'define', tinyDomain({ name: 'was-there', uuid: `${uuid}3` }))
    await define(home, 'define', tinyDomain({ name: 'off' }))
    await attempt(() => Promise.resolve(lessCapable(old)))
    await t.test('what is wrong is set up', () => assert.deepEqual(failures, []))

    const began = performance.now()
    const found = await check(lab.config)
    t.diagnostic(`${found.vms.length} VMs in ${Math.round(performance.now() - began)} ms`)
    assert.equal(found.code, 4)
    for (const [vm, verdict, rules] of [
      ['vm-1', 'can-go', []],
      ['net-fine', 'can-go', ['network-autostart']],
      ['net-gone', 'cannot', ['network-missing']],
      ['net-down', 'cannot', ['network-inactive']],
      ['bridge-gone', 'cannot', ['bridge-missing']],
      ['two-reasons', 'cannot', ['file-missing', 'bridge-missing']],
      ['kernel-gone', 'cannot', ['file-missing']],
      ['emulator-gone', 'cannot', ['emulator']],
      ['machine-old', 'cannot', ['machine-type']],
      ['cpu-more', 'cannot', ['cpu-incompatible']],
      ['ivshmem', 'cannot', ['shared-memory']],
      ['folder', 'can-go', ['shared-folder']],
      ['vdi', 'cannot', ['source-refuses', 'pool-missing']],
      ['cached', 'cannot', ['disk-cache']],
      ['pool-full', 'cannot', ['pool-autostart', 'pool-full']],
      ['pool-down', 'cannot', ['pool-inactive']],
      ['snapped', 'cannot', ['snapshots', 'disk-backing', 'pool-missing']],
      ['backed-up', 'cannot', ['checkpoints', 'pool-missing']],
      ['passing', 'can-go', ['transient']],
      ['starts', 'can-go', ['autostart']],
      ['held', 'cannot', ['paused']],
      ['twin', 'cannot', ['name-taken']],
      ['clone', 'cannot', ['uuid-taken']],
      ['was-there', 'can-go', ['definition-replaced']],
    ] as const)
      await t.test(vm, () => {
        assert.deepEqual(rulesOf(found, vm).toSorted(), [...rules].toSorted())
        assert.equal(verdictOf(found, vm), verdict)
      })
    await t.test('what is shut off is named, and stays', () => {
      assert.match(found.findings.find(({ rule }) => rule === 'shut-off')?.says ?? '', /1 VM there is shut off.*: off$/)
    })
    await t.test('each reason says what to do', () => {
      const all = [
        ...found.findings,
        ...found.vms.flatMap(vm => [...vm.findings, ...vm.targets.flatMap(({ findings }) => findings)]),
      ]
      for (const { says, next, rule } of all) {
        assert.ok(says.length > 10 && next.length > 5, rule)
        assert.doesNotMatch(says + next, /undefined|\[object|NaN|\n/, rule)
      }
      const cpu = all.find(({ rule }) => rule === 'cpu-incompatible')
      assert.match(cpu?.says ?? '', /avx2/)
      const full = all.find(({ rule }) => rule === 'pool-full')
      assert.match(full?.says ?? '', /need 16\.0 MiB in pool small at the target, \d.* available \(short by/)
      assert.match(
        all.find(({ rule }) => rule === 'source-refuses')?.says ?? '',
        /vdi format.*does not support live migration/,
      )
    })
    await t.test('for people the same, VM by VM', async () => {
      const { code, stdout } = await lifeboat('--config', lab.config, 'check', 'a', '--to', 'b', '-q')
      assert.equal(code, 4)
      assert.match(stdout, /net-gone +a-1 +cannot +–/)
      assert.match(
        stdout,
        /network onlyhere, which the target does not have; it has .*\[network-missing\]\n +→ define it there/,
      )
      assert.match(stdout, /\d+ of \d+ VMs can go; \d+ cannot: .*; \d+ warnings; \d+ notes\n$/)
    })
    await t.test('and not a thing was changed: nothing is being migrated, nothing new is defined', async () => {
      assert.equal((await virsh(home, 'domstate', 'net-gone')).trim(), 'running')
      assert.equal((await virsh(away, 'list', '--all', '--name')).trim().split('\n').length, 3)
    })
  })

  /**
   * What a daemon believes of a QEMU is in its cache, by the program's path; an older QEMU and an older CPU are made from what the first
   * host's daemon found, less a machine type and a feature.
   */
  function lessCapable(emulator: string): void {
    const cacheOf = (host: typeof home): string =>
      join(libvirtFolder(testRoot, name, host), 'cache', 'qemu', 'capabilities')
    const folder = cacheOf(home)
    const expected = `${createHash('sha256').update(emulator).digest('hex')}.xml`
    const text = readFileSync(join(folder, expected), 'utf8')
    const less = text
      .replaceAll(/<machine [^>]*name='pc-i440fx-6\.2'[^>]*\/>\s*/g, '')
      .replaceAll(/(<property name='avx2' type='boolean' value=)'true'/g, "$1'false'")
    assert.notEqual(less, text)
    writeFileSync(join(cacheOf(away), expected), less)
  }

  test('memory for all together, and a path that is not there', async () => {
    const small = await check(configWith(text => text.replace(/memory: 4GiB(?=\n.*10\.77\.2\.1)/, 'memory: 100MiB')))
    const refused = small.vms
      .flatMap(({ targets }) => targets.flatMap(({ findings }) => findings))
      .filter(({ rule }) => rule === 'memory')
    assert.ok(refused.length > 0)
    assert.match(refused[0]?.says ?? '', /needs .* of memory, .* left \(short by .*\)/)
    const pathless = await check(
      configWith(text => text.replace(/ {2}- from: a\n {4}to: b\n/, '  - from: a\n    to: a-1\n')),
    )
    assert.ok(rulesOf(pathless, 'vm-1').includes('no-path'))
  })

  test('a VM that its owner wants to stay is no failure', async () => {
    const found = await check(configWith(text => `${text}vms: [{ match: "*", action: stay }]\n`))
    assert.equal(verdictOf(found, 'vm-1'), 'stays')
    assert.equal(found.code, 0)
  })

  test('ports that a firewall drops or rejects, and a daemon that is not reached', {
    skip: findProgram('iptables') === undefined ? 'no iptables here' : false,
  }, async () => {
    const inside = (...argv: string[]) =>
      runOk(localRemote, ['ip', 'netns', 'exec', hostNamespace(name, away), 'iptables', '-w', ...argv], {}, patience())
    await inside('-A', 'INPUT', '-p', 'tcp', '--dport', '49152:49215', '-j', 'DROP')
    await inside(
      '-A',
      'INPUT',
      '-p',
      'tcp',
      '--dport',
      '16509',
      '-j',
      'REJECT',
      '--reject-with',
      'icmp-host-prohibited',
    )
    try {
      const found = await check(lab.config)
      assert.equal(found.code, 4)
      assert.equal(found.summary.canGo, 0)
      const says = (rule: string): string => found.findings.find(each => each.rule === rule)?.says ?? ''
      assert.match(says('ports-filtered'), /10\.77\.2\.1 ports 49152–49215, and 49152, 49184, 49215 do not answer/)
      assert.match(
        says('daemon-unreachable'),
        /qemu\+tcp:\/\/10\.77\.2\.1\/system, and port 16509 there cannot be reached/,
      )
    } finally {
      await inside('-F', 'INPUT')
    }
  })

  test('a host that does not find its own name', async () => {
    const resolver = join(labFolder(testRoot, name), 'libvirt', 'resolv.conf')
    await on(home, 'hostname', 'nobody-knows-me')
    try {
      // A name server that does not answer, behind the WAN.
      writeFileSync(resolver, 'nameserver 10.77.2.77\noptions timeout:1 attempts:1\n')
      const found = await check(lab.config)
      const [finding] = found.findings.filter(({ rule }) => rule === 'name-unresolved')
      assert.match(finding?.says ?? '', /its own name nobody-knows-me resolves to nothing \(after [1-9][\d.]* s\)/)
      assert.equal(finding?.host, 'a-1')
    } finally {
      writeFileSync(resolver, '')
      await on(home, 'hostname', 'a-1')
    }
  })

  const withHosts = (...hosts: readonly string[]) =>
    configWith(text =>
      text.replace(/( {2}- name: b\n[\s\S]*?hosts:\n)/, `$1${hosts.map(host => `      - ${host}\n`).join('')}`),
    )

  test('an address that is everybody’s own, and a host that is gone: the one that is left takes what it can', async () => {
    const found = await check(
      withHosts(
        `{ name: b-2, uri: "qemu+tcp://127.0.0.1:1/system", shell: "netns://no-such" }`,
        `{ name: b-3, uri: "qemu+tcp://127.0.0.2:1/system" }`,
      ),
    )
    const silent = found.findings.filter(({ rule }) => rule === 'silent')
    assert.deepEqual(silent.map(({ host }) => host).toSorted(), ['b-2', 'b-3'])
    assert.match(silent[0]?.says ?? '', /ECONNREFUSED.*is libvirtd running there/)
    assert.equal(found.vms.find(({ vm }) => vm === 'vm-1')?.place, 'b-1')
    const local = await check(
      configWith(text => text.replace('migrationAddress: 10.77.2.1', 'migrationAddress: localhost')),
    )
    assert.ok(ofHosts(local).includes('address-local'))
    assert.equal(local.summary.canGo, 0)
  })

  test('one machine under two names', async () => {
    const found = await check(withHosts(`{ name: b-2, uri: "${socket(home)}", migrationAddress: 10.77.1.1 }`))
    assert.deepEqual(
      found.findings.filter(({ rule }) => rule === 'same-host').map(({ target }) => target),
      ['b-2'],
    )
    // Its domains are seen twice: nobody may move them before that is mended.
    assert.ok(rulesOf(found, 'vm-1').includes('name-twice'))
    assert.equal(verdictOf(found, 'vm-1'), 'cannot')
  })

  test('without a way to run commands, what is not known is said', async () => {
    const found = await check(configWith(text => text.replaceAll(/ +shell: .*\n/g, '')))
    const rules = ofHosts(found)
    assert.ok(rules.includes('no-shell') && rules.includes('ports-unknown'), rules.join(', '))
    assert.ok(rulesOf(found, 'kernel-gone').includes('file-unknown'))
    // Bridges are known all the same: libvirt's interface driver tells.
    assert.ok(rulesOf(found, 'bridge-gone').includes('bridge-missing'))
  })

  test('an endangered host that is silent is a reason to say no', async () => {
    const found = await check(configWith(text => text.replace(/(uri: ).*a-1.*/, '$1qemu+tcp://127.0.0.1:1/system')))
    assert.equal(found.code, 4)
    assert.deepEqual(found.summary.silent, ['a-1'])
  })

  describe('init', () => {
    const sites = ['--site', `a=${socket(home)}`, '--site', `b=${socket(away)}`, '--safe', 'b']

    test('writes a lifeboat.yaml that check understands', async () => {
      const file = join(labFolder(testRoot, name), 'written.yaml')
      const { code, stderr } = await lifeboat('init', ...sites, '-o', file)
      assert.equal(code, 0, stderr)
      assert.match(stderr, /a-1 +libvirt \d+\.\d+\.\d+, QEMU \d+\.\d+\.\d+ /)
      const { config } = loadConfig(file, {})
      assert.deepEqual(
        config.sites.map(({ name: site, safe, hosts }) => [site, safe, hosts.map(host => String(host.name))]),
        [
          ['a', false, ['a-1']],
          ['b', true, ['b-1']],
        ],
      )
      // Its uri is a socket: nobody else learns from it where the host is.
      assert.match(readFileSync(file, 'utf8'), /NEEDED before VMs come here/)
      assert.ok(ofHosts(await check(file)).includes('address-local'))
      const again = await lifeboat('init', ...sites, '-o', file)
      assert.equal(again.code, 3)
      assert.match(again.stderr, /is there already; --force/)
      assert.equal((await lifeboat('init', ...sites, '-o', file, '--force')).code, 0)
    })

    test('tells of all that do not answer, each with what to do, and writes nothing', async () => {
      const gone = [
        'qemu+unix:///system?socket=/nowhere/sock',
        'qemu+tcp://127.0.0.1:1/system',
        'qemu+tcp://no-such-host.invalid/system',
      ]
      const { code, stdout, stderr } = await lifeboat(
        'init',
        '--site',
        `a=${[socket(home), ...gone].join(',')}`,
        '--stdout',
      )
      assert.equal(code, 1)
      assert.equal(stdout, '')
      assert.match(stderr, /3 of 4 hosts did not answer/)
      assert.match(stderr, /ENOENT.*\n +is libvirtd \(or virtqemud\) running there\?/)
      assert.match(stderr, /ECONNREFUSED.*\n +is libvirtd running there and listening/)
      assert.match(stderr, /no-such-host.*\n +is the name right/)
      const partial = await lifeboat(
        'init',
        '--site',
        `a=${[socket(home), ...gone].join(',')}`,
        '--stdout',
        '--partial',
      )
      assert.equal(partial.code, 1)
      assert.equal(partial.stdout.match(/^# did not answer/gm)?.length, 3)
    })

    test('where nobody can be asked, says what to type', async () => {
      const { code, stderr } = await lifeboat('init', socket(home), socket(away))
      assert.equal(code, 2)
      assert.match(stderr, /no terminal to ask on.*--site/)
      assert.ok(
        stderr.includes(`lifeboat init --site 'here=${socket(home)}' --site 'there=${socket(away)}' --safe there`),
      )
    })

    test('wrong URIs are told of all at once, before anything is asked', async () => {
      const { code, stderr } = await lifeboat(
        'init',
        'qemu+telnet://h/system',
        'h',
        '--site',
        'a=qemu:///system',
        '--safe',
        'a',
      )
      assert.equal(code, 2)
      assert.match(stderr, /unknown transport "telnet"/)
      assert.match(stderr, /"h" is no uri/)
    })
  })
})
