/**
 * Bytes in, lines out. A QMP frame is one JSON object ended by a newline. Bounded: an unfinished line beyond the limit is an error.
 * Each byte is looked at once, however the stream is cut; a line that came in one piece is not copied.
 */
import { QmpProtocolError } from './errors.ts'

const newline = 0x0a

export class FrameReader {
  readonly #limit: number
  #parts: Buffer[] = []
  #size = 0

  /** @param limit of one frame @unit bytes */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Every line that `chunk` completes, without its newline; empty ones are left out. @throws QmpProtocolError beyond the limit */
  push(chunk: Buffer): readonly string[] {
    const lines: string[] = []
    let from = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      const line = this.#complete(chunk, from, end)
      if (line !== '' && line !== '\r') lines.push(line)
      from = end + 1
    }
    if (from < chunk.length) this.#keep(from === 0 ? chunk : chunk.subarray(from))
    return lines
  }

  #complete(chunk: Buffer, from: number, end: number): string {
    if (this.#size + end - from > this.#limit) throw this.#tooLarge()
    // Decoded as a whole, so a character that was cut between chunks is whole again.
    if (this.#parts.length === 0) return chunk.toString('utf8', from, end)
    const whole = Buffer.concat([...this.#parts, chunk.subarray(from, end)])
    this.#parts = []
    this.#size = 0
    return whole.toString('utf8')
  }

  #keep(rest: Buffer): void {
    this.#size += rest.length
    if (this.#size > this.#limit) throw this.#tooLarge()
    this.#parts.push(rest)
  }

  #tooLarge(): QmpProtocolError {
    return new QmpProtocolError(`a frame of more than ${this.#limit} bytes`)
  }
}
