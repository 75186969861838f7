/** One child process that is talked to while it lives. Shared by the remotes; knows nothing of hosts. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { CommandUnavailable, type ProcessEnd, type RemoteProcess } from './remote.ts'

/** Of standard error, this much is kept: the end says why. @unit bytes */
const keptComplaint = 2_000

/**
 * Starts `argv` on this machine, in a process group of its own: a Ctrl-C in the terminal is not for it.
 * @throws CommandUnavailable when the program does not exist, or the signal's reason; afterwards the signal means nothing
 */
export function startCommand(argv: readonly string[], signal: AbortSignal): Promise<RemoteProcess> {
  const [program, ...args] = argv
  if (program === undefined) return Promise.reject(new RangeError('empty command'))
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-keptComplaint)
    })
    child.stdin.on('error', () => undefined) // EPIPE: it ended; its end tells the story
    const ended = new Promise<ProcessEnd>(settle => {
      child.once('exit', (code, name) => {
        // A child of it may hold the pipes open for ever; what was written before its end is read in the next turns.
        setTimeout(() => {
          child.stderr.destroy()
          child.stdout.destroy()
        }, 100).unref()
        settle({
          code: code ?? 128 + (name === null ? 0 : (constants.signals[name] ?? 0)),
          complaint: complaint.trim(),
        })
      })
    })
    const kill = (): void => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        try {
          process.kill(-child.pid, 'SIGKILL')
        } catch {
          child.kill('SIGKILL') // the group is gone, or not ours: then the process alone
        }
      }
      // After that: a shell whose input closes first would end in its own way.
      child.stdin.destroy()
    }
    child.once('error', error => {
      reject(
        'code' in error && error.code === 'ENOENT'
          ? new CommandUnavailable(`${program}: no such program on this machine`, { cause: error })
          : error,
      )
    })
    child.once('spawn', () => resolve({ pid: child.pid, stdin: child.stdin, stdout: child.stdout, ended, kill }))
  })
}
