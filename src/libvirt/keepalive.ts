/**
 * Notices a daemon that went away without a word: a host that lost its power, a path that was cut. When nothing was heard for an interval
 * the daemon is asked for a sign of life, and after so many of those without any, it counts as gone. As libvirt's own client does
 * (src/rpc/virkeepalive.c), but that nobody asks before the first silence whether the daemon knows the pings: that question is the first.
 */

export interface KeepaliveOptions {
  /** Silence before the daemon is asked. @default 5000 @unit ms */
  readonly interval: number
  /** Questions that may go unanswered; the next silence ends the connection. @default 5 */
  readonly count: number
}
export const defaultKeepalive: KeepaliveOptions = { interval: 5_000, count: 5 }

export interface Line {
  /** Whether the daemon answers pings. A rejection counts as no. */
  asksForPings(): Promise<boolean>
  ping(): void
  /** The daemon may have good reason to be silent: this interval does not count. */
  mayBeSilent(): boolean
  onSilent(why: string): void
}

export class Keepalive {
  readonly #options: KeepaliveOptions
  readonly #line: Line
  readonly #timer: NodeJS.Timeout
  #heard = true
  #unanswered = 0
  #pings: 'not asked' | 'asked' | 'answered' | 'unknown to it' = 'not asked'

  constructor(options: KeepaliveOptions, line: Line) {
    this.#options = options
    this.#line = line
    this.#timer = setInterval(() => this.#onInterval(), options.interval)
    // A connection that only waits keeps no process from its end.
    this.#timer.unref()
  }

  /** Something arrived, whatever it is. */
  heard(): void {
    this.#heard = true
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #onInterval(): void {
    if (this.#heard || this.#line.mayBeSilent()) {
      this.#heard = false
      this.#unanswered = 0
      return
    }
    if (this.#pings === 'unknown to it') {
      this.stop()
      return
    }
    if (this.#unanswered >= this.#options.count) {
      this.stop()
      const silence = ((this.#options.count + 1) * this.#options.interval) / 1000
      this.#line.onSilent(`nothing heard of it for ${silence} s, ${this.#unanswered} keepalive messages unanswered`)
      return
    }
    this.#unanswered += 1
    if (this.#pings === 'not asked') this.#ask()
    else this.#line.ping()
  }

  #ask(): void {
    this.#pings = 'asked'
    const onAnswer = (known: boolean): void => {
      this.#pings = known ? 'answered' : 'unknown to it'
    }
    this.#line.asksForPings().then(onAnswer, () => onAnswer(false))
  }
}
