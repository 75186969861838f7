import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hostId, siteId } from '../../core/ids.ts'
import { instant } from '../../core/instant.ts'
import type { HostState, LinkState } from '../../core/network/link-state.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../../core/units.ts'
import { linksLines } from './links-table.ts'
import { widthOf } from './table.ts'

const path = {
  from: siteId('a'),
  to: siteId('b'),
  capacity: megabitsPerSecond(50),
  rtt: undefined,
  loss: undefined,
  perFlow: undefined,
  background: undefined,
}
const state = (change: Partial<LinkState> = {}): LinkState => ({
  link: { name: 'a → b', path, sources: [hostId('a-1')], targets: [hostId('b-1')] },
  inUse: megabitsPerSecond(40),
  byUs: megabitsPerSecond(30),
  byOthers: megabitsPerSecond(10),
  flows: 2,
  rtt: ms(87),
  minRtt: ms(41),
  queueingDelay: ms(46),
  standingDelay: { why: 'no echo was asked for just now' },
  loss: { share: fraction(0.012), from: 'retransmissions' },
  bestFlow: megabitsPerSecond(20),
  loneFlow: megabitsPerSecond(9),
  measured: { rate: megabitsPerSecond(48), bound: 'full', at: instant(0), how: 'in-use' },
  trend: [0, 3e6, 5e6],
  lastProbe: undefined,
  remarks: [],
  ...change,
})
const host = (change: Partial<HostState> = {}): HostState => ({
  host: hostId('a-1'),
  silent: undefined,
  cpuBusy: fraction(0.25),
  stolen: fraction(0.01),
  memoryAvailable: mebibytes(2048),
  pressure: { cpu: fraction(0.1), memory: fraction(0), io: undefined },
  readings: 3,
  dropped: {},
  ...change,
})
const shown = (link: LinkState, hosts: readonly HostState[] = [host()]): readonly string[] =>
  linksLines([{ state: link, prior: undefined, lastHour: [] }], hosts, 200)

describe('the table of paths', () => {
  test('has what is known, what is measured, who uses it, and how it goes', () => {
    const [, row] = shown(state())
    assert.match(
      row ?? '',
      /^a → b +50\.0 Mbit\/s +48\.0 Mbit\/s +40\.0 Mbit\/s +30\.0 Mbit\/s +10\.0 Mbit\/s +87 ms +46 ms +1\.2% +20\.0 Mbit\/s +▁▄▇$/,
    )
  })

  test('says "at least" where nothing was in the way, and nothing of a queue where nothing of ours would see it', () => {
    const measured = { rate: megabitsPerSecond(8), bound: 'at-least', at: instant(0), how: 'probe' } as const
    const [, row] = shown(state({ measured, flows: 0 }))
    assert.match(row ?? '', /≥ 8\.00 Mbit\/s.*87 ms +– /)
  })

  test('says what is not known and why, each reason once', () => {
    const why = { why: 'ss is not permitted: Operation not permitted' }
    const denied = state({
      byUs: why,
      byOthers: why,
      remarks: [`a-1: ${why.why}; byte counts only`],
      rtt: { why: 'ping is not installed on a-1' },
      loss: { why: 'ping is not installed on a-1' },
    })
    const lines = shown(denied)
    assert.match(lines[1] ?? '', /40\.0 Mbit\/s +not known +not known +not known/)
    assert.deepEqual(lines.slice(-2), [
      'a → b: not known (a-1: ss is not permitted: Operation not permitted; byte counts only)',
      'a → b: not known (RTT and loss: ping is not installed on a-1)',
    ])
  })

  test('has beside it what was before', () => {
    const prior = {
      capacity: { rate: megabitsPerSecond(47), bound: 'at-least' },
      rtt: ms(41),
      loss: undefined,
      bestFlow: bytesPerSecond(0),
      perFlow: undefined,
      background: megabitsPerSecond(3),
      until: instant(0),
    } as const
    const lines = linksLines([{ state: state(), prior, lastHour: [undefined, 6e6] }], [], 200)
    assert.match(lines[2] ?? '', /^ {2}before +≥ 47\.0 Mbit\/s +3\.00 Mbit\/s +41 ms +– +0 bit\/s +·█ last hour$/)
  })

  test('a path of zero capacity is a path', () => {
    const [, row] = shown(
      state({
        link: { ...state().link, path: { ...path, capacity: bytesPerSecond(0) } },
        inUse: bytesPerSecond(0),
        trend: [0, 0],
      }),
    )
    assert.match(row ?? '', /a → b +0 bit\/s .*▁▁$/)
  })

  test('hosts: what weighs on them, who is silent, what was not believed', () => {
    const lines = shown(state(), [
      host(),
      host({ host: hostId('a-2'), silent: { why: 'x', since: instant(0) }, cpuBusy: { why: 'x' } }),
      host({ host: hostId('a-3'), dropped: { 'counter-reset': 2 } }),
    ])
    assert.match(lines[4] ?? '', /^a-1 +25% +1% +2\.00 GiB +10% +0% +–$/)
    assert.match(lines[5] ?? '', /^a-2 +not known.*does not answer$/)
    assert.match(lines[6] ?? '', /not believed: 2 × counter-reset$/)
  })

  test('is never wider than the terminal', () => {
    for (const line of linksLines([{ state: state(), prior: undefined, lastHour: [] }], [host()], 60))
      assert.ok(widthOf(line) <= 60, line)
  })
})
