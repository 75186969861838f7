/** What commands on a host tell, by a real shell on this machine, and by remotes that answer as told. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { instant } from '../core/instant.ts'
import { sampleHost, sampleSystem, sampleVm } from '../core/preflight/sample-profiles.ts'
import { localRemote } from '../remote/local.ts'
import { CommandUnavailable, HostUnreachable, type Remote, type RunResult } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { filesSeen } from './probe-files.ts'
import { probeLinks } from './probe-links.ts'
import { listenerPort, openListener } from './probe-listener.ts'
import { probeSystem } from './probe-system.ts'

const soon = () => AbortSignal.timeout(20_000)
const clockAt = (times: readonly number[]): Clock => {
  let at = 0
  return {
    now: () => instant(times[Math.min(at++, times.length - 1)] ?? 0),
    sleep: (span, signal) => sleep(span, undefined, { signal }),
  }
}
const wall: Clock = { now: () => instant(Date.now()), sleep: (span, signal) => sleep(span, undefined, { signal }) }
const answering = (answer: (argv: readonly string[], stdin: string) => Partial<RunResult>): Remote => ({
  where: 'a host of the test',
  run: (argv, { stdin = '' }) => Promise.resolve({ code: 0, stdout: '', stderr: '', ...answer(argv, String(stdin)) }),
  start: () => Promise.reject(new Error('not here')),
  connectUnix: () => Promise.reject(new Error('not here')),
  close: () => Promise.resolve(),
})

describe('the system', () => {
  test('of this machine', async () => {
    const seen = await probeSystem(localRemote, '', wall, soon())
    assert.ok(seen.system !== undefined)
    assert.ok(seen.system.hostname.length > 0)
    assert.ok((seen.interfaces ?? []).includes('lo'))
    assert.match(seen.kernel ?? '', /^\d+\.\d+/)
    assert.equal(seen.system.root, process.getuid?.() === 0)
    assert.ok(Math.abs(seen.system.clockAhead ?? Number.NaN) < 1_000)
    assert.ok(seen.system.clockWithin < 2_000)
    assert.ok((seen.system.tcpUnsentMost ?? 0) > 0)
    assert.ok((seen.system.tcpBufferMost ?? 0) > 0)
  })

  test('its clock is compared with the middle of the shortest round trip', async () => {
    const dates = ['1000.100\n', '1000.900\n', '1001.500\n']
    const remote = answering(argv =>
      argv[0] === 'date' ? { stdout: dates.shift() ?? '' } : { stdout: 'hostname far\nroot 0\nresolves yes\ntook 3\n' },
    )
    // Round trips of 400, 100 and 600 ms.
    const clock = clockAt([900_000, 900_400, 901_000, 901_100, 902_000, 902_600])
    const { system } = await probeSystem(remote, '', clock, soon())
    assert.equal(system?.clockWithin, 50)
    assert.equal(system?.clockAhead, 1_000_900 - 901_050)
  })

  test('what it says is read line by line', async () => {
    const lines = [
      'kernel 6.1',
      'hostname far',
      'root 1000',
      'tcp_notsent_lowat -1',
      'tcp_wmem 4096\t16384\t4194304',
      'interface br0',
      'interface lo',
      'resolves no',
      'took 5012',
      'migration expired /etc/pki/qemu/server-cert.pem',
      'a line of somebody’s profile',
    ]
    const remote = answering(argv => ({ stdout: argv[0] === 'date' ? 'no clock' : lines.join('\n') }))
    const { system, kernel, interfaces } = await probeSystem(remote, '', wall, soon())
    assert.deepEqual(
      { ...system, clockWithin: 0 },
      {
        hostname: 'far',
        nameTook: 5012,
        nameResolves: false,
        clockAhead: undefined,
        clockWithin: 0,
        root: false,
        tcpUnsentMost: 4_294_967_295,
        tcpBufferMost: 4_194_304,
        migrationTls: { state: 'expired', file: '/etc/pki/qemu/server-cert.pem' },
        clientTls: { state: 'none' },
      },
    )
    assert.equal(kernel, '6.1')
    assert.deepEqual(interfaces, ['br0', 'lo'])
  })

  test('a kernel that does not tell what may stand unsent', async () => {
    const remote = answering(() => ({ stdout: 'hostname far\ntcp_notsent_lowat \ntcp_wmem \n' }))
    const { system } = await probeSystem(remote, '', wall, soon())
    assert.deepEqual([system?.tcpUnsentMost, system?.tcpBufferMost], [undefined, undefined])
  })

  test('a host without a shell is one of which less is known', async () => {
    const none = await probeSystem(undefined, 'its uri reaches its daemon by tcp', wall, soon())
    assert.deepEqual([none.system, none.systemUnknown], [undefined, 'its uri reaches its daemon by tcp'])
    const gone: Remote = {
      ...answering(() => ({})),
      run: () => Promise.reject(new HostUnreachable('far over ssh: Permission denied')),
    }
    assert.match((await probeSystem(gone, '', wall, soon())).systemUnknown, /Permission denied/)
    const odd = answering(() => ({ code: 1, stderr: 'This account is currently not available.\n' }))
    assert.match((await probeSystem(odd, '', wall, soon())).systemUnknown, /ended with 1: This account/)
  })

  test('an abort is no answer', async () => {
    const stopped = AbortSignal.abort(new Error('stop'))
    await assert.rejects(probeSystem(localRemote, '', wall, stopped), /stop/)
  })
})

test('files that are there, and those that are not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-files-'))
  try {
    const there = join(folder, "it's a $(name)")
    writeFileSync(there, '')
    const vm = sampleVm('web-1', {
      files: [
        { what: 'kernel', path: there },
        { what: 'initrd', path: join(folder, 'none') },
      ],
    })
    const seen = await filesSeen(localRemote, [vm], soon())
    assert.deepEqual([...seen.present], [there])
    assert.deepEqual([...seen.absent], process.getuid?.() === 0 ? [join(folder, 'none')] : [])
    const nobody = await filesSeen(undefined, [vm], soon())
    assert.deepEqual([nobody.present.size, nobody.absent.size], [0, 0])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

describe('the way to another host', () => {
  const source = sampleHost('a-1', { system: sampleSystem })
  const target = (connectUri: string | undefined, address = '127.0.0.1') => sampleHost('b-1', { connectUri, address })

  test('an open port, a closed one, a name that is none: by real sockets', async () => {
    const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const address = server.address()
      assert.ok(address !== null && typeof address === 'object')
      const [link] = await probeLinks(
        localRemote,
        source,
        [target(`qemu+tcp://127.0.0.1:${address.port}/system`)],
        new Set(),
        soon(),
      )
      assert.deepEqual(link?.daemon, { port: address.port, reached: 'open' })
      assert.deepEqual(
        link?.migration.map(({ reached }) => reached),
        ['refused', 'refused', 'refused'],
      )
      const [nowhere] = await probeLinks(
        localRemote,
        source,
        [target(undefined, 'no-such-host.invalid')],
        new Set(),
        soon(),
      )
      assert.deepEqual(
        nowhere?.migration.map(({ reached }) => reached),
        ['no-name', 'no-name', 'no-name'],
      )
      assert.equal(nowhere?.daemon, undefined)
      assert.deepEqual(nowhere?.greeting, { by: 'none' })
    } finally {
      server.close()
    }
  })

  const greeted = async (
    answer: (argv: readonly string[]) => Partial<RunResult>,
    uri = 'qemu+ssh://root@b-1/system',
    from = source,
  ) => {
    const remote = answering((argv, stdin) =>
      stdin === ''
        ? answer(argv)
        : {
            stdout: `${stdin
              .trim()
              .split('\n')
              .map(line => `${line.split(' ')[0]} ${line.split(' ')[2]} open`)
              .join('\n')}\n`,
          },
    )
    const [link] = await probeLinks(remote, from, [target(uri)], new Set(), soon())
    return link?.greeting
  }
  const denied = 'root@b-1: Permission denied (publickey).'

  test('ssh as its daemon would', async () => {
    let said: readonly string[] = []
    const uri = 'qemu+ssh://admin@b-1:2222/system'
    assert.deepEqual(await greeted(argv => ((said = argv), {}), uri), { by: 'ssh', answer: 'welcome' })
    assert.match(said.join(' '), /^timeout 15 ssh .*BatchMode=yes.* -p 2222 -l admin -- b-1 true$/)
    assert.deepEqual(await greeted(() => ({ code: 255, stderr: `Warning: Permanently added x\n${denied}\n` })), {
      by: 'ssh',
      answer: 'refused',
      said: denied,
    })
    assert.match(JSON.stringify(await greeted(() => ({ code: 124 }))), /"unknown".*no answer within 15 s/)
  })
  test('no ssh on the source is a refusal', async () => {
    const greeting = await greeted(() => {
      throw new CommandUnavailable('a-1: ssh: no such program')
    })
    assert.match(JSON.stringify(greeting), /"refused".*no such program/)
  })
  test('nobody but root can say what root’s keys open', async () => {
    const greeting = await greeted(
      () => ({}),
      undefined,
      sampleHost('a-1', { system: { ...sampleSystem, root: false } }),
    )
    assert.match(JSON.stringify(greeting), /"unknown".*not root/)
  })
  test('TLS as its daemon would', async () => {
    const uri = 'qemu+tls://b-1/system'
    assert.deepEqual(await greeted(() => ({ stderr: 'Verify return code: 0 (ok)' }), uri), {
      by: 'tls',
      answer: 'welcome',
    })
    const expired = await greeted(
      () => ({
        stderr: 'verify error:num=10:certificate has expired\nVerify return code: 10 (certificate has expired)',
      }),
      uri,
    )
    assert.match(JSON.stringify(expired), /"refused".*expired/)
    const none = await greeted(() => ({ code: 3, stderr: '/etc/pki/CA/cacert.pem: No such file' }), uri)
    assert.deepEqual(none, { by: 'tls', answer: 'refused', said: '/etc/pki/CA/cacert.pem: No such file' })
    assert.match(JSON.stringify(await greeted(() => ({ code: 4 }), uri)), /"unknown".*openssl/)
  })
})

describe('somebody who listens', () => {
  test('is reached, and gone when told', async () => {
    const listener = await openListener(localRemote, soon())
    if (listener === undefined) return // neither perl nor python here
    const host = sampleHost('b-1', { connectUri: undefined, address: '127.0.0.1' })
    const from = sampleHost('a-1', { system: sampleSystem })
    const reached = async (): Promise<string | undefined> => {
      const [link] = await probeLinks(localRemote, from, [host], new Set([host.id]), soon())
      return link?.migration.find(({ port }) => port === listenerPort)?.reached
    }
    try {
      assert.equal(await reached(), 'open')
      // The port is taken: a second one cannot listen.
      assert.equal(await openListener(localRemote, soon()), undefined)
    } finally {
      await listener.stop(soon())
    }
    // What would be a firewall's doing, had it still been there.
    assert.equal(await reached(), 'rejected')
  })
  test('is not there where there is no way to the host', async () => {
    const gone: Remote = { ...answering(() => ({})), run: () => Promise.reject(new HostUnreachable('gone')) }
    assert.equal(await openListener(gone, soon()), undefined)
    assert.equal(
      await openListener(
        answering(() => ({ code: 4 })),
        soon(),
      ),
      undefined,
    )
  })
})
