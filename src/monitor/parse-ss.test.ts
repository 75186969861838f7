import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { parseSs, plainAddress } from './parse-ss.ts'

/** iproute2 6.1 on Linux 6.18, a sender and a receiver. */
const real = `ESTAB 0      114688 127.0.0.1:47128 127.0.0.1:49200
\t bbr wscale:10,10 rto:204 rtt:0.075/0.088 mss:65483 pmtu:65535 rcvmss:536 advmss:65483 cwnd:12 ssthresh:8 bytes_sent:375164875 bytes_acked:375083009 segs_out:12128 segs_in:9051 data_segs_out:12126 bbr:(bw:74837709824bps,mrtt:0.004,pacing_gain:1.25,cwnd_gain:2) send 83818240000bps lastrcv:408 pacing_rate 74089332720bps delivery_rate 74837714280bps delivered:12125 app_limited busy:352ms rwnd_limited:12ms(3.4%) unacked:2 rcv_space:65495 rcv_ssthresh:65495 notsent:32821 minrtt:0.004 snd_wnd:607232
ESTAB 16384  0      [::ffff:10.77.1.1]:49200 [::ffff:10.77.2.1%eth0]:47128
\t cubic wscale:10,10 rto:204 rtt:40.5/0.011 bytes_retrans:4344 bytes_sent:9000 retrans:0/3 delivery_rate 95.1Mbps
`

describe('what ss prints', () => {
  test('is read, a connection on two lines', () => {
    const { flows, notUnderstood } = parseSs(real)
    assert.equal(notUnderstood, 0)
    assert.deepEqual(flows[0], {
      local: '127.0.0.1 47128',
      peer: '127.0.0.1 49200',
      peerAddress: '127.0.0.1',
      peerPort: 49_200,
      bytesSent: 375_164_875,
      bytesAcked: 375_083_009,
      bytesRetransmitted: 0,
      segmentsSent: 12_128,
      deliveryRate: 74_837_714_280 / 8,
      rtt: 0.075,
      minRtt: 0.004,
      notSent: 32_821,
      unacked: 2,
      cwnd: 12,
      appLimited: true,
    })
    assert.equal(flows[1]?.peerAddress, '10.77.2.1')
    assert.equal(flows[1]?.bytesRetransmitted, 4_344)
    assert.equal(flows[1]?.deliveryRate, 95.1e6 / 8)
    assert.equal(flows[1]?.minRtt, undefined)
  })

  test('without the state (a filter for one), with a heading, or on one line, is read too', () => {
    const head = 'State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n'
    for (const text of [
      `${head}ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n\t rtt:1/1`,
      '0 0 10.0.0.1:1 10.0.0.2:2\n\t rtt:1/1',
      'CLOSE-WAIT 0 0 10.0.0.1:1 10.0.0.2:2 rtt:1/1',
    ]) {
      const { flows, notUnderstood } = parseSs(text)
      assert.equal(notUnderstood, 0, text)
      assert.deepEqual([flows[0]?.peer, flows[0]?.rtt], ['10.0.0.2 2', 1], text)
    }
  })

  test('of an old kernel, which does not count what is sent again, says so by saying nothing', () => {
    const [flow] = parseSs('ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n\t rtt:1/1 bytes_acked:500').flows
    assert.deepEqual([flow?.bytesSent, flow?.bytesAcked, flow?.bytesRetransmitted], [undefined, 500, undefined])
  })

  test('with values that are no numbers is a connection of which they are not known', () => {
    const [flow] = parseSs(
      'ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n\t rtt:-3/1 minrtt:NaN bytes_sent:1e9 bytes_acked:99999999999999999999999 cwnd:0x10 delivery_rate Infinitybps unacked:',
    ).flows
    assert.deepEqual(
      [flow?.rtt, flow?.minRtt, flow?.bytesSent, flow?.bytesAcked, flow?.cwnd, flow?.deliveryRate, flow?.unacked],
      Array.from({ length: 7 }),
    )
  })

  test('a name that comes twice counts once, the first', () => {
    const [flow] = parseSs('ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n\t rtt:5/1 x:(rtt:9/9) rtt:7/1').flows
    assert.equal(flow?.rtt, 5)
  })

  test('lines that are no connection are counted, and those of any length or number are bounded', () => {
    assert.equal(parseSs('Cannot open netlink socket: Operation not permitted\n').notUnderstood, 1)
    assert.equal(parseSs(`\t rtt:1/1\n${'x'.repeat(100_000)}`).notUnderstood, 2)
    assert.equal(parseSs('ESTAB 0 0 1.1.1.1:1 1.1.1.1:2\n'.repeat(10_000)).flows.length, 4_096)
  })

  test('no text makes it throw, or gives a number that is none', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'ESTAB 0 0 1.1.1.1:1 [::1]:2',
        '\n',
        '\t',
        ' rtt:',
        'bytes_sent:',
        '9',
        'delivery_rate ',
        'Mbps',
        ':',
        '-1',
      ),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), pieces => {
        for (const flow of parseSs(pieces.join('')).flows)
          for (const value of Object.values(flow))
            if (typeof value === 'number') assert.ok(Number.isFinite(value) && value >= 0)
      }),
      runs(1_000),
    )
  })
})

test('an address is told without its dress', () => {
  for (const [text, plain] of [
    ['[::1]', '::1'],
    ['[FE80::1%eth0]', 'fe80::1'],
    ['[::ffff:10.0.0.1]', '10.0.0.1'],
    ['10.0.0.1%br0', '10.0.0.1'],
  ] as const)
    assert.equal(plainAddress(text), plain)
})
