import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { parseCpuLine, parseKibibytes, parseNetDev, parsePressure, parseUptime } from './parse-proc.ts'

describe('/proc', () => {
  test('net/dev: received and sent bytes of each interface, headings passed over', () => {
    const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 401186112   22615    0    0    0     0          0         0 401186113   22615    0    0    0     0       0          0
eth0.10:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0
  bad: 1 2 3
  eth9: x 0 0 0 0 0 0 0 5 0 0 0 0 0 0 0`
    assert.deepEqual(parseNetDev(text), [
      { name: 'lo', received: 401_186_112, sent: 401_186_113 },
      { name: 'eth0.10', received: 7, sent: 8 },
    ])
  })

  test('stat: guest time is within user time, and is not counted twice', () => {
    assert.deepEqual(parseCpuLine('cpu  869732 32080 159784 1218643 4227 0 13863 1202 500 20'), {
      total: 869_732 + 32_080 + 159_784 + 1_218_643 + 4_227 + 13_863 + 1_202,
      idle: 1_218_643 + 4_227,
      stolen: 1_202,
    })
    assert.deepEqual(parseCpuLine('cpu 1 2 3 4'), { total: 10, idle: 4, stolen: 0 }, 'an old kernel')
    for (const line of ['', 'cpu', 'cpu0 1 2 3 4', 'cpu 1 2 3', 'cpu a b c d', 'cpu 1 2 3 -4'])
      assert.equal(parseCpuLine(line), undefined, line)
  })

  test('meminfo, uptime: their numbers, or nothing', () => {
    assert.equal(parseKibibytes('24086484'), 24_086_484 * 1024)
    for (const text of ['', '-1', 'x', '99999999999999999']) assert.equal(parseKibibytes(text), undefined, text)
    assert.equal(parseUptime('11653.13 12186.43'), 11_653_130)
    for (const text of ['', 'NaN', '-4', '1e5 3']) assert.equal(parseUptime(text), undefined, text)
  })

  test('pressure: the share of ten seconds; where the kernel counts none, nothing', () => {
    const some = 'some avg10=1.68 avg60=0.00 avg300=4.54 total=2433527235'
    assert.deepEqual(parsePressure(`cpu ${some}\nmemory some avg10=100.00 avg60=0\n`), {
      cpu: 0.0168,
      memory: 1,
      io: undefined,
    })
    assert.equal(parsePressure(''), undefined)
    assert.equal(parsePressure('cpu full avg10=3'), undefined)
  })

  test('whatever is there, nothing throws', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        parseNetDev(text)
        parseCpuLine(`cpu ${text}`)
        parseKibibytes(text)
        parsePressure(`cpu some avg10=${text}`)
        parseUptime(text)
      }),
      runs(500),
    )
  })
})
