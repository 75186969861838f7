/**
 * The remote over ssh, with an `ssh` in front of the real one in PATH: it writes down every word it was given and runs the command
 * with the shell of this machine, as sshd does with the user's; a forward is a link to the socket.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from './remote.ts'
import { sshRemote, type SshTarget } from './ssh.ts'

const fakeSsh = `#!/bin/sh
here=\${0%/*}
{ printf '%s\\0' "$#"; printf '%s\\0' "$@"; } >> "$here/calls"
if [ -f "$here/fails" ]; then cat "$here/fails" >&2; exit 255; fi
control= forward=
while [ $# -gt 1 ]; do
  case $1 in
    -O) control=$2 ;;
    -L) forward=$2 ;;
  esac
  shift
done
case $control in
  forward)
    if [ -f "$here/refuses" ]; then echo 'Port forwarding failed' >&2; exit 1; fi
    exec ln -s "\${forward#*:}" "\${forward%%:*}" ;;
  ?*) exit 0 ;;
esac
exec sh -c "exec $1"
`
const soon = (): AbortSignal => AbortSignal.timeout(5_000)

/** Whatever a promise was rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'was not rejected' })
}

describe('a host over ssh', () => {
  const { PATH, TMPDIR } = process.env
  let dir = ''
  let remote: Remote
  const plain: SshTarget = { host: 'a-1.example', user: undefined, port: undefined, options: [] }

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-fake-ssh-'))
    process.env['PATH'] = `${dir}:${PATH}`
    process.env['TMPDIR'] = dir
  })
  after(() => {
    process.env['PATH'] = PATH
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(() => {
    writeFileSync(join(dir, 'ssh'), fakeSsh, { mode: 0o755 })
    remote = sshRemote(plain)
  })
  afterEach(async () => {
    await remote.close()
    for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
  })

  /** The words of every call so far. */
  function calls(): readonly (readonly string[])[] {
    const file = join(dir, 'calls')
    const words = existsSync(file) ? readFileSync(file, 'utf8').split('\0').slice(0, -1) : []
    const found: string[][] = []
    while (words.length > 0) found.push(words.splice(0, Number(words.shift())))
    return found
  }
  const controlsOf = (words: readonly string[]): string | undefined =>
    words.includes('-O') ? words[words.indexOf('-O') + 1] : undefined
  async function called(control: string): Promise<readonly string[]> {
    for (const limit = soon(); ; limit.throwIfAborted()) {
      const found = calls().find(words => controlsOf(words) === control)
      if (found !== undefined) return found
      await sleep(5)
    }
  }
  const folders = (): readonly string[] => readdirSync(dir).filter(name => name.startsWith('lifeboat-ssh-'))

  test('runs a command there: its output, its complaints, its exit code and its standard input', async () => {
    const script = 'cat; echo trouble >&2; exit 4'
    assert.deepEqual(await remote.run(['sh', '-c', script], { stdin: 'in\n' }, soon()), {
      code: 4,
      stdout: 'in\n',
      stderr: 'trouble\n',
    })
  })

  test('odd words arrive as they are: the shell at the other end changes none', async () => {
    const words = [
      'a b',
      "it's",
      "''",
      '"',
      '$HOME',
      '$(id)',
      '`id`',
      '\\',
      '\n',
      'a\nb',
      '',
      '*',
      '~',
      '!!',
      '-n',
      ';',
      '&',
      '#',
    ]
    const { stdout } = await remote.run(['printf', '%s\\0', ...words], {}, soon())
    assert.deepEqual(stdout.split('\0').slice(0, -1), words)
  })

  test('any words arrive as they are', async () => {
    const unit = fc.oneof(
      fc.constantFrom(...' \t\n\'"$`\\!*?[]{}()<>|&;#~=%^-'.split('')),
      fc.integer({ min: 1, max: 0xd7ff }).map(code => String.fromCodePoint(code)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit }), { minLength: 1, maxLength: 40 }), async words => {
        const { stdout } = await remote.run(['printf', '%s\\0', ...words], {}, soon())
        assert.deepEqual(stdout.split('\0').slice(0, -1), words)
      }),
      runs(12),
    )
  })

  test('asks no questions, shares one connection, and gives up on a silent host', async () => {
    await remote.run(['true'], {}, soon())
    await remote.run(['true'], {}, soon())
    const [first = [], second] = calls()
    assert.deepEqual(first, second)
    const options = first.filter((_, at) => first[at - 1] === '-o')
    const [folder = ''] = folders()
    assert.deepEqual(options, [
      'BatchMode=yes',
      'ConnectTimeout=10',
      'ServerAliveInterval=5',
      'ServerAliveCountMax=6',
      'ControlMaster=auto',
      'ControlPersist=60',
      `ControlPath=${join(dir, folder)}/master`,
    ])
    assert.deepEqual(first.slice(-2), ['a-1.example', "'true'"])
    assert.equal(remote.where, 'a-1.example over ssh')
  })

  test('user, port and further options are passed on, before the host', async () => {
    await using target = disposing({ host: 'a-1', user: 'root', port: 2222, options: ['-i', '/key', '-o', 'X=y z'] })
    await target.remote.run(['true'], {}, soon())
    assert.deepEqual(calls()[0]?.slice(-10), ['-i', '/key', '-o', 'X=y z', '-p', '2222', '-l', 'root', 'a-1', "'true'"])
    assert.equal(target.remote.where, 'root@a-1 over ssh')
  })

  test('code 255 is ssh that failed: the host is unreachable, in the last words of ssh', async () => {
    writeFileSync(join(dir, 'fails'), 'Warning: something\nssh: connect to host a-1 port 22: No route to host\n')
    const error = await rejection(remote.run(['virsh', 'list'], {}, soon()))
    assert.ok(error instanceof HostUnreachable)
    assert.equal(error.message, 'a-1.example over ssh: virsh: ssh: connect to host a-1 port 22: No route to host')
  })

  test('ssh that failed without a word is told as that', async () => {
    writeFileSync(join(dir, 'fails'), '')
    const error = await rejection(remote.run(['virsh'], {}, soon()))
    assert.ok(error instanceof HostUnreachable)
    assert.equal(error.message, 'a-1.example over ssh: virsh: ssh failed')
  })

  test('a program that is not on the host is CommandUnavailable', async () => {
    const error = await rejection(remote.run(['lifeboat-no-such-program'], {}, soon()))
    assert.ok(error instanceof CommandUnavailable, String(error))
  })

  test('a machine without ssh is CommandUnavailable', async () => {
    rmSync(join(dir, 'ssh'))
    process.env['PATH'] = dir
    try {
      assert.ok((await rejection(remote.run(['true'], {}, soon()))) instanceof CommandUnavailable)
    } finally {
      process.env['PATH'] = `${dir}:${PATH}`
    }
  })

  test('an abort ends the ssh process and rejects with the reason', async () => {
    const enough = new AbortController()
    const reason = new Error('enough')
    // `exec` here and in the fake: no other process holds the output.
    const failed = rejection(remote.run(['sh', '-c', 'exec sleep 10'], {}, enough.signal))
    for (const limit = soon(); calls().length === 0; await sleep(5)) limit.throwIfAborted()
    enough.abort(reason)
    assert.equal(await failed, reason)
  })

  describe('a socket of it', () => {
    let sockets: Set<Socket>
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => undefined).on('data', text => socket.write(`you said ${String(text)}`))
    })
    let path = ''
    beforeEach(async () => {
      sockets = new Set()
      mkdirSync(join(dir, 'host'))
      path = join(dir, 'host', 'qmp.sock')
      server.listen(path)
      await once(server, 'listening', { signal: soon() })
    })
    afterEach(async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close', { signal: soon() })
    })

    test('is reached through a forward of the one connection, which is taken back when it closes', async () => {
      const socket = await remote.connectUnix(path, soon())
      socket.write('hello')
      assert.equal(String((await once(socket, 'data', { signal: soon() }))[0]), 'you said hello')
      const [folder = ''] = folders()
      const local = join(dir, folder, 's1')
      assert.deepEqual(
        calls().map(words => words.slice(-5)),
        [
          ['ControlPersist=60', '-o', `ControlPath=${dir}/${folder}/master`, 'a-1.example', 'true'],
          ['-O', 'forward', '-L', `${local}:${path}`, 'a-1.example'],
        ],
      )
      socket.destroy()
      assert.deepEqual((await called('cancel')).slice(-5), ['-O', 'cancel', '-L', `${local}:${path}`, 'a-1.example'])
      for (const limit = soon(); existsSync(local); await sleep(5)) limit.throwIfAborted()
    })

    test('two at a time have a forward each', async () => {
      const both = await Promise.all([remote.connectUnix(path, soon()), remote.connectUnix(path, soon())])
      const forwards = calls().filter(words => controlsOf(words) === 'forward')
      assert.equal(new Set(forwards.map(words => words[words.indexOf('-L') + 1])).size, 2)
      for (const socket of both) socket.destroy()
      for (const limit = soon(); calls().filter(words => controlsOf(words) === 'cancel').length < 2; await sleep(5))
        limit.throwIfAborted()
    })

    test('on a host that cannot be reached is HostUnreachable', async () => {
      writeFileSync(join(dir, 'fails'), 'ssh: Could not resolve hostname a-1.example\n')
      const error = await rejection(remote.connectUnix(path, soon()))
      assert.ok(error instanceof HostUnreachable)
      assert.match(error.message, /connecting: ssh: Could not resolve hostname/)
    })

    test('that sshd does not forward is HostUnreachable, and names the socket', async () => {
      writeFileSync(join(dir, 'refuses'), '')
      const error = await rejection(remote.connectUnix(path, soon()))
      assert.ok(error instanceof HostUnreachable)
      assert.equal(error.message, `a-1.example over ssh: cannot forward ${path}: Port forwarding failed`)
    })
  })

  test('closing ends the shared connection and leaves nothing; then the host is not asked again', async () => {
    await remote.run(['true'], {}, soon())
    assert.equal(folders().length, 1)
    await remote.close()
    await remote.close()
    assert.deepEqual(calls().map(controlsOf), [undefined, 'exit'])
    assert.deepEqual(folders(), [])
    const error = await rejection(remote.run(['true'], {}, soon()))
    assert.ok(error instanceof HostUnreachable)
    assert.match(error.message, /closed/)
    assert.equal(calls().length, 2)
    assert.deepEqual(folders(), [])
  })

  test('closing what was never used calls nobody', async () => {
    await remote.close()
    assert.deepEqual(calls(), [])
    assert.deepEqual(folders(), [])
  })
})

const disposing = (target: SshTarget): AsyncDisposable & { readonly remote: Remote } => {
  const remote = sshRemote(target)
  return { remote, [Symbol.asyncDispose]: () => remote.close() }
}
