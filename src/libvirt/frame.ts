/**
 * Messages on a libvirt connection (libvirt, src/rpc/virnetprotocol.x): a length, a header of six words, and a body in XDR.
 * The length counts itself.
 */
import { LibvirtProtocolError } from './errors.ts'

const lengthSize = 4
export const headerSize = lengthSize + 24
/** src/rpc/virnetprotocol.x, VIR_NET_MESSAGE_MAX, which does not count the length, as the length does. @unit bytes */
export const longestMessage = 33_554_432 + lengthSize

/** src/remote/remote_protocol.x, REMOTE_PROGRAM; src/rpc/virkeepaliveprotocol.x, KEEPALIVE_PROGRAM. */
export const program = { remote: 0x20_00_80_86, qemu: 0x20_00_80_87, keepalive: 0x6b_65_65_70 } as const
export const protocolVersion = 1

export const messageType = { call: 0, reply: 1, message: 2, stream: 3 } as const
export const messageStatus = { ok: 0, error: 1, continues: 2 } as const

export interface Header {
  readonly program: number
  readonly version: number
  readonly procedure: number
  readonly type: number
  readonly serial: number
  readonly status: number
}

export interface Message {
  readonly header: Header
  /** A view of what was read, not a copy. */
  readonly body: Buffer
}

/** Writes length and header into the first {@link headerSize} bytes of a message whose body is there already. */
export function sealMessage(message: Buffer, header: Header): Buffer {
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(header.program, 4)
  message.writeUInt32BE(header.version, 8)
  message.writeInt32BE(header.procedure, 12)
  message.writeInt32BE(header.type, 16)
  message.writeUInt32BE(header.serial, 20)
  message.writeInt32BE(header.status, 24)
  return message
}

const none = Buffer.alloc(0)

/**
 * Puts chunks together to messages. What is whole within a chunk is not copied; of a message that is not, the beginning is held, in a
 * buffer that grows as bytes arrive: a length is believed only within the limit, and nothing is allocated for bytes that have not come.
 */
export class MessageReader {
  readonly #most: number
  #held = none
  #length = 0
  /** Of the message that is held, once its length is. */
  #wanted = lengthSize

  constructor(most: number = longestMessage) {
    this.#most = most
  }

  /** Bytes of a message that is not complete. */
  get unfinished(): number {
    return this.#length
  }

  /** @throws LibvirtProtocolError for a length that no message has; the messages before it are given first */
  *push(chunk: Buffer): Generator<Message> {
    let at = 0
    if (this.#length > 0) {
      at = this.#hold(chunk, at)
      if (this.#length < this.#wanted) return
      yield messageOf(this.#release())
    }
    while (chunk.length - at >= lengthSize) {
      const end = at + this.#believed(chunk.readUInt32BE(at))
      if (end > chunk.length) break
      yield messageOf(chunk.subarray(at, end))
      at = end
    }
    if (at < chunk.length) this.#hold(chunk, at)
  }

  #believed(length: number): number {
    if (length >= headerSize && length <= this.#most) return length
    throw new LibvirtProtocolError(`a message of ${length} bytes; there are ${headerSize} to ${this.#most}`)
  }

  /** Takes from `chunk` what the held message lacks. @returns where it stopped */
  #hold(chunk: Buffer, from: number): number {
    let at = from
    if (this.#length < lengthSize) {
      at = this.#copy(chunk, at, lengthSize)
      if (this.#length < lengthSize) return at
      this.#wanted = this.#believed(this.#held.readUInt32BE(0))
    }
    return this.#copy(chunk, at, this.#wanted)
  }

  #copy(chunk: Buffer, from: number, until: number): number {
    const end = Math.min(from + until - this.#length, chunk.length)
    const length = this.#length + end - from
    if (length > this.#held.length) {
      // Twice as much each time: a message of n bytes costs n copies of a byte, however small the chunks.
      const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.#held.length * 2, until)))
      this.#held.copy(larger, 0, 0, this.#length)
      this.#held = larger
    }
    chunk.copy(this.#held, this.#length, from, end)
    this.#length = length
    return end
  }

  #release(): Buffer {
    const whole = this.#held.subarray(0, this.#length)
    this.#held = none
    this.#length = 0
    this.#wanted = lengthSize
    return whole
  }
}

const messageOf = (bytes: Buffer): Message => ({
  header: {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
  },
  body: bytes.subarray(headerSize),
})
