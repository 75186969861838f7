/**
 * One shell on a host that stays open, for questions asked every second: no connection, no login, no shell start for each.
 *
 *     resting ──start──> running ──its end, a missed deadline, too much output, an abort──> resting (longer each time)
 *
 * Each batch has marks of its own that nobody can guess, so nothing a host prints is taken for the end of an answer; what comes between
 * batches is thrown away. A batch that was not answered in time leaves the shell in a state nobody knows: it is ended, and another is
 * started at the next question. Knows nothing of what is asked.
 */
import { randomUUID } from 'node:crypto'
import type { Instant } from '../core/instant.ts'
import { plus } from '../core/instant.ts'
import { type Milliseconds, ms, showBytes, showTime } from '../core/units.ts'
import type { Remote, RemoteProcess } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'

/** The shell ended, or is not started again yet. The message says why, and when the next attempt is due. */
export class SessionLost extends Error {
  override readonly name = 'SessionLost'
}

export interface SessionOptions {
  readonly remote: Remote
  readonly clock: Clock
  /** Sent once to every new shell: what the batches call. POSIX sh. */
  readonly prelude: string
}

/** @unit bytes */
const maxOutput = 1_048_576
const firstRest = 1_000
const longestRest = 60_000
/** More callers than this wait for one shell: somebody asks faster than it answers. */
const mostWaiting = 8

interface Pending {
  readonly begin: string
  readonly end: string
  text: string
  readonly resolve: (text: string) => void
  readonly reject: (error: unknown) => void
}

export class HostSession {
  readonly #options: SessionOptions
  #process: RemoteProcess | undefined
  #pending: Pending | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #rest = 0
  #notBefore: Instant | undefined
  #lastEnd = ''
  #closed = false
  /** Shells started so far. */
  starts = 0

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /**
   * Runs `command` in the shell and returns what it printed. The mark of this batch is its first argument: `r` becomes `r MARK`.
   * One at a time; others wait their turn.
   * @throws SessionLost, DeadlineExceeded, HostUnreachable, CommandUnavailable (no `sh`), or the signal's reason
   */
  run(
    command: string,
    within: Milliseconds,
    signal: AbortSignal,
  ): Promise<{ readonly mark: string; readonly text: string }> {
    if (this.#waiting >= mostWaiting)
      return Promise.reject(new SessionLost(`${this.#options.remote.where}: ${mostWaiting} questions wait already`))
    this.#waiting += 1
    const turn = this.#tail.then(async () => {
      try {
        return await withDeadline(this.#options.clock, within, this.#options.remote.where, signal, inner =>
          this.#batch(command, inner),
        )
      } finally {
        this.#waiting -= 1
      }
    })
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  close(): void {
    this.#closed = true
    this.#drop('closed')
  }

  async #batch(command: string, signal: AbortSignal): Promise<{ readonly mark: string; readonly text: string }> {
    signal.throwIfAborted()
    const process = await this.#running(signal)
    // It may have ended while we waited for it.
    if (process !== this.#process) throw new SessionLost(this.#lastEnd)
    const mark = randomUUID()
    const onAbort = (): void => this.#drop(describe(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const text = await new Promise<string>((resolve, reject) => {
        this.#pending = { begin: `${mark}:begin\n`, end: `\n${mark}:end\n`, text: '', resolve, reject }
        process.stdin.write(`echo ${mark}:begin\n${command} ${mark}\necho\necho ${mark}:end\n`)
      })
      this.#rest = 0
      return { mark, text }
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #running(signal: AbortSignal): Promise<RemoteProcess> {
    if (this.#process !== undefined) return this.#process
    const { remote, clock, prelude } = this.#options
    if (this.#closed) throw new SessionLost(`${remote.where}: closed`)
    const wait = (this.#notBefore ?? clock.now()) - clock.now()
    if (wait > 0) throw new SessionLost(`${this.#lastEnd}; tried again in ${showTime(wait)}`)
    let process: RemoteProcess
    try {
      process = await remote.start(['sh', '-s'], signal)
    } catch (error) {
      this.#backOff(describe(error))
      throw error
    }
    this.starts += 1
    this.#process = process
    process.stdout.setEncoding('utf8').on('data', (text: string) => this.#onText(process, text))
    process.stdout.on('error', () => undefined) // its end follows
    void process.ended.then(({ code, complaint }) => {
      const said = complaint.split('\n').at(-1) ?? ''
      this.#onEnd(process, `${remote.where}: its shell ended with ${code}${said === '' ? '' : `: ${said}`}`)
    })
    process.stdin.write(prelude)
    return process
  }

  #onText(process: RemoteProcess, text: string): void {
    const pending = this.#pending
    if (pending === undefined || process !== this.#process) return
    pending.text += text
    if (pending.text.length > maxOutput) {
      this.#drop(`${this.#options.remote.where}: more than ${showBytes(maxOutput)} in one answer`)
      return
    }
    if (!pending.text.endsWith(pending.end)) return
    const begin = pending.text.indexOf(pending.begin)
    this.#pending = undefined
    pending.resolve(begin < 0 ? '' : pending.text.slice(begin + pending.begin.length, -pending.end.length))
  }

  #onEnd(process: RemoteProcess, why: string): void {
    process.kill()
    if (process !== this.#process) return
    this.#process = undefined
    this.#backOff(why)
    const pending = this.#pending
    this.#pending = undefined
    pending?.reject(new SessionLost(why))
  }

  #drop(why: string): void {
    const process = this.#process
    if (process === undefined) return
    this.#onEnd(process, why)
  }

  #backOff(why: string): void {
    this.#rest = this.#rest === 0 ? firstRest : Math.min(longestRest, this.#rest * 2)
    this.#lastEnd = why
    this.#notBefore = plus(this.#options.clock.now(), ms(this.#rest))
  }
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error))
