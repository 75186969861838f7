import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defaultVmPolicy } from '../../core/inventory/vm.ts'
import { parseDefinition, printDefinition, withWords } from './definition.ts'
import { readDefinition } from './read-definition.ts'

const plain = {
  version: 1,
  name: 'web',
  uuid: '0c0ffee0-0000-4000-8000-000000000001',
  memory: '1GiB',
  argv: ['qemu-system-x86_64'],
}
const text = (change: object): string => JSON.stringify({ ...plain, ...change })

describe('a vm.json that a human wrote', () => {
  test('with a policy that is all right is read as ever', () => {
    const good = text({ value: 3, policy: { allow: ['post-copy'], targets: ['osaka'], antiAffinity: 'db' } })
    assert.deepEqual(readDefinition(good), { definition: parseDefinition(good), unread: [] })
  })

  const bad: readonly (readonly [change: object, about: RegExp])[] = [
    [{ policy: { maxDowntime: 500, action: 'stay' } }, /^policy\.maxDowntime: the bare number 500 has no unit/],
    [{ policy: { allow: ['teleport'], action: 'stay' } }, /^policy\.allow\.0: /],
    [{ policy: { colour: 'red', action: 'stay' } }, /^policy: .*colour/],
    [{ policy: { targets: [], action: 'stay' } }, /^policy\.targets: name at least one/],
    [{ value: -1, policy: { action: 'stay' } }, /^value: /],
    [{ group: 7, policy: { action: 'stay' } }, /^group: /],
  ]
  for (const [change, about] of bad)
    test(`${JSON.stringify(change)} is a VM with the rest of that policy, and a warning`, () => {
      const { definition, unread } = readDefinition(text(change))
      assert.deepEqual(definition.policy, { ...defaultVmPolicy, action: 'stay' })
      assert.deepEqual([definition.value, definition.group], [1, undefined])
      assert.equal(unread.length, 1)
      assert.match(unread[0] ?? '', about)
    })

  test('with a policy that is none at all is a VM with the default', () => {
    for (const policy of ['stay', 5, null, []]) {
      const { definition, unread } = readDefinition(text({ policy }))
      assert.deepEqual(definition.policy, defaultVmPolicy)
      assert.equal(unread.length, 1)
    }
  })

  test('with a mistake elsewhere is refused', () => {
    for (const change of [{ memory: 5 }, { argv: [] }, { colour: 'red' }, { name: '../web', policy: { action: 'x' } }])
      assert.throws(() => readDefinition(text(change)))
    for (const none of ['', '{', '[]', '5']) assert.throws(() => readDefinition(none))
  })
})

test('a definition with other words is printed and read back, and says no more than it must', () => {
  const definition = parseDefinition(text({ value: 9, group: 'x', policy: { action: 'stay' } }))
  const without = withWords(definition, {})
  assert.deepEqual(JSON.parse(printDefinition(without)).policy, {})
  const changed = withWords(definition, { value: 2, group: 'y', antiAffinity: 'db', allow: ['post-copy'] })
  assert.deepEqual(parseDefinition(printDefinition(changed)), changed)
  assert.deepEqual(changed.policy, { ...defaultVmPolicy, antiAffinity: 'db', allow: ['post-copy'] })
})
