import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import {
  bytes,
  bytesPerSecond,
  fraction,
  mebibytes,
  megabitsPerSecond,
  ms,
  parseBytes,
  parseFraction,
  parseRate,
  parseTime,
  printBytes,
  printFraction,
  printRate,
  printTime,
  seconds,
  showBytes,
  showRate,
  showTime,
  slowest,
  sumBytes,
  transferMs,
  UnitError,
} from './units.ts'

const parsers = { parseBytes, parseRate, parseTime, parseFraction } as const
const names = Object.keys(parsers) as (keyof typeof parsers)[]

/** Any double that is finite and not negative: denormals, odd bits, the largest. */
const arbDouble = fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true, noDefaultInfinity: true })
/** Numbers that people write: a few digits times a power of ten or two. */
const arbRound = fc
  .tuple(fc.integer({ min: 0, max: 9_999 }), fc.constantFrom(10, 1024), fc.integer({ min: 0, max: 3 }))
  .map(([n, base, power]) => n * base ** power)

test('a size printed and parsed is the same size', () => {
  const arb = fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), arbRound)
  const same = (n: number): void => assert.equal(parseBytes(printBytes(bytes(n))), n)
  fc.assert(fc.property(arb, same), runs(2_000))
  for (const n of [0, 1, 999, 1023, 1024, 2 ** 40, 1e12, 2 ** 53 - 2, Number.MAX_SAFE_INTEGER]) same(n)
})

test('a rate printed and parsed is the same rate', () => {
  const same = (n: number): void => assert.equal(parseRate(printRate(bytesPerSecond(n))), n)
  fc.assert(fc.property(fc.oneof(arbDouble, arbRound), same), runs(2_000))
  for (const n of [0, Number.MIN_VALUE, 0.1, 0.125, 1e-7, 12_500_000, 1e21, 1e22, 1.25e11, Number.MAX_VALUE]) same(n)
})

test('a time printed and parsed is the same time', () => {
  const same = (n: number): void => assert.equal(parseTime(printTime(ms(n))), n)
  fc.assert(fc.property(fc.oneof(arbDouble, arbRound), same), runs(2_000))
  for (const n of [0, Number.MIN_VALUE, 0.1, 1, 59_999, 60_000, 3_600_000, 1e21, Number.MAX_VALUE]) same(n)
})

test('a fraction printed and parsed is the same to the last bits of a double, and prints alike again', () => {
  const arb = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1, Number.EPSILON, 1 / 3))
  const near = (n: number): void => {
    const text = printFraction(fraction(n))
    const back = parseFraction(text)
    assert.ok(Math.abs(back - n) <= 1e-14 * n + Number.MIN_VALUE, `${n} -> ${text} -> ${back}`)
    assert.equal(printFraction(back), text)
  }
  fc.assert(fc.property(arb, near), runs(2_000))
})

test('a percentage with up to four decimals survives exactly', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), n => {
      const share = parseFraction(`${n / 10_000}%`)
      assert.equal(parseFraction(printFraction(share)), share)
      assert.equal(printFraction(share), `${n / 10_000}%`)
    }),
    runs(1_000),
  )
})

test('what is printed is short', () => {
  assert.equal(printBytes(mebibytes(64)), '64MiB')
  assert.equal(printBytes(bytes(1_500_000_000)), '1.5GB')
  assert.equal(printBytes(bytes(0)), '0B')
  assert.equal(printBytes(bytes(1023)), '1023B')
  assert.equal(printRate(megabitsPerSecond(1000)), '1Gbit/s')
  assert.equal(printRate(megabitsPerSecond(200)), '200Mbit/s')
  assert.equal(printRate(bytesPerSecond(0.125)), '1bit/s')
  assert.equal(printTime(seconds(90)), '90s')
  assert.equal(printTime(ms(1_800_000)), '30m')
  assert.equal(printTime(ms(40)), '40ms')
  assert.equal(printFraction(fraction(0.0001)), '0.01%')
})

for (const name of names) {
  const parse = parsers[name]

  test(`${name} refuses a bare number`, () => {
    const refused = (n: number): void =>
      assert.throws(
        () => parse(String(n)),
        (error: unknown) => error instanceof UnitError && error.message.includes('has no unit'),
      )
    fc.assert(fc.property(fc.oneof(fc.integer(), arbDouble), refused), runs(300))
    for (const text of ['0', '64', ' 64 ', '1.5', '.5', '1e3', '-1'])
      assert.throws(() => parse(text), /has no unit; expected /)
  })

  test(`${name} refuses what is no number`, () => {
    for (const text of ['', ' ', 'MiB', 's', '%', 'abc', '1,5s', '--1s', '+', 'NaN%', 'Infinitys', '٣s'])
      assert.throws(() => parse(text), UnitError, text)
  })

  test(`${name} either answers with a finite number or throws a UnitError, whatever the text`, () => {
    const text = fc.oneof(
      fc.string(),
      fc
        .tuple(fc.double(), fc.constantFrom('', ' ', 'B', 'MiB', 'Mbit/s', 'kB/s', 'ms', 'h', '%', 'e5', 'x'))
        .map(([n, unit]) => `${n}${unit}`),
    )
    const total = (given: string): void => {
      let value: number
      try {
        value = parse(given)
      } catch (error) {
        assert.ok(error instanceof UnitError, `${given}: ${String(error)}`)
        assert.ok(error.message.includes(error.expected))
        return
      }
      assert.ok(Number.isFinite(value) && value >= 0, `${given} -> ${value}`)
    }
    fc.assert(fc.property(text, total), runs(1_000))
  })
}

test('an unknown unit is named, with the one that was probably meant', () => {
  assert.throws(() => parseBytes('64mib'), /has the unknown unit "mib" \(did you mean MiB\?\); expected a size/)
  assert.throws(() => parseBytes('64KB'), /did you mean kB\?/)
  assert.throws(() => parseRate('100mbit/s'), /did you mean Mbit\/s\?/)
  assert.throws(() => parseTime('40MS'), /did you mean ms\?/)
  assert.throws(
    () => parseRate('100Mbps'),
    (error: Error) => error.message.includes('"Mbps"') && !error.message.includes('did you mean'),
  )
  assert.throws(() => parseTime('3 fortnights'), /unknown unit "fortnights"; expected a time like 40ms, 90s or 30m/)
  assert.throws(() => parseFraction('1/100'), /unknown unit/)
})

test('a unit of another quantity is refused', () => {
  assert.throws(() => parseBytes('64Mbit/s'), UnitError)
  assert.throws(() => parseRate('64MiB'), UnitError)
  assert.throws(() => parseTime('10%'), UnitError)
  assert.throws(() => parseFraction('10ms'), UnitError)
})

test('a negative quantity is refused', () => {
  for (const [parse, text] of [
    [parseBytes, '-1MiB'],
    [parseRate, '-1Mbit/s'],
    [parseTime, '-1ms'],
    [parseFraction, '-1%'],
  ] as const)
    assert.throws(() => parse(text), /is negative; expected /, text)
})

test('a quantity that is too large is refused', () => {
  assert.throws(() => parseBytes('9007199254740992B'), /is too large/)
  assert.throws(() => parseBytes('8192TiB'), /is too large/)
  assert.equal(parseBytes('8191TiB'), 8191 * 2 ** 40)
  assert.throws(() => parseRate('1e400B/s'), /is too large/)
  assert.throws(() => parseRate('1e300Tbit/s'), /is too large/)
  assert.throws(() => parseTime('1e305h'), /is too large/)
  assert.throws(() => parseFraction('100.01%'), /is more than 100%/)
  assert.equal(parseFraction('100%'), 1)
})

test('a part of a byte is refused, a size that is whole but for rounding is not', () => {
  for (const text of ['0.5B', '1.5B', '0.0001KiB', '0.3B'])
    assert.throws(() => parseBytes(text), /is not a whole number of bytes/, text)
  assert.equal(parseBytes('1.3GiB'), Math.round(1.3 * 2 ** 30))
  assert.equal(parseBytes('0.1kB'), 100)
})

test('constructors refuse what the unit cannot be', () => {
  for (const n of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => bytes(n), RangeError)
  for (const make of [bytesPerSecond, ms]) {
    for (const n of [-0.001, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => make(n), RangeError)
    assert.equal(make(0.125), 0.125)
  }
  for (const n of [-0.001, 1.000001, Number.NaN]) assert.throws(() => fraction(n), RangeError)
})

test('conversions at the edge are exact: MiB, Mbit/s, seconds', () => {
  assert.equal(mebibytes(1), 1_048_576)
  assert.equal(megabitsPerSecond(100), 12_500_000)
  assert.equal(seconds(1.5), 1_500)
})

test('nothing takes no time even at rate 0, something at rate 0 takes for ever', () => {
  assert.equal(transferMs(bytes(0), bytesPerSecond(0)), 0)
  assert.equal(transferMs(bytes(1), bytesPerSecond(0)), Number.POSITIVE_INFINITY)
  assert.equal(transferMs(mebibytes(100), megabitsPerSecond(100)), 8_388.608)
})

test('a sum of sizes that no number can hold is refused, not rounded', () => {
  assert.equal(sumBytes([bytes(1), bytes(2)]), 3)
  assert.equal(sumBytes([]), 0)
  assert.throws(() => sumBytes([bytes(Number.MAX_SAFE_INTEGER), bytes(1)]), RangeError)
})

test('the slowest of rates leaves out what is not known, and is no limit when nothing is', () => {
  assert.equal(slowest(bytesPerSecond(5), undefined, bytesPerSecond(3)), 3)
  assert.equal(slowest(undefined), Number.POSITIVE_INFINITY)
  assert.equal(slowest(), Number.POSITIVE_INFINITY)
})

const shownSizes: readonly (readonly [number, string])[] = [
  [0, '0 B'],
  [1, '1 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [10 * 1024, '10.0 KiB'],
  [100 * 1024, '100 KiB'],
  [1023 * 1024, '1023 KiB'],
  [1023.4 * 1024, '1023 KiB'],
  [1023.6 * 1024, '1.00 MiB'],
  [2 ** 20, '1.00 MiB'],
  [64_278_000, '61.3 MiB'],
  [1023 * 2 ** 20, '1023 MiB'],
  [2 ** 30 - 1, '1.00 GiB'],
  [8 * 2 ** 30, '8.00 GiB'],
  [2 ** 40, '1.00 TiB'],
  [2 ** 53 - 1, '8192 TiB'],
]
test('sizes are shown in the largest unit that is not below one of it', () => {
  for (const [size, text] of shownSizes) assert.equal(showBytes(size), text, String(size))
})

const shownRates: readonly (readonly [number, string])[] = [
  [0, '0 bit/s'],
  [0.125, '1.00 bit/s'],
  [125, '1.00 kbit/s'],
  [124_900, '999 kbit/s'],
  [124_940, '1.00 Mbit/s'],
  [11_637_500, '93.1 Mbit/s'],
  [12_500_000, '100 Mbit/s'],
  [124_900_000, '999 Mbit/s'],
  [125_000_000, '1.00 Gbit/s'],
  [1.25e9, '10.0 Gbit/s'],
  [1.25e11, '1.00 Tbit/s'],
]
test('rates are shown in bits, as networks are sold', () => {
  for (const [rate, text] of shownRates) assert.equal(showRate(rate), text, String(rate))
})

const shownTimes: readonly (readonly [number, string])[] = [
  [0, '0 ms'],
  [0.4, '0 ms'],
  [420, '420 ms'],
  [999.4, '999 ms'],
  [999.5, '1.0 s'],
  [1_000, '1.0 s'],
  [9_600, '9.6 s'],
  [59_949, '59.9 s'],
  [59_950, '1 min 00 s'],
  [60_000, '1 min 00 s'],
  [103_000, '1 min 43 s'],
  [119_499, '1 min 59 s'],
  [119_500, '2 min 00 s'],
  [3_599_000, '59 min 59 s'],
  [3_599_499, '59 min 59 s'],
  [3_599_500, '1 h 00 min'],
  [3_600_000, '1 h 00 min'],
  [7_169_000, '1 h 59 min'],
  [7_170_000, '2 h 00 min'],
  [7_500_000, '2 h 05 min'],
  [90_000_000, '25 h 00 min'],
]
test('times are shown in the unit that fits, and round over into the next', () => {
  for (const [time, text] of shownTimes) assert.equal(showTime(time), text, String(time))
})

/** As many digits as a reader takes in at a glance; four only between 1000 and 1023 of a unit that has 1024. */
const digitsOf = (text: string): number => (/^[\d.]+/.exec(text)?.[0] ?? '').replace(/^0?\.0*|\./, '').length

test('a shown size is within half a percent, below 1024 of its unit', () => {
  const honest = (size: number): void => {
    const text = showBytes(size)
    const match = /^(\d+(?:\.\d+)?) ((?:[KMGT]i)?B)$/.exec(text)
    assert.ok(match !== null, text)
    const count = Number(match[1])
    if (match[2] !== 'TiB') assert.ok(count < 1024, text)
    if (match[2] !== 'B') assert.ok(count >= 1, text)
    const back = count * 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB'].indexOf(match[2] ?? '')
    assert.ok(Math.abs(back - size) <= 0.0051 * size, `${size} is shown as ${text}`)
  }
  fc.assert(fc.property(fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), arbRound), honest), runs(2_000))
  for (const power of [1, 2, 3, 4])
    for (const off of [-1000, -513, -512, -1, 0, 1]) honest(1024 ** power + off * 1024 ** (power - 1))
})

test('a shown rate is within half a percent, below 1000 of its unit', () => {
  const names = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']
  const honest = (rate: number): void => {
    const text = showRate(rate)
    const match = /^(\d+(?:\.\d+)?) ([kMGT]?bit\/s)$/.exec(text)
    assert.ok(match !== null, text)
    const count = Number(match[1])
    if (match[2] !== 'Tbit/s') assert.ok(count < 1000, text)
    const back = (count * 1000 ** names.indexOf(match[2] ?? '')) / 8
    assert.ok(Math.abs(back - rate) <= 0.0051 * rate, `${rate} is shown as ${text}`)
  }
  fc.assert(fc.property(fc.double({ min: 0.125, max: 1e14, noNaN: true }), honest), runs(2_000))
  for (const power of [1, 2, 3, 4])
    for (const share of [0.999, 0.9994, 0.9995, 0.9996, 1]) honest((share * 1000 ** power) / 8)
})

test('a shown size or rate has three digits, also just below 10 and 100 of a unit', () => {
  assert.equal(showBytes(9.996 * 2 ** 20), '10.0 MiB')
  assert.equal(showBytes(99.97 * 2 ** 20), '100 MiB')
  assert.equal(showRate(9.996 * 125_000), '10.0 Mbit/s')
  assert.equal(showRate(99.97 * 125_000), '100 Mbit/s')
  fc.assert(
    fc.property(fc.double({ min: 1024, max: 999 * 2 ** 30, noNaN: true }), size => {
      const text = showBytes(size)
      assert.ok(digitsOf(text) === (Number.parseFloat(text) >= 1000 ? 4 : 3), text)
    }),
    runs(2_000),
  )
})

test('a shown time never says 1000 ms, 60 s or 60 min, and is right to a share of its smallest unit', () => {
  const honest = (time: number): void => {
    const text = showTime(time)
    assert.doesNotMatch(text, /NaN|Infinity|undefined|1000 ms|\b60(\.0)? s|\b60 min/, String(time))
    const part = (unit: RegExp, factor: number): number => Number(unit.exec(text)?.[1] ?? 0) * factor
    const back =
      part(/([\d.]+) h/, 3_600_000) + part(/([\d.]+) min/, 60_000) + part(/([\d.]+) s/, 1_000) + part(/([\d.]+) ms/, 1)
    const grain = text.includes('h') ? 60_000 : text.includes('min') ? 1_000 : text.includes(' s') ? 100 : 1
    // Hours are rounded from whole seconds: half a second more than half a minute.
    const slack = grain === 60_000 ? 500 : 1e-6 * grain
    assert.ok(Math.abs(back - time) <= grain / 2 + slack, `${time} is shown as ${text}`)
  }
  fc.assert(fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), honest), runs(2_000))
  fc.assert(fc.property(fc.double({ min: 0, max: 70_000, noNaN: true }), honest), runs(2_000))
  for (const edge of [1_000, 60_000, 3_600_000, 7_200_000])
    for (const off of [-501, -500, -50.1, -50, -0.6, -0.5, -0.4, 0, 0.5, 500]) honest(edge + off)
})
