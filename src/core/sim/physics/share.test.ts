import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { type Flow, lossyUse, type Resource, shareOut } from './share.ts'

const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-3 * Math.max(1, b), `${a} is not ${b}`)
const free = (capacity: number): Resource => ({ capacity, lossy: false })

describe('sharing out', () => {
  test('equal flows share equally; a capped one leaves its rest to the others', () => {
    const path = free(90)
    const flow = (most: number, weight = 1): Flow => ({ most, weight, crosses: [path] })
    assert.deepEqual(shareOut([flow(Infinity), flow(Infinity), flow(Infinity)]), [30, 30, 30])
    assert.deepEqual(shareOut([flow(10), flow(Infinity), flow(Infinity)]), [10, 40, 40])
    assert.deepEqual(shareOut([flow(Infinity, 2), flow(Infinity, 1)]), [60, 30])
  })

  test('a flow is bounded by the narrowest of what it crosses, and the others use what it leaves', () => {
    const [nic, path] = [free(20), free(100)]
    const rates = shareOut([
      { most: Infinity, weight: 1, crosses: [nic, path] },
      { most: Infinity, weight: 1, crosses: [path] },
    ])
    assert.deepEqual(rates, [20, 80])
  })

  test('where losses limit TCP, one stream fills three quarters, six fill 95 %', () => {
    const path: Resource = { capacity: 100, lossy: true }
    near(shareOut([{ most: Infinity, weight: 1, crosses: [path] }])[0] ?? 0, 75)
    near(shareOut([{ most: Infinity, weight: 6, crosses: [path] }])[0] ?? 0, 100 * lossyUse(6))
    assert.ok(lossyUse(6) > 0.94 && lossyUse(3) === 0.9)
  })

  test('a cut path carries nothing', () => {
    assert.deepEqual(shareOut([{ most: Infinity, weight: 1, crosses: [free(0)] }]), [0])
  })

  test('no resource carries more than it can, none that is wanted is left idle, nobody gets more than its most', () => {
    const world = fc
      .tuple(
        fc.array(fc.record({ capacity: fc.integer({ min: 0, max: 1000 }), lossy: fc.boolean() }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.array(
          fc.record({
            weight: fc.integer({ min: 1, max: 8 }),
            most: fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 500 })),
            over: fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 4 }),
          }),
          { maxLength: 12 },
        ),
      )
      .map(([resources, flows]) => ({
        resources,
        flows: flows.map(
          ({ weight, most, over }): Flow => ({
            weight,
            most,
            crosses: [...new Set(over.map(n => resources[n % resources.length] ?? { capacity: 0, lossy: false }))],
          }),
        ),
      }))
    fc.assert(
      fc.property(world, ({ resources, flows }) => {
        const rates = shareOut(flows)
        const used = (resource: Resource): number =>
          flows.reduce((sum, flow, at) => sum + (flow.crosses.includes(resource) ? (rates[at] ?? 0) : 0), 0)
        for (const resource of resources) assert.ok(used(resource) <= resource.capacity + 1e-3)
        flows.forEach((flow, at) => {
          const rate = rates[at] ?? 0
          assert.ok(rate >= 0 && rate <= flow.most + 1e-3)
          const full = flow.crosses.some(resource => {
            const streams = flows
              .filter(f => f.most > 0 && f.crosses.includes(resource))
              .reduce((sum, f) => sum + f.weight, 0)
            return used(resource) >= resource.capacity * (resource.lossy ? lossyUse(streams) : 1) - 1e-2
          })
          assert.ok(rate >= flow.most - 1e-2 || full, 'a flow that could have more was not given it')
        })
      }),
      { numRuns: 500 },
    )
  })
})
