/**
 * What goes wrong between libvirt hosts, on real daemons: each fault ends in a typed failure that names VM, host and next step, and the
 * guest runs on, once. Faults of a connection alone are in libvirt.lab.test.ts; polkit, which needs a message bus, in client.test.ts.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type HostId, hostId, type VmId, vmId } from '../src/core/ids.ts'
import { type FailureCode, MigrationError } from '../src/core/migration/failure.ts'
import { type Compression, plainStart, type StartOptions } from '../src/core/migration/start-options.ts'
import { bytesPerSecond, fraction, mebibytes, ms } from '../src/core/units.ts'
import { finish, retire, rollBack, runSplit } from '../src/hypervisor/hand-over.ts'
import type { Hypervisor, Sample } from '../src/hypervisor/hypervisor.ts'
import { LibvirtHost, type LibvirtHostOptions } from '../src/hypervisor/libvirt/libvirt-host.ts'
import { newAuthority } from '../src/lab/certificates.ts'
import { hostAddress, hostNamespace, libvirtFolder, libvirtSocket, pkiFolder, sshFolder } from '../src/lab/lab-names.ts'
import { writePkiFolder } from '../src/lab/lab-pki.ts'
import { endProcesses, startTimeOf } from '../src/lab/processes.ts'
import { connectTo, startDaemon, waitForDaemon } from '../src/lab/start-daemons.ts'
import { sshUri } from '../src/lab/start-sshd.ts'
import { poll } from '../src/time/with-deadline.ts'
import { clock, livesOn, smallSpec, testLab, testRoot, type TestLab, whyNoLab } from './lab-fixture.ts'
import { reportFrom, startLifeboat } from './run-lifeboat.ts'

const name = 'lvfaults'
const ways = { driver: 'libvirt', ssh: true, tls: true } as const
const [a1, b1] = [hostId('a-1'), hostId('b-1')]
const [vm, other] = [vmId('vm-1'), vmId('vm-2')]
const addresses = new Map([
  [a1, hostAddress(1, 1)],
  [b1, hostAddress(2, 1)],
])
const slow = mebibytes(2)
const soon = (): AbortSignal => AbortSignal.timeout(30_000)

describe('faults between libvirt hosts', { skip: whyNoLab(ways) ?? false }, () => {
  let lab: TestLab
  let scratch: string
  const opened: LibvirtHost[] = []
  const spec = { ...smallSpec(name, 2), ...ways }

  before(async () => {
    lab = await testLab(spec)
    scratch = mkdtempSync(join(testRoot, name, 'faults-'))
  })
  after(async () => {
    await Promise.all(opened.map(host => host.close()))
    await lab?.down()
  })

  /** A host as it is, or as somebody has misconfigured it. */
  function open(host: HostId, change: Partial<LibvirtHostOptions> = {}): LibvirtHost {
    const address = addresses.get(host) ?? ''
    const made = new LibvirtHost({
      host,
      uri: `qemu+unix:///system?socket=${libvirtSocket(testRoot, name, host)}`,
      connectUri: `qemu+tcp://${address}/system`,
      migrationAddress: address,
      memory: undefined,
      clock,
      ...change,
    })
    opened.push(made)
    return made
  }

  async function begin(
    source: Hypervisor,
    target: Hypervisor,
    options: StartOptions = plainStart,
    rate: number | 'unlimited' = slow,
    which: VmId = vm,
  ): Promise<void> {
    const landing = await target.prepare(await source.definition(which, soon()), options, soon())
    const tuning = { rate: rate === 'unlimited' ? undefined : bytesPerSecond(rate), downtimeLimit: ms(300) }
    await source.migrate(which, landing, tuning, options, soon())
  }
  const until = (source: Hypervisor, wanted: Sample['status']): Promise<Sample> =>
    poll(clock, ms(50), soon(), async inner => {
      const sample = await source.sample(vm, inner)
      return sample.status === wanted ? sample : undefined
    })

  /** The guest runs at home, the target has nothing of it. */
  async function isAtHome(): Promise<void> {
    assert.deepEqual(await open(a1).presence(vm, soon()), { state: 'running', migrating: false })
    assert.equal((await open(b1).presence(vm, soon())).state, 'absent')
  }

  /** @param said what the message has, besides the VM's name */
  async function refused(work: Promise<unknown>, code: FailureCode, ...said: readonly RegExp[]): Promise<void> {
    await assert.rejects(work, (error: unknown) => {
      assert.ok(error instanceof MigrationError, String(error))
      assert.equal(error.failure.code, code, error.message)
      for (const pattern of [/^vm-[12]: /, ...said]) assert.match(error.message, pattern)
      return true
    })
    await isAtHome()
  }

  describe('a target that this process does not reach', () => {
    test('has another host key', async () => {
      const strangers = join(scratch, 'known_hosts')
      const key = readFileSync(join(sshFolder(testRoot, name), 'id.pub'), 'utf8').trim()
      writeFileSync(strangers, `${addresses.get(b1)} ${key}\n`)
      const uri = sshUri(testRoot, spec, b1, addresses.get(b1) ?? '').replace(
        /known_hosts=[^&]*/,
        `known_hosts=${strangers}`,
      )
      const said = [/b-1: /, /host key/i, /make sure that it is the right machine/]
      await refused(begin(open(a1), open(b1, { uri })), 'target-unfit', ...said)
    })

    test('does not know our key', async () => {
      const keyfile = join(scratch, 'stranger')
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyfile])
      const own = join(sshFolder(testRoot, name), 'config')
      const program = join(scratch, 'ssh')
      const text = readFileSync(join(sshFolder(testRoot, name), b1, 'ssh'), 'utf8').replace(
        `-F '${own}'`,
        '-F none -o IdentitiesOnly=yes',
      )
      writeFileSync(program, text, { mode: 0o755 })
      const uri = sshUri(testRoot, spec, b1, addresses.get(b1) ?? '')
        .replace(/keyfile=[^&]*/, `keyfile=${keyfile}`)
        .replace(/command=[^&]*/, `command=${program}`)
      await refused(
        begin(open(a1), open(b1, { uri })),
        'target-unfit',
        /b-1: /,
        /Permission denied/,
        /give the right user/,
      )
    })

    test('does not run', async () => {
      const uri = `qemu+unix:///system?socket=${join(scratch, 'nobody')}`
      await refused(begin(open(a1), open(b1, { uri })), 'target-unreachable', /b-1: /, /is libvirtd .* running there/)
    })
  })

  describe('a target that the source’s daemon does not reach', () => {
    test('refuses the connection', async () => {
      const connectUri = `qemu+tcp://${addresses.get(b1)}:1/system`
      const said = [/from a-1 to qemu\+tcp:\/\/10\.77\.2\.1:1/, /refused/, /peerUri/]
      await refused(begin(open(a1), open(b1, { connectUri })), 'target-unreachable', ...said)
    })

    test('has another host key', async () => {
      const file = join(sshFolder(testRoot, name), 'known_hosts')
      renameSync(file, `${file}.kept`)
      writeFileSync(file, '')
      try {
        const connectUri = `qemu+ssh://root@${addresses.get(b1)}/system`
        const said = [/from a-1 to qemu\+ssh/, /host key/i, /known_hosts/]
        await refused(begin(open(a1), open(b1, { connectUri })), 'target-unfit', ...said)
      } finally {
        renameSync(`${file}.kept`, file)
      }
    })

    test('has a certificate for another name', async () => {
      // The same address, written as nobody writes it, and so in no certificate.
      const connectUri = `qemu+tls://10.77.513/system?pkipath=${pkiFolder(testRoot, name, a1)}`
      await refused(
        begin(open(a1), open(b1, { connectUri })),
        'target-unfit',
        /from a-1 to qemu\+tls/,
        /10\.77\.513/,
        /peerUri/,
      )
    })
  })

  describe('encrypted memory', () => {
    const monitor = (host: HostId, command: string): string =>
      execFileSync(
        'virsh',
        [
          '-c',
          `qemu+unix:///system?socket=${libvirtSocket(testRoot, name, host)}`,
          'qemu-monitor-command',
          vm,
          `{"execute":"${command}"}`,
        ],
        { encoding: 'utf8' },
      )
    const goHome = async (source: Hypervisor, target: Hypervisor): Promise<void> => {
      await source.cancel(vm, soon())
      await until(source, 'cancelled')
      await rollBack({ source, target }, vm, soon())
    }

    test('is what was asked for: QEMU sends with credentials, and to the address it was told', async () => {
      const [source, target] = [open(a1), open(b1, { tls: {}, listenAddress: addresses.get(b1) })]
      await begin(source, target)
      await until(source, 'active')
      assert.match(monitor(a1, 'query-migrate-parameters'), /"tls-creds":"objlibvirt_migrate_tls0"/)
      await goHome(source, target)
      await begin(source, open(b1))
      assert.match(monitor(a1, 'query-migrate-parameters'), /"tls-creds":""/)
      await goHome(source, open(b1))
    })

    test('an address that the target does not have is no place to listen', async () => {
      const listenAddress = '10.77.2.99'
      await refused(
        begin(open(a1), open(b1, { listenAddress })),
        'target-refused',
        /10\.77\.2\.99|assign requested address/,
      )
    })

    test('a certificate for somebody else is refused', async () => {
      const tls = { name: 'somebody-else' }
      await refused(begin(open(a1), open(b1, { tls })), 'target-unfit', /from a-1 to .*10\.77\.2\.1/, /tlsName/)
    })

    test('without certificates at the target nothing flows', async () => {
      const folder = pkiFolder(testRoot, name, b1)
      renameSync(folder, `${folder}.kept`)
      try {
        const said = [/credentials|TLS/, /server-cert\.pem and client-cert\.pem/, /qemu\.conf/]
        await refused(begin(open(a1), open(b1, { tls: {} })), 'target-unfit', ...said)
      } finally {
        renameSync(`${folder}.kept`, folder)
      }
    })

    test('with a certificate that has expired nothing flows', async () => {
      const authority = newAuthority(scratch, 'another authority')
      const folders = [a1, b1].map(host => pkiFolder(testRoot, name, host))
      for (const folder of folders) renameSync(folder, `${folder}.kept`)
      try {
        for (const [host, days] of [
          [a1, 30],
          [b1, -1],
        ] as const)
          writePkiFolder(pkiFolder(testRoot, name, host), authority.sign(host, [`IP:${addresses.get(host)}`], days))
        await refused(begin(open(a1), open(b1, { tls: {} })), 'target-unfit', /expired/, /renew the certificate/)
      } finally {
        for (const folder of folders) {
          rmSync(folder, { recursive: true, force: true })
          renameSync(`${folder}.kept`, folder)
        }
      }
    })
  })

  describe('at the source', () => {
    test('who may only read may not migrate', async () => {
      const socket = join(libvirtFolder(testRoot, name, a1), 'run', 'libvirt-sock-ro')
      const source = open(a1, { uri: `qemu+unix:///system?socket=${socket}` })
      await refused(begin(source, open(b1)), 'cannot-move', /a-1 does not let this user/, /a uri that may write/)
    })

    test('a compression that this libvirt does not know is refused before anything is begun', async () => {
      const [source, target] = [open(a1), open(b1)]
      await source.facts(soon())
      const unknown = (['zstd', 'zlib'] as const satisfies readonly Compression[]).find(
        each => !source.capabilities.atStart.compression.includes(each),
      )
      if (unknown === undefined) return
      await refused(
        begin(source, target, { ...plainStart, compression: unknown }),
        'target-unfit',
        /b-1: libvirt .* does not/,
      )
    })
  })

  /** There and back again, so that the next begins where this one did. */
  describe('what is chosen at the start', () => {
    const chosen = {
      'several connections, and auto-converge with its first and further steps': {
        channels: 3,
        autoConverge: true,
        throttle: { initial: fraction(0.4), step: fraction(0.2) },
      },
      'differences of pages': { compression: 'xbzrle' },
    } as const satisfies Readonly<Record<string, Partial<StartOptions>>>
    let [source, target] = [a1, b1]
    for (const [what, options] of Object.entries(chosen))
      test(what, async () => {
        const sides = { source: open(source), target: open(target, { tls: {} }) }
        await begin(sides.source, sides.target, { ...plainStart, ...options }, 'unlimited')
        assert.ok((await until(sides.source, 'completed')).sent > mebibytes(30))
        await finish(sides, vm, clock, soon())
        await retire(sides, vm, undefined, soon())
        ;[source, target] = [target, source]
      })
  })

  /** As `kill -9` and a service manager do. */
  async function restartDaemon(host: HostId): Promise<void> {
    const pid = Number(readFileSync(join(libvirtFolder(testRoot, name, host), 'run', 'libvirtd.pid'), 'utf8'))
    const startTime = startTimeOf(pid)
    assert.ok(startTime !== undefined)
    await endProcesses([{ pid, startTime, what: 'libvirtd' }], clock, soon())
    await startDaemon(testRoot, spec, host, soon())
    await waitForDaemon(testRoot, spec, host, clock, soon())
  }

  test('a target whose daemon is restarted in mid-migration costs an attempt: the guest goes on at home', async () => {
    const [source, target] = [open(a1), open(b1)]
    await begin(source, target)
    await until(source, 'active')
    await restartDaemon(b1)
    const { error } = await until(source, 'failed')
    assert.match(error ?? '', /connection|closed|remote/i)
    await rollBack({ source, target }, vm, soon())
    await isAtHome()
    assert.ok(await livesOn(lab, vm))
  })

  test('an evacuation whose source’s daemon is restarted, and one of whose VMs is ended meanwhile, tells of both as they are', async () => {
    const args = [
      '--config',
      lab.config,
      'evacuate',
      'a',
      '--to',
      'b',
      '--yes',
      '-o',
      'json',
      '--policy',
      'sequential',
      '--bandwidth',
      '64Mbit/s',
    ]
    const run = startLifeboat(args)
    await run.saw(/memory flows/)
    const libvirt = await connectTo(testRoot, spec, a1, soon())
    const { dom } = await libvirt.call('domainLookupByName', { name: other }, soon())
    await libvirt.call('domainDestroyFlags', { dom, flags: 0 }, soon())
    await libvirt.call('domainUndefineFlags', { dom, flags: 0 }, soon())
    await libvirt.close()
    await restartDaemon(a1)
    const { stdout, stderr } = await run.done
    const { vms } = reportFrom(stdout)
    const [moved, ended] = [vm, other].map(id => vms.find(each => each.vm === id))
    assert.equal(moved?.outcome, 'safe', stderr)
    assert.equal(moved?.target, b1)
    // Ended before its turn it is not found; while its target was made ready, it is gone when both are asked.
    assert.equal(ended?.outcome, 'lost')
    assert.match(
      JSON.stringify(ended),
      /not-there: it does not run at a-1 any more|gone and the target does not have it/,
    )
    assert.ok(await livesOn(lab, vm))
    const life = lab.life.report(Number.POSITIVE_INFINITY).find(guest => guest.vm === vm)
    assert.deepEqual([life?.verdict, life?.repeated, life?.missing, life?.host], ['alive', 0, 0, b1])
  })

  /**
   * QEMU 7.2 as a target may wait for a page of the broken link in the very thread that answers libvirt, which has no way around it: such
   * a guest can be joined by nobody, and both sides go on saying so.
   */
  test('post-copy whose connections broke is joined again, or both sides say that it is broken', async () => {
    // Where the evacuation took it to.
    const sides = { source: open(b1), target: open(a1) }
    const { source, target } = sides
    await begin(source, target, { ...plainStart, postCopy: true })
    await until(source, 'active')
    await source.startPostCopy(vm, soon())
    await until(source, 'post-copy')
    await runSplit(sides, vm, soon())
    await clock.sleep(ms(1_500), soon())
    for (const host of [a1, b1])
      execFileSync('ip', ['netns', 'exec', hostNamespace(name, host), 'ss', '-K', '-t', 'state', 'established'])
    await until(source, 'post-copy-broken')
    const joined = await source.rejoin(vm, await target.reopen(vm, soon()), AbortSignal.timeout(15_000)).then(
      () => true,
      () => false,
    )
    if (!joined) {
      const [there, here] = [await source.presence(vm, soon()), await target.presence(vm, soon())]
      assert.deepEqual(there, { state: 'split', broken: true })
      assert.ok(here.state === 'unreachable' || (here.state === 'split' && here.broken))
      return
    }
    await source.adjust(vm, { rate: undefined }, soon())
    await until(source, 'completed')
    await finish(sides, vm, clock, soon())
    await retire(sides, vm, undefined, soon())
    assert.ok(await livesOn(lab, vm))
  })
})
