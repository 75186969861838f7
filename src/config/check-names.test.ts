import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { arbSnapshot, runs } from '../../test/arbitraries.ts'
import { checkInventoryNames, checkNames, namesIn } from './check-names.ts'
import { printInventory } from './inventory-file.ts'
import { rawYaml } from './yaml-file.ts'

const nobody = { sites: new Set(), hosts: new Set(), vms: new Set(), paths: [] }

describe('the names in an inventory', () => {
  test('are those of its sites, hosts and VMs, and the ends of its paths', () => {
    assert.deepEqual(
      namesIn({
        sites: [{ name: 'a', hosts: [{ name: 'a-1' }, { name: 'a-2' }] }, { name: 'b' }],
        paths: [{ from: 'a', to: 'b', capacity: '1Gbit/s' }],
        vms: [{ name: 'web-1', host: 'a-1' }],
        power: [{ site: 'c' }],
      }),
      {
        sites: new Set(['a', 'b']),
        hosts: new Set(['a-1', 'a-2']),
        vms: new Set(['web-1']),
        paths: [['a', 'b']],
      },
    )
  })

  test('are found beside what is wrong or of another shape', () => {
    assert.deepEqual(
      namesIn({
        colour: 'red',
        sites: [
          'just a text',
          { name: 'a', safe: 'perhaps', hosts: [{ name: 'a-1', memory: 5 }, 7, { memory: '8GiB' }, { name: 8 }] },
          { hosts: [{ name: 'b-1' }] },
          { name: 'c', hosts: 'many' },
          null,
        ],
        paths: [{ from: 'a', to: 'c', capacity: 'fast' }, { from: 'a' }, { to: 'c' }, { from: 1, to: 'a' }, [], 5],
        vms: [{ name: 'web-1', host: 3, memory: -1 }, { host: 'a-1' }, null],
      }),
      {
        sites: new Set(['a', 'c']),
        hosts: new Set(['a-1', 'b-1']),
        vms: new Set(['web-1']),
        paths: [['a', 'c']],
      },
    )
  })

  test('are found where a whole part is of another shape', () => {
    const found = namesIn({ sites: 'none', paths: { from: 'a', to: 'b' }, vms: [{ name: 'web-1' }] })
    assert.deepEqual(found, { ...nobody, vms: new Set(['web-1']) })
  })

  test('are none where it is something else altogether, and not known where there is nothing to read', () => {
    for (const raw of [null, 5, 'sites', true, [], {}, [{ name: 'a' }]]) assert.deepEqual(namesIn(raw), nobody)
    assert.equal(namesIn(undefined), undefined)
  })

  test('are all that a snapshot has, when it is printed', () => {
    fc.assert(
      fc.property(arbSnapshot, snapshot => {
        const ids = (all: readonly { readonly id: string }[]): ReadonlySet<string> => new Set(all.map(({ id }) => id))
        assert.deepEqual(namesIn(rawYaml(printInventory(snapshot, 'as it is'))), {
          sites: ids(snapshot.sites),
          hosts: ids(snapshot.hosts),
          vms: ids(snapshot.vms),
          paths: snapshot.paths.map(({ from, to }) => [from, to]),
        })
      }),
      runs(50),
    )
  })

  test('whatever a document holds, looking for them does not fail', () => {
    const key = fc.constantFrom('sites', 'hosts', 'paths', 'vms', 'name', 'from', 'to', '__proto__', 'constructor')
    const { anything } = fc.letrec(tie => ({
      anything: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>(null, true, 0, '', 'a'),
        fc.array(tie('anything'), { maxLength: 3 }),
        fc.dictionary(key, tie('anything'), { maxKeys: 5 }),
      ),
    }))
    fc.assert(
      fc.property(anything, raw => {
        assert.ok(namesIn(raw) !== undefined)
      }),
      runs(300),
    )
  })
})

describe('what a policy binds a VM to', () => {
  const sites = [{ name: 'a', hosts: [{ name: 'a-1', memory: '8GiB' }] }, { name: 'b' }]
  const message = (name: string) => `no site or host is named "${name}"; there are: a, a-1, b`

  test('is a site or a host that is there, in rules and in inventories', () => {
    const targets = ['b', 'a-1', 'c', 'd']
    assert.deepEqual(checkNames({ sites, vms: [{ match: '*' }, { match: 'db-*', targets }] }), [
      { path: ['vms', 1, 'targets', 2], message: message('c') },
      { path: ['vms', 1, 'targets', 3], message: message('d') },
    ])
    const vms = [{ name: 'web', host: 'a-1', policy: { targets } }]
    assert.deepEqual(checkInventoryNames({ sites, vms }), [
      { path: ['vms', 0, 'policy', 'targets', 2], message: message('c') },
      { path: ['vms', 0, 'policy', 'targets', 3], message: message('d') },
    ])
  })

  test('of another shape is not looked at here', () => {
    for (const targets of ['b', 5, null, [5], [null]])
      assert.deepEqual(checkNames({ sites, vms: [{ match: '*', targets }] }), [])
    for (const policy of ['b', 5, null, [], { targets: 5 }])
      assert.deepEqual(checkInventoryNames({ sites, vms: [{ name: 'web', host: 'a-1', policy }] }), [])
  })
})
