import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { placeId } from '../../core/ids.ts'
import { type PolicyWords, saysNothing } from '../../core/inventory/policy-words.ts'
import { modesOfLastResort } from '../../core/inventory/vm.ts'
import { ms, seconds } from '../../core/units.ts'
import { policyElement, policyIn, policyMetadata, policyUri, type ReadPolicy } from './domain-policy.ts'
import { parseXml } from './xml.ts'

const read = (metadata: string, attributes = ''): ReadPolicy =>
  policyIn(parseXml(`<domain${attributes}><name>web</name><metadata>${metadata}</metadata></domain>`))
/** Without what is undefined. */
const said = (words: PolicyWords): object =>
  Object.fromEntries(Object.entries(words).filter(([, value]) => value !== undefined))
const ours = (rest: string): string => `<lifeboat:policy xmlns:lifeboat="${policyUri}" ${rest}/>`

describe("a policy in a domain's metadata", () => {
  test('is read attribute by attribute, with the units that files have', () => {
    const { words, unread } = read(
      ours(
        'value="3" group="db &amp; co" max-downtime="500ms" allow="post-copy stop-copy" targets="osaka nagoya-1" anti-affinity="db" action="stay"',
      ),
    )
    assert.deepEqual(unread, [])
    assert.deepEqual(words, {
      value: 3,
      group: 'db & co',
      maxDowntime: 500,
      allow: ['post-copy', 'stop-copy'],
      action: 'stay',
      targets: ['osaka', 'nagoya-1'],
      antiAffinity: 'db',
    })
  })

  test('that is not there says nothing, nor does what others keep beside it', () => {
    const other = '<app:policy xmlns:app="http://example.org/app" value="many"/><policy value="9"/>'
    for (const { words, unread } of [read(''), read(other), policyIn(parseXml('<domain/>'))]) {
      assert.ok(saysNothing(words))
      assert.deepEqual(unread, [])
    }
  })

  test('is ours by its namespace, whatever its prefix and wherever that is declared', () => {
    const forms = [
      read(`<p:policy xmlns:p="${policyUri}" value="2"/>`),
      read(`<policy xmlns="${policyUri}" value="2"/>`),
      read('<x:policy value="2"/>', ` xmlns:x="${policyUri}"`),
    ]
    for (const { words } of forms) assert.equal(words.value, 2)
    assert.ok(saysNothing(read('<lifeboat:policy value="2" xmlns:lifeboat="urn:lifeboat:vm-policy:2"/>').words))
  })

  const bad: readonly (readonly [attributes: string, about: RegExp])[] = [
    ['value="many"', /^value="many": a value is a number, 0 or more/],
    ['value="-1"', /^value="-1"/],
    ['value=""', /^value=""/],
    ['value="1e999"', /^value="1e999"/],
    ['max-downtime="500"', /^max-downtime="500".*(unit|expected)/],
    ['max-downtime="-1s"', /^max-downtime="-1s"/],
    ['allow="post-copy teleport"', /^allow="post-copy teleport"/],
    ['action="flee"', /^action="flee"/],
    ['targets=""', /^targets="": name at least one site or host/],
    ['targets="osaka ../etc"', /^targets="osaka ..\/etc"/],
    ['anti-affinity=""', /^anti-affinity=""/],
    ['colour="red"', /^the attribute colour is not known/],
    ['maxDowntime="1s"', /^the attribute maxDowntime is not known/],
  ]
  for (const [attributes, about] of bad)
    test(`${attributes} does not count and is told, the rest counts`, () => {
      const { words, unread } = read(ours(`${attributes} group="rest"`))
      assert.deepEqual(said(words), { group: 'rest' })
      assert.equal(unread.length, 1)
      assert.match(unread[0] ?? '', about)
    })

  test('elements and text that are not known, and a second policy, are told', () => {
    const { words, unread } = read(
      `<l:policy xmlns:l="${policyUri}" value="2"><l:max/>words</l:policy><l:polcy xmlns:l="${policyUri}"/>${ours('value="5"')}`,
    )
    assert.equal(words.value, 2)
    assert.deepEqual(unread, [
      'the element <l:max> in it is not known',
      'the text in it is not known',
      'the element <l:polcy> is not known',
      'there is more than one policy, of which the first counts',
    ])
  })

  test('of no words is no element', () => {
    assert.equal(policyElement({}), undefined)
    assert.equal(policyMetadata({ value: undefined, group: undefined }), undefined)
  })

  const arbWords: fc.Arbitrary<PolicyWords> = fc.record(
    {
      value: fc.oneof(fc.nat(), fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })),
      group: fc.string({ unit: 'grapheme' }),
      maxDowntime: fc.nat().map(ms),
      allow: fc.subarray([...modesOfLastResort]),
      action: fc.constantFrom('move' as const, 'stay' as const),
      targets: fc.array(fc.constantFrom('osaka', 'osaka-1', 'a:b', '9_x.y@z').map(placeId), { minLength: 1 }),
      antiAffinity: fc.string({ unit: 'grapheme', minLength: 1 }),
    },
    { requiredKeys: [] },
  )

  test('is read back as it was written, white space and all', () => {
    const tricky = { group: ' a\n\tb\r\n "<&>\' ', antiAffinity: '\n', maxDowntime: seconds(90) }
    fc.assert(
      fc.property(arbWords, words => {
        const metadata = policyMetadata(words)
        const back = read(metadata ?? '')
        assert.deepEqual(back.unread, [])
        assert.deepEqual(said(back.words), said(words))
        assert.equal(metadata === undefined, saysNothing(words))
        // libvirt reads attributes as XML does: only numbered white space stays what it is.
        assert.doesNotMatch(metadata ?? '', /[\n\t\r]/)
      }),
      { ...runs(500), examples: [[tricky]] },
    )
  })
})
