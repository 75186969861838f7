import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { OneAtATime } from './one-at-a-time.ts'

const never = new AbortController().signal

test('work does not overlap, and keeps its order, whatever becomes of it', async () => {
  const turns = new OneAtATime()
  const log: string[] = []
  const work =
    (name: string, fails = false) =>
    async () => {
      log.push(`${name}(`)
      await sleep(5)
      log.push(`)${name}`)
      if (fails) throw new Error(name)
      return name
    }
  const all = await Promise.allSettled([
    turns.run(work('a'), never),
    turns.run(work('b', true), never),
    turns.run(work('c'), never),
  ])
  assert.deepEqual(log, ['a(', ')a', 'b(', ')b', 'c(', ')c'])
  assert.deepEqual(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
})

test('who gives up is told at once, and nobody behind starts too early', async () => {
  const turns = new OneAtATime()
  let busy = false
  const first = turns.run(async () => {
    busy = true
    await sleep(30)
    busy = false
  }, never)
  const tired = new AbortController()
  const second = turns.run(() => Promise.reject(new Error('it must not run')), tired.signal)
  const third = turns.run(() => Promise.resolve(busy), never)
  tired.abort(new Error('tired'))
  await assert.rejects(second, /tired/)
  assert.ok(busy)
  assert.equal(await third, false)
  await first
  await assert.rejects(
    turns.run(() => Promise.resolve(), AbortSignal.abort(new Error('late'))),
    /late/,
  )
})
