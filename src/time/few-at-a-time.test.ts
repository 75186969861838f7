import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { fewAtATime } from './few-at-a-time.ts'

test('keeps the order, and never does more at a time than it may', async () => {
  let now = 0
  let most = 0
  const doubled = await fewAtATime(3, [1, 2, 3, 4, 5, 6, 7], async n => {
    now += 1
    most = Math.max(most, now)
    for (let left = 8 - n; left > 0; left -= 1) await turn()
    now -= 1
    return n * 2
  })
  assert.deepEqual(doubled, [2, 4, 6, 8, 10, 12, 14])
  assert.equal(most, 3)
})

test('nothing to do is done at once', async () => {
  assert.deepEqual(await fewAtATime(3, [], () => Promise.reject(new Error('never asked'))), [])
})

test('begins nothing more after a failure, waits for what was begun, and tells the first', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const work = async (n: number): Promise<void> => {
    begun.push(n)
    await turn()
    if (n === 1) throw new Error('the first')
    await turn()
    ended.push(n)
  }
  await assert.rejects(fewAtATime(2, [1, 2, 3, 4], work), /the first/)
  assert.deepEqual(begun, [1, 2])
  assert.deepEqual(ended, [2])
})
