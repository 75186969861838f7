import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aVm } from '../../test/arbitraries.ts'
import { hostId, siteId } from '../core/ids.ts'
import type { Presence } from '../core/migration/presence.ts'
import { ms } from '../core/units.ts'
import type { Listing } from '../hypervisor/hypervisor.ts'
import { changesIn, choose, obstaclesTo, overlaid, without } from './policy-change.ts'

const running: Presence = { state: 'running', migrating: false }
const listed = (id: string, host = 'a-1', presence: Presence = running): Listing => ({
  vm: aVm(id, host),
  presence,
  own: {},
  unread: [],
})
const names = (listings: readonly Listing[]) => listings.map(({ vm }) => `${vm.id}@${vm.host}`)

test('VMs are chosen by name and pattern, each once, in the order of the inventory', () => {
  const all = [listed('db-1'), listed('db-2'), listed('web-1')]
  const { listings, mistakes } = choose(all, ['web-1', 'db-*', 'db-1', '*-1'], [])
  assert.deepEqual(names(listings), ['db-1@a-1', 'db-2@a-1', 'web-1@a-1'])
  assert.deepEqual(mistakes, [])
})

test('every name that means nobody is told, with what may be the reason', () => {
  const all = [listed('db-1'), listed('gone', 'b-1', { state: 'incoming' })]
  const { listings, mistakes } = choose(all, ['db-1', 'nobody', 'x*', 'gone'], [{ host: hostId('a-2'), why: 'dead' }])
  assert.deepEqual(names(listings), ['db-1@a-1'])
  assert.deepEqual(mistakes, [
    'no running VM is named "nobody"; these hosts do not answer: a-2 (lifeboat inventory lists them)',
    'no running VM is named "x*"; these hosts do not answer: a-2 (lifeboat inventory lists them)',
    'gone does not run at b-1: it is incoming',
  ])
})

test('a VM that is being migrated, and one of two by the same name, is not written to', () => {
  const all = [listed('twin'), listed('twin', 'b-1'), listed('moving', 'a-1', { state: 'running', migrating: true })]
  assert.deepEqual(obstaclesTo(all), [
    'twin is the name of VMs at a-1 and b-1; rename one',
    'moving is being migrated from a-1; try again when it has landed (lifeboat watch)',
  ])
  assert.deepEqual(obstaclesTo([listed('db-1'), listed('db-2')]), [])
})

test('what is said is laid over what was, what is taken away falls back', () => {
  const own = { value: 3, group: 'db', targets: [siteId('b')] }
  assert.deepEqual(overlaid(own, { value: 0, targets: undefined }), { ...own, value: 0 })
  assert.equal(changesIn(own, without(own, ['targets'])), 'targets b → – (default)')
  assert.equal(
    changesIn(own, without(own, [])),
    'value 3 → 1 (default), group db → – (default), targets b → – (default)',
  )
})

test('changes are told with both values, and none is none', () => {
  const after = { value: 1, maxDowntime: ms(500), allow: [], antiAffinity: 'db' }
  assert.equal(
    changesIn({}, after),
    'value 1 (default) → 1, max downtime 300ms (default) → 500ms, allow none (default) → none, anti-affinity – (default) → db',
  )
  assert.equal(changesIn(after, { ...after }), undefined)
})
