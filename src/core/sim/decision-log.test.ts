import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { arbTimeline, placesOf } from '../../../test/arbitrary-timeline.ts'
import { aProgress, arbSnapshot, aSnapshot, runs, someVms } from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import { hostId, siteId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { defaultVmPolicy } from '../inventory/vm.ts'
import { plainStart } from '../migration/start-options.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms, seconds } from '../units.ts'
import { clockText, lastLines, lineOfHappening, linesOfRow } from './decision-log.ts'
import { rehearse } from './rehearse.ts'
import { failsHow, type Happening } from './timeline.ts'

describe('the clock of the log', () => {
  const times: readonly (readonly [at: number, text: string])[] = [
    [0, '00:00:00.000'],
    [0.4, '00:00:00.000'],
    [999.4, '00:00:00.999'],
    [999.5, '00:00:01.000'],
    [59_999.6, '00:01:00.000'],
    [91_040, '00:01:31.040'],
    [3_599_999.5, '01:00:00.000'],
    [48 * 3_600_000, '48:00:00.000'],
    [100 * 3_600_000 + 1, '100:00:00.001'],
  ]
  for (const [at, text] of times) {
    test(`shows ${at} ms as ${text}`, () => assert.equal(clockText(at), text))
  }

  test('shows every millisecond, and later times later', () => {
    fc.assert(
      fc.property(fc.nat({ max: 99 * 3_600_000 }), fc.nat({ max: 99 * 3_600_000 }), (a, b) => {
        const [h = 0, m = 0, s = 0] = clockText(a).split(':').map(Number)
        assert.equal(Math.round((h * 3600 + m * 60 + s) * 1000), a)
        assert.ok(m < 60 && s < 60)
        if (a < b) assert.ok(clockText(a) < clockText(b))
      }),
      runs(300),
    )
  })
})

describe('what happens to the world', () => {
  const [sendai, osaka, web] = [siteId('sendai'), siteId('osaka'), vmId('web-1')]
  const path = [sendai, osaka] as const
  const happenings: readonly (readonly [what: Happening, text: string])[] = [
    [{ kind: 'path', path, change: { capacity: megabitsPerSecond(200) } }, 'path sendai – osaka: capacity 200 Mbit/s'],
    [{ kind: 'path', path, change: { capacity: bytesPerSecond(0) } }, 'path sendai – osaka: capacity 0 bit/s'],
    [
      {
        kind: 'path',
        path: [sendai, hostId('osaka-1')],
        change: {
          capacity: megabitsPerSecond(1_000),
          rtt: ms(80),
          loss: fraction(0.005),
          perFlow: megabitsPerSecond(2.5),
          background: bytesPerSecond(0),
        },
      },
      'path sendai – osaka-1: capacity 1.00 Gbit/s, round trip 80 ms, loss 0.5 %, one flow 2.50 Mbit/s, others 0 bit/s',
    ],
    [{ kind: 'path', path, change: { loss: fraction(0) } }, 'path sendai – osaka: loss 0 %'],
    [{ kind: 'path', path, change: { loss: fraction(0.1 + 0.2) } }, 'path sendai – osaka: loss 30 %'],
    [{ kind: 'cut', path }, 'path sendai – osaka is cut'],
    [{ kind: 'heal', path }, 'path sendai – osaka is whole again'],
    [{ kind: 'power', site: sendai, runtime: seconds(360) }, 'power of sendai: 6 min 00 s left, says its UPS'],
    [{ kind: 'power-off', site: sendai }, 'sendai loses its power'],
    [{ kind: 'host-down', host: hostId('osaka-1') }, 'osaka-1 goes down'],
    [
      { kind: 'dirty', vm: web, model: { hot: mebibytes(1024), period: seconds(1), cold: megabitsPerSecond(40) } },
      'web-1 writes 1.00 GiB every 1.0 s, and 40.0 Mbit/s beside',
    ],
    [{ kind: 'crash', lasts: seconds(20) }, 'the controller dies, for 20.0 s'],
    ...failsHow.flatMap((how): (readonly [Happening, string])[] => [
      [{ kind: 'fail', vm: web, how, times: 1 }, `the next attempt of web-1 will fail: ${how}`],
    ]),
    [{ kind: 'fail', vm: web, how: 'path-lost', times: 3 }, '3 attempts of web-1 will fail: path-lost'],
    [{ kind: 'fail', vm: web, how: 'path-lost', times: Infinity }, 'every attempt of web-1 will fail: path-lost'],
  ]
  for (const [what, text] of happenings) {
    test(`is told as: ${text}`, () => assert.equal(lineOfHappening(90_000, what), `00:01:30.000  * ${text}`))
  }

  test('is one line, with nothing in it that is no number, whatever it is', () => {
    const arbIt = arbSnapshot.chain(snapshot => arbTimeline(placesOf(snapshot)))
    fc.assert(
      fc.property(arbIt, timeline => {
        for (const { at, what } of timeline) {
          const line = lineOfHappening(at, what)
          assert.match(line, /^\d{2,}:\d\d:\d\d\.\d{3} {2}\* \S.*\S$/)
          assert.doesNotMatch(line, /undefined|NaN|Infinity|null/)
        }
      }),
      runs(200),
    )
  })
})

describe('what the controller learns and decides', () => {
  const of = { vm: vmId('web-1'), attempt: 1 } as const
  const route = { ...of, source: hostId('a-1'), target: hostId('b-1') } as const
  const linesAt = (event: Observed, ...commands: Command[]): readonly string[] =>
    linesOfRow({ at: instant(91_040), event, commands })

  test('is a line without a sign for the fact, and one with > for each decision', () => {
    assert.deepEqual(
      linesAt(
        { kind: 'attempt-failed', ...of, failure: { code: 'path-lost', detail: 'connection timed out' } },
        { kind: 'prepare', ...route, attempt: 2, options: plainStart },
        { kind: 'reconcile', ...route },
      ),
      [
        '00:01:31.040    web-1: attempt 1 failed: path-lost: connection timed out',
        '00:01:31.040  > prepare web-1 at b-1 (attempt 2)',
        '00:01:31.040  > ask a-1 and b-1 for web-1',
      ],
    )
  })

  test('leaves out samples and ticks, but not what was decided on them', () => {
    const sample: Observed = { kind: 'progress', ...of, progress: aProgress() }
    assert.deepEqual(linesAt(sample), [])
    assert.deepEqual(linesAt({ kind: 'tick' }), [])
    assert.deepEqual(linesAt(sample, { kind: 'cancel', ...route, why: 'too slow' }), [
      '00:01:31.040  > call web-1 back: too slow',
    ])
    assert.deepEqual(linesAt({ kind: 'tick' }, { kind: 'retire', ...route }), [
      '00:01:31.040  > end the stopped copy of web-1 at a-1',
    ])
  })

  test('is one line a fact, however many lines an error came in', () => {
    assert.deepEqual(linesAt({ kind: 'source-lingers', ...of, why: 'ssh: no\r\n  route' }), [
      '00:01:31.040    web-1: its stopped copy at the source could not be ended: ssh: no; route',
    ])
  })
})

describe('what it came to', () => {
  const limits = { maxParallel: undefined, bandwidth: undefined }
  const [first, second, third] = someVms(3)
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  const rock = { ...second, policy: { ...defaultVmPolicy, action: 'stay' as const } }
  const ends = (change: Parameters<typeof aSnapshot>[0], timeline: Parameters<typeof rehearse>[0]['timeline'] = []) =>
    lastLines(rehearse({ snapshot: aSnapshot(change), timeline, policy: 'sequential', limits, seed: 1 }))

  test('is how many are safe, after a line for each that is not and why', () => {
    const lines = ends({ vms: [first, rock, third] })
    assert.equal(lines.length, 2)
    assert.match(lines[0] ?? '', /^00:00:\d\d\.\d{3} {2}= vm-2: left: may-not-move: its policy says stay$/)
    assert.match(lines[1] ?? '', /^00:00:\d\d\.\d{3} {2}= over: safe 2 of 3$/)
    assert.equal(lines[0]?.slice(0, 12), lines[1]?.slice(0, 12))
  })

  test('is one line where all are safe, or nobody was there', () => {
    assert.match(ends({ vms: [first] }).join('\n'), /^\S+ {2}= over: safe 1 of 1$/)
    assert.match(ends({ vms: [] }).join('\n'), /^\S+ {2}= over: safe 0 of 0$/)
  })

  test('of those who were lost with their site says so', () => {
    const lines = ends({ vms: [first] }, [
      { at: seconds(2), jitter: ms(0), what: { kind: 'power-off', site: siteId('a') } },
    ])
    assert.match(lines.join('\n'), /= vm-1: lost: vm-died: .*\n.*= over: safe 0 of 1$/)
  })

  test('is not over where a simulation was stopped before its end', () => {
    const whole = rehearse({
      snapshot: aSnapshot({ vms: [first] }),
      timeline: [],
      policy: 'sequential',
      limits,
      seed: 1,
    })
    const { endedAt: _over, ...rest } = whole.state
    const state = { ...rest, endedAt: undefined }
    assert.match(lastLines({ ...whole, state, cutShort: true }).join('\n'), /^\S+ {2}= not over: safe 1 of 1$/)
  })
})
