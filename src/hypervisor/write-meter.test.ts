import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WriteMeter } from './write-meter.ts'

test('what grows steadily is measured as it is, what comes in gulps nearly so', () => {
  for (const every of [1, 3]) {
    const meter = new WriteMeter()
    for (let second = 0; second <= 60; second += 1)
      meter.read(1_000_000 + Math.floor(second / every) * every * 500, second * 1_000)
    assert.ok(Math.abs(meter.rate - 500) < 90, `${meter.rate} in gulps of ${every} s`)
  }
})

test('the first reading, a total that shrank, and time that stands still say nothing', () => {
  const meter = new WriteMeter()
  meter.read(5_000, 1_000)
  assert.equal(meter.rate, 0)
  meter.read(1_000, 2_000)
  meter.read(9_000, 2_000)
  assert.equal(meter.rate, 0)
})
