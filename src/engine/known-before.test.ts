import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm } from '../../test/arbitraries.ts'
import { pathKey } from '../core/control/water-filling.ts'
import { hostId, siteId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { pathBetween, wayBetween } from '../core/inventory/snapshot.ts'
import { linkName, networkMap } from '../core/network/network-map.ts'
import { checkPlan } from '../core/plan/check-plan.ts'
import { planEvacuation } from '../core/plan/plan-evacuation.ts'
import { planBounds } from '../core/report/bounds.ts'
import { forecastPlan } from '../core/report/plan-forecast.ts'
import { megabitsPerSecond, ms } from '../core/units.ts'
import type { Prior } from '../monitor/history.ts'
import { knownBefore } from './known-before.ts'

const unknown = { capacity: undefined, rtt: undefined, perFlow: undefined } as const
const prior = (change: Partial<Prior> = {}): Prior => ({
  capacity: { rate: megabitsPerSecond(90), bound: 'full' },
  rtt: ms(41),
  loss: undefined,
  bestFlow: undefined,
  perFlow: undefined,
  background: undefined,
  until: instant(0),
  ...change,
})
const filled = (path: Parameters<typeof aPath>[2], before: Prior | undefined) => {
  const [found] = knownBefore(aSnapshot({ paths: [aPath('a', 'b', path)] }), () => before).paths
  assert.ok(found !== undefined)
  return [found.capacity, found.rtt, found.perFlow]
}

test('what is stated stays; what is not is as it was measured', () => {
  assert.deepEqual(filled(unknown, prior()), [megabitsPerSecond(90), 41, undefined])
  assert.deepEqual(filled({ ...unknown, capacity: megabitsPerSecond(50) }, prior()), [
    megabitsPerSecond(50),
    41,
    undefined,
  ])
  assert.deepEqual(filled(unknown, undefined), [undefined, undefined, undefined])
})

test('what went through with nothing in the way of more is no capacity', () => {
  const atLeast = prior({ capacity: { rate: megabitsPerSecond(90), bound: 'at-least' } })
  assert.deepEqual(filled(unknown, atLeast), [undefined, 41, undefined])
})

test('what one stream got is its limit only where it did not fill the path', () => {
  assert.equal(filled(unknown, prior({ perFlow: megabitsPerSecond(30) }))[2], megabitsPerSecond(30))
  assert.equal(filled(unknown, prior({ perFlow: megabitsPerSecond(85) }))[2], undefined)
})

test('a snapshot of which all is stated is the same', () => {
  const snapshot = aSnapshot({ paths: [aPath('a', 'b', { capacity: megabitsPerSecond(1), rtt: ms(1) })] })
  assert.equal(
    knownBefore(snapshot, () => prior()),
    snapshot,
  )
})

test('whose word a capacity is can be told', () => {
  const from = (path: Parameters<typeof aPath>[2]) =>
    knownBefore(aSnapshot({ paths: [aPath('a', 'b', path)] }), () => prior()).paths[0]?.capacityFrom
  assert.equal(from(unknown), 'before')
  assert.equal(from({ ...unknown, capacity: megabitsPerSecond(50) }), undefined)
})

describe('where lifeboat.yaml declares no path', () => {
  const bare = aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('c-1', 'c')],
    paths: [],
    vms: [aVm('vm-1', 'a-1'), aVm('vm-2', 'a-1')],
  })
  const [a1, b1, c1] = [hostId('a-1'), hostId('b-1'), hostId('c-1')]
  const onlyTo =
    (name: string, is = prior()) =>
    (path: { readonly from: string; readonly to: string }): Prior | undefined =>
      linkName(path) === name ? is : undefined
  const question = { endangered: [siteId('a')], targets: [siteId('b')], policy: 'finish-first' }
  const plan = (snapshot: typeof bare) =>
    planEvacuation({ snapshot, ...question, slots: 1, order: 'value-per-time', bandwidth: undefined })

  test('what was measured of each pair of sites is there, and every site still reaches every other', () => {
    const found = knownBefore(bare, onlyTo('a → b'))
    assert.deepEqual(found.paths.map(linkName), ['a → b', 'a → c', 'b → a', 'b → c', 'c → a', 'c → b'])
    assert.equal(pathBetween(found, a1, b1)?.capacity, megabitsPerSecond(90))
    assert.deepEqual(pathBetween(found, a1, c1), wayBetween(bare, a1, c1), 'of others nothing is known, as before')
    const hosts = bare.hosts.map(({ id }) => id)
    for (const from of hosts) {
      for (const to of hosts) assert.ok(from === to || pathBetween(found, from, to) !== undefined, `${from} – ${to}`)
    }
  })

  test('plans have times, and bounds', () => {
    const found = knownBefore(bare, onlyTo('a → b'))
    const made = plan(found)
    assert.deepEqual(checkPlan({ snapshot: found, ...question }, made), [])
    const limits = { maxParallel: undefined, bandwidth: undefined }
    const { end, moves } = forecastPlan({ snapshot: found, ...question, limits }, made)
    assert.ok(end !== undefined)
    assert.deepEqual(
      moves.map(({ over }) => over),
      ['path a – b', 'path a – b'],
    )
    assert.equal(planBounds(bare, question, plan(bare)).makespan, undefined)
    const { makespan } = planBounds(found, question, made)
    assert.ok(makespan !== undefined && Math.round(makespan) === Math.round((200 * 2 ** 20 * 8_000) / 90e6))
  })

  test('nothing changes where nothing is known', () => {
    const atLeast = prior({ capacity: { rate: megabitsPerSecond(90), bound: 'at-least' }, rtt: undefined })
    for (const before of [undefined, atLeast])
      assert.equal(
        knownBefore(bare, () => before),
        bare,
      )
    assert.deepEqual(plan(knownBefore(bare, () => prior({ capacity: undefined }))).moves, plan(bare).moves)
  })

  test('where some path is declared, the others do not exist', () => {
    const some = { ...bare, paths: [aPath('a', 'b')] }
    assert.deepEqual(knownBefore(some, () => prior()).paths.map(linkName), ['a → b'])
  })

  test('the monitor, which looks at lifeboat.yaml alone, calls the same ways by the same names', () => {
    const found = knownBefore(bare, () => prior())
    const map = networkMap(bare)
    assert.deepEqual(map.links.map(({ name }) => name).sort(), found.paths.map(linkName).sort())
    for (const [from, to] of [
      [a1, b1],
      [b1, a1],
      [a1, c1],
    ] as const) {
      const [seen, used] = [map.linkOf(from, to)?.path, wayBetween(found, from, to)]
      assert.ok(seen !== undefined && used !== undefined)
      assert.equal(pathKey(seen), pathKey(used))
    }
  })
})
