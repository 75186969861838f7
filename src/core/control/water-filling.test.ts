import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, aSite, aSnapshot, runs } from '../../../test/arbitraries.ts'
import { hostId } from '../ids.ts'
import { bytesPerSecond, megabitsPerSecond } from '../units.ts'
import { type Crossing, crossings, pathKey, Pool, type Taken } from './water-filling.ts'

interface Wish {
  readonly crossed: readonly Crossing[]
  readonly most: number
}
interface Demand {
  readonly total: number | undefined
  readonly wishes: readonly Wish[]
}

const names = ['out of a-1', 'out of a-2', 'uplink a', 'path a b', 'into b-1', 'into b-2']
/** Whole numbers: sums of them are exact. */
const arbCapacity = fc.integer({ min: 0, max: 1_000_000_000 })
const orUnknown = (arb: fc.Arbitrary<number>): fc.Arbitrary<number> =>
  fc.oneof({ weight: 4, arbitrary: arb }, { weight: 1, arbitrary: fc.constant(Infinity) })

const demandOf = (capacity: fc.Arbitrary<number>): fc.Arbitrary<Demand> =>
  fc
    .record({
      capacities: fc.array(capacity, { minLength: names.length, maxLength: names.length }),
      total: fc.option(arbCapacity, { nil: undefined }),
      wishes: fc.array(
        fc.record({ crosses: fc.subarray([...names.keys()]), most: fc.oneof(fc.constant(Infinity), arbCapacity) }),
        { maxLength: 12 },
      ),
    })
    .map(({ capacities, total, wishes }) => ({
      total,
      wishes: wishes.map(({ crosses, most }) => ({
        most,
        crossed: crosses.map(at => ({ key: names[at] ?? '', capacity: capacities[at] ?? 0 })),
      })),
    }))
const arbKnown = demandOf(arbCapacity)
const arbDemand = demandOf(orUnknown(arbCapacity))

const handOut = ({ total, wishes }: Demand): readonly Taken[] => {
  const pool = new Pool(total)
  return wishes.map(({ crossed, most }) => pool.take(crossed, most))
}
const used = (wishes: readonly Wish[], taken: readonly Taken[], key: string): number =>
  wishes.reduce((sum, { crossed }, n) => sum + (crossed.some(each => each.key === key) ? (taken[n]?.rate ?? 0) : 0), 0)
const sum = (taken: readonly Taken[]): number => taken.reduce((all, { rate }) => all + rate, 0)

describe('rates by strict priority', () => {
  test('nothing carries more than it can, nobody gets more than they can use, all together no more than allowed', () => {
    let full = 0
    fc.assert(
      fc.property(arbKnown, demand => {
        const taken = handOut(demand)
        for (const { crossed } of demand.wishes)
          for (const { key, capacity } of crossed) {
            assert.ok(used(demand.wishes, taken, key) <= capacity, `${key} over ${capacity}`)
            if (capacity > 0 && used(demand.wishes, taken, key) === capacity) full += 1
          }
        for (const [n, { most }] of demand.wishes.entries()) {
          const rate = taken[n]?.rate ?? Number.NaN
          assert.ok(rate >= 0 && rate <= most)
        }
        if (demand.total !== undefined) assert.ok(sum(taken) <= demand.total)
      }),
      runs(500),
    )
    assert.ok(full > 100, 'capacities bind')
  })

  test('nobody who could use more has less while all that they cross has room, and the operator allows it', () => {
    let limited = 0
    fc.assert(
      fc.property(arbKnown, demand => {
        const taken = handOut(demand)
        const allUsed = demand.total !== undefined && sum(taken) === demand.total
        for (const [n, { crossed, most }] of demand.wishes.entries()) {
          if ((taken[n]?.rate ?? 0) >= most) continue
          limited += 1
          const bound = crossed.some(({ key, capacity }) => used(demand.wishes, taken, key) === capacity)
          // One that crosses nothing, and may use any rate, is bounded by nothing else.
          assert.ok(bound || allUsed || taken[n]?.rate === Infinity, `${n} could have had more`)
        }
      }),
      runs(500),
    )
    assert.ok(limited > 200, 'some get less than they could use')
  })

  test('who comes last changes nothing for anybody before', () => {
    fc.assert(
      fc.property(arbDemand, demand => {
        const taken = handOut(demand)
        for (const n of demand.wishes.keys())
          assert.deepEqual(handOut({ ...demand, wishes: demand.wishes.slice(0, n) }), taken.slice(0, n))
      }),
      runs(300),
    )
  })

  test('nobody is first who crosses what somebody before them crosses; else they are', () => {
    fc.assert(
      fc.property(arbDemand, demand => {
        const touched = new Set<string>()
        for (const [n, taken] of handOut(demand).entries()) {
          const keys = (demand.wishes[n]?.crossed ?? []).map(({ key }) => key)
          assert.equal(
            taken.first,
            keys.every(key => !touched.has(key)),
          )
          for (const key of keys) touched.add(key)
        }
      }),
      runs(300),
    )
  })

  test('an offer is what would be taken, takes nothing, and is a share between none and all, whatever is known', () => {
    fc.assert(
      fc.property(arbDemand, ({ total, wishes }) => {
        const pool = new Pool(total)
        for (const { crossed, most } of wishes) {
          const offered = pool.offer(crossed, most)
          assert.deepEqual(pool.offer(crossed, most), offered)
          assert.deepEqual(pool.take(crossed, most), offered)
          assert.ok(offered.share >= 0 && offered.share <= 1, `a share of ${offered.share}`)
          assert.ok(offered.rate >= 0)
        }
      }),
      runs(500),
    )
  })

  test('by hand: 100 for three who could use 60 each', () => {
    const path = [{ key: 'path', capacity: 100 }]
    const pool = new Pool()
    assert.deepEqual(
      [60, 60, 60].map(most => pool.take(path, most)),
      [
        { rate: 60, first: true, share: 1, used: 60 },
        { rate: 40, first: false, share: 40 / 60, used: 40 },
        { rate: 0, first: false, share: 0, used: 0 },
      ],
    )
  })

  test('by hand: who is held back by their own card leaves the rest of the path to the next', () => {
    const pool = new Pool()
    const from = (host: string) => [
      { key: `out of ${host}`, capacity: 40 },
      { key: 'path', capacity: 100 },
    ]
    assert.deepEqual(
      ['a-1', 'a-1', 'a-2', 'a-3'].map(host => pool.take(from(host), Infinity).rate),
      [40, 0, 40, 20],
    )
  })

  test('of what nobody knows the bound of, the first takes all; one that can use only so much leaves the rest', () => {
    const path = [{ key: 'path', capacity: Infinity }]
    const greedy = new Pool()
    assert.deepEqual(greedy.take(path, Infinity), { rate: Infinity, first: true, share: 1, used: Infinity })
    assert.deepEqual(greedy.take(path, Infinity), { rate: 0, first: false, share: 0, used: 0 })
    assert.equal(greedy.take(path, 50).rate, 0)
    const modest = new Pool()
    assert.deepEqual(
      [50, 50].map(most => modest.take(path, most).rate),
      [50, 50],
    )
    assert.equal(modest.take(path, Infinity).rate, Infinity)
  })

  test('where nothing is known, what the operator allows is handed out all the same', () => {
    const pool = new Pool(100)
    const path = [{ key: 'path', capacity: Infinity }]
    assert.deepEqual(
      [70, Infinity, 10].map(most => pool.take(path, most).rate),
      [70, 30, 0],
    )
  })

  test('a share is of what one could get alone, and nobody gets more than the operator allows', () => {
    const pool = new Pool(50)
    const path = [{ key: 'path', capacity: 1_000 }]
    assert.deepEqual(pool.offer(path, Infinity), { rate: 50, first: true, share: 1, used: 50 })
    assert.deepEqual(pool.take(path, 40), { rate: 40, first: true, share: 1, used: 40 })
    assert.deepEqual(pool.offer(path, 40), { rate: 10, first: false, share: 0.25, used: 10 })
  })

  test('a path that carries nothing gives nothing, and is no share of anything', () => {
    const nothing = { rate: 0, first: true, share: 0, used: 0 }
    assert.deepEqual(new Pool().take([{ key: 'path', capacity: 0 }], Infinity), nothing)
  })

  test('who sends half of the time leaves half of what it could take to the next', () => {
    const pool = new Pool(100)
    const path = [{ key: 'path', capacity: 80 }]
    assert.deepEqual(pool.take(path, Infinity, 0.5), { rate: 80, first: true, share: 1, used: 40 })
    assert.deepEqual(pool.take(path, Infinity, 0.5), { rate: 40, first: false, share: 0.5, used: 20 })
    assert.deepEqual(pool.take(path, Infinity), { rate: 20, first: false, share: 0.25, used: 20 })
    assert.equal(pool.take([{ key: 'another path', capacity: 80 }], Infinity).rate, 20, 'of all that is allowed')
  })

  test('however small the shares of time, over time nothing carries more than it can, and nobody more than is left', () => {
    const arbBusy = fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 })
    fc.assert(
      fc.property(arbKnown, arbBusy, ({ total, wishes }, busy) => {
        const pool = new Pool(total)
        const taken = wishes.map(({ crossed, most }, n) => pool.take(crossed, most, busy[n]))
        const onAverage = (key?: string): number =>
          wishes.reduce(
            (all, { crossed }, n) =>
              all + (key === undefined || crossed.some(each => each.key === key) ? (taken[n]?.used ?? 0) : 0),
            0,
          )
        for (const { crossed } of wishes)
          for (const { key, capacity } of crossed) assert.ok(onAverage(key) <= capacity * (1 + 1e-9), `${key} over`)
        if (total !== undefined) assert.ok(onAverage() <= total * (1 + 1e-9))
        for (const [n, { rate, used: over }] of taken.entries()) {
          assert.ok(rate >= 0 && !Number.isNaN(over))
          assert.equal(over, rate * (busy[n] ?? 1))
        }
      }),
      runs(300),
    )
  })
})

describe('what a migration crosses', () => {
  const snapshot = aSnapshot({
    sites: [aSite('a', { uplink: megabitsPerSecond(1000) }), aSite('b', { safe: true })],
    hosts: [
      aHost('a-1', 'a', { nic: megabitsPerSecond(2000) }),
      aHost('a-2', 'a'),
      aHost('b-1', 'b', { nic: megabitsPerSecond(400) }),
    ],
    paths: [aPath('a', 'b', { capacity: megabitsPerSecond(800) })],
  })
  const crossed = (from: string, to: string, estimate = 5): Readonly<Record<string, number>> =>
    Object.fromEntries(
      crossings(snapshot, hostId(from), hostId(to), () => bytesPerSecond(estimate)).map(({ key, capacity }) => [
        key,
        capacity,
      ]),
    )

  test('both cards, both uplinks, and the path with what is thought of it; of what nobody knows the bound there is nothing to share', () => {
    assert.deepEqual(crossed('a-1', 'b-1'), {
      'out of a-1': megabitsPerSecond(2000),
      'into b-1': megabitsPerSecond(400),
      'uplink a': megabitsPerSecond(1000),
      'path a b': 5,
    })
    assert.deepEqual(Object.keys(crossed('a-2', 'b-1')), ['into b-1', 'uplink a', 'path a b'])
  })

  test('within a site no uplink is crossed, and no path', () => {
    assert.deepEqual(Object.keys(crossed('a-1', 'a-2')), ['out of a-1'])
  })

  test('a way that nobody declared is asked about like a path: it is shared, and may be measured', () => {
    assert.deepEqual(Object.keys(crossed('b-1', 'a-1')), ['out of b-1', 'into a-1', 'uplink a', 'path b a'])
  })

  test('what leaves a host and what enters it are two things: cards carry both ways at once', () => {
    const pool = new Pool()
    pool.take(
      crossings(snapshot, hostId('a-1'), hostId('a-2'), () => 0),
      Infinity,
    )
    assert.equal(
      pool.take(
        crossings(snapshot, hostId('a-2'), hostId('a-1'), () => 0),
        10,
      ).first,
      true,
    )
  })

  test('paths of different ends are different things', () => {
    assert.notEqual(pathKey(aPath('a', 'b')), pathKey(aPath('b', 'a')))
  })
})
