/** Real streams over this machine's loopback: how a probe begins, ends and cleans up. What it finds of a path is for the lab. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostId } from '../core/ids.ts'
import { mebibytes, ms } from '../core/units.ts'
import { realClock } from '../engine/real-clock.ts'
import { localRemote } from '../remote/local.ts'
import type { Remote } from '../remote/remote.ts'
import { type ProbeOptions, probeThroughput } from './throughput-probe.ts'

const clock = realClock()
const soon = (): AbortSignal => AbortSignal.timeout(20_000)
const probe = (change: Partial<ProbeOptions> = {}, signal = soon()) =>
  probeThroughput(
    {
      from: { host: hostId('a-1'), remote: localRemote },
      to: { host: hostId('b-1'), remote: localRemote, address: '127.0.0.77' },
      most: { bytes: mebibytes(2), time: ms(1_500) },
      restRtt: undefined,
      clock,
      ...change,
    },
    signal,
  )
/** Sockets at the address that only this test uses. */
async function leftOvers(): Promise<string> {
  await sleep(300)
  return (await localRemote.run(['ss', '-tanH', 'src', '127.0.0.77'], {}, soon())).stdout.replaceAll(
    /^TIME-WAIT.*\n/gm,
    '',
  )
}
/** This machine, with only these tools for a probe. */
const having = (tools: string): Remote => ({
  ...localRemote,
  run: (argv, options, signal) =>
    localRemote.run(argv[2]?.includes('for t in') === true ? ['echo', tools] : argv, options, signal),
})

describe('a throughput probe', () => {
  test('whose bytes are over before anybody looks says at least what went through', async () => {
    const found = await probe()
    assert.deepEqual([found.bound, found.stoppedBy], ['at-least', 'byte-limit'])
    assert.ok(found.rate > 1e6 && Number.isFinite(found.rate), String(found.rate))
    assert.equal(await leftOvers(), '')
  })

  test('ends after its time, with the average of what arrived, and leaves nothing at either end', async () => {
    const began = performance.now()
    const found = await probe({ most: { bytes: mebibytes(4_096), time: ms(1_000) } })
    assert.ok(performance.now() - began < 8_000)
    // A busy machine lets the loopback queue; both are ends.
    assert.ok(found.stoppedBy === 'time-limit' || found.stoppedBy === 'queueing', found.stoppedBy)
    assert.ok(found.rate > 1e6 && found.rate < 20e9, String(found.rate))
    assert.equal(await leftOvers(), '')
  })

  test('takes another port where one is taken', async () => {
    const server = createServer().listen(49_215, '127.0.0.77')
    try {
      assert.equal((await probe()).stoppedBy, 'byte-limit')
    } finally {
      server.close()
    }
  })

  test('goes on with another tool where one is only a name', async () => {
    assert.equal(
      (await probe({ from: { host: hostId('a-1'), remote: having('socat\nbash') } })).stoppedBy,
      'byte-limit',
    )
  })

  for (const [what, change, says] of [
    [
      'nothing to send with',
      { from: { host: hostId('a-1'), remote: having('perl') } },
      /a-1 has nothing to send bytes with/,
    ],
    [
      'nothing to listen with',
      { to: { host: hostId('b-1'), remote: having('bash'), address: '127.0.0.77' } },
      /b-1 has nothing to take bytes with/,
    ],
    [
      'an address that is not the target’s',
      { to: { host: hostId('b-1'), remote: localRemote, address: '192.0.2.1' } },
      /nothing can listen on b-1 at 192\.0\.2\.1/,
    ],
  ] as const) {
    test(`with ${what} is impossible, and says what would help`, async () => {
      await assert.rejects(
        probe(change),
        (error: unknown) => error instanceof Error && error.name === 'ProbeImpossible' && says.test(error.message),
      )
      assert.equal(await leftOvers(), '')
    })
  }

  test('that is broken off leaves nothing behind', async () => {
    const stop = new AbortController()
    const probing = probe({ most: { bytes: mebibytes(4_096), time: ms(5_000) } }, stop.signal)
    setTimeout(() => stop.abort(new Error('enough')), 800)
    await assert.rejects(probing, /enough/)
    assert.equal(await leftOvers(), '')
  })
})
