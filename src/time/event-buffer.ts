/** Events for one reader: a bounded ring. A slow reader loses the oldest, and the loss is counted; it never delays a reply. */

export interface BufferedEvents<E> extends AsyncIterable<E> {
  /** Events this reader lost because it was too slow. */
  readonly dropped: number
}

export class EventBuffer<E> implements BufferedEvents<E> {
  readonly #limit: number
  readonly #signal: AbortSignal
  readonly #onClose: (buffer: EventBuffer<E>) => void
  #waiting: E[] = []
  #wake: (() => void) | undefined
  #ended = false
  dropped = 0

  constructor(limit: number, signal: AbortSignal, onClose: (buffer: EventBuffer<E>) => void) {
    this.#limit = limit
    this.#signal = signal
    this.#onClose = onClose
    if (signal.aborted) this.end()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  readonly #onAbort = (): void => this.end()

  push(event: E): void {
    if (this.#ended) return
    if (this.#waiting.length >= this.#limit) {
      this.#waiting.shift()
      this.dropped += 1
    }
    this.#waiting.push(event)
    this.#wake?.()
  }

  /** No more will come. What waits can still be read. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#onClose(this)
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<E> {
    try {
      for (;;) {
        const event = this.#waiting.shift()
        if (event !== undefined && !this.#signal.aborted) {
          yield event
          continue
        }
        if (this.#ended) return
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    } finally {
      this.end()
    }
  }
}
