/**
 * Messages on a libvirt connection (libvirt, src/rpc/virnetprotocol.x): a length, a header of six words, and a body in XDR.
 * The length counts itself.
 */
import { LibvirtProtocolError } from './errors.ts'

/** src/rpc/virnetprotocol.x, VIR_NET_MESSAGE_MAX. @unit bytes */
export const longestMessage = 33_554_432
const lengthSize = 4
export const headerSize = lengthSize + 24

/** src/remote/remote_protocol.x, REMOTE_PROGRAM; src/rpc/virkeepaliveprotocol.x, KEEPALIVE_PROGRAM. */
export const program = { remote: 0x20_00_80_86, keepalive: 0x6b_65_65_70 } as const
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
  /** Valid until the next chunk is pushed only if it is read at once: a view, not a copy. */
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

/** Puts chunks together to messages. Holds at most one message that is not complete; a length is believed only within the limit. */
export class MessageReader {
  readonly #most: number
  #chunks: Buffer[] = []
  #held = 0
  /** Of the message that is being read, once it is known. */
  #wanted: number | undefined

  constructor(most: number = longestMessage) {
    this.#most = most
  }

  /** @throws LibvirtProtocolError for a length that no message has */
  *push(chunk: Buffer): Generator<Message> {
    this.#chunks.push(chunk)
    this.#held += chunk.length
    for (;;) {
      if (this.#wanted === undefined) {
        if (this.#held < lengthSize) return
        const wanted = this.#joined().readUInt32BE(0)
        if (wanted < headerSize || wanted > this.#most)
          throw new LibvirtProtocolError(`a message of ${wanted} bytes; there are ${headerSize} to ${this.#most}`)
        this.#wanted = wanted
      }
      if (this.#held < this.#wanted) return
      const all = this.#joined()
      const message = all.subarray(0, this.#wanted)
      const rest = all.subarray(this.#wanted)
      this.#chunks = rest.length === 0 ? [] : [rest]
      this.#held = rest.length
      this.#wanted = undefined
      yield { header: headerOf(message), body: message.subarray(headerSize) }
    }
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    if (this.#chunks.length === 1 && first !== undefined) return first
    const all = Buffer.concat(this.#chunks, this.#held)
    this.#chunks = [all]
    return all
  }
}

const headerOf = (message: Buffer): Header => ({
  program: message.readUInt32BE(4),
  version: message.readUInt32BE(8),
  procedure: message.readInt32BE(12),
  type: message.readInt32BE(16),
  serial: message.readUInt32BE(20),
  status: message.readInt32BE(24),
})
