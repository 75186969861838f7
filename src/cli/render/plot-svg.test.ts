/** The picture of a simulation: it must be well-formed XML whatever things are called, and show what was recorded. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { vmId } from '../../core/ids.ts'
import type { Bar, PathCurve, Recorded } from '../../core/sim/recording.ts'
import { niceTicks, type Plot, plotSvg } from './plot-svg.ts'

interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  text: string
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' }
function unescaped(text: string): string {
  assert.doesNotMatch(text, /[<>"]/, `not escaped: ${text}`)
  return text.replaceAll(/&([a-z]*;?)/g, (_, entity: string) => {
    const character = entities[entity.slice(0, -1)]
    assert.ok(entity.endsWith(';') && character !== undefined, `no entity: &${entity}`)
    return character
  })
}
/** Just enough XML: elements, attributes in double quotes, text, the four entities. @throws AssertionError when it is not well-formed */
function parseXml(xml: string): readonly Element[] {
  const all: Element[] = []
  const open: Element[] = []
  const token = /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"]*")*)(\/?)>|([^<]+)/y
  while (token.lastIndex < xml.length) {
    const at = token.lastIndex
    const match = token.exec(xml)
    assert.ok(match !== null, `not well-formed: ${xml.slice(at, at + 80)}`)
    const [, closes, name = '', said = '', empty, words] = match
    const inner = open.at(-1)
    if (words !== undefined) {
      if (inner === undefined) assert.equal(words.trim(), '', 'text outside of the root')
      else inner.text += inner.name === 'style' ? words : unescaped(words)
      continue
    }
    if (closes === '/') {
      assert.equal(open.pop()?.name, name)
      continue
    }
    assert.ok(inner !== undefined || all.length === 0, 'a second root')
    const pairs = [...said.matchAll(/([\w:-]+)="([^"]*)"/g)].map(
      ([, key = '', value = '']) => [key, unescaped(value)] as const,
    )
    assert.equal(new Set(pairs.map(([key]) => key)).size, pairs.length, `an attribute twice: ${said}`)
    const element = { name, attributes: Object.fromEntries(pairs), text: '' }
    all.push(element)
    if (empty !== '/') open.push(element)
  }
  assert.equal(open.length, 0, 'not closed')
  return all
}
const drawn = (plot: Plot): readonly Element[] => parseXml(plotSvg(plot))
const textsOf = (elements: readonly Element[]): readonly string[] =>
  elements.filter(({ name }) => name === 'text').map(({ text }) => text)

const nothing: Recorded = { landings: [], paths: [], bars: [], end: 0 }
const curve = (change: Partial<PathCurve> = {}): PathCurve => ({
  name: 'a → b',
  capacity: [
    [0, 125_000_000],
    [60_000, 25_000_000],
  ],
  used: [
    [0, 0],
    [1_000, 100_000_000],
    [60_000, 25_000_000],
  ],
  ...change,
})
const bar = (vm: string, change: Partial<Bar> = {}): Bar => ({
  vm: vmId(vm),
  from: 1_000,
  switched: 9_000,
  to: 10_000,
  ended: 'safe',
  ...change,
})

describe('ticks', () => {
  const cases: readonly (readonly [most: number, wanted: number, ticks: readonly number[]])[] = [
    [10, 5, [0, 2, 4, 6, 8, 10]],
    [1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [100, 4, [0, 50, 100]],
    [99, 4, [0, 50]],
    [7, 5, [0, 2, 4, 6]],
    [0.3, 3, [0, 0.1, 0.2, 0.3]],
    [1_000, 4, [0, 500, 1_000]],
    [12_345, 5, [0, 5_000, 10_000]],
  ]
  for (const [most, wanted, ticks] of cases) {
    test(`up to ${most}, about ${wanted}, are ${ticks.join(', ')}`, () =>
      assert.deepEqual(niceTicks(most, wanted), ticks))
  }

  test('begin at 0, are evenly round, and leave no room for another below the most', () => {
    const arbMost = fc.double({ min: -9, max: 15, noNaN: true }).map(exponent => 10 ** exponent)
    fc.assert(
      fc.property(arbMost, fc.integer({ min: 1, max: 20 }), (most, wanted) => {
        const ticks = niceTicks(most, wanted)
        assert.equal(ticks[0], 0)
        // The most itself may be below the first round step where one step is wanted.
        assert.ok(ticks.length >= 1 + Math.floor(wanted / 2.5 - 1e-6) && ticks.length <= wanted + 2, ticks.join(' '))
        const step = ticks[1]
        if (step === undefined) return
        assert.match(step.toExponential(), /^[125]e/)
        ticks.forEach((tick, n) => assert.ok(Math.abs(tick - n * step) <= 1e-9 * step * ticks.length))
        const last = ticks.at(-1) ?? 0
        assert.ok(last <= most * (1 + 1e-8) && last + step > most * (1 - 1e-8))
      }),
      runs(1_000),
    )
  })

  test('take the steps that are offered, as long as one is large enough', () => {
    const clock = [1, 2, 5, 10, 15, 30, 60, 120, 300]
    assert.deepEqual(niceTicks(100, 8, clock), [0, 15, 30, 45, 60, 75, 90])
    assert.deepEqual(niceTicks(600, 5, clock), [0, 120, 240, 360, 480, 600])
    assert.deepEqual(niceTicks(0, 8, clock), [0])
    assert.deepEqual(niceTicks(0.5, 8, clock), [0])
    assert.deepEqual(niceTicks(10_000, 5, clock), [0, 2_000, 4_000, 6_000, 8_000, 10_000])
  })
})

describe('the picture', () => {
  test('of no run, or of runs in which nothing happened, is a picture all the same', () => {
    for (const runsOf of [[], [{ policy: 'sequential', recorded: nothing }]]) {
      for (const vms of [0, 3]) {
        const elements = drawn({ title: 'calm', vms, runs: runsOf })
        assert.equal(elements[0]?.name, 'svg')
        assert.equal(elements[0]?.attributes['xmlns'], 'http://www.w3.org/2000/svg')
        assert.ok(textsOf(elements).includes('calm'))
        assert.ok(textsOf(elements).includes('VMs safe'))
        assert.equal(elements.filter(({ attributes }) => attributes['class'] === 'curve').length, runsOf.length)
      }
    }
  })

  test('stands on its own: no script, nothing from outside', () => {
    const svg = plotSvg({
      title: 't',
      vms: 1,
      runs: [{ policy: 'p', recorded: { ...nothing, paths: [curve()], bars: [bar('v')] } }],
    })
    assert.doesNotMatch(svg.replace('http://www.w3.org/2000/svg', ''), /script|href|url\(|@import|https?:/i)
  })

  test('is well-formed whatever things are called, and calls them so', () => {
    const awkward = [
      'a<b',
      'a & b',
      '"quoted"',
      "it's",
      '</text><script>',
      '&amp;',
      ']]>',
      '<!-- x',
      'Tür → 🔑',
      '%s $1 $&',
    ]
    for (const name of awkward) {
      const recorded = { ...nothing, end: 60_000, landings: [5_000], paths: [curve({ name })], bars: [bar('vm-1')] }
      const elements = drawn({ title: name, vms: 2, runs: [{ policy: name, recorded }] })
      const texts = textsOf(elements)
      assert.equal(elements[0]?.attributes['aria-label'], name)
      assert.ok(texts.includes(name))
      assert.ok(texts.includes(`${name}: 1 of 2`))
      assert.ok(texts.includes(`${name}: path ${name}, carried of what it could`))
      assert.ok(texts.includes(`${name}: each VM's way out`))
    }
  })

  test('shows who is safe when, as a stair for each policy, the oracle in dashes', () => {
    const recorded = { ...nothing, end: 100_000, landings: [25_000, 50_000] }
    const elements = drawn({
      title: 't',
      vms: 2,
      runs: [
        { policy: 'sequential', recorded },
        { policy: 'oracle (bound)', recorded: { ...recorded, end: 50_000 } },
      ],
    })
    const [first, second] = elements.filter(({ attributes }) => attributes['class'] === 'curve')
    // 850 px wide from 86, 220 px high from 56: down in the corner at the alarm, half up at a quarter, up at half.
    assert.equal(first?.attributes['d'], 'M86 276H298.5V166H511V56H936')
    assert.equal(second?.attributes['d'], 'M86 276H298.5V166H511V56H511')
    assert.equal(first?.attributes['stroke-dasharray'], undefined)
    assert.notEqual(second?.attributes['stroke-dasharray'], undefined)
    assert.notEqual(first?.attributes['stroke'], second?.attributes['stroke'])
  })

  test('shows what a path could carry and what it did, on one scale; what nothing bounds fills it', () => {
    const recorded = {
      ...nothing,
      end: 120_000,
      paths: [
        curve(),
        curve({
          capacity: [[0, Infinity]],
          used: [
            [0, 0],
            [60_000, 1_000],
          ],
        }),
      ],
    }
    const elements = drawn({ title: 't', vms: 0, runs: [{ policy: 'p', recorded }] })
    const areas = elements
      .filter(({ attributes }) => attributes['d']?.endsWith('Z'))
      .map(({ attributes }) => attributes['d'])
    assert.deepEqual(areas, [
      'M86 340H511V428H936V450H86Z',
      'M86 450H93.1V362H511V428H936V450H86Z',
      'M86 514H936V624H86Z',
      'M86 624H511V514H936V624H86Z',
    ])
    assert.ok(textsOf(elements).includes('1.00 Gbit/s'))
  })

  test('shows six paths and says how many more there are', () => {
    const paths = Array.from({ length: 9 }, (_, n) => curve({ name: `a → b-${n}` }))
    const texts = textsOf(drawn({ title: 't', vms: 0, runs: [{ policy: 'p', recorded: { ...nothing, paths } }] }))
    assert.equal(texts.filter(text => text.includes(': path ')).length, 6)
    assert.ok(texts.includes('… and 3 more paths'))
  })

  test("shows each VM's way out in a row, in order of their beginning, with a hint at each attempt", () => {
    const bars = [
      bar('late', { from: 20_000, to: 30_000, switched: undefined, ended: 'open' }),
      bar('twice', { from: 1_000, to: 2_000, switched: undefined, ended: 'failed' }),
      bar('a-rather-long-name', { from: 5_000, switched: 9_000, to: 10_000 }),
      bar('twice', { from: 40_000, switched: 49_000, to: 50_000 }),
    ]
    const elements = drawn({ title: 't', vms: 3, runs: [{ policy: 'p', recorded: { ...nothing, end: 60_000, bars } }] })
    const hints = elements.filter(({ name }) => name === 'title').map(({ text }) => text)
    assert.deepEqual(hints, [
      'late: 20.0 s to 30.0 s, open',
      'twice: 1.0 s to 2.0 s, failed',
      'a-rather-long-name: 5.0 s to 10.0 s, safe',
      'a-rather-long-name: switchover',
      'twice: 40.0 s to 50.0 s, safe',
      'twice: switchover',
    ])
    const names = textsOf(elements).filter(text => ['twice', 'a-rather-lo…', 'late'].includes(text))
    assert.deepEqual(names, ['twice', 'a-rather-lo…', 'late'])
    const rows = elements.flatMap((element, n) => (elements[n + 1]?.name === 'title' ? [element.attributes['y']] : []))
    assert.equal(rows[1], rows[4])
    assert.equal(new Set(rows).size, 3)
  })

  test('of thousands of VMs has no names, and no bar thinner than the eye sees', () => {
    const bars = Array.from({ length: 3_000 }, (_, n) =>
      bar(`vm-${n}`, { from: n, to: n + 1_000, switched: undefined }),
    )
    const elements = drawn({
      title: 't',
      vms: 3_000,
      runs: [{ policy: 'p', recorded: { ...nothing, end: 5_000, bars } }],
    })
    assert.ok(!textsOf(elements).some(text => text.startsWith('vm-')))
    for (const [n, { name }] of elements.entries())
      if (name === 'title') assert.ok(Number(elements[n - 1]?.attributes['height']) >= 1)
  })

  test('labels its axis of time in seconds, then minutes', () => {
    const labels = (end: number): readonly string[] =>
      drawn({ title: 't', vms: 1, runs: [{ policy: 'p', recorded: { ...nothing, end } }] })
        .filter(({ attributes }) => attributes['class'] === 'n m')
        .map(({ text }) => text)
    assert.deepEqual(labels(8_000), ['0', '1 s', '2 s', '3 s', '4 s', '5 s', '6 s', '7 s', '8 s'])
    assert.deepEqual(labels(100_000), ['0', '15 s', '30 s', '45 s', '1 min', '1 min 15 s', '1 min 30 s'])
    assert.deepEqual(labels(16 * 60_000), [
      '0',
      '2 min',
      '4 min',
      '6 min',
      '8 min',
      '10 min',
      '12 min',
      '14 min',
      '16 min',
    ])
    assert.deepEqual(labels(0), ['0'])
  })

  test('whatever was recorded, is well-formed, and every mark lies within it', () => {
    const arbMoment = fc.nat({ max: 200_000_000 })
    const ascending = (all: readonly number[]): readonly number[] => [...new Set(all)].sort((a, b) => a - b)
    const arbSteps = (value: fc.Arbitrary<number>) =>
      fc
        .array(fc.tuple(arbMoment, value), { maxLength: 6 })
        .map(steps => ascending([0, ...steps.map(([at]) => at)]).map((at, n) => [at, steps[n]?.[1] ?? 0] as const))
    const arbRate = fc.double({ min: 0, max: 1e12, noNaN: true })
    const arbRecorded = fc
      .record({
        landings: fc.array(arbMoment, { maxLength: 8 }).map(all => [...all].sort((a, b) => a - b)),
        paths: fc.array(
          fc.record({
            name: fc.string(),
            capacity: arbSteps(fc.oneof(arbRate, fc.constant(Infinity))),
            used: arbSteps(arbRate),
          }),
          { maxLength: 8 },
        ),
        bars: fc.array(
          fc
            .tuple(fc.nat({ max: 5 }), fc.tuple(arbMoment, arbMoment, arbMoment), fc.boolean())
            .map(([vm, moments, switches]) => {
              const [from = 0, switched = 0, to = 0] = [...moments].sort((a, b) => a - b)
              return bar(`vm-${vm}`, { from, switched: switches ? switched : undefined, to })
            }),
          { maxLength: 8 },
        ),
      })
      .map((recorded): Recorded => {
        const moments = [
          ...recorded.landings,
          ...recorded.bars.map(({ to }) => to),
          ...recorded.paths.flatMap(({ capacity, used }) => [...capacity, ...used].map(([at]) => at)),
        ]
        return { ...recorded, end: Math.max(0, ...moments) }
      })
    const arbPlot = fc.record({
      title: fc.string(),
      vms: fc.nat({ max: 1_000 }),
      runs: fc.array(fc.record({ policy: fc.string({ maxLength: 8 }), recorded: arbRecorded }), { maxLength: 10 }),
    })
    fc.assert(
      fc.property(arbPlot, plot => {
        const enough = Math.max(plot.vms, ...plot.runs.map(({ recorded }) => recorded.landings.length))
        const [svg, ...elements] = drawn({ ...plot, vms: enough })
        const [width, height] = [Number(svg?.attributes['width']), Number(svg?.attributes['height'])]
        assert.ok(width > 0 && height > 0)
        assert.equal(svg?.attributes['viewBox'], `0 0 ${width} ${height}`)
        for (const { name, attributes, text } of elements) {
          for (const [key, value] of Object.entries(attributes))
            assert.doesNotMatch(value, /NaN|Infinity|undefined/, key)
          if (name === 'path') {
            assert.match(attributes['d'] ?? '', /^M[\d.]+ [\d.]+(?:[HV][\d.]+)*Z?$/)
            for (const [, way, value] of (attributes['d'] ?? '').matchAll(/([HV])([\d.]+)/g))
              assert.ok(Number(value) <= (way === 'H' ? width : height))
          }
          if (name === 'text') assert.ok(text.length > 0 || plot.title === '')
          if (attributes['width'] === '100%' || attributes['x'] === undefined) continue
          const [x, y] = [Number(attributes['x']), Number(attributes['y'])]
          assert.ok(x >= 0 && x + Number(attributes['width'] ?? 0) <= width, `x ${x}`)
          assert.ok(y >= 0 && y + Number(attributes['height'] ?? 0) <= height, `y ${y}`)
        }
      }),
      runs(100),
    )
  })
})
