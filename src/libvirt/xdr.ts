/**
 * XDR (RFC 4506) as libvirt uses it: codecs that are put together like the declarations of remote_protocol.x. Everything is a multiple
 * of four bytes, big-endian. A length is checked against its own limit and against what is left before anything is made of it.
 */

/** Bytes that are not what the codec expects, or a value that does not fit its type. */
export class XdrError extends Error {
  override readonly name = 'XdrError'
}

const unit = 4
const padded = (length: number): number => Math.ceil(length / unit) * unit
const firstSize = 256

/** Grows as it is written to. */
export class XdrWriter {
  #buffer: Buffer
  #length = 0

  /** @param headroom bytes left free in front, for a header that is known later */
  constructor(headroom = 0) {
    this.#buffer = Buffer.allocUnsafe(Math.max(firstSize, headroom))
    this.#length = headroom
  }

  /** Room for `size` more bytes; returns where they go. The buffer may be another one afterwards. */
  #take(size: number): number {
    const at = this.#length
    if (at + size > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + size))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length += size
    return at
  }

  int32(value: number): void {
    const at = this.#take(4)
    this.#buffer.writeInt32BE(value, at)
  }
  uint32(value: number): void {
    const at = this.#take(4)
    this.#buffer.writeUInt32BE(value, at)
  }
  int64(value: bigint): void {
    const at = this.#take(8)
    this.#buffer.writeBigInt64BE(value, at)
  }
  uint64(value: bigint): void {
    const at = this.#take(8)
    this.#buffer.writeBigUInt64BE(value, at)
  }
  double(value: number): void {
    const at = this.#take(8)
    this.#buffer.writeDoubleBE(value, at)
  }
  /** Bytes without their length, padded with zeros. */
  bytes(value: Uint8Array): void {
    const at = this.#take(padded(value.length))
    this.#buffer.set(value, at)
    this.#buffer.fill(0, at + value.length, at + padded(value.length))
  }
  string(value: string): void {
    const length = Buffer.byteLength(value)
    this.uint32(length)
    const at = this.#take(padded(length))
    this.#buffer.write(value, at)
    this.#buffer.fill(0, at + length, at + padded(length))
  }

  get length(): number {
    return this.#length
  }

  /** What was written, and the room in front of it. Valid until the next write. */
  done(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}

export class XdrReader {
  readonly #buffer: Buffer
  #at: number

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer
    this.#at = at
  }

  get left(): number {
    return this.#buffer.length - this.#at
  }

  /** @throws XdrError when there are not so many bytes */
  #take(size: number, what: string): number {
    if (size > this.left) throw new XdrError(`${what}: ${size} bytes are needed, ${this.left} are left`)
    const at = this.#at
    this.#at += size
    return at
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4, 'an int'))
  }
  uint32(): number {
    return this.#buffer.readUInt32BE(this.#take(4, 'an unsigned int'))
  }
  int64(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8, 'a hyper'))
  }
  uint64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8, 'an unsigned hyper'))
  }
  double(): number {
    return this.#buffer.readDoubleBE(this.#take(8, 'a double'))
  }
  /** Bytes with their padding. @throws XdrError when the padding is not zero */
  #takePadded(length: number, what: string): number {
    const at = this.#take(padded(length), what)
    for (let n = at + length; n < this.#at; n += 1)
      if (this.#buffer[n] !== 0) throw new XdrError(`${what}: its padding is not zero`)
    return at
  }
  /** A copy. @throws XdrError when the padding is not zero */
  bytes(length: number, what: string): Buffer {
    const at = this.#takePadded(length, what)
    return Buffer.from(this.#buffer.subarray(at, at + length))
  }
  /** @throws XdrError when it is more than `most` */
  length(most: number, what: string): number {
    const length = this.uint32()
    if (length > most) throw new XdrError(`${what}: ${length} is more than ${most}`)
    return length
  }
  string(most: number): string {
    const length = this.length(most, 'a string')
    const at = this.#takePadded(length, 'a string')
    return this.#buffer.toString('utf8', at, at + length)
  }

  /** @throws XdrError when bytes are left over */
  end(what: string): void {
    if (this.left > 0) throw new XdrError(`${what}: ${this.left} bytes are left over`)
  }
}

/** How a type is written and read. */
export interface Codec<T> {
  readonly write: (to: XdrWriter, value: T) => void
  /** @throws XdrError */
  readonly read: (from: XdrReader) => T
}
export type Decoded<C> = C extends Codec<infer T> ? T : never

const limited = (value: number, least: number, most: number, what: string): number => {
  if (!Number.isInteger(value) || value < least || value > most) throw new XdrError(`${value} is no ${what}`)
  return value
}

export const int: Codec<number> = {
  write: (to, value) => to.int32(limited(value, -(2 ** 31), 2 ** 31 - 1, 'int')),
  read: from => from.int32(),
}
export const uint: Codec<number> = {
  write: (to, value) => to.uint32(limited(value, 0, 2 ** 32 - 1, 'unsigned int')),
  read: from => from.uint32(),
}
/** 0 or 1 in an int, as libvirt has it. */
export const flag: Codec<boolean> = {
  write: (to, value) => to.int32(value ? 1 : 0),
  read: from => from.int32() !== 0,
}
const insist = (fits: boolean, value: bigint, what: string): bigint => {
  if (!fits) throw new XdrError(`${value} is no ${what}`)
  return value
}
export const hyper: Codec<bigint> = {
  write: (to, value) => to.int64(insist(BigInt.asIntN(64, value) === value, value, 'hyper')),
  read: from => from.int64(),
}
export const unsignedHyper: Codec<bigint> = {
  write: (to, value) => to.uint64(insist(BigInt.asUintN(64, value) === value, value, 'unsigned hyper')),
  read: from => from.uint64(),
}
/** An unsigned hyper that counts something real: sizes, times. @throws XdrError above 2^53 − 1 */
export const count: Codec<number> = {
  write: (to, value) => to.uint64(BigInt(limited(value, 0, Number.MAX_SAFE_INTEGER, 'count'))),
  read: from => {
    const value = from.uint64()
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new XdrError(`${value} is too large a count`)
    return Number(value)
  },
}
export const double: Codec<number> = { write: (to, value) => to.double(value), read: from => from.double() }
export const nothing: Codec<void> = { write: () => undefined, read: () => undefined }

/** UTF-8. @throws XdrError for one with a NUL inside: the daemon, which is written in C, would read only what stands before it */
export const string = (most: number): Codec<string> => ({
  write: (to, value) => {
    if (value.includes('\0')) throw new XdrError('a string with a NUL inside')
    const length = Buffer.byteLength(value)
    if (length > most) throw new XdrError(`a string of ${length} bytes, at most ${most} are allowed`)
    to.string(value)
  },
  read: from => from.string(most),
})
/** Always so many bytes. */
export const fixedOpaque = (length: number): Codec<Buffer> => ({
  write: (to, value) => {
    if (value.length !== length) throw new XdrError(`${value.length} bytes where ${length} belong`)
    to.bytes(value)
  },
  read: from => from.bytes(length, 'opaque'),
})
export const opaque = (most: number): Codec<Buffer> => ({
  write: (to, value) => {
    if (value.length > most) throw new XdrError(`${value.length} bytes, at most ${most} are allowed`)
    to.uint32(value.length)
    to.bytes(value)
  },
  read: from => from.bytes(from.length(most, 'opaque'), 'opaque'),
})
/** `type *name`: there or not. */
export const optional = <T>(of: Codec<T>): Codec<T | undefined> => ({
  write: (to, value) => {
    to.uint32(value === undefined ? 0 : 1)
    if (value !== undefined) of.write(to, value)
  },
  read: from => {
    const there = from.uint32()
    if (there > 1) throw new XdrError(`${there} where 0 or 1 says whether something follows`)
    return there === 1 ? of.read(from) : undefined
  },
})
/** `type name<most>`. */
export const array = <T>(of: Codec<T>, most: number): Codec<readonly T[]> => ({
  write: (to, values) => {
    if (values.length > most) throw new XdrError(`${values.length} elements, at most ${most} are allowed`)
    to.uint32(values.length)
    for (const value of values) of.write(to, value)
  },
  read: from => {
    const length = from.length(most, 'an array')
    // No element takes less than a unit: what cannot be there is not allocated for.
    if (length * unit > from.left) throw new XdrError(`an array of ${length} elements in ${from.left} bytes`)
    const values: T[] = []
    for (let n = 0; n < length; n += 1) values.push(of.read(from))
    return values
  },
})

/** `type name[length]`. */
export const fixedArray = <T>(of: Codec<T>, length: number): Codec<readonly T[]> => ({
  write: (to, values) => {
    if (values.length !== length) throw new XdrError(`${values.length} elements where ${length} belong`)
    for (const value of values) of.write(to, value)
  },
  read: from => Array.from({ length }, () => of.read(from)),
})

/** A codec of any type at all. */
interface SomeCodec {
  readonly write: (to: XdrWriter, value: never) => void
  readonly read: (from: XdrReader) => unknown
}
type Struct<F> = { readonly [K in keyof F]: F[K] extends Codec<infer T> ? T : never }

/** Members in the order in which they are declared. */
export function struct<F extends Readonly<Record<string, SomeCodec>>>(fields: F): Codec<Struct<F>> {
  const entries = Object.entries(fields)
  return {
    write: (to, value) => {
      for (const [name, codec] of entries) codec.write(to, (value as Readonly<Record<string, never>>)[name] as never)
    },
    read: from => {
      const value: Record<string, unknown> = {}
      for (const [name, codec] of entries) value[name] = codec.read(from)
      return value as Struct<F>
    },
  }
}

/** @throws XdrError when it is not that, or more than that */
export function decode<T>(codec: Codec<T>, bytes: Buffer, what: string): T {
  const reader = new XdrReader(bytes)
  const value = codec.read(reader)
  reader.end(what)
  return value
}

export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter()
  codec.write(writer, value)
  return Buffer.from(writer.done())
}
