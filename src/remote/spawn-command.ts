/** One child process, from start to end, with bounded output. Shared by the remotes; knows nothing of hosts. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { CommandUnavailable, type RunOptions, type RunResult } from './remote.ts'

const defaultMaxOutput = 4 * 1_048_576

class OutputTooLarge extends Error {
  override readonly name = 'OutputTooLarge'
}

/**
 * Runs `argv` on this machine. On abort the child gets SIGKILL and the promise rejects with the signal's reason.
 * @throws CommandUnavailable when the program does not exist
 */
export function spawnCommand(argv: readonly string[], options: RunOptions, signal: AbortSignal): Promise<RunResult> {
  const [program, ...args] = argv
  if (program === undefined) return Promise.reject(new RangeError('empty command'))
  if (signal.aborted) return Promise.reject(signal.reason)
  const limit = options.maxOutput ?? defaultMaxOutput
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let size = 0
    let failure: Error | undefined
    const stop = (why: Error): void => {
      failure ??= why
      child.kill('SIGKILL')
    }
    const onAbort = (): void => stop(signal.reason as Error)
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) stop(new OutputTooLarge(`${program}: more than ${limit} bytes of output`))
      else into.push(chunk)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    child.stdout.on('data', collect(out))
    child.stderr.on('data', collect(err))
    child.on('error', error => {
      failure ??=
        'code' in error && error.code === 'ENOENT'
          ? new CommandUnavailable(`${program}: no such program on this machine`, { cause: error })
          : error
      if (child.pid === undefined) finish(1, null)
    })
    // Whoever it started may hold its output open for ever: once it was ended on purpose, its own end is enough.
    child.on('exit', (code, signalName) => {
      if (failure === undefined) return
      child.stdout.destroy()
      child.stderr.destroy()
      finish(code, signalName)
    })
    child.on('close', (code, signalName) => finish(code, signalName))
    const finish = (code: number | null, signalName: NodeJS.Signals | null): void => {
      signal.removeEventListener('abort', onAbort)
      if (failure !== undefined) {
        reject(failure)
        return
      }
      resolve({
        code: code ?? 128 + (signalName === null ? 0 : (constants.signals[signalName] ?? 0)),
        stdout: Buffer.concat(out).toString('utf8'),
        stderr: Buffer.concat(err).toString('utf8'),
      })
    }
    child.stdin.on('error', () => undefined) // EPIPE: the command ended without reading all; its exit code tells the story
    child.stdin.end(options.stdin)
  })
}
