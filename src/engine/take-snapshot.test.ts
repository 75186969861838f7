import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aVm } from '../../test/arbitraries.ts'
import { configSchema } from '../config/config-schema.ts'
import { placeId } from '../core/ids.ts'
import type { Listing } from '../hypervisor/hypervisor.ts'
import { warningsOf } from './take-snapshot.ts'

const config = configSchema.parse({
  sites: [{ name: 'b', safe: true, hosts: [{ name: 'b-1', uri: 'qmp+local:///srv/vms' }] }],
})
const listing = (change: Partial<Listing>): Listing => ({
  vm: aVm('db-1', 'a-1'),
  presence: { state: 'running', migrating: false },
  own: {},
  unread: [],
  ...change,
})

test('what of a policy could not be read, and targets that nobody here knows, are told with VM and host', () => {
  const told = warningsOf(
    listing({ unread: ['value="many": no number'], own: { targets: ['b', 'mars', 'b-1', 'venus-2'].map(placeId) } }),
    config,
  )
  assert.deepEqual(
    told.map(({ vm, host }) => `${vm} ${host}`),
    ['db-1 a-1', 'db-1 a-1', 'db-1 a-1'],
  )
  assert.deepEqual(
    told.map(({ what }) => what),
    [
      'value="many": no number; that part does not count',
      'its target mars is no site or host of this configuration; it cannot go there',
      'its target venus-2 is no site or host of this configuration; it cannot go there',
    ],
  )
  assert.deepEqual(warningsOf(listing({ own: { targets: [placeId('b-1')] } }), config), [])
})
