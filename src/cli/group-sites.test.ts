import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exampleCommand, groupsFrom, hostNames, likelySite } from './group-sites.ts'

describe('sites from flags', () => {
  test('several URIs, several flags for one site', () => {
    const groups = groupsFrom([
      'a=qemu+ssh://h1/system,qemu+ssh://h2/system',
      'b=qemu:///system',
      'a=qemu+tls://h3/system',
    ])
    assert.deepEqual(
      [...groups],
      [
        ['a', ['qemu+ssh://h1/system', 'qemu+ssh://h2/system', 'qemu+tls://h3/system']],
        ['b', ['qemu:///system']],
      ],
    )
  })
  test('a comma or an equals sign inside a URI stays in it', () => {
    assert.deepEqual(
      [...groupsFrom(['a=qemu+unix:///system?socket=/run/x,y, qemu:///system'])],
      [['a', ['qemu+unix:///system?socket=/run/x,y', 'qemu:///system']]],
    )
  })
  for (const wrong of ['', 'a', 'a=', '=qemu:///system', 'a b=qemu:///system', '-a=qemu:///system'])
    test(`not ${JSON.stringify(wrong)}`, () => assert.throws(() => groupsFrom([wrong]), /--site/))
  test('no URI in two sites', () => {
    assert.throws(() => groupsFrom(['a=qemu:///system', 'b=qemu:///system']), /given twice: in site a and in site b/)
  })
})

test('a likely site is what is left of a name without its number', () => {
  assert.deepEqual(['sendai-1.example.org', 'kvm12', 'osaka', '1', '', 'a_2'].map(likelySite), [
    'sendai',
    'kvm',
    'osaka',
    '1',
    'site',
    'a',
  ])
})

test('names of hosts are usable and their own', () => {
  const names = hostNames(['kvm-1.a.org', 'kvm-1.b.org', 'localhost.localdomain', 'ä', '', 'osaka'], new Set(['osaka']))
  assert.deepEqual(names, ['kvm-1', 'kvm-1-2', 'host', 'host-2', 'host-3', 'osaka-host'])
})

test('the example is a command that would do', () => {
  assert.equal(
    exampleCommand(['qemu+ssh://h1/system', 'qemu+ssh://h2/system']),
    "lifeboat init --site 'here=qemu+ssh://h1/system' --site 'there=qemu+ssh://h2/system' --safe there",
  )
  assert.equal(exampleCommand(['qemu:///system']), "lifeboat init --site 'here=qemu:///system'")
})
