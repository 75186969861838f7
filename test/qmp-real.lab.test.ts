/** The QMP client against the real thing: QEMU with no machine, one monitor on a unix socket and one on TCP. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { ms } from '../src/core/units.ts'
import { realClock } from '../src/engine/real-clock.ts'
import {
  ignoreReply,
  parseQueryCommands,
  parseQueryMigrate,
  parseQueryStatus,
  type QmpAddress,
  QmpClient,
  QmpCommandError,
  QmpConnectError,
  type QmpEvent,
  QmpInterrupted,
} from '../src/qmp/public.ts'
import { poll } from '../src/time/with-deadline.ts'

const program = 'qemu-system-x86_64'
const missing = spawnSync(program, ['--version']).status === 0 ? false : `${program} is not installed`
const soon = (): AbortSignal => AbortSignal.timeout(10_000)
const clock = realClock()

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening', { signal: soon() })
  const address = server.address()
  server.close()
  await once(server, 'close', { signal: soon() })
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}

describe('QMP with real QEMU', { skip: missing, timeout: 60_000 }, () => {
  let dir = ''
  let qemu: ChildProcess
  let ended: Promise<unknown>
  const addresses: Record<'unix' | 'tcp', QmpAddress> = {
    unix: { kind: 'unix', path: '' },
    tcp: { kind: 'tcp', host: '127.0.0.1', port: 0 },
  }
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-qmp-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  beforeEach(async () => {
    const path = join(dir, 'qmp.sock')
    rmSync(path, { force: true })
    const port = await freePort()
    addresses.unix = { kind: 'unix', path }
    addresses.tcp = { kind: 'tcp', host: '127.0.0.1', port }
    const bare = ['-M', 'none', '-nodefaults', '-display', 'none']
    const monitors = [`unix:${path},server=on,wait=off`, `tcp:127.0.0.1:${port},server=on,wait=off`].flatMap(
      monitor => ['-qmp', monitor],
    )
    qemu = spawn(program, [...bare, ...monitors], { stdio: 'ignore' })
    ended = once(qemu, 'exit')
    // Both listen as soon as the later of the two, TCP, does.
    await poll(clock, ms(20), soon(), async signal => {
      if (qemu.exitCode !== null) throw new Error(`${program} ended with ${qemu.exitCode}`)
      try {
        await using probe = await QmpClient.connect(addresses.tcp, {}, signal)
        return probe.version
      } catch (error) {
        if (error instanceof QmpConnectError) return undefined
        throw error
      }
    })
  })
  afterEach(async () => {
    qemu.kill('SIGKILL')
    await ended
  })

  const status = (client: QmpClient) => client.execute('query-status', {}, parseQueryStatus, soon())
  async function read(events: AsyncIterable<QmpEvent>, until: string | undefined): Promise<readonly string[]> {
    const names: string[] = []
    for await (const { name } of events) {
      names.push(name)
      if (name === until) break
    }
    return names
  }

  for (const over of ['unix', 'tcp'] as const) {
    test(`over ${over}: it greets with its version, knows its commands and its status`, async () => {
      const options = { optionalCapabilities: ['oob'], requireCommands: ['migrate', 'migrate-recover', 'query-status'] }
      await using client = await QmpClient.connect(addresses[over], options, soon())
      const said = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout
      const { major, minor, micro } = client.version
      assert.ok(said.includes(`version ${major}.${minor}.${micro}`), said)
      assert.deepEqual(client.enabled, client.capabilities)
      assert.deepEqual(await status(client), { status: 'running', running: true })
      assert.ok((await client.execute('query-commands', {}, parseQueryCommands, soon())).length > 100)
      assert.equal((await client.execute('query-migrate', {}, parseQueryMigrate, soon())).status, 'none')
    })

    test(`over ${over}: a command it does not know is a QmpCommandError of class CommandNotFound`, async () => {
      await using client = await QmpClient.connect(addresses[over], {}, soon())
      await assert.rejects(client.execute('fly-away', {}, ignoreReply, soon()), (error: unknown) => {
        assert.ok(error instanceof QmpCommandError)
        assert.equal(error.errorClass, 'CommandNotFound')
        assert.match(error.message, /^fly-away: .*fly-away/)
        return true
      })
      assert.equal((await status(client)).running, true)
    })

    test(`over ${over}: a thousand commands sent at once are all answered`, async () => {
      await using client = await QmpClient.connect(addresses[over], {}, soon())
      const replies = await Promise.all(Array.from({ length: 1_000 }, () => status(client)))
      assert.equal(replies.filter(({ running }) => running).length, 1_000)
      assert.deepEqual(client.stats, { lateReplies: 0, unknownReplies: 0, droppedEvents: 0 })
    })

    test(`over ${over}: a second client gets no greeting until the first leaves`, async () => {
      const first = await QmpClient.connect(addresses[over], {}, soon())
      await assert.rejects(QmpClient.connect(addresses[over], {}, AbortSignal.timeout(300)), (error: unknown) => {
        assert.ok(error instanceof QmpConnectError)
        assert.match(error.message, /no greeting: a monitor serves one client at a time/)
        return true
      })
      let greeted = false
      const second = QmpClient.connect(addresses[over], {}, soon())
      const noted = second.then(() => {
        greeted = true
      })
      assert.equal((await status(first)).running, true)
      assert.equal(greeted, false)
      await first.close()
      await noted
      await using client = await second
      assert.equal((await status(client)).running, true)
    })

    test(`over ${over}: stop and cont are seen as the events STOP and RESUME, and as the status`, async () => {
      await using client = await QmpClient.connect(addresses[over], {}, soon())
      const events = read(client.events(soon()), 'RESUME')
      await client.execute('stop', {}, ignoreReply, soon())
      assert.deepEqual(await status(client), { status: 'paused', running: false })
      await client.execute('cont', {}, ignoreReply, soon())
      assert.deepEqual(await events, ['STOP', 'RESUME'])
    })

    test(`over ${over}: quit is seen as its end, whose outcome is known or said to be unknown`, async () => {
      await using client = await QmpClient.connect(addresses[over], {}, soon())
      const events = read(client.events(soon()), undefined)
      // QEMU acts on the closing brace and leaves the newline unread: over TCP its end then resets the connection, reply and all.
      const answered = await client.execute('quit', {}, ignoreReply, soon()).then(
        () => true,
        (error: unknown) => {
          assert.ok(over === 'tcp' && error instanceof QmpInterrupted, String(error))
          return false
        },
      )
      if (answered) assert.deepEqual(await events, ['SHUTDOWN'])
      assert.match((await client.ended).message, /closed the connection|ECONNRESET/)
      assert.equal(client.runstate, 'idle')
      await ended
    })

    test(`over ${over}: a QEMU that is killed leaves what was pending with an unknown outcome`, async () => {
      await using client = await QmpClient.connect(addresses[over], {}, soon())
      // Stopped first, so that it cannot answer before it dies.
      qemu.kill('SIGSTOP')
      const pending = assert.rejects(status(client), (error: unknown) => {
        assert.ok(error instanceof QmpInterrupted, String(error))
        assert.match(error.message, /^query-status: .*the outcome is unknown/)
        return true
      })
      qemu.kill('SIGKILL')
      await pending
      await ended
      await assert.rejects(QmpClient.connect(addresses[over], {}, soon()), QmpConnectError)
    })
  }

  test('both monitors serve a client at the same time, and both see what one did', async () => {
    await using one = await QmpClient.connect(addresses.unix, {}, soon())
    await using other = await QmpClient.connect(addresses.tcp, {}, soon())
    const seen = read(other.events(soon()), 'STOP')
    await one.execute('stop', {}, ignoreReply, soon())
    assert.deepEqual(await seen, ['STOP'])
    assert.equal((await status(other)).status, 'paused')
  })
})
