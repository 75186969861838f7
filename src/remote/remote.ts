/** The port `Remote`: run a command, keep one running, or open a socket on a host. Drivers: local.ts, namespace.ts, ssh.ts. Installs nothing there. */
import type { Duplex, Readable, Writable } from 'node:stream'

export interface RunOptions {
  /** Written to the command's standard input, which is then closed. */
  readonly stdin?: string | Uint8Array
  /** More output than this ends the command with an error. @default 4 MiB @unit bytes */
  readonly maxOutput?: number
}

export interface RunResult {
  /** Exit code; 128 + number when a signal ended the command. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** How a process ended. */
export interface ProcessEnd {
  /** Exit code; 128 + number when a signal ended it. */
  readonly code: number
  /** The last of what it wrote to standard error. */
  readonly complaint: string
}

/** A process on a host. Its end is awaited through {@link ended}; it is never left running: whoever started it calls {@link kill}. */
export interface RemoteProcess {
  /** Of the process on this machine: over ssh, of the ssh client. */
  readonly pid: number | undefined
  readonly stdin: Writable
  readonly stdout: Readable
  /** Never rejects. */
  readonly ended: Promise<ProcessEnd>
  /**
   * Ends it at once, with what it started on this machine. Over ssh the other end sees its standard input close. Idempotent.
   */
  kill(): void
}

export interface Remote {
  /** How a message names the place: `this machine`, `namespace lb-a-1`, `root@host over ssh`. */
  readonly where: string
  /**
   * Runs `argv` (no shell in between) and waits for its end. A code other than 0 is a result, not an error.
   * @throws HostUnreachable when the host did not take the command: whether it ran is then unknown
   * @throws CommandUnavailable when the program is not there; nothing ran
   */
  run(argv: readonly string[], options: RunOptions, signal: AbortSignal): Promise<RunResult>
  /**
   * Starts `argv` (no shell in between) and leaves it running, to be written to and read from. Resolves before it is known whether
   * the host took it: a host that cannot be reached shows as an early end.
   * @throws HostUnreachable, CommandUnavailable where that is known at once
   */
  start(argv: readonly string[], signal: AbortSignal): Promise<RemoteProcess>
  /**
   * Opens a unix socket on the host.
   * @throws HostUnreachable, or the socket's own error (`ENOENT`, `ECONNREFUSED`)
   */
  connectUnix(path: string, signal: AbortSignal): Promise<Duplex>
  /** Ends what was kept open. Idempotent. */
  close(): Promise<void>
}

/** The host could not be asked. Says nothing about what runs on it. */
export class HostUnreachable extends Error {
  override readonly name = 'HostUnreachable'
}

/** The program is not installed on the host; nothing ran. */
export class CommandUnavailable extends Error {
  override readonly name = 'CommandUnavailable'
}

/** A command ran and failed, where only success would do. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
  readonly result: RunResult
  constructor(where: string, argv: readonly string[], result: RunResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-3).join(' / ').slice(0, 400)
    super(`${argv.slice(0, 3).join(' ')} on ${where} ended with ${result.code}${said === '' ? '' : `: ${said}`}`)
    this.result = result
  }
}

/** Runs and insists on exit code 0. @throws CommandFailed, HostUnreachable, CommandUnavailable */
export async function runOk(
  remote: Remote,
  argv: readonly string[],
  options: RunOptions,
  signal: AbortSignal,
): Promise<string> {
  const result = await remote.run(argv, options, signal)
  if (result.code !== 0) throw new CommandFailed(remote.where, argv, result)
  return result.stdout
}
