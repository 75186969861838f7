import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { EventBuffer } from './event-buffer.ts'

interface Numbered {
  readonly name: string
}

const numbered = (n: number): Numbered => ({ name: `E${n}` })
const upTo = (n: number): readonly Numbered[] => Array.from({ length: n }, (_, k) => numbered(k))
async function rest(buffer: AsyncIterable<Numbered>): Promise<readonly string[]> {
  const names: string[] = []
  for await (const { name } of buffer) names.push(name)
  return names
}
const names = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, k) => `E${from + k}`)
const open = (limit: number, signal: AbortSignal = new AbortController().signal) => {
  let closed = 0
  const buffer = new EventBuffer<Numbered>(limit, signal, () => void (closed += 1))
  return { buffer, closed: () => closed }
}

describe('the event buffer', () => {
  test('a reader that is in time gets every event in order', async () => {
    const { buffer } = open(2)
    const reader = buffer[Symbol.asyncIterator]()
    for (const event of upTo(10)) {
      const waiting = reader.next()
      buffer.push(event)
      assert.deepEqual(await waiting, { done: false, value: event })
    }
    assert.equal(buffer.dropped, 0)
  })

  test('what it holds and what it dropped is all that came, and it holds the newest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.nat({ max: 60 }), async (limit, count) => {
        const { buffer } = open(limit)
        for (const event of upTo(count)) buffer.push(event)
        buffer.end()
        const kept = Math.min(limit, count)
        assert.equal(buffer.dropped, count - kept)
        assert.deepEqual(await rest(buffer), names(count - kept, count))
      }),
      runs(200),
    )
  })

  test('what waits when it ends can still be read, what comes later is not taken', async () => {
    const { buffer, closed } = open(10)
    buffer.push(numbered(0))
    buffer.end()
    buffer.push(numbered(1))
    buffer.end()
    assert.deepEqual(await rest(buffer), ['E0'])
    assert.equal(closed(), 1, 'whoever lent it is told once')
  })

  test('a reader that waits is woken by the end', async () => {
    const { buffer } = open(10)
    const waiting = rest(buffer)
    await Promise.resolve()
    buffer.end()
    assert.deepEqual(await waiting, [])
  })

  test('an abort ends it, and what waits is not given any more', async () => {
    const enough = new AbortController()
    const { buffer, closed } = open(10, enough.signal)
    buffer.push(numbered(0))
    enough.abort()
    assert.deepEqual(await rest(buffer), [])
    assert.equal(closed(), 1)
  })

  test('one that is opened under an aborted signal is over from the beginning', async () => {
    const { buffer, closed } = open(10, AbortSignal.abort())
    buffer.push(numbered(0))
    assert.deepEqual(await rest(buffer), [])
    assert.equal(closed(), 1)
  })

  test('a reader that leaves its loop ends it', async () => {
    const { buffer, closed } = open(10)
    buffer.push(numbered(0))
    buffer.push(numbered(1))
    for await (const { name } of buffer) {
      assert.equal(name, 'E0')
      break
    }
    assert.equal(closed(), 1)
  })
})
