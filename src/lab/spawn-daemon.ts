/** Starts a program of a lab that outlives this process: its output goes to a file, and its start time is kept beside its number. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { KnownProcess } from './lab-record.ts'
import { startTimeOf } from './processes.ts'

/**
 * Programs on the way (`ip netns exec`, `unshare`, `sh`) replace themselves with the next, so the process that is spawned is the daemon.
 * @returns undefined when it ended at once
 * @throws the system's error when there is no such program
 */
export async function spawnDaemon(
  argv: readonly string[],
  logFile: string,
  what: string,
  signal: AbortSignal,
): Promise<KnownProcess | undefined> {
  signal.throwIfAborted()
  const [program = '', ...args] = argv
  const log = openSync(logFile, 'a')
  const child = spawn(program, args, {
    stdio: ['ignore', log, log],
    detached: true,
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LANG: 'C.UTF-8' },
  })
  closeSync(log)
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  child.unref()
  const { pid } = child
  const startTime = pid === undefined ? undefined : startTimeOf(pid)
  return pid === undefined || startTime === undefined ? undefined : { pid, startTime, what }
}
