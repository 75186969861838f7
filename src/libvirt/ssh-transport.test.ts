/** The command that ssh is given: its words, and that a shell at the other end takes them for what they are. Real ssh: test/libvirt.lab.test.ts. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { LibvirtConnectError } from './errors.ts'
import { openSsh, sshArguments } from './ssh-transport.ts'
import { socketNames } from './transport.ts'
import { parseLibvirtUri } from './uri.ts'

const argumentsOf = (text: string): readonly string[] => {
  const uri = parseLibvirtUri(text)
  return sshArguments(uri, socketNames(uri))
}
/** All but the last, which is the remote command. */
const wordsOf = (text: string): readonly string[] => argumentsOf(text).slice(0, -1)

describe('the arguments of ssh', () => {
  const plain = ['-T', '-e', 'none', '-o', 'BatchMode=yes']
  const forms: readonly (readonly [text: string, words: readonly string[]])[] = [
    ['qemu+ssh://host/system', ['--', 'host']],
    ['qemu+ssh://root@host:2222/system', ['-p', '2222', '-l', 'root', '--', 'host']],
    ['qemu+ssh://host/system?keyfile=/a%20b/id', ['-i', '/a b/id', '--', 'host']],
    ['qemu+ssh://host/system?known_hosts=/k', ['-o', 'UserKnownHostsFile=/k', '--', 'host']],
    [
      'qemu+ssh://host/system?no_verify=1',
      ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '--', 'host'],
    ],
    ['qemu+ssh://[::1]/system', ['--', '::1']],
  ]
  for (const [text, words] of forms) test(text, () => assert.deepEqual(wordsOf(text), [...plain, ...words]))
})

describe('the command at the other end', () => {
  let dir = ''
  /** A folder of programs: these, and a few of the system's. */
  const programs = (names: readonly string[]): string => {
    const folder = mkdtempSync(join(dir, 'bin-'))
    for (const name of names) {
      const path = join(folder, name)
      writeFileSync(
        path,
        `#!/bin/sh\n[ "$1" = -h ] && { echo "${name === 'nc' ? '-q secs' : 'no help'}"; exit; }\necho "${name}"; for word in "$@"; do echo "<$word>"; done\n`,
      )
      chmodSync(path, 0o755)
    }
    return folder
  }
  /** As sshd does it: the user's shell gets one line. */
  const run = (text: string, path: string, env: Readonly<Record<string, string>> = {}) => {
    const command = argumentsOf(text).at(-1) ?? ''
    const { stdout, stderr, status } = spawnSync('/bin/sh', ['-c', command], {
      encoding: 'utf8',
      env: { PATH: path, ...env },
      timeout: 5_000,
    })
    return { words: stdout.trim().split('\n'), stderr, status }
  }
  const sockets: { close(): void }[] = []
  const socketAt = async (path: string): Promise<void> => {
    const server = createServer().listen(path)
    await once(server, 'listening')
    sockets.push(server)
  }
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-ssh-test-'))
  })
  after(() => {
    for (const socket of sockets) socket.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const withSh = (names: readonly string[]): string => {
    const folder = programs(names)
    spawnSync('ln', ['-s', '/bin/sh', join(folder, 'sh')])
    return folder
  }

  test('virt-ssh-helper gets the driver’s URI where it is there', () => {
    const { words } = run('qemu+ssh://root@host/system', withSh(['virt-ssh-helper', 'nc']))
    assert.deepEqual(words, ['virt-ssh-helper', '<qemu:///system>'])
  })

  test('and the mode, where one is asked for', () => {
    const { words } = run('qemu+ssh://host/system?mode=legacy', withSh(['virt-ssh-helper']))
    assert.deepEqual(words, ['virt-ssh-helper', '<qemu:///system?mode=legacy>'])
  })

  test('a path with quotes, blanks and dollars arrives as it is', async () => {
    const path = join(dir, `it's "a" $HOME \`x\` \\ sock`)
    await socketAt(path)
    const { words } = run(
      `qemu+ssh://host/system?socket=${encodeURIComponent(path)}`,
      withSh(['virt-ssh-helper', 'nc']),
    )
    assert.deepEqual(words, ['nc', '<-q0>', '<-U>', `<${path}>`])
  })

  test('a netcat that knows no -q is not told; one that was named is used', async () => {
    const path = join(dir, 'plain-sock')
    await socketAt(path)
    const { words } = run(`qemu+ssh://host/system?socket=${path}&netcat=ncat`, withSh(['virt-ssh-helper', 'ncat']))
    assert.deepEqual(words, ['ncat', '<-U>', `<${path}>`])
  })

  test('a session’s socket is where the other side’s user has it', async () => {
    const home = join(dir, "ho me's")
    mkdirSync(join(home, '.cache/libvirt'), { recursive: true })
    await socketAt(join(home, '.cache/libvirt/libvirt-sock'))
    const session = run('qemu+ssh://host/session', withSh(['nc']), { HOME: home })
    assert.deepEqual(session.words, ['nc', '<-q0>', '<-U>', `<${home}/.cache/libvirt/libvirt-sock>`])
    mkdirSync(join(home, 'run/libvirt'), { recursive: true })
    await socketAt(join(home, 'run/libvirt/virtqemud-sock'))
    const runtime = run('qemu+ssh://host/session', withSh(['nc']), { HOME: home, XDG_RUNTIME_DIR: join(home, 'run') })
    assert.deepEqual(runtime.words, ['nc', '<-q0>', '<-U>', `<${home}/run/libvirt/virtqemud-sock>`])
  })

  test('no socket, no helper, no netcat: each is said', () => {
    const path = join(dir, 'nowhere')
    const none = run(`qemu+ssh://host/system?socket=${path}`, withSh(['nc']))
    assert.deepEqual([none.status, none.stderr], [1, `no libvirt socket at ${path}\n`])
    const native = run('qemu+ssh://host/system?proxy=native', withSh(['nc']))
    assert.equal(native.status, 127)
    assert.match(native.stderr, /virt-ssh-helper.*not found/)
  })

  test('proxy=netcat does not ask for the helper', () => {
    const { stderr } = run('qemu+ssh://host/none?proxy=netcat&mode=legacy', withSh(['virt-ssh-helper', 'nc']), {})
    assert.match(stderr, /^(no libvirt socket at \/run\/libvirt\/libvirt-sock\n)?$/)
  })

  describe('in place of ssh, a program', () => {
    const program = (body: string): string => {
      const path = join(mkdtempSync(join(dir, 'ssh-')), 'ssh')
      writeFileSync(path, `#!/bin/sh\n${body}\n`)
      chmodSync(path, 0o755)
      return path
    }
    const errorOf = async (body: string, signal = AbortSignal.timeout(5_000)): Promise<Error> => {
      const uri = parseLibvirtUri(`qemu+ssh://host/system?command=${program(body)}`)
      const stream = await openSsh(uri, ['libvirt-sock'], signal)
      const [error] = (await once(stream.resume(), 'close', { signal }).then(
        () => [stream.errored],
        (thrown: unknown) => [thrown],
      )) as [Error]
      return error
    }

    const sayings: readonly (readonly [what: string, body: string, message: RegExp])[] = [
      [
        'a host key that is not the known one',
        'echo "Host key verification failed." >&2; exit 255',
        /ended with code 255: Host key verification failed\.\n.*ssh-keygen -R/,
      ],
      [
        'a key that is not let in',
        'echo "root@host: Permission denied (publickey)." >&2; exit 255',
        /Permission denied \(publickey\)\.\ngive the right user .* key/,
      ],
      [
        'a name that does not resolve',
        'echo "ssh: Could not resolve hostname host: Name or service not known" >&2; exit 255',
        /\nis the name right/,
      ],
      ['nothing is said', 'exit 3', /ended with code 3\ndoes `ssh` by hand/],
      ['killed', 'kill -9 $$', /ended with SIGKILL/],
      ['a lot is said', 'seq 100000 >&2; exit 1', /code 1: 99998 \/ 99999 \/ 100000/],
      [
        'a master is left behind that holds its outputs',
        'sleep 5 & echo "late words" >&2; exit 1',
        /code 1: late words/,
      ],
    ]
    for (const [what, body, message] of sayings)
      test(`${what}: the error has the place, the words, the next step`, async () => {
        const error = await errorOf(body, AbortSignal.timeout(3_000))
        assert.ok(error instanceof LibvirtConnectError, String(error))
        assert.match(error.message, /^qemu\+ssh:\/\/host\/system/)
        assert.match(error.message, message)
      })

    test('that is not there', async () => {
      const uri = parseLibvirtUri('qemu+ssh://host/system?command=/no/such/ssh')
      const stream = await openSsh(uri, ['libvirt-sock'], AbortSignal.timeout(1_000))
      const [error] = (await once(stream, 'error')) as [Error]
      assert.match(error.message, /\/no\/such\/ssh could not be started: .*ENOENT/)
    })

    test('what it writes before it ends is read, all of it', async () => {
      const uri = parseLibvirtUri(`qemu+ssh://host/system?command=${program('head -c 300000 /dev/zero; exit 0')}`)
      const stream = await openSsh(uri, ['libvirt-sock'], AbortSignal.timeout(5_000))
      let read = 0
      stream.on('data', (chunk: Buffer) => {
        read += chunk.length
      })
      await once(stream, 'close').catch(() => undefined)
      assert.equal(read, 300_000)
    })

    test('destroyed, it is ended', async () => {
      const file = join(dir, 'pid')
      const uri = parseLibvirtUri(
        `qemu+ssh://host/system?command=${program(`echo $$ > ${file}; echo; exec sleep 100`)}`,
      )
      const stream = await openSsh(uri, ['libvirt-sock'], AbortSignal.timeout(5_000))
      await once(stream, 'data')
      const pid = Number(spawnSync('cat', [file], { encoding: 'utf8' }).stdout)
      process.kill(pid, 0)
      stream.destroy()
      for (let n = 0; n < 100; n += 1) {
        try {
          process.kill(pid, 0)
        } catch {
          return
        }
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      assert.fail('it still runs')
    })
  })
})
