/** What happens in a scenario, as a text: what is printed must be what is read, and every mistake is told with its place. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { arbTimeline, type Places } from '../../test/arbitrary-timeline.ts'
import { runs } from '../../test/arbitraries.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { failsHow, type Timeline } from '../core/sim/timeline.ts'
import { bytes, bytesPerSecond, fraction, ms } from '../core/units.ts'
import type { KnownNames } from './check-names.ts'
import { parseTimeline, printTimeline } from './timeline-file.ts'
import { ConfigError } from './yaml-file.ts'

const knownFrom = ({ sites, hosts, vms, paths }: Places): KnownNames => ({
  sites: new Set<string>(sites),
  hosts: new Set<string>(hosts),
  vms: new Set<string>(vms),
  paths,
})
const [sendai, osaka] = [siteId('sendai'), siteId('osaka')]
const known = knownFrom({
  sites: [sendai, osaka],
  hosts: [hostId('sendai-1'), hostId('osaka-1')],
  vms: [vmId('web-1')],
  paths: [
    [sendai, osaka],
    [hostId('sendai-1'), osaka],
  ],
})

/** One of each kind, with all that it can say. */
const everything: Timeline = [
  {
    at: ms(60_000),
    jitter: ms(5_000),
    what: {
      kind: 'path',
      path: [sendai, osaka],
      change: {
        capacity: bytesPerSecond(25_000_000),
        rtt: ms(80),
        loss: fraction(0.005),
        perFlow: bytesPerSecond(1_250_000),
        background: bytesPerSecond(0),
      },
    },
  },
  { at: ms(120_000), jitter: ms(0), what: { kind: 'cut', path: [hostId('sendai-1'), osaka] } },
  { at: ms(150_000), jitter: ms(0), what: { kind: 'heal', path: [osaka, hostId('sendai-1')] } },
  { at: ms(180_000), jitter: ms(0), what: { kind: 'power', site: sendai, runtime: ms(360_000) } },
  { at: ms(240_000), jitter: ms(0), what: { kind: 'host-down', host: hostId('osaka-1') } },
  { at: ms(240_000), jitter: ms(0), what: { kind: 'crash', lasts: ms(20_000) } },
  {
    at: ms(300_000),
    jitter: ms(0),
    what: {
      kind: 'dirty',
      vm: vmId('web-1'),
      model: { hot: bytes(2 ** 30), period: ms(1_000), cold: bytesPerSecond(40 * 2 ** 20) },
    },
  },
  {
    at: ms(300_000),
    jitter: ms(0),
    what: { kind: 'fail', vm: vmId('web-1'), how: 'target-out-of-memory', times: 1 },
  },
  { at: ms(300_000), jitter: ms(0), what: { kind: 'fail', vm: vmId('web-1'), how: 'path-lost', times: 3 } },
  { at: ms(300_000), jitter: ms(0), what: { kind: 'fail', vm: vmId('web-1'), how: 'no-free-port', times: Infinity } },
  { at: ms(540_000), jitter: ms(0), what: { kind: 'power-off', site: sendai } },
]

describe('a timeline that is printed', () => {
  test('is the same when it is read, whatever happens in it and whatever things are called', () => {
    const places: Places = {
      sites: ['a', 'null', '12:30'].map(siteId),
      hosts: ['1', '1e3', 'x:', '0x1f', 'a-1'].map(hostId),
      vms: ['true', 'no', '2024-01-01', '0o7', 'vm@b'].map(vmId),
      paths: [
        [siteId('a'), siteId('null')],
        [hostId('1e3'), siteId('12:30')],
        [hostId('x:'), hostId('0x1f')],
      ],
    }
    fc.assert(
      fc.property(arbTimeline(places), fc.boolean(), (timeline, checked) => {
        const text = printTimeline(timeline)
        assert.deepEqual(parseTimeline(text, 'timeline.yaml', checked ? knownFrom(places) : undefined), timeline)
        assert.equal(text.split('\n').length - 1, timeline.length, 'not one line an entry')
      }),
      runs(300),
    )
  })

  test('is one line an entry and says no more than there is to say', () => {
    assert.equal(
      printTimeline(everything),
      `- { at: 1m, jitter: 5s, path: [ sendai, osaka ], capacity: 200Mbit/s, rtt: 80ms, loss: 0.5%, perFlow: 10Mbit/s, background: 0bit/s }
- { at: 2m, cut: [ sendai-1, osaka ] }
- { at: 2.5m, heal: [ osaka, sendai-1 ] }
- { at: 3m, power: sendai, runtime: 6m }
- { at: 4m, hostDown: osaka-1 }
- { at: 4m, crash: controller, for: 20s }
- { at: 5m, dirty: web-1, hot: 1GiB, period: 1s, cold: 40MiB/s }
- { at: 5m, fail: web-1, how: target-out-of-memory }
- { at: 5m, fail: web-1, how: path-lost, times: 3 }
- { at: 5m, fail: web-1, how: no-free-port, times: always }
- { at: 9m, powerOff: sendai }
`,
    )
    assert.equal(printTimeline([]), '')
  })
})

describe('a timeline that is written by hand', () => {
  /** The problems as `LINE:COLUMN PLACE: MESSAGE`. */
  function mistakes(text: string, names: KnownNames | undefined = known): readonly string[] {
    try {
      parseTimeline(text, 'timeline.yaml', names)
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error))
      return error.problems.map(({ file, line, column, where, message }) => {
        assert.equal(file, 'timeline.yaml')
        return `${line}:${column} ${where}: ${message}`
      })
    }
    return []
  }

  test('may say everything that can happen', () => {
    const text = `- at: 60s
  jitter: 5s
  path: [sendai, osaka]
  capacity: 200Mbit/s
  rtt: 80ms
  loss: 0.5%
  perFlow: 10Mbit/s
  background: 0bit/s
- { at: 2m,   cut: [sendai-1, osaka] }
- { at: 150s, heal: [osaka, sendai-1] }   # the other way round is the same path
- { at: 3m,   power: sendai, runtime: 6m }
- { at: 4m,   hostDown: osaka-1 }
- { at: 4m,   crash: controller, for: 20s }
- { at: 5m,   dirty: web-1, hot: 1GiB, period: 1s, cold: 40MiB/s }
- { at: 5m,   fail: web-1, how: target-out-of-memory }
- { at: 5m,   fail: web-1, how: path-lost, times: 3 }
- { at: 5m,   fail: web-1, how: no-free-port, times: always }
- { at: 9m,   powerOff: sendai }
`
    assert.deepEqual(parseTimeline(text, 'timeline.yaml', known), everything)
  })

  test('changes of a path what it says, and nothing else', () => {
    const [entry] = parseTimeline('- { at: 0s, path: [sendai, osaka], rtt: 0ms }\n', 'timeline.yaml', known)
    assert.deepEqual(entry?.what, {
      kind: 'path',
      path: [sendai, osaka],
      change: { capacity: undefined, rtt: 0, loss: undefined, perFlow: undefined, background: undefined },
    })
  })

  test('knows every way an attempt can fail', () => {
    for (const how of failsHow) {
      const [entry] = parseTimeline(`- { at: 1s, fail: web-1, how: ${how} }\n`, 'timeline.yaml', known)
      assert.deepEqual(entry?.what, { kind: 'fail', vm: 'web-1', how, times: 1 })
    }
  })

  for (const [what, text] of [
    ['is empty', ''],
    ['holds only comments', '# nothing yet\n'],
    ['is null', '~\n'],
    ['is an empty list', '[]\n'],
  ] as const) {
    test(`that ${what} is a world in which nothing happens`, () => {
      assert.deepEqual(parseTimeline(text, 'timeline.yaml', known), [])
    })
  }

  test('has all its mistakes told at once: of shape, of units, of names and of order', () => {
    assert.deepEqual(
      mistakes(`- { at: 60, path: [sendai, kyoto], capacity: 5 }
- { at: 3m, cut: [osaka, osaka], colour: red }
- { at: 2m, heal: [sendai] }
- at: 4m
  power: kyoto
  runtime: -6m
- { at: 5m, hostDown: osaka, jitter: 1 }
- { at: 6m, powerOff: osaka-1 }
- { at: 7m, cut: [sendai, osaka], heal: [sendai, osaka] }
- { at: 8m }
- { at: 9m, path: [sendai, osaka] }
- { at: 10m, dirty: web-2, hot: 1, period: 0s, cold: -1MiB/s }
- { at: 11m, crash: osaka }
- { at: 12m, fail: web-2, how: badly, times: 1.5 }
- { at: 1m, path: [sendai, osaka], capacity: 0Mbit/s, perFlow: 0.0bit/s, loss: 101% }
- nothing
`),
      [
        '1:5 [0].at: the bare number 60 has no unit; expected a time like 40ms',
        '1:13 [0].path: the inventory has no path between "sendai" and "kyoto"',
        '1:36 [0].capacity: the bare number 5 has no unit; expected a rate like 100Mbit/s',
        '2:13 [1].cut: a path from "osaka" to itself',
        '2:34 [1].colour: unknown key',
        '3:5 [2].at: 2m comes after 3m: entries are in order of time',
        '3:13 [2].heal: expected the two ends of a path, like [sendai, osaka]',
        '5:3 [3].power: the inventory has no site named "kyoto"',
        '6:3 [3].runtime: "-6m" is negative; expected a time like 40ms, 90s or 30m',
        '7:13 [4].hostDown: the inventory has no host named "osaka"',
        '7:30 [4].jitter: the bare number 1 has no unit; expected a time like 40ms',
        '8:13 [5].powerOff: the inventory has no site named "osaka-1"',
        '9:3 [6]: says cut and heal at once; expected one of path, cut, heal, power, powerOff, hostDown, dirty, crash, endanger, occupied, busy, fail',
        '10:3 [7]: says nothing that could happen; expected one of path, cut, heal, power, powerOff, hostDown, dirty, crash, endanger, occupied, busy, fail',
        '11:3 [8]: changes nothing: say capacity, rtt, loss, perFlow or background',
        '12:14 [9].dirty: the inventory has no VM named "web-2"',
        '12:28 [9].hot: the bare number 1 has no unit; expected a size like 64MiB',
        '12:36 [9].period: a hot set is rewritten in some time, not in none',
        '12:48 [9].cold: "-1MiB/s" is negative; expected a rate like 100Mbit/s or 20MiB/s',
        '13:3 [10].for: is missing; expected a time like 40ms',
        '13:14 [10].crash: only the controller can crash',
        '14:14 [11].fail: the inventory has no VM named "web-2"',
        `14:27 [11].how: Invalid option: expected one of ${failsHow.map(how => `"${how}"`).join('|')}`,
        '14:39 [11].times: expected a whole number from 1, or always',
        '15:5 [12].at: 1m comes after 12m: entries are in order of time',
        '15:36 [12].capacity: is zero: cut the path instead ({ at: …, cut: [a, b] })',
        '15:55 [12].perFlow: is zero: cut the path instead ({ at: …, cut: [a, b] })',
        '15:74 [12].loss: "101%" is more than 100%; expected a percentage like 1% or 0.01%',
        '16:3 [13]: says nothing that could happen; expected one of path, cut, heal, power, powerOff, hostDown, dirty, crash, endanger, occupied, busy, fail',
      ],
    )
  })

  const single: readonly (readonly [what: string, entry: string, mistake: RegExp])[] = [
    ['no time', '{ powerOff: sendai }', /^1:3 \[0\]\.at: is missing; expected a time like 40ms$/],
    ['a negative time', '{ at: -1s, powerOff: sendai }', /^1:5 \[0\]\.at: "-1s" is negative/],
    ['a negative jitter', '{ at: 1s, jitter: -1s, powerOff: sendai }', /^1:13 \[0\]\.jitter: "-1s" is negative/],
    ['a time in an unknown unit', '{ at: 1min, powerOff: sendai }', /^1:5 \[0\]\.at: .*unknown unit "min"/],
    [
      'three things at once',
      '{ at: 1s, cut: x, heal: x, fail: web-1 }',
      /^1:3 \[0\]: says cut and heal and fail at once/,
    ],
    ['a list for an entry', '[sendai, osaka]', /^1:3 \[0\]: says nothing that could happen/],
    ['null for an entry', '~', /^1:3 \[0\]: says nothing that could happen/],
    ['an unknown key', '{ at: 1s, powerOff: sendai, colour: red }', /^1:31 \[0\]\.colour: unknown key$/],
    ['a key of another verb', '{ at: 1s, powerOff: sendai, runtime: 6m }', /^1:31 \[0\]\.runtime: unknown key$/],
    ['a path of three ends', '{ at: 1s, cut: [sendai, osaka, sendai] }', /^1:13 \[0\]\.cut: expected the two ends/],
    ['a path that is a name', '{ at: 1s, cut: sendai }', /^1:13 \[0\]\.cut: expected the two ends/],
    ['a path that nobody declared', '{ at: 1s, heal: [osaka, osaka-1] }', /no path between "osaka" and "osaka-1"$/],
    ['a path that is zero with a space', '{ at: 1s, path: [sendai, osaka], capacity: 0 kB/s }', /\.capacity: is zero/],
    ['a site as a number', '{ at: 1s, powerOff: 1 }', /^1:13 \[0\]\.powerOff: .*expected string, received number$/],
    ['a forecast without a runtime', '{ at: 1s, power: sendai }', /^1:3 \[0\]\.runtime: is missing/],
    ['a failure of no kind', '{ at: 1s, fail: web-1 }', /^1:3 \[0\]\.how: /],
    ['no attempt', '{ at: 1s, fail: web-1, how: path-lost, times: 0 }', /^1:42 \[0\]\.times: .*or always$/],
    ['half an attempt', '{ at: 1s, fail: web-1, how: path-lost, times: 1.5 }', /^1:42 \[0\]\.times: .*or always$/],
    ['sometimes', '{ at: 1s, fail: web-1, how: path-lost, times: often }', /^1:42 \[0\]\.times: .*or always$/],
    ['a negative hot set', '{ at: 1s, dirty: web-1, hot: -1B, period: 1s, cold: 0B/s }', /\.hot: "-1B" is negative/],
  ]
  for (const [what, entry, mistake] of single) {
    test(`${what} is one mistake, told with its place`, () => {
      const found = mistakes(`- ${entry}\n`)
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', mistake)
    })
  }

  test('two things at one time are in order; a third that is earlier is measured by the latest before it', () => {
    const off = (at: string): string => `- { at: ${at}, powerOff: sendai }\n`
    assert.deepEqual(mistakes(off('1m') + off('60s')), [])
    assert.deepEqual(mistakes(off('2m') + off('1m') + off('90s') + off('2m')), [
      '2:5 [1].at: 1m comes after 2m: entries are in order of time',
      '3:5 [2].at: 90s comes after 2m: entries are in order of time',
    ])
  })

  test('may name whatever it likes where the inventory cannot be read; units are checked all the same', () => {
    const text = '- { at: 1s, cut: [x, y] }\n- { at: 2s, fail: z, how: path-lost }\n- { at: 3, powerOff: x }\n'
    assert.throws(() => parseTimeline(text, 'timeline.yaml', undefined), {
      name: 'ConfigError',
      message: 'timeline.yaml:3:5: [2].at: the bare number 3 has no unit; expected a time like 40ms',
    })
  })

  test('that is no list is told at its beginning', () => {
    const expected = ['1:1 : expected a list of what happens, each entry with at: and what']
    assert.deepEqual(mistakes('at: 1s\npowerOff: sendai\n'), expected)
    assert.deepEqual(mistakes('nothing\n'), expected)
    assert.deepEqual(mistakes('false\n'), expected)
  })

  test('that is no YAML is told where it breaks off', () => {
    const [first] = mistakes('- { at: 1s, powerOff: sendai }\n- { at: 2s, cut: [sendai\n')
    assert.match(first ?? '', /^(2|3):\d+ : /)
  })

  test('whatever it holds, it is a timeline or a ConfigError that names a place in it', () => {
    const words = 'at: jitter: path: cut: power: powerOff: fail: how: times: crash: for: [ ] { } , - 1s 2m 5 -1s 0B/s'
    const names = 'sendai osaka web-1 osaka-1 kyoto path-lost always controller ~'
    const arbText = fc
      .array(fc.constantFrom(...`${words} ${names}`.split(' '), '\n- ', '\n  ', '{ at: 1s,', 'cut: [sendai, osaka]'), {
        maxLength: 30,
      })
      .map(parts => `- ${parts.join(' ')}`)
    fc.assert(
      fc.property(arbText, text => {
        for (const mistake of mistakes(text)) assert.match(mistake, /^[1-9]\d*:[1-9]\d* /)
      }),
      runs(500),
    )
  })
})
