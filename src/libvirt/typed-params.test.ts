import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { param, paramsByName, type TypedParam, typedParams } from './typed-params.ts'
import { decode, encode, XdrError } from './xdr.ts'

/** With a prototype, as what is read has one. */
const record = <T>(members: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(members, { noNullPrototype: true })

const text = fc.string({ maxLength: 12 }).map(each => each.replaceAll('\0', '0'))
const arbValue = fc.oneof(
  fc.integer().map(value => ({ type: 'int', value }) as const),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(value => ({ type: 'uint', value }) as const),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(value => ({ type: 'llong', value }) as const),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(value => ({ type: 'ullong', value }) as const),
  fc.double().map(value => ({ type: 'double', value }) as const),
  fc.boolean().map(value => ({ type: 'boolean', value }) as const),
  text.map(value => ({ type: 'string', value }) as const),
)
const arbParams: fc.Arbitrary<readonly TypedParam[]> = fc.array(record({ field: text, value: arbValue }), {
  maxLength: 8,
})
const codec = typedParams(8)

describe('typed parameters', () => {
  test('what is written is read; every beginning of it is an XdrError', () => {
    fc.assert(
      fc.property(arbParams, params => {
        const bytes = encode(codec, params)
        assert.deepEqual(decode(codec, bytes, 'params'), params)
        for (let length = 0; length < bytes.length; length += 1)
          assert.throws(() => decode(codec, bytes.subarray(0, length), 'params'), XdrError)
      }),
      runs(100),
    )
  })

  test('each type has libvirt’s number', () => {
    const typeOf = (value: TypedParam['value']): number => encode(codec, [{ field: '', value }]).readInt32BE(8)
    assert.deepEqual(
      [
        typeOf({ type: 'int', value: 1 }),
        typeOf({ type: 'uint', value: 1 }),
        typeOf({ type: 'llong', value: 1n }),
        typeOf({ type: 'ullong', value: 1n }),
        typeOf({ type: 'double', value: 1 }),
        typeOf({ type: 'boolean', value: true }),
        typeOf({ type: 'string', value: '' }),
      ],
      [1, 2, 3, 4, 5, 6, 7],
    )
  })

  test('a type of a newer libvirt is an XdrError that names its number', () => {
    const bytes = encode(codec, [param.int('x', 1)])
    bytes.writeInt32BE(8, 12)
    assert.throws(() => decode(codec, bytes, 'params'), { name: 'XdrError', message: '8 is no type of a parameter' })
  })

  test('more than may be are refused, both ways', () => {
    const nine = Array.from({ length: 9 }, (_, n) => param.int(`p${n}`, n))
    assert.throws(() => encode(codec, nine), XdrError)
    assert.throws(() => decode(codec, encode(typedParams(9), nine), 'params'), XdrError)
  })

  test('a value that does not fit its type is refused', () => {
    assert.throws(() => encode(codec, [param.int('x', 2 ** 31)]), XdrError)
    assert.throws(() => encode(codec, [param.ullong('x', -1)]), XdrError)
  })

  test('by name, numbers of 64 bits are doubles where they fit exactly', () => {
    const byName = paramsByName([
      param.int('int', -1),
      param.ullong('small', 2 ** 40),
      param.ullong('large', 2n ** 64n - 1n),
      { field: 'negative', value: { type: 'llong', value: -5n } },
      { field: 'yes', value: { type: 'boolean', value: true } },
      { field: 'rate', value: { type: 'double', value: 0.5 } },
      param.string('uri', 'tcp://x'),
    ])
    assert.deepEqual(Object.fromEntries(byName), {
      int: -1,
      small: 2 ** 40,
      large: 2n ** 64n - 1n,
      negative: -5,
      yes: true,
      rate: 0.5,
      uri: 'tcp://x',
    })
  })
})
