import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aVm, runs } from '../../test/arbitraries.ts'
import { siteId } from '../core/ids.ts'
import { defaultVmPolicy } from '../core/inventory/vm.ts'
import { bytesPerSecond, mebibytes, ms } from '../core/units.ts'
import { applyVmRules, matches } from './apply-vm-rules.ts'
import type { VmRule } from './config-schema.ts'

const rule = (match: string, change: Partial<VmRule> = {}): VmRule => ({ match, ...change })

describe('a pattern', () => {
  const cases: readonly (readonly [match: string, yes: readonly string[], no: readonly string[]])[] = [
    ['web-1', ['web-1'], ['web-10', 'my-web-1', 'web-2', 'WEB-1']],
    ['*', ['web-1', 'x'], []],
    ['db-*', ['db-1', 'db-', 'db-a.b'], ['db', 'mydb-1']],
    ['*-db', ['a-db', '-db'], ['a-db-1']],
    ['web-?', ['web-1', 'web-x'], ['web-', 'web-10']],
    ['web-??', ['web-10'], ['web-1']],
    ['*web*', ['web', 'my-web-1'], ['we-b']],
    ['a.b', ['a.b'], ['axb']],
    ['vm@site:1', ['vm@site:1'], ['vm@site:2']],
    ['[ab]', ['[ab]'], ['a', 'b']],
    ['a|b', ['a|b'], ['a', 'b']],
    ['^a$', ['^a$'], ['a']],
    ['a+(b)', ['a+(b)'], ['aab']],
  ]
  for (const [match, yes, no] of cases) {
    test(`${match} matches ${yes.join(', ')}${no.length === 0 ? '' : ` and not ${no.join(', ')}`}`, () => {
      for (const name of yes) assert.equal(matches(rule(match), name), true, name)
      for (const name of no) assert.equal(matches(rule(match), name), false, name)
    })
  }

  const arbName = fc.string({ unit: fc.constantFrom(...'ab1.-_@:+$^|()[]{}\\'.split('')), minLength: 1, maxLength: 6 })

  test('without * and ? matches its own name and no other', () => {
    fc.assert(
      fc.property(arbName, arbName, (match, name) => {
        assert.equal(matches(rule(match), name), match === name)
        assert.equal(matches(rule(match), match), true)
      }),
      runs(500),
    )
  })

  test('matches what is made by putting something in the place of each * and ?', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(arbName, fc.constantFrom('*', '?'), arbName), { maxLength: 4 }), parts => {
        const pattern = parts.map(([text, hole]) => `${text}${hole}`).join('')
        const name = parts.map(([text, hole, fill]) => `${text}${hole === '?' ? fill[0] : fill}`).join('')
        assert.equal(matches(rule(pattern), name), true)
      }),
      runs(500),
    )
  })
})

describe('rules for VMs', () => {
  const vm = aVm('db-1', 'a-1', {
    value: 3,
    group: 'shop',
    policy: { ...defaultVmPolicy, maxDowntime: ms(100), allow: ['post-copy'] },
  })

  test('none, and none that matches, leave a VM as it is', () => {
    assert.equal(applyVmRules(vm, []), vm)
    assert.equal(applyVmRules(vm, [rule('web-*', { value: 9, action: 'stay' })]), vm)
  })

  test('a rule changes what it names and nothing else', () => {
    const dirty = { hot: mebibytes(512), period: ms(1_000), cold: bytesPerSecond(4_000_000) }
    const changes: readonly (readonly [Partial<VmRule>, typeof vm])[] = [
      [{ value: 0 }, { ...vm, value: 0 }],
      [{ group: 'lab' }, { ...vm, group: 'lab' }],
      [{ maxDowntime: ms(0) }, { ...vm, policy: { ...vm.policy, maxDowntime: ms(0) } }],
      [{ allow: [] }, { ...vm, policy: { ...vm.policy, allow: [] } }],
      [{ action: 'stay' }, { ...vm, policy: { ...vm.policy, action: 'stay' } }],
      [{ targets: [siteId('b')] }, { ...vm, policy: { ...vm.policy, targets: [siteId('b')] } }],
      [{ antiAffinity: 'db' }, { ...vm, policy: { ...vm.policy, antiAffinity: 'db' } }],
      [{ dirty }, { ...vm, dirty }],
      [{}, vm],
    ]
    for (const [change, expected] of changes) assert.deepEqual(applyVmRules(vm, [rule('db-*', change)]), expected)
  })

  test('a later rule wins over an earlier one, in what it names', () => {
    const rules = [rule('*', { value: 1, action: 'stay' }), rule('db-*', { value: 20 }), rule('web-*', { value: 99 })]
    assert.deepEqual(applyVmRules(vm, rules), { ...vm, value: 20, policy: { ...vm.policy, action: 'stay' } })
  })

  test('the VM that was given is not changed', () => {
    const before = structuredClone(vm)
    applyVmRules(vm, [rule('*', { value: 8, group: 'x', maxDowntime: ms(1), allow: [], action: 'stay' })])
    assert.deepEqual(vm, before)
  })
})
