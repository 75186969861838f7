import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { Kernel } from './kernel.ts'

describe('the kernel', () => {
  test('carries out events in order of time, and of their making at one time; cancelled ones never', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ at: fc.integer({ min: 0, max: 50 }), cancel: fc.boolean() })), events => {
        const kernel = new Kernel()
        const done: number[] = []
        const alarms = events.map(({ at }, n) => kernel.at(at, () => done.push(n)))
        events.forEach(({ cancel }, n) => cancel && kernel.cancel(alarms[n]))
        const expected = events
          .map((event, n) => ({ ...event, n }))
          .filter(({ cancel }) => !cancel)
          .sort((a, b) => a.at - b.at || a.n - b.n)
          .map(({ n }) => n)
        assert.equal(kernel.waiting, expected.length)
        let before = 0
        while (kernel.step()) {
          assert.ok(kernel.now >= before)
          before = kernel.now
        }
        assert.deepEqual(done, expected)
        assert.equal(kernel.waiting, 0)
      }),
    )
  })

  test('an event may make others; what lies in the past counts as now', () => {
    const kernel = new Kernel()
    const seen: (readonly [string, number])[] = []
    kernel.at(10, () => {
      seen.push(['first', kernel.now])
      kernel.at(3, () => seen.push(['late', kernel.now]))
      kernel.after(5, () => seen.push(['after', kernel.now]))
    })
    while (kernel.step());
    assert.deepEqual(seen, [
      ['first', 10],
      ['late', 10],
      ['after', 15],
    ])
  })
})
