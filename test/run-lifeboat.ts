/** The `lifeboat` command as a user starts it: a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Report } from '../src/core/report/report.ts'

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly done: Promise<Ran>
  /** Resolves when the output so far matches; rejects when it ended without. */
  saw(pattern: RegExp): Promise<void>
  /** What it wrote to standard output until now. */
  soFar(): string
}

/** A command that hangs is ended after this. @unit ms */
const longest = 180_000

export function startLifeboat(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  timeout = longest,
): Running {
  const child = spawn(process.execPath, ['--max-semi-space-size=2', 'bin/lifeboat.js', ...args], {
    env: { ...process.env, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  const watchers = new Set<() => void>()
  const heard = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    heard()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    heard()
  })
  const done = new Promise<Ran>(resolve => {
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr })
      heard()
    })
  })
  return {
    child,
    done,
    soFar: () => stdout,
    saw: pattern =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(stdout) || pattern.test(stderr)) resolve()
          else if (child.exitCode !== null || child.signalCode !== null)
            reject(new Error(`ended without ${pattern}:\n${stdout}\n${stderr}`))
          else return
          watchers.delete(look)
        }
        watchers.add(look)
        look()
      }),
  }
}

export const runLifeboat = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> =>
  startLifeboat(args, env).done

export const reportFrom = (stdout: string): Report => JSON.parse(stdout) as Report
