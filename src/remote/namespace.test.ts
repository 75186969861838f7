/** A network namespace as a host: a real one where this process may make one. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connectUnix } from './connect-unix.ts'
import { localRemote } from './local.ts'
import { namespaceRemote } from './namespace.ts'
import { CommandUnavailable, HostUnreachable } from './remote.ts'

const soon = (): AbortSignal => AbortSignal.timeout(5_000)
/** Of this process, so that tests side by side do not meet. */
const name = `lifeboat-t${process.pid}`

describe('a namespace that does not exist', () => {
  const gone = namespaceRemote('lifeboat-no-such')
  const unreachable = (error: unknown): boolean => {
    assert.ok(error instanceof HostUnreachable)
    assert.equal(error.message, 'namespace lifeboat-no-such does not exist (any more)')
    return true
  }

  test('is a host that is unreachable: no command runs', async () => {
    await assert.rejects(gone.run(['true'], {}, soon()), unreachable)
  })
  test('is a host that is unreachable: no socket is opened, although the file is shared with this machine', async () => {
    await assert.rejects(gone.connectUnix('/run/any.sock', soon()), unreachable)
  })
})

const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' })
const whyNot =
  made.status === 0 ? false : `no namespace can be made here: ${(made.stderr ?? String(made.error)).trim()}`

describe('a namespace that exists', { skip: whyNot }, () => {
  const there = namespaceRemote(name)
  after(() => void spawnSync('ip', ['netns', 'del', name]))

  test('runs a command inside: its own loopback, down, is all the network there is', async () => {
    const { code, stdout } = await there.run(['ip', '-o', 'link'], {}, soon())
    assert.equal(code, 0)
    assert.deepEqual(
      stdout.match(/^\d+: (\w+)/gm)?.map(line => line.replace(/^\d+: /, '')),
      ['lo'],
    )
    assert.match(stdout, /state DOWN/)
  })

  test('gives words, standard input and exit code through', async () => {
    const argv = ['sh', '-c', 'cat; printf %s "$1"; exit 6', 'sh', "it's $HOME"]
    assert.deepEqual(await there.run(argv, { stdin: 'in ' }, soon()), { code: 6, stdout: "in it's $HOME", stderr: '' })
  })

  test('a program that is not there is CommandUnavailable', async () => {
    await assert.rejects(there.run(['lifeboat-no-such-program'], {}, soon()), (error: unknown) => {
      assert.ok(error instanceof CommandUnavailable, String(error))
      return true
    })
  })

  test('is unreachable from the moment it is deleted', async () => {
    assert.equal(spawnSync('ip', ['netns', 'del', name]).status, 0)
    await assert.rejects(there.run(['true'], {}, soon()), HostUnreachable)
  })
})

describe('a unix socket on this machine', () => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-socket-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('that listens is opened', async () => {
    const path = join(dir, 'echo.sock')
    const server = createServer(socket => socket.pipe(socket)).listen(path)
    await once(server, 'listening', { signal: soon() })
    const socket = await localRemote.connectUnix(path, soon())
    socket.write('hello')
    assert.equal(String((await once(socket, 'data', { signal: soon() }))[0]), 'hello')
    socket.destroy()
    server.close()
    await once(server, 'close', { signal: soon() })
  })

  test('that is not there is ENOENT, one where nobody listens any more ECONNREFUSED', async () => {
    await assert.rejects(connectUnix(join(dir, 'none.sock'), soon()), { code: 'ENOENT' })
    const path = join(dir, 'left.sock')
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    assert.equal((await localRemote.run([process.execPath, '-e', script], {}, soon())).code, 137)
    await assert.rejects(connectUnix(path, soon()), { code: 'ECONNREFUSED' })
  })

  test('is not opened under a signal that was aborted before', async () => {
    const reason = new Error('not any more')
    await assert.rejects(
      connectUnix(join(dir, 'none.sock'), AbortSignal.abort(reason)),
      (error: unknown) => error === reason,
    )
  })
})
