import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { LibvirtProtocolError } from './errors.ts'
import { type Header, headerSize, longestMessage, MessageReader, sealMessage } from './frame.ts'

/** With a prototype, as what is read has one. */
const record = <T>(members: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(members, { noNullPrototype: true })

const MiB = 1_048_576
const headed: Header = { program: 0x20_00_80_86, version: 1, procedure: 212, type: 1, serial: 7, status: 0 }
const messageWith = (body: Buffer, header: Partial<Header> = {}): Buffer =>
  sealMessage(Buffer.concat([Buffer.alloc(headerSize), body]), { ...headed, ...header })
const lengthOf = (length: number): Buffer => {
  const word = Buffer.alloc(4)
  word.writeUInt32BE(length)
  return word
}
/** Cuts `whole` at these places, whatever their order; equal ones give empty chunks. */
function cut(whole: Buffer, places: readonly number[]): readonly Buffer[] {
  const at = [0, ...places.map(place => place % (whole.length + 1)).sort((a, b) => a - b), whole.length]
  return at.slice(1).map((end, k) => whole.subarray(at[k], end))
}
const readAll = (chunks: readonly Buffer[], reader = new MessageReader()) =>
  chunks.flatMap(chunk => [...reader.push(chunk)])

const arbMessage = record({
  header: record({
    program: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    version: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    procedure: fc.integer(),
    type: fc.integer(),
    serial: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    status: fc.integer(),
  }),
  body: fc.uint8Array({ maxLength: 100 }).map(bytes => Buffer.from(bytes)),
})

describe('the reader of messages', () => {
  test('a stream cut anywhere gives the same messages', () => {
    fc.assert(
      fc.property(fc.array(arbMessage, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 40 }), (messages, places) => {
        const whole = Buffer.concat(messages.map(({ header, body }) => messageWith(body, header)))
        assert.deepEqual(readAll([whole]), messages)
        assert.deepEqual(readAll(cut(whole, places)), messages)
        assert.deepEqual(readAll(Array.from(whole, byte => Buffer.of(byte))), messages)
      }),
      runs(200),
    )
  })

  test('a message is given when its last byte comes, not before', () => {
    const reader = new MessageReader()
    const message = messageWith(Buffer.from('body'))
    assert.deepEqual([...reader.push(message.subarray(0, 3))], [])
    assert.deepEqual([...reader.push(Buffer.alloc(0))], [])
    assert.deepEqual([...reader.push(message.subarray(3, -1))], [])
    assert.equal(reader.unfinished, message.length - 1)
    assert.deepEqual([...reader.push(message.subarray(-1))], [{ header: headed, body: Buffer.from('body') }])
    assert.equal(reader.unfinished, 0)
  })

  test('bodies stay what they were when more is read', () => {
    const reader = new MessageReader()
    const [first, second] = [messageWith(Buffer.from('first')), messageWith(Buffer.from('other'))]
    const kept = readAll(
      [first.subarray(0, 10), first.subarray(10), second.subarray(0, 30), second.subarray(30)],
      reader,
    )
    assert.deepEqual(
      kept.map(({ body }) => body.toString()),
      ['first', 'other'],
    )
  })

  for (const length of [0, 1, 4, 27, longestMessage + 1, 2 ** 31, 2 ** 32 - 1]) {
    test(`a length of ${length} is refused as soon as it is read, in one piece or in four`, () => {
      for (const chunks of [[lengthOf(length)], Array.from(lengthOf(length), byte => Buffer.of(byte))]) {
        assert.throws(() => readAll(chunks), {
          name: 'LibvirtProtocolError',
          message: `a message of ${length} bytes; there are 28 to ${longestMessage}`,
        })
      }
    })
  }

  test('what came before a length that is refused is still given', () => {
    const got: string[] = []
    assert.throws(() => {
      for (const { body } of new MessageReader().push(Buffer.concat([messageWith(Buffer.from('good')), lengthOf(0)])))
        got.push(body.toString())
    }, LibvirtProtocolError)
    assert.deepEqual(got, ['good'])
  })

  test('a message of the header alone, and the longest there is, are read; a limit of one’s own is kept', () => {
    assert.deepEqual(readAll([messageWith(Buffer.alloc(0))])[0]?.body.length, 0)
    const longest = messageWith(Buffer.alloc(longestMessage - headerSize))
    assert.equal(longest.length, 32 * MiB + 4, 'the length is not counted in VIR_NET_MESSAGE_MAX')
    assert.equal(readAll([longest])[0]?.body.length, longestMessage - headerSize)
    assert.equal(readAll([messageWith(Buffer.alloc(12))], new MessageReader(40)).length, 1)
    assert.throws(() => readAll([messageWith(Buffer.alloc(13))], new MessageReader(40)), LibvirtProtocolError)
  })

  test('nothing is allocated for a message that was only announced', () => {
    const before = process.memoryUsage().arrayBuffers
    const readers = Array.from({ length: 50 }, () => new MessageReader())
    for (const reader of readers) readAll([lengthOf(longestMessage), Buffer.alloc(100)], reader)
    assert.ok(process.memoryUsage().arrayBuffers - before < MiB)
    assert.equal(readers[0]?.unfinished, 104)
  })

  test('twice as long in chunks as small takes about twice as long, and little more than its size in memory', () => {
    const time = (size: number): number => {
      const whole = messageWith(Buffer.alloc(size - headerSize))
      const chunk = 64
      const reader = new MessageReader()
      let read = 0
      const began = performance.now()
      for (let at = 0; at < size; at += chunk)
        for (const { body } of reader.push(whole.subarray(at, at + chunk))) read += body.length
      assert.equal(read, size - headerSize)
      return performance.now() - began
    }
    time(MiB)
    const [small, large] = [time(4 * MiB), time(32 * MiB)]
    // Eight times as much; were it quadratic, sixty-four times.
    assert.ok(large < small * 30 + 200, `4 MiB: ${small.toFixed(0)} ms, 32 MiB: ${large.toFixed(0)} ms`)
    assert.ok(large < 3_000, `${large.toFixed(0)} ms`)
  })
})
