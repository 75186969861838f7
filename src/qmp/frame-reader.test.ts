import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { QmpProtocolError } from './errors.ts'
import { FrameReader } from './frame-reader.ts'

/** Cuts `whole` at these places, whatever their order; equal ones give empty chunks. */
function cut(whole: Buffer, places: readonly number[]): readonly Buffer[] {
  const at = [0, ...places.map(place => place % (whole.length + 1)).sort((a, b) => a - b), whole.length]
  return at.slice(1).map((end, k) => whole.subarray(at[k], end))
}
const readAll = (chunks: readonly Buffer[], limit = 1_000_000): readonly string[] => {
  const reader = new FrameReader(limit)
  return chunks.flatMap(chunk => reader.push(chunk))
}

const arbText = fc.oneof(
  fc.json(),
  // Any characters of one to three bytes; those of four are among the constants.
  fc.string({ unit: fc.integer({ max: 0xd7ff, min: 0 }).map(code => String.fromCodePoint(code)) }),
  fc.constantFrom('', '\r', '{"return": {}}\r', '鍵🔑'),
)
const arbLine = arbText.map(line => line.replaceAll('\n', ' '))
const arbPlaces = fc.array(fc.nat(), { maxLength: 40 })

describe('the frame reader', () => {
  test('a stream cut anywhere gives the same lines as the whole', () => {
    fc.assert(
      fc.property(fc.array(arbLine), arbPlaces, (lines, places) => {
        const whole = Buffer.from(lines.map(line => `${line}\n`).join(''))
        const expected = lines.filter(line => line !== '' && line !== '\r')
        assert.deepEqual(readAll([whole]), expected)
        assert.deepEqual(readAll(cut(whole, places)), expected)
      }),
      runs(200),
    )
  })

  test('a stream in single bytes gives the same lines as the whole', () => {
    const whole = Buffer.from('{"return": "鍵🔑"}\r\n\r\n\n{"event": "STOP"}\nrest')
    assert.deepEqual(readAll(Array.from(whole, byte => Buffer.of(byte))), ['{"return": "鍵🔑"}\r', '{"event": "STOP"}'])
  })

  test('a line is given when its newline comes, not before', () => {
    const reader = new FrameReader(100)
    assert.deepEqual(reader.push(Buffer.from('{"a":')), [])
    assert.deepEqual(reader.push(Buffer.alloc(0)), [])
    assert.deepEqual(reader.push(Buffer.from('1}')), [])
    assert.deepEqual(reader.push(Buffer.from('\n')), ['{"a":1}'])
    assert.deepEqual(reader.push(Buffer.from('\n')), [])
  })

  test('the limit is of one line: as much is read, one byte more is refused, however it is cut', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), arbPlaces, (limit, places) => {
        const [fits, tooLong] = [Buffer.from(`${'x'.repeat(limit)}\n`), Buffer.from(`${'x'.repeat(limit + 1)}\n`)]
        assert.deepEqual(readAll(cut(fits, places), limit), ['x'.repeat(limit)])
        assert.throws(() => readAll(cut(tooLong, places), limit), QmpProtocolError)
      }),
      runs(100),
    )
  })

  test('many lines may be longer together than one may be', () => {
    const lines = Array.from({ length: 1_000 }, (_, n) => `line ${n}`)
    assert.deepEqual(readAll([Buffer.from(lines.map(line => `${line}\n`).join(''))], 10), lines)
  })

  test('an unfinished line beyond the limit is refused without waiting for its end', () => {
    const reader = new FrameReader(8)
    assert.deepEqual(reader.push(Buffer.from('12345678')), [])
    assert.throws(() => reader.push(Buffer.from('9')), {
      name: 'QmpProtocolError',
      message: 'a frame of more than 8 bytes',
    })
  })
})
