import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hostId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { localRemote } from '../remote/local.ts'
import { pingFrom, pingResult } from './light-probe.ts'

const a1 = hostId('a-1')

describe('echoes', () => {
  test('by iputils and by busybox', () => {
    const iputils =
      '5 packets transmitted, 4 received, 20% packet loss, time 800ms\nrtt min/avg/max/mdev = 40.041/41.5/57.1/0.006 ms'
    const busybox =
      '5 packets transmitted, 4 packets received, 20% packet loss\nround-trip min/avg/max = 40.041/41.5/57.1 ms'
    for (const said of [iputils, busybox]) {
      const found = pingResult(a1, '0', said)
      assert.ok('rtt' in found)
      assert.deepEqual(
        { ...found, loss: Number(found.loss.toFixed(3)) },
        { rtt: 41.5, minRtt: 40.041, loss: 0.2, sent: 5 },
      )
    }
  })

  for (const [what, code, said, why] of [
    [
      'that never come are no measured loss: they may be filtered',
      '1',
      '5 packets transmitted, 0 received, 100% packet loss',
      /no answer to 5 echoes from a-1: the path is cut, or filters/,
    ],
    ['without ping', '127', 'sh: ping: not found', /ping is not installed on a-1/],
    [
      'that are not permitted',
      '2',
      'ping: socket: Operation not permitted',
      /ping on a-1 failed: ping: socket: Operation not permitted/,
    ],
    ['that say nothing', '0', '', /ping on a-1 failed$/],
    ['of which more came than went', '0', '5 packets transmitted, 9 received\n= 1/1/1', /failed/],
  ] as const) {
    test(what, () => {
      const found = pingResult(a1, code, said)
      assert.ok('why' in found)
      assert.match(found.why, why)
    })
  }

  test('from this machine to itself, and to nowhere, at the same time', async () => {
    const targets = ['127.0.0.1', 'no.such.host.invalid', '-h'].map((address, n) => ({ to: hostId(`b-${n}`), address }))
    const found = await pingFrom(localRemote, a1, targets, () => instant(1), AbortSignal.timeout(20_000))
    assert.deepEqual(
      found.map(({ result }) => 'rtt' in result),
      [true, false, false],
    )
  })
})
