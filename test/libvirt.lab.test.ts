/**
 * The libvirt client against the real thing: a private libvirtd with its `test:///` driver, over every transport; and each way in which
 * a connection fails, as the sentence an operator reads.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ms } from '../src/core/units.ts'
import { realClock } from '../src/engine/real-clock.ts'
import {
  type ArgsOf,
  type Domain,
  errorCode,
  LibvirtCallError,
  LibvirtClient,
  LibvirtConnectError,
  type LibvirtEvent,
  LibvirtInterrupted,
  LibvirtProtocolError,
  param,
  paramsByName,
  type ProcedureName,
  procedures,
} from '../src/libvirt/public.ts'
import { poll } from '../src/time/with-deadline.ts'
import { type Authority, newAuthority, pkiFolder } from '../src/lab/certificates.ts'
import { freePort, type PrivateLibvirtd, startLibvirtd, whyNoLibvirtd } from './libvirt-private-daemon.ts'
import { newKey, type PrivateSshd, startSshd } from './libvirt-private-sshd.ts'

const soon = (): AbortSignal => AbortSignal.timeout(10_000)
const clock = realClock()
const flags = 0

async function domainsOf(client: LibvirtClient): Promise<readonly Domain[]> {
  return (await client.call('connectListAllDomains', { needResults: true, flags }, soon())).domains
}
/** A domain of the test driver's default host. */
async function theDomain(client: LibvirtClient): Promise<Domain> {
  const [dom] = await domainsOf(client)
  assert.ok(dom !== undefined)
  return dom
}
/** Why a URI could not be connected to. */
async function failure(uri: string, signal = soon()): Promise<string> {
  try {
    const client = await LibvirtClient.connect(uri, {}, signal)
    await client.close()
  } catch (error) {
    assert.ok(error instanceof LibvirtConnectError || error instanceof LibvirtProtocolError, String(error))
    assert.ok(error.message.startsWith(`${uri}: `), error.message)
    return error.message
  }
  throw new assert.AssertionError({ message: `${uri} was connected to` })
}
/** It is let in, calls, and leaves. */
async function works(uri: string): Promise<void> {
  await using client = await LibvirtClient.connect(uri, {}, soon())
  assert.deepEqual(
    (await domainsOf(client)).map(({ name }) => name),
    ['test'],
  )
  const { hostname } = await client.call('connectGetHostname', undefined, soon())
  assert.equal(hostname, spawnSync('hostname', { encoding: 'utf8' }).stdout.trim())
}

describe('libvirtd', { skip: whyNoLibvirtd('openssl') ?? false, timeout: 60_000 }, () => {
  let dir = ''
  let authority: Authority
  let daemon: PrivateLibvirtd
  let unix = ''
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-libvirt-'))
    authority = newAuthority(dir, 'the authority')
    const tls = authority.sign('the daemon', ['DNS:localhost'], 30)
    daemon = await startLibvirtd({ tls, settings: ['keepalive_interval = 1', 'keepalive_count = 2'] }, soon())
    unix = `test+unix:///default?socket=${daemon.socket}`
  })
  after(async () => {
    await daemon?.[Symbol.asyncDispose]()
    rmSync(dir, { recursive: true, force: true })
  })

  describe('over its unix socket', () => {
    test('lists, looks up, reads and changes domains', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      const dom = await theDomain(client)
      assert.deepEqual([dom.name, dom.uuid.length, dom.id], ['test', 16, 1])
      const call = <P extends ProcedureName>(name: P, args: ArgsOf<P>) => client.call(name, args, soon())
      assert.deepEqual((await call('domainLookupByName', { name: 'test' })).dom, dom)
      assert.deepEqual((await call('domainLookupByUuid', { uuid: dom.uuid })).dom, dom)
      assert.deepEqual(await call('domainGetState', { dom, flags }), { state: 1, reason: 0 })
      const info = await call('domainGetInfo', { dom })
      assert.equal(typeof info.cpuTime, 'bigint')
      assert.deepEqual([info.state, info.maxMemory, info.memory, info.cpus], [1, 8_388_608, 2_097_152, 2])
      assert.match((await call('domainGetXmlDesc', { dom, flags })).xml, /<domain type='test' id='1'>/)
      assert.deepEqual(await call('domainIsPersistent', { dom }), { persistent: true })
      await call('domainSetAutostart', { dom, autostart: true })
      assert.deepEqual(await call('domainGetAutostart', { dom }), { autostart: true })
      const uri = 'https://lifeboat.example/1'
      const metadata = { dom, type: 2, metadata: '<policy value="7"/>', key: 'lifeboat', uri, flags }
      await assert.rejects(call('domainSetMetadata', { ...metadata, metadata: '<not XML' }), LibvirtCallError)
      await call('domainSetMetadata', metadata)
      const read = await call('domainGetMetadata', { dom, type: 2, uri, flags })
      assert.match(read.metadata, /policy value="7"/)
      await assert.rejects(
        call('domainGetMetadata', { dom, type: 2, uri: 'urn:none', flags }),
        (error: unknown) => error instanceof LibvirtCallError && error.code === errorCode.noDomainMetadata,
      )
    })

    test('knows its host, its versions, its pools and networks', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      const call = <P extends ProcedureName>(name: P, args: ArgsOf<P>) => client.call(name, args, soon())
      assert.deepEqual(await call('connectGetType', undefined), { type: 'TEST' })
      const node = await call('nodeGetInfo', undefined)
      const { model, ...numbers } = node
      assert.equal(String.fromCharCode(...model).replaceAll('\0', ''), 'i686')
      assert.deepEqual(numbers, { memory: 3_145_728, cpus: 16, mhz: 1400, nodes: 2, sockets: 2, cores: 2, threads: 2 })
      assert.match((await call('connectGetCapabilities', undefined)).capabilities, /<capabilities>/)
      const said = spawnSync('libvirtd', ['--version'], { encoding: 'utf8' }).stdout
      const { version } = await call('connectGetLibVersion', undefined)
      const parts = [Math.floor(version / 1e6), Math.floor(version / 1e3) % 1e3, version % 1e3]
      assert.ok(said.includes(parts.join('.')), `${said} is not ${version}`)
      const list = { needResults: true, flags }
      const [pool] = (await call('connectListAllStoragePools', list)).pools
      assert.equal(pool?.name, 'default-pool')
      assert.ok((await call('storagePoolGetInfo', { pool })).capacity > 0)
      assert.match((await call('storagePoolGetXmlDesc', { pool, flags })).xml, /<target>/)
      const xml = '<volume><name>disk.img</name><capacity>1048576</capacity></volume>'
      const { vol } = await call('storageVolCreateXml', { pool, xml, flags })
      assert.deepEqual([vol.pool, vol.name], ['default-pool', 'disk.img'])
      assert.deepEqual(await call('storageVolLookupByPath', { path: vol.key }), { vol })
      assert.equal((await call('storageVolGetInfo', { vol })).capacity, 1_048_576)
      await call('storageVolDelete', { vol, flags })
      const [network] = (await call('connectListAllNetworks', list)).networks
      assert.equal(network?.name, 'default')
      assert.deepEqual((await call('networkLookupByName', { name: 'default' })).network, network)
    })

    test('understands the arguments of every procedure in the table', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      const dom: Domain = { name: 'none', uuid: Buffer.alloc(16, 9), id: -1 }
      const pool = { name: 'none', uuid: dom.uuid }
      const vol = { pool: 'none', name: 'none', key: '/none' }
      const [name, xml, path] = ['none', '<none/>', '/none']
      const all = { emulator: undefined, arch: undefined, machine: undefined, virttype: undefined, flags }
      const everything: { readonly [P in ProcedureName]?: ArgsOf<P> } = {
        connectGetType: undefined,
        connectGetVersion: undefined,
        connectGetHostname: undefined,
        connectSupportsFeature: { feature: 4 },
        connectGetDomainCapabilities: all,
        connectCompareHypervisorCpu: { ...all, xmlCpu: '<cpu/>' },
        connectGetAllDomainStats: { doms: [dom], stats: 0, flags },
        connectDomainEventCallbackDeregisterAny: { callbackId: 99 },
        nodeGetFreeMemory: undefined,
        domainResume: { dom },
        domainSuspend: { dom },
        domainAbortJob: { dom },
        domainMigrateSetMaxDowntime: { dom, downtime: 300, flags },
        domainMigrateSetMaxSpeed: { dom, bandwidth: 10, flags },
        domainMigrateStartPostCopy: { dom, flags },
        domainStartDirtyRateCalc: { dom, seconds: 1, flags },
        domainGetBlockInfo: { dom, path, flags },
        domainGetJobStats: { dom, flags },
        domainCreateWithFlags: { dom, flags },
        domainUndefineFlags: { dom, flags },
        domainDestroyFlags: { dom, flags },
        domainDefineXmlFlags: { xml, flags },
        domainMigratePerform3Params: {
          dom,
          dconnuri: 'qemu+tcp://other/system',
          params: [
            param.string('migrate_uri', 'tcp://x'),
            param.ullong('bandwidth', 10),
            param.int('parallel.connections', 2),
          ],
          cookieIn: Buffer.of(1, 2, 3),
          flags: 3,
        },
        storagePoolRefresh: { pool, flags },
        storagePoolLookupByName: { name },
        storagePoolLookupByTargetPath: { path },
        storageVolCreateXml: { pool, xml, flags },
        storageVolDelete: { vol, flags },
        storageVolLookupByPath: { path },
      }
      for (const [procedure, args] of Object.entries(everything) as unknown as readonly [ProcedureName, never][]) {
        await client.call(procedure, args, soon()).catch((error: unknown) => {
          assert.ok(error instanceof LibvirtCallError, `${procedure}: ${String(error)}`)
          // What it says of a body that it cannot decode.
          assert.ok(error.code !== errorCode.rpc, error.message)
        })
      }
      assert.equal(client.runstate, 'running')
      assert.ok(Object.keys(procedures).length > 50)
    })

    test('statistics of all domains come as typed parameters', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      const { records } = await client.call('connectGetAllDomainStats', { doms: [], stats: 0, flags }, soon())
      assert.equal(records[0]?.dom.name, 'test')
      assert.equal(paramsByName(records[0].params).get('state.state'), 1)
    })

    test('what it refuses has its code and its words', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      await assert.rejects(client.call('domainLookupByName', { name: 'moo' }, soon()), (error: unknown) => {
        assert.ok(error instanceof LibvirtCallError)
        assert.deepEqual([error.code, error.procedure], [errorCode.noDomain, 'domainLookupByName'])
        assert.match(error.message, /^domainLookupByName: Domain not found/)
        return true
      })
      await works(unix)
    })

    test('ten thousand calls, as many at a time as may be, are all answered', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      const dom = await theDomain(client)
      const signal = soon()
      let left = 10_000
      let running = 0
      const worker = async (): Promise<void> => {
        while (left > 0) {
          left -= 1
          if ((await client.call('domainGetState', { dom, flags }, signal)).state === 1) running += 1
        }
      }
      await Promise.all(Array.from({ length: 1_000 }, worker))
      assert.equal(running, 10_000)
      assert.deepEqual([client.stats.lateReplies, client.stats.unknownReplies], [0, 0])
    })

    test('suspend, resume, destroy are seen as events, by each client that watches', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      await using other = await LibvirtClient.connect(unix, {}, soon())
      const enough = new AbortController()
      const collect = async (events: AsyncIterable<LibvirtEvent>): Promise<readonly string[]> => {
        const seen: string[] = []
        for await (const event of events) {
          if (event.event === 'lifecycle') seen.push(`${event.dom.name} ${event.kind} ${event.detail}`)
          if (seen.length === 4) enough.abort()
        }
        return seen
      }
      const seen = [client, other].map(each => collect(each.events(soon())))
      await Promise.all([client, other].map(each => each.watch(['lifecycle'], soon())))
      const dom = await theDomain(client)
      await client.call('domainSuspend', { dom }, soon())
      await client.call('domainResume', { dom }, soon())
      await client.call('domainDestroyFlags', { dom, flags }, soon())
      const { dom: started } = await client.call('domainCreateWithFlags', { dom, flags }, soon())
      assert.equal(started.name, 'test')
      await domainsOf(other) // what was sent before this reply has arrived with it
      await Promise.all([client.close(), other.close()])
      // include/libvirt/libvirt-domain.h: suspended 3, resumed 4, stopped 5 (destroyed 1), started 2 (booted 0).
      const expected = ['test 3 0', 'test 4 0', 'test 5 1', 'test 2 0']
      assert.deepEqual(await Promise.all(seen), [expected, expected])
    })

    test('a daemon that asks whether we live is answered, and keeps the connection', async () => {
      await using client = await LibvirtClient.connect(unix, {}, soon())
      // src/driver.h, VIR_DRV_FEATURE_PROGRAM_KEEPALIVE: who asks for it is pinged from then on, here every second, and dropped after two.
      const { supported } = await client.call('connectSupportsFeature', { feature: 10 }, soon())
      assert.equal(supported, true)
      await poll(clock, ms(50), soon(), async () => (client.stats.pings >= 4 ? true : undefined))
      assert.equal((await theDomain(client)).name, 'test')
    })

    test('leaving leaves no broken connection in the daemon’s log', async () => {
      const broken = (): number => daemon.log().split('End of file while reading data').length
      const before = broken()
      for (let n = 0; n < 3; n += 1) await works(unix)
      assert.equal(broken(), before)
      const rude = await LibvirtClient.connect(unix, {}, soon())
      await rude.close(AbortSignal.abort())
      await poll(clock, ms(20), soon(), async () => (broken() === before + 1 ? true : undefined))
    })

    test('a driver it does not have, and a socket that is not there, are said', async () => {
      const other = await failure(`qemu+unix:///system?socket=${daemon.socket}`)
      assert.match(other, /the daemon refuses: no connection driver available for qemu:\/\/\/system/)
      const none = await failure(`test+unix:///default?socket=${daemon.socket}-none`)
      assert.match(none, /ENOENT.*\nis libvirtd \(or virtqemud\) running/)
    })

    test('a user who may not use it is told what to do', { skip: spawnSync('id', ['nobody']).status !== 0 }, () => {
      const program = `import { LibvirtClient } from '${new URL('../src/libvirt/public.ts', import.meta.url).pathname}'
        process.setgroups([]); process.setgid(65534); process.setuid(65534)
        LibvirtClient.connect('${unix}', {}, AbortSignal.timeout(2000)).catch(error => console.log(error.name + ': ' + error.message))`
      const run = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' })
      assert.match(run.stdout, /^LibvirtConnectError: test\+unix.*EACCES.*\nbe root, or join the group/, run.stderr)
    })
  })

  describe('over TCP', () => {
    test('it works, and a port of nobody is said', async () => {
      await works(`test+tcp://127.0.0.1:${daemon.tcpPort}/default`)
      await works(`test+tcp://localhost:${daemon.tcpPort}/default`)
      assert.match(
        await failure(`test+tcp://127.0.0.1:${await freePort()}/default`),
        /ECONNREFUSED.*\nis libvirtd running there and listening/,
      )
    })

    test('a port that speaks TLS, and one that speaks ssh, are no libvirtd', async () => {
      const tls = await failure(`test+tcp://127.0.0.1:${daemon.tlsPort}/default`, AbortSignal.timeout(5_000))
      assert.match(tls, /ended while it was opened|not libvirt's protocol/)
      await using banner = await speaker('SSH-2.0-OpenSSH_9.2p1\r\n')
      assert.match(await failure(`test+tcp://127.0.0.1:${banner.port}/default`), /not libvirt's protocol: a message of/)
    })
  })

  describe('over TLS', () => {
    const at = (host: string, port: number, pki: string, more = ''): string =>
      `test+tls://${host}:${port}/default?pkipath=${pki}${more}`
    let good = ''
    let client: ReturnType<Authority['sign']>
    before(() => {
      client = authority.sign('a client', [], 30)
      good = pkiFolder(dir, 'good', authority.cert, client)
    })

    test('the right certificates are let in', async () => works(at('localhost', daemon.tlsPort, good)))

    test('a name that is not in the daemon’s certificate is refused; no_verify=1 is let in', async () => {
      assert.match(
        await failure(at('127.0.0.1', daemon.tlsPort, good)),
        /TLS: .*(altnames|does not match).*\nuse a name that is in the daemon's certificate/s,
      )
      await works(at('127.0.0.1', daemon.tlsPort, good, '&no_verify=1'))
    })

    test('an authority that is not ours is refused; no_verify=1 is let in', async () => {
      const stranger = newAuthority(dir, 'a stranger')
      const pki = pkiFolder(dir, 'stranger', stranger.cert, client)
      assert.match(
        await failure(at('localhost', daemon.tlsPort, pki)),
        /TLS: .*certificate.*\nthe authority that signed the daemon's certificate is not the one in cacert.pem/,
      )
      await works(at('localhost', daemon.tlsPort, pki, '&no_verify=1'))
    })

    test('a client’s certificate the daemon does not trust, and none, are refused by it', async () => {
      const stranger = newAuthority(dir, 'another stranger')
      const untrusted = pkiFolder(dir, 'untrusted', authority.cert, stranger.sign('somebody', [], 30))
      assert.match(
        await failure(at('localhost', daemon.tlsPort, untrusted)),
        /the daemon did not accept our certificate: .*\nis it signed by an authority the daemon trusts/,
      )
      const expired = pkiFolder(dir, 'expired', authority.cert, authority.sign('a client of old', [], -1))
      assert.match(
        await failure(at('localhost', daemon.tlsPort, expired)),
        /did not accept our certificate.*not expired/s,
      )
      const none = pkiFolder(dir, 'none', authority.cert, undefined)
      assert.match(
        await failure(at('localhost', daemon.tlsPort, none)),
        /the daemon did not accept our certificate: .*\nthere is none: it is looked for at .*clientcert.pem and .*clientkey.pem/,
      )
    })

    test('files that are missing are named', async () => {
      const empty = join(dir, 'empty')
      mkdirSync(empty)
      assert.match(
        await failure(at('localhost', daemon.tlsPort, empty)),
        /no certificate of an authority.*empty\/cacert\.pem/,
      )
    })

    test('a certificate that is over is refused; no_verify=1 is let in', async () => {
      const tls = authority.sign('the daemon of old', ['DNS:localhost'], -1)
      await using old = await startLibvirtd({ tls }, soon())
      assert.match(
        await failure(at('localhost', old.tlsPort, good)),
        /TLS: certificate has expired\nrenew the daemon's certificate, and compare the clocks/,
      )
      await works(at('localhost', old.tlsPort, good, '&no_verify=1'))
    })

    test('a daemon that does not check its clients needs no certificate of ours', async () => {
      const tls = authority.sign('an open daemon', ['DNS:localhost', 'IP:127.0.0.1'], 30)
      await using open = await startLibvirtd({ tls, settings: ['tls_no_verify_certificate = 1'] }, soon())
      const none = pkiFolder(dir, 'just-ca', authority.cert, undefined)
      await works(at('localhost', open.tlsPort, none))
      await works(at('127.0.0.1', open.tlsPort, none))
    })

    test('calls that are asked at once are answered at once', async () => {
      // Not when the first keepalive message wakes the daemon up.
      await using client = await LibvirtClient.connect(
        at('localhost', daemon.tlsPort, good),
        { keepalive: false },
        soon(),
      )
      const asked = Array.from({ length: 20 }, () => client.call('connectGetLibVersion', undefined, soon()))
      assert.equal(new Set((await Promise.all(asked)).map(({ version }) => version)).size, 1)
    })

    test('a port that does not speak TLS, and one of nobody, are said', async () => {
      assert.match(
        await failure(at('localhost', daemon.tcpPort, good), AbortSignal.timeout(5_000)),
        /TLS: .*\ndoes libvirtd speak TLS/,
      )
      assert.match(
        await failure(at('localhost', await freePort(), good)),
        /TLS: .*\nis libvirtd running there and listening/s,
      )
    })
  })

  describe('over ssh', { skip: whyNoLibvirtd('ssh', 'sshd', 'ssh-keygen', 'virt-ssh-helper', 'nc') ?? false }, () => {
    let helped: PrivateSshd
    let helpless: PrivateSshd
    before(async () => {
      helped = await startSshd(daemon, undefined, soon())
      helpless = await startSshd(daemon, 'virt-ssh-helper', soon())
    })
    after(async () => {
      await helped?.[Symbol.asyncDispose]()
      await helpless?.[Symbol.asyncDispose]()
    })
    const to = (
      sshd: PrivateSshd,
      change: {
        readonly keyfile?: string
        readonly known?: string
        readonly port?: number
        readonly more?: string
      } = {},
    ): string =>
      `test+ssh://root@127.0.0.1:${change.port ?? sshd.port}/default?keyfile=${change.keyfile ?? sshd.keyfile}&known_hosts=${change.known ?? sshd.knownHosts}${change.more ?? ''}`
    const namespaceOf = (pid: string | number | undefined): string | undefined => {
      try {
        return readlinkSync(`/proc/${pid}/ns/mnt`)
      } catch {
        return undefined // it has ended meanwhile
      }
    }
    /** Programs that serve a connection at the other end, of these two and nobody else's. */
    const serving = (): readonly string[] => {
      const ours = [helped, helpless].map(({ process }) => namespaceOf(process.pid))
      return spawnSync('pgrep', ['-x', 'virt-ssh-helper|nc'], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter(pid => pid !== '' && ours.includes(namespaceOf(pid)))
    }

    test('with virt-ssh-helper, and with a netcat where that is missing or a socket is named', async () => {
      await works(to(helped))
      await works(to(helped, { more: '&mode=legacy' }))
      await works(to(helped, { more: '&proxy=native' }))
      await works(to(helpless))
      await works(to(helped, { more: '&proxy=netcat' }))
      await works(to(helped, { more: '&netcat=nc&socket=/run/libvirt/libvirt-sock' }))
    })

    test('an event and many calls come through it', async () => {
      await using client = await LibvirtClient.connect(to(helped), {}, soon())
      const events = client.events(soon())[Symbol.asyncIterator]()
      await client.watch(['lifecycle'], soon())
      const dom = await theDomain(client)
      await Promise.all(Array.from({ length: 500 }, () => client.call('domainGetXmlDesc', { dom, flags }, soon())))
      await client.call('domainSuspend', { dom }, soon())
      await client.call('domainResume', { dom }, soon())
      const { value } = await events.next()
      assert.equal(value?.event, 'lifecycle')
    })

    test('leaving leaves nobody behind at the other end', async () => {
      for (const uri of [to(helped), to(helpless)]) {
        const client = await LibvirtClient.connect(uri, {}, soon())
        await theDomain(client)
        assert.equal(serving().length, 1)
        await client.close()
        await poll(clock, ms(20), soon(), async () => (serving().length === 0 ? true : undefined))
      }
    })

    test('a host key that is not the known one is refused; no_verify=1 is let in', async () => {
      const known = join(dir, 'other_hosts')
      writeFileSync(known, `[127.0.0.1]:${helped.port} ${newKey(join(dir, 'other-host'))}\n`)
      assert.match(
        await failure(to(helped, { known })),
        /ssh ended with code 255: .*Host key verification failed\.\n.*ssh-keygen -R/,
      )
      const unknown = join(dir, 'no_hosts')
      writeFileSync(unknown, '')
      assert.match(await failure(to(helped, { known: unknown })), /Host key verification failed/)
      await works(`test+ssh://root@127.0.0.1:${helped.port}/default?keyfile=${helped.keyfile}&no_verify=1`)
    })

    test('a key that is not let in, and one that is not there, are said', async () => {
      const keyfile = join(dir, 'other-user')
      newKey(keyfile)
      const expected = /ssh ended with code 255: .*Permission denied \(publickey\)\.\ngive the right user .* and key/
      assert.match(await failure(to(helped, { keyfile })), expected)
      assert.match(await failure(to(helped, { keyfile: join(dir, 'no-such-key') })), expected)
    })

    test('a host where nobody listens, and one whose name is none, are said', async () => {
      const port = await freePort()
      assert.match(await failure(to(helped, { port })), /Connection refused\nis sshd running there, on this port\?/)
      assert.match(
        await failure('test+ssh://no-such-host.invalid/default'),
        /Could not resolve hostname.*\nis the name right/,
      )
    })

    test('a host that accepts and says nothing is given up with the signal, and ssh with it', async () => {
      await using mute = await speaker('')
      const signal = AbortSignal.timeout(300)
      await assert.rejects(
        LibvirtClient.connect(to(helped, { port: mute.port }), {}, signal),
        error => error === signal.reason,
      )
      await poll(clock, ms(20), soon(), async () =>
        spawnSync('pgrep', ['-f', `^ssh .*-p ${mute.port} `]).status === 1 ? true : undefined,
      )
    })

    test('no daemon at the other end is said, with the helper and without', async () => {
      const direct = '&mode=direct'
      assert.match(
        await failure(to(helpless, { more: direct })),
        /ssh ended with code 1: no libvirt socket at \/run\/libvirt\/virttestd-sock\nis libvirtd/,
      )
      assert.match(await failure(to(helped, { more: '&netcat=no-such-netcat' })), /not found\ninstall virt-ssh-helper/)
      assert.match(
        await failure(to(helpless, { more: '&proxy=native' })),
        /virt-ssh-helper.*\n(install virt-ssh-helper|may this user)/,
      )
    })

    test('ssh that is killed in mid-call leaves the outcome unknown', async () => {
      const client = await LibvirtClient.connect(to(helped), {}, soon())
      daemon.process.kill('SIGSTOP')
      try {
        const pending = assert.rejects(client.call('connectGetHostname', undefined, soon()), (error: unknown) => {
          assert.ok(error instanceof LibvirtInterrupted, String(error))
          assert.match(error.message, /the outcome is unknown: test\+ssh.*ssh ended with/)
          return true
        })
        const [helper] = serving()
        process.kill(Number(helper), 'SIGKILL')
        await pending
      } finally {
        daemon.process.kill('SIGCONT')
      }
      assert.equal(client.runstate, 'idle')
    })
  })

  describe('that goes away', () => {
    test('killed in mid-call: LibvirtInterrupted, events end, and a new one can be connected to', async () => {
      await using mortal = await startLibvirtd({}, soon())
      const uri = `test+unix:///default?socket=${mortal.socket}`
      const client = await LibvirtClient.connect(uri, {}, soon())
      const events = client.events(soon())[Symbol.asyncIterator]().next()
      const dom = await theDomain(client)
      // Stopped first, so that it cannot answer before it dies.
      mortal.process.kill('SIGSTOP')
      const pending = ['domainSuspend', 'domainResume'].map(name =>
        assert.rejects(client.call(name as 'domainSuspend', { dom }, soon()), (error: unknown) => {
          assert.ok(error instanceof LibvirtInterrupted, String(error))
          assert.match(error.message, new RegExp(`^${name}: .*the outcome is unknown`))
          return true
        }),
      )
      await sleep(20)
      mortal.process.kill('SIGKILL')
      await Promise.all(pending)
      assert.equal((await events).done, true)
      assert.equal(client.runstate, 'idle')
      assert.match((await client.ended).message, /closed the connection|ECONNRESET|EPIPE/)
      if (mortal.process.signalCode === null) await once(mortal.process, 'exit', { signal: soon() })
      assert.match(await failure(uri), /ECONNREFUSED|ENOENT/)
    })

    test('SASL, really asked for, is said', async () => {
      await using asking = await startLibvirtd({ authTcp: 'sasl' }, soon())
      assert.match(
        await failure(`test+tcp://127.0.0.1:${asking.tcpPort}/default`),
        /wants authentication SASL, which Lifeboat does not speak/,
      )
    })
  })
})

/** A port that says this to who connects, and no more. */
async function speaker(words: string): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.resume().write(words)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}
