import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import {
  array,
  type Codec,
  count,
  decode,
  double,
  encode,
  fixedArray,
  fixedOpaque,
  flag,
  hyper,
  int,
  nothing,
  opaque,
  optional,
  string,
  struct,
  uint,
  unsignedHyper,
  XdrError,
  XdrReader,
  XdrWriter,
} from './xdr.ts'

/** With a prototype, as what is read has one. */
const record = <T>(members: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(members, { noNullPrototype: true })

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const opaqueOf = (...lengths: readonly [number, number?]): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: lengths[0], maxLength: lengths[1] ?? lengths[0] }).map(bytes => Buffer.from(bytes))
/** Characters of one to four bytes, none of which is NUL or half of one. */
const arbText = fc.string({ unit: 'binary', maxLength: 20 }).map(text => text.replaceAll('\0', '0'))

/** A codec, and values of its type. */
interface Sample<T> {
  readonly codec: Codec<T>
  readonly values: fc.Arbitrary<T>
}
const sample = <T>(codec: Codec<T>, values: fc.Arbitrary<T>): Sample<unknown> =>
  ({ codec, values }) as unknown as Sample<unknown>

const nested = struct({ a: int, list: array(struct({ name: string(100), maybe: optional(hyper) }), 5), z: opaque(9) })
const samples: Readonly<Record<string, Sample<unknown>>> = {
  int: sample(int, fc.integer()),
  uint: sample(uint, fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  flag: sample(flag, fc.boolean()),
  hyper: sample(hyper, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  unsignedHyper: sample(unsignedHyper, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  count: sample(count, fc.maxSafeNat()),
  double: sample(double, fc.double()),
  nothing: sample(nothing, fc.constant(undefined)),
  string: sample(string(100), arbText),
  fixedOpaque: sample(fixedOpaque(5), opaqueOf(5)),
  opaque: sample(opaque(9), opaqueOf(0, 9)),
  optional: sample(optional(string(100)), fc.option(arbText, { nil: undefined })),
  array: sample(array(string(100), 5), fc.array(arbText, { maxLength: 5 })),
  fixedArray: sample(fixedArray(int, 3), fc.array(fc.integer(), { minLength: 3, maxLength: 3 })),
  'struct in struct': sample(
    nested,
    record({
      a: fc.integer(),
      list: fc.array(
        record({
          name: arbText,
          maybe: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: undefined }),
        }),
        { maxLength: 5 },
      ),
      z: opaqueOf(0, 9),
    }),
  ),
}

describe('every codec', () => {
  for (const [name, { codec, values }] of Object.entries(samples)) {
    test(`${name}: what is written is read, and takes a multiple of four bytes`, () => {
      fc.assert(
        fc.property(values, value => {
          const bytes = encode(codec, value)
          assert.equal(bytes.length % 4, 0)
          assert.deepEqual(decode(codec, bytes, name), value)
        }),
        runs(200),
      )
    })

    test(`${name}: every beginning of what was written is an XdrError, and so is more than it`, () => {
      fc.assert(
        fc.property(values, value => {
          const bytes = encode(codec, value)
          for (let length = 0; length < bytes.length; length += 1)
            assert.throws(
              () => decode(codec, bytes.subarray(0, length), name),
              XdrError,
              `${length} of ${bytes.length}`,
            )
          assert.throws(() => decode(codec, Buffer.concat([bytes, Buffer.alloc(4)]), name), XdrError)
        }),
        runs(50),
      )
    })

    test(`${name}: any bytes at all are read, or an XdrError`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
          try {
            decode(codec, Buffer.from(bytes), name)
          } catch (error) {
            if (!(error instanceof XdrError)) throw error
          }
        }),
        runs(300),
      )
    })
  }
})

describe('bytes as RFC 4506 has them', () => {
  const known: readonly (readonly [what: string, codec: Codec<unknown>, value: unknown, bytes: string])[] = [
    ['an int is two’s complement', int, -2, 'fffffffe'],
    ['an unsigned int', uint, 0xdeadbeef, 'deadbeef'],
    ['a flag is 0 or 1', flag, true, '00000001'],
    ['a hyper', hyper, -1n, 'ffffffffffffffff'],
    ['an unsigned hyper', unsignedHyper, 2n ** 63n, '8000000000000000'],
    ['a count is an unsigned hyper', count, 1_048_576, '0000000000100000'],
    ['a double', double, 1, '3ff0000000000000'],
    ['a string and three bytes of padding', string(9), 'sillyp'.slice(0, 5), '00000005 73696c6c 79000000'],
    ['a string of whole words is not padded', string(9), 'four', '00000004 666f7572'],
    ['an empty string', string(9), '', '00000000'],
    ['a string counts bytes, not characters', string(9), 'ä鍵', '00000005 c3a4e98d b5000000'],
    ['opaque of a fixed length has no length', fixedOpaque(2), Buffer.of(1, 2), '01020000'],
    ['opaque', opaque(9), Buffer.of(1, 2, 3), '00000003 01020300'],
    ['what is not there', optional(int), undefined, '00000000'],
    ['what is there', optional(int), 7, '00000001 00000007'],
    ['an array', array(int, 3), [1, 2], '00000002 00000001 00000002'],
    ['an array of a fixed length has no length', fixedArray(int, 2), [1, 2], '00000001 00000002'],
    ['a struct, in its order', struct({ b: int, a: flag }), { a: true, b: 9 }, '00000009 00000001'],
  ] as never
  for (const [what, codec, value, bytes] of known) {
    test(what, () => {
      assert.deepEqual(encode(codec, value), hex(bytes))
      assert.deepEqual(decode(codec, hex(bytes), what), value)
    })
  }
})

describe('what is refused', () => {
  const refusals: readonly (readonly [what: string, codec: Codec<unknown>, bytes: string, message: RegExp])[] = [
    ['a string of 4 GiB', string(2 ** 32 - 1), 'ffffffff', /4294967295 bytes|4294967296 bytes/],
    ['a string beyond its limit', string(3), '00000004 666f7572', /4 is more than 3/],
    ['opaque of 4 GiB', opaque(2 ** 32 - 1), 'ffffffff 00000000', /4 are left/],
    ['opaque beyond its limit', opaque(3), '00000004 00000000', /4 is more than 3/],
    ['an array of 4 GiB', array(int, 2 ** 32 - 1), 'ffffffff', /an array of 4294967295 elements in 0 bytes/],
    ['an array beyond its limit', array(int, 1), '00000002 00000001 00000002', /2 is more than 1/],
    ['an array of more than is left', array(string(9), 9), '00000003 00000000 00000000', /3 elements in 8 bytes/],
    ['padding of a string that is not zero', string(9), '00000001 61000001', /padding is not zero/],
    ['padding of opaque that is not zero', opaque(9), '00000003 01020304', /padding is not zero/],
    ['padding that is missing', opaque(9), '00000003 010203', /4 bytes are needed, 3 are left/],
    ['a third kind of there-or-not', optional(int), '00000002 00000001', /2 where 0 or 1/],
    ['a count of more than a double holds exactly', count, '0020000000000000', /too large a count/],
  ] as never
  for (const [what, codec, bytes, message] of refusals) {
    test(what, () => {
      assert.throws(() => decode(codec, hex(bytes), what), { name: 'XdrError', message })
    })
  }

  test('lengths of 4 GiB cost nothing: no memory is asked for before they are checked', () => {
    const before = process.memoryUsage()
    for (const codec of [string(2 ** 32 - 1), opaque(2 ** 32 - 1), array(int, 2 ** 32 - 1)])
      for (let n = 0; n < 1_000; n += 1)
        assert.throws(() => decode(codec as Codec<unknown>, hex('ffffffff 00000000'), 'much'), XdrError)
    const after = process.memoryUsage()
    assert.ok(after.arrayBuffers - before.arrayBuffers < 8 * 2 ** 20)
    assert.ok(after.rss - before.rss < 64 * 2 ** 20)
  })

  const unfit: readonly (readonly [what: string, codec: Codec<unknown>, value: unknown])[] = [
    ['a fraction', int, 1.5],
    ['not a number', int, Number.NaN],
    ['more than an int', int, 2 ** 31],
    ['less than an int', int, -(2 ** 31) - 1],
    ['less than nothing', uint, -1],
    ['more than an unsigned int', uint, 2 ** 32],
    ['more than a hyper', hyper, 2n ** 63n],
    ['less than a hyper', hyper, -(2n ** 63n) - 1n],
    ['more than an unsigned hyper', unsignedHyper, 2n ** 64n],
    ['a negative unsigned hyper', unsignedHyper, -1n],
    ['a count that is no whole number', count, 0.5],
    ['a count of less than nothing', count, -1],
    ['a count beyond what is exact', count, 2 ** 53],
    ['a string that is too long in bytes', string(3), 'ää'],
    ['a string with a NUL, where the daemon would stop', string(9), 'vm\0evil'],
    ['too few bytes', fixedOpaque(3), Buffer.alloc(2)],
    ['too many bytes', opaque(3), Buffer.alloc(4)],
    ['too many elements', array(int, 1), [1, 2]],
    ['too few elements', fixedArray(int, 3), [1, 2]],
  ] as never
  for (const [what, codec, value] of unfit) {
    test(`to write: ${what}`, () => {
      assert.throws(() => encode(codec, value), XdrError)
    })
  }
})

describe('writer and reader', () => {
  test('the writer grows, and keeps the room in front', () => {
    const writer = new XdrWriter(28)
    writer.string('x'.repeat(1_000))
    assert.equal(writer.length, 28 + 4 + 1_000)
    assert.equal(writer.done().subarray(28).readUInt32BE(0), 1_000)
    assert.equal(new XdrWriter(5_000).done().length, 5_000)
  })

  test('every fixed size is written where the buffer had to grow for it', () => {
    for (let before = 200; before < 300; before += 4) {
      const written = (write: (to: XdrWriter) => void): Buffer => {
        const writer = new XdrWriter()
        writer.bytes(Buffer.alloc(before))
        write(writer)
        return writer.done().subarray(before)
      }
      assert.equal(written(to => to.int32(-7)).readInt32BE(0), -7)
      assert.equal(written(to => to.uint32(7)).readUInt32BE(0), 7)
      assert.equal(written(to => to.int64(-7n)).readBigInt64BE(0), -7n)
      assert.equal(written(to => to.uint64(7n)).readBigUInt64BE(0), 7n)
      assert.equal(written(to => to.double(0.5)).readDoubleBE(0), 0.5)
    }
  })

  test('padding is zero whatever the buffer held before', () => {
    for (let n = 0; n < 200; n += 1) {
      Buffer.allocUnsafe(256).fill(0xff)
      assert.deepEqual(encode(string(9), 'a'), hex('00000001 61000000'))
      assert.deepEqual(encode(opaque(9), Buffer.of(7)), hex('00000001 07000000'))
    }
  })

  test('bytes that were read are a copy', () => {
    const message = hex('00000002 01020000')
    const value = decode(opaque(9), message, 'opaque')
    message.fill(0xff)
    assert.deepEqual(value, Buffer.of(1, 2))
  })

  test('the reader starts where it is told, and says what is left', () => {
    const reader = new XdrReader(hex('ffffffff 00000007 00000001'), 4)
    assert.equal(reader.int32(), 7)
    assert.equal(reader.left, 4)
    assert.throws(() => reader.end('this'), { name: 'XdrError', message: 'this: 4 bytes are left over' })
  })
})
