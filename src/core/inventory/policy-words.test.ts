import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { arbSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { siteId } from '../ids.ts'
import { ms } from '../units.ts'
import { applyWords, policyFields, type PolicyWords, saysNothing, wordsBeyondDefault, wordsOf } from './policy-words.ts'
import { defaultVmPolicy } from './vm.ts'

const vm = aVm('web', 'a-1', { value: 3, group: 'shop', policy: { ...defaultVmPolicy, allow: ['post-copy'] } })

test('words change what they name and nothing else, also to nothing and to none', () => {
  const cases: readonly (readonly [PolicyWords, typeof vm])[] = [
    [{}, vm],
    [{ value: 0 }, { ...vm, value: 0 }],
    [{ group: '' }, { ...vm, group: '' }],
    [{ allow: [] }, { ...vm, policy: { ...vm.policy, allow: [] } }],
    [{ maxDowntime: ms(0) }, { ...vm, policy: { ...vm.policy, maxDowntime: ms(0) } }],
    [{ targets: [siteId('b')] }, { ...vm, policy: { ...vm.policy, targets: [siteId('b')] } }],
  ]
  for (const [words, expected] of cases) assert.deepEqual(applyWords(vm, words), expected)
})

test('a VM whose own words are laid over a plain one has its whole policy again', () => {
  let beyond = 0
  fc.assert(
    fc.property(arbSnapshot, ({ vms }) => {
      for (const any of vms) {
        const plain = { ...any, value: 1, group: undefined, policy: defaultVmPolicy }
        assert.deepEqual(applyWords(plain, wordsOf(any)), any)
        assert.deepEqual(applyWords(plain, wordsBeyondDefault(any)), any)
        if (!saysNothing(wordsBeyondDefault(any))) beyond += 1
      }
    }),
    runs(200),
  )
  assert.ok(beyond > 100)
})

test('a plain VM says nothing beyond the default, and every part alone is something', () => {
  const plain = aVm('web', 'a-1')
  assert.ok(saysNothing(wordsBeyondDefault(plain)))
  assert.ok(!saysNothing({ allow: [] }))
  const all = wordsOf({ ...vm, policy: { ...vm.policy, targets: [siteId('b')], antiAffinity: 'db' } })
  for (const field of policyFields) assert.ok(!saysNothing({ [field]: all[field] }), field)
})
