/**
 * A host over the system's OpenSSH, as a {@link Remote}: the operator's configuration, agent, jump hosts and known hosts all count.
 *
 * One master connection a host carries everything (sshd's MaxStartups limits new sessions to about ten at a time). It is opened when
 * first needed, in batch mode: a question that only a terminal could answer becomes an error. Unix sockets of the host are forwarded
 * through the master to a private folder here, so nothing is installed there.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectUnix } from './connect-unix.ts'
import { CommandUnavailable, HostUnreachable, type Remote, type RunResult } from './remote.ts'
import { shellQuote } from './shell-quote.ts'
import { spawnCommand } from './spawn-command.ts'
import { startCommand } from './start-command.ts'

export interface SshTarget {
  readonly host: string
  readonly user: string | undefined
  readonly port: number | undefined
  /** Further arguments to ssh: `-i KEY`, `-o UserKnownHostsFile=…`. */
  readonly options: readonly string[]
}

/** ssh's own failures end with this code (ssh(1), EXIT STATUS); a command's 255 cannot be told apart and counts as one. */
const sshFailed = 255

/** A shell that finds no such command ends with this (POSIX, Exit Status for Commands). */
const notFound = 127

export function sshRemote(target: SshTarget): Remote {
  const where = `${target.user === undefined ? '' : `${target.user}@`}${target.host} over ssh`
  const destination = [
    ...target.options,
    ...(target.port === undefined ? [] : ['-p', String(target.port)]),
    ...(target.user === undefined ? [] : ['-l', target.user]),
    target.host,
  ]
  let folder: Promise<string> | undefined
  let forwards = 0
  let closed = false

  const controlFolder = (): Promise<string> => (folder ??= mkdtemp(join(tmpdir(), 'lifeboat-ssh-')))
  const base = async (): Promise<string[]> => {
    if (closed) throw new HostUnreachable(`${where}: closed`)
    const dir = await controlFolder()
    return [
      'ssh',
      '-o',
      'BatchMode=yes',
      '-o',
      'ConnectTimeout=10',
      '-o',
      'ServerAliveInterval=5',
      '-o',
      'ServerAliveCountMax=6',
      '-o',
      'ControlMaster=auto',
      '-o',
      'ControlPersist=60',
      '-o',
      `ControlPath=${dir}/master`,
    ]
  }
  const insist = (result: RunResult, doing: string): RunResult => {
    if (result.code !== sshFailed) return result
    throw new HostUnreachable(`${where}: ${doing}: ${result.stderr.trim().split('\n').at(-1) || 'ssh failed'}`)
  }

  return {
    where,
    async run(argv, options, signal) {
      const result = await spawnCommand(
        [...(await base()), ...destination, argv.map(shellQuote).join(' ')],
        options,
        signal,
      )
      const program = argv[0] ?? 'nothing'
      if (result.code === notFound && /not found/.test(result.stderr))
        throw new CommandUnavailable(`${where}: ${program}: no such program`)
      return insist(result, program)
    },
    async start(argv, signal) {
      return startCommand([...(await base()), ...destination, argv.map(shellQuote).join(' ')], signal)
    },
    async connectUnix(path, signal) {
      const ssh = await base()
      const local = join(await controlFolder(), `s${(forwards += 1)}`)
      // Brings the master up if it is not there; a forward needs one.
      insist(await spawnCommand([...ssh, ...destination, 'true'], {}, signal), 'connecting')
      const control = [...ssh, '-O', 'forward', '-L', `${local}:${path}`, ...destination]
      const forwarded = await spawnCommand(control, {}, signal)
      if (forwarded.code !== 0)
        throw new HostUnreachable(`${where}: cannot forward ${path}: ${forwarded.stderr.trim()}`)
      const socket = await connectUnix(local, signal)
      socket.once('close', () => {
        void spawnCommand(
          [...ssh, '-O', 'cancel', '-L', `${local}:${path}`, ...destination],
          {},
          AbortSignal.timeout(5_000),
        )
          .then(() => rm(local, { force: true }))
          .catch(() => undefined) // the master is gone, and its forwards with it
      })
      return socket
    },
    async close() {
      if (folder === undefined || closed) {
        closed = true
        return
      }
      const ssh = await base()
      closed = true
      await spawnCommand([...ssh, '-O', 'exit', ...destination], {}, AbortSignal.timeout(5_000)).catch(() => undefined)
      await rm(await folder, { recursive: true, force: true })
    },
  }
}
