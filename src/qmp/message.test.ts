import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { QmpProtocolError } from './errors.ts'
import { type Message, parseMessage } from './message.ts'

const understood: readonly (readonly [what: string, line: string, message: Message])[] = [
  [
    'a greeting',
    '{"QMP": {"version": {"package": ""}, "capabilities": ["oob"]}}\r',
    { kind: 'greeting', qmp: { version: { package: '' }, capabilities: ['oob'] } },
  ],
  ['a reply', '{"return": {"running": true}, "id": 7}', { kind: 'reply', id: 7, value: { running: true } }],
  ['a reply that returns null', '{"return": null, "id": 7}', { kind: 'reply', id: 7, value: null }],
  ['a reply without an id', '{"return": [1]}', { kind: 'reply', id: undefined, value: [1] }],
  [
    'an error',
    '{"error": {"class": "GenericError", "desc": "no"}, "id": 7}',
    { kind: 'error', id: 7, errorClass: 'GenericError', desc: 'no' },
  ],
  [
    'an event',
    '{"timestamp": {"seconds": 1700000000, "microseconds": 12}, "event": "STOP", "data": {"a": 1}}',
    { kind: 'event', event: { name: 'STOP', data: { a: 1 }, at: { seconds: 1_700_000_000, microseconds: 12 } } },
  ],
  [
    'an event without data or time',
    '{"event": "STOP"}',
    { kind: 'event', event: { name: 'STOP', data: {}, at: { seconds: 0, microseconds: 0 } } },
  ],
  [
    'a reply whose value looks like an event',
    '{"return": {"event": "STOP"}, "id": 7}',
    { kind: 'reply', id: 7, value: { event: 'STOP' } },
  ],
]
const refused: readonly (readonly [line: string, message: RegExp])[] = [
  ['', /not JSON: /],
  ['{"return": {}', /not JSON: \{"return": \{\}/],
  ['null', /not an object: null/],
  ['[{"return": {}}]', /not an object/],
  ['"return"', /not an object/],
  ['{}', /neither greeting, reply, error nor event: \{\}/],
  ['{"event": 1}', /neither greeting/],
  ['{"error": "no"}', /neither greeting/],
  ['{"QMP": []}', /neither greeting/],
]

describe('a message of a monitor', () => {
  for (const [what, line, message] of understood) {
    test(`${what} is told apart`, () => assert.deepEqual(parseMessage(line), message))
  }
  for (const [line, message] of refused) {
    test(`${line === '' ? 'an empty line' : line} is no message`, () => {
      assert.throws(
        () => parseMessage(line),
        (error: unknown) => {
          assert.ok(error instanceof QmpProtocolError)
          assert.match(error.message, message)
          return true
        },
      )
    })
  }

  test('whatever a line holds, it is a message or a QmpProtocolError that quotes little of it', () => {
    const arbEnvelope = fc
      .dictionary(fc.constantFrom('return', 'error', 'event', 'QMP', 'id', 'data', 'timestamp', 'x'), fc.jsonValue())
      .map(value => JSON.stringify(value))
    fc.assert(
      fc.property(fc.oneof(arbEnvelope, fc.json(), fc.string()), line => {
        try {
          assert.match(parseMessage(line).kind, /^(greeting|reply|error|event)$/)
        } catch (error) {
          assert.ok(error instanceof QmpProtocolError, String(error))
          assert.ok(error.message.length < 130)
        }
      }),
      runs(1_000),
    )
  })

  test('a reply carries its value and id through unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer(), (value, id) => {
        const line = JSON.stringify({ return: value, id })
        assert.deepEqual(parseMessage(line), { kind: 'reply', id, value: JSON.parse(JSON.stringify(value)) })
      }),
      runs(500),
    )
  })
})
