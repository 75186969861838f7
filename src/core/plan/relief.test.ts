import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm } from '../../../test/arbitraries.ts'
import { hostId, siteId } from '../ids.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { mebibytes, megabitsPerSecond } from '../units.ts'
import { openLedger } from './ledger.ts'
import type { PlacementView } from './placement.ts'
import { meantByHost, relieved } from './relief.ts'

const snapshot = aSnapshot({
  sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
  hosts: [
    aHost('a-1', 'a'),
    aHost('b-1', 'b', { memory: mebibytes(8192) }),
    aHost('b-2', 'b', { memory: mebibytes(4096) }),
    aHost('b-3', 'b', { memory: mebibytes(6144) }),
    aHost('c-1', 'c', { memory: mebibytes(65_536) }),
  ],
  paths: [aPath('a', 'b'), aPath('a', 'c')],
})
const vm = aVm('web', 'a-1', { memory: mebibytes(2048) })
const apart: Partial<Vm> = { policy: { ...defaultVmPolicy, antiAffinity: 'db' } }

interface Question {
  readonly who?: Vm
  readonly overloaded?: readonly string[]
  readonly meant?: Readonly<Record<string, readonly Vm[]>>
  readonly view?: Partial<PlacementView>
}
function sentTo({ who = vm, overloaded = ['b-1'], meant = {}, view = {} }: Question): string {
  const waiting = Object.entries(meant).flatMap(([host, vms]) => vms.map(each => [hostId(host), each] as const))
  const all = meantByHost(waiting)
  return relieved(
    who,
    hostId('b-1'),
    waiting.find(([, { id }]) => id === who.id)?.[0],
    {
      snapshot,
      ledger: openLedger(view.snapshot ?? snapshot),
      endangered: [siteId('a')],
      targets: [siteId('b'), siteId('c')],
      down: new Map(),
      excluded: [],
      ...view,
    },
    {
      isOverloaded: host => overloaded.includes(host),
      meantFor: host => all.get(host) ?? { memory: 0, apart: new Map() },
    },
  )
}

describe('a VM that was meant for an overloaded host', () => {
  test('goes to the emptiest of the same site that is not', () => {
    assert.equal(sentTo({}), 'b-3')
    assert.equal(sentTo({ overloaded: ['b-1', 'b-3'] }), 'b-2')
  })

  test('stays where it was meant to go when that one has time, or no other of its site has: another site is another way', () => {
    assert.equal(sentTo({ overloaded: ['b-2'] }), 'b-1')
    assert.equal(sentTo({ overloaded: ['b-1', 'b-2', 'b-3'] }), 'b-1')
  })

  test('takes nobody’s room: what is meant for a host keeps its place there', () => {
    const big = aVm('big', 'a-1', { memory: mebibytes(5120) })
    assert.equal(sentTo({ meant: { 'b-3': [big] } }), 'b-2')
    const [more, much] = [
      aVm('more', 'a-1', { memory: mebibytes(3072) }),
      aVm('much', 'a-1', { memory: mebibytes(4096) }),
    ]
    assert.equal(sentTo({ meant: { 'b-2': [more], 'b-3': [big] } }), 'b-1')
    assert.equal(sentTo({ meant: { 'b-2': [more], 'b-3': [much] } }), 'b-3', 'room for both')
    const itself = { overloaded: ['b-1', 'b-2'], meant: { 'b-3': [vm, much] } }
    assert.equal(sentTo(itself), 'b-3', 'it does not stand in its own way')
  })

  test('does not go where somebody is meant to go whom it must not meet', () => {
    const other = aVm('other', 'a-1', { memory: mebibytes(64), ...apart })
    assert.equal(sentTo({ who: { ...vm, ...apart }, meant: { 'b-3': [other] } }), 'b-2')
    assert.equal(sentTo({ meant: { 'b-3': [other] } }), 'b-3', 'who has no such rule may')
  })

  test('does not go where it is refused', () => {
    assert.equal(sentTo({ view: { excluded: [hostId('b-3')] } }), 'b-2')
    assert.equal(sentTo({ view: { down: new Map([[hostId('b-3'), 'silent']]) } }), 'b-2')
  })

  test('does not go by another way, nor into a slower card', () => {
    const oneOwn = { ...snapshot, paths: [...snapshot.paths, aPath('a-1', 'b-3')] }
    assert.equal(sentTo({ view: { snapshot: oneOwn } }), 'b-2')
    const hosts = snapshot.hosts.map(host => (host.id === 'b-3' ? { ...host, nic: megabitsPerSecond(100) } : host))
    assert.equal(sentTo({ view: { snapshot: { ...snapshot, hosts } } }), 'b-2')
  })
})
