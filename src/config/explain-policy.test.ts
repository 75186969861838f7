import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aVm } from '../../test/arbitraries.ts'
import { siteId } from '../core/ids.ts'
import { applyWords, type PolicyWords } from '../core/inventory/policy-words.ts'
import { ms } from '../core/units.ts'
import type { VmRule } from './config-schema.ts'
import { explainPolicy } from './explain-policy.ts'

const explained = (own: PolicyWords, rules: readonly VmRule[]) => {
  const fields = explainPolicy(applyWords(aVm('db-1', 'a-1'), own), own, rules)
  return Object.fromEntries(fields.map(({ field, value, from }) => [field, [value, from]]))
}
const byDefault = { by: 'default' }

test('where nobody says anything all is default', () => {
  assert.deepEqual(explained({}, []), {
    value: [1, byDefault],
    group: [undefined, byDefault],
    maxDowntime: ['300ms', byDefault],
    allow: [[], byDefault],
    action: ['move', byDefault],
    targets: [undefined, byDefault],
    antiAffinity: [undefined, byDefault],
  })
})

test('rules go before the VM’s own words, the last of them first, each in what it names', () => {
  const own = { value: 2, maxDowntime: ms(500), targets: [siteId('b')], allow: [] }
  const rules: readonly VmRule[] = [
    { match: '*', value: 3, action: 'stay' },
    { match: 'db-*', value: 4 },
    { match: 'web-*', value: 5, maxDowntime: ms(1) },
  ]
  assert.deepEqual(explained(own, rules), {
    value: [4, { by: 'lifeboat.yaml', rule: 1, match: 'db-*' }],
    group: [undefined, byDefault],
    maxDowntime: ['500ms', { by: 'vm' }],
    allow: [[], { by: 'vm' }],
    action: ['stay', { by: 'lifeboat.yaml', rule: 0, match: '*' }],
    targets: [['b'], { by: 'vm' }],
    antiAffinity: [undefined, byDefault],
  })
})
