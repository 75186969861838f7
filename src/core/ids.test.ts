import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { evacuationId, hostId, idRule, isId, siteId, vmId } from './ids.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz'
const firsts = `${letters}${letters.toUpperCase()}0123456789`.split('')
const arbId = fc
  .tuple(fc.constantFrom(...firsts), fc.array(fc.constantFrom(...firsts, '.', '_', '-', '@', ':'), { maxLength: 127 }))
  .map(([first, rest]) => first + rest.join(''))

test('names of letters, digits and . _ - @ : are taken as they are, up to 128 of them', () => {
  fc.assert(
    fc.property(arbId, text => {
      assert.equal(isId(text), true)
      for (const make of [siteId, hostId, vmId, evacuationId]) assert.equal(make(text), text)
    }),
    runs(500),
  )
  assert.equal(isId('x'.repeat(128)), true)
})

test('a name that would be unsafe in a path, a command line or a table is refused', () => {
  for (const text of ['', '-rf', '.', '..', '.hidden', '_a', '@a', 'a b', 'a/b', 'a\n', 'a\0', 'ä', 'a*', "a'", 'a\t'])
    assert.equal(isId(text), false, JSON.stringify(text))
  assert.equal(isId('x'.repeat(129)), false)
})

test('whatever is a name is one part of a path, no option, and one column of a table', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), text => {
      fc.pre(isId(text))
      assert.equal(posix.join('/folder', text), `/folder/${text}`)
      assert.ok(!text.startsWith('-'))
      assert.equal(text.split(/\s/).length, 1)
    }),
    runs(500),
  )
})

test('a refusal says what was to be named, what was given, and the rule', () => {
  for (const [make, what] of [
    [siteId, 'site'],
    [hostId, 'host'],
    [vmId, 'vm'],
    [evacuationId, 'evacuation'],
  ] as const) {
    assert.throws(
      () => make('a b'),
      (error: unknown) =>
        error instanceof RangeError &&
        error.message.includes(`not a ${what} name`) &&
        error.message.includes('"a b"') &&
        error.message.includes(idRule),
    )
  }
})
