import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { z } from 'zod'
import { runs } from '../../test/arbitraries.ts'
import { rateSchema, sizeSchema } from './quantity-schema.ts'
import { type Clash, ConfigError, parseYamlFile, type Problem, rawYaml } from './yaml-file.ts'

const schema = z.strictObject({
  name: z.string(),
  rooms: z
    .array(z.strictObject({ label: z.string(), size: sizeSchema, seats: z.number().int().optional() }))
    .default([]),
  speed: rateSchema.optional(),
})
/** The problems of a text, without the name of the file that all have. */
function problemsOf(text: string, clashes?: (raw: unknown) => readonly Clash[]): readonly Omit<Problem, 'file'>[] {
  try {
    parseYamlFile(text, 'house.yaml', schema, clashes)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems.map(({ file, ...problem }) => {
      assert.equal(file, 'house.yaml')
      return problem
    })
  }
  throw new assert.AssertionError({ message: 'found no mistake' })
}
const places = (text: string): readonly string[] =>
  problemsOf(text).map(({ line, column, where, message }) => `${line}:${column} ${where} | ${message}`)

/** Nine levels of aliases, each nine times the one before. */
const rabbits = [
  'a: &a [x, x]',
  ...Array.from(
    { length: 9 },
    (_, n) => `${'bcdefghij'[n]}: &${'bcdefghij'[n]} [${Array(9).fill(`*${'abcdefghi'[n]}`).join(', ')}]`,
  ),
].join('\n')
/** Any text, and texts that are nearly YAML. */
const arbText = fc.oneof(
  fc.string(),
  fc
    .array(
      fc.constantFrom(
        'name',
        ': ',
        '- ',
        '\n',
        '  ',
        '[',
        ']',
        '{',
        '}',
        '&a ',
        '*a',
        '"',
        '#',
        '1',
        'x',
        '|',
        '!t ',
        '? ',
        '<<',
      ),
    )
    .map(parts => parts.join('')),
)

describe('a YAML file', () => {
  test('without mistakes is its data, with units and defaults in place', () => {
    assert.deepEqual(parseYamlFile('name: x\nspeed: 8Mbit/s\n', 'house.yaml', schema), {
      name: 'x',
      rooms: [],
      speed: 1_000_000,
    })
  })

  test('with three mistakes tells all three, each with line, column, place and what was expected', () => {
    const text = `name: x
rooms:
  - label: hall
    size: 64
  - { label: attic, size: 1GiB, seats: many }
colour: red
`
    assert.deepEqual(problemsOf(text), [
      {
        line: 4,
        column: 5,
        where: 'rooms[0].size',
        message: 'the bare number 64 has no unit; expected a size like 64MiB',
      },
      {
        line: 5,
        column: 33,
        where: 'rooms[1].seats',
        message: 'Invalid input: expected number, received string',
      },
      { line: 6, column: 1, where: 'colour', message: 'unknown key' },
    ])
  })

  test('its mistakes are told as FILE:LINE:COLUMN, one a line, in the order of the file', () => {
    assert.throws(() => parseYamlFile('speed: fast\nnome: x\n', 'house.yaml', schema), {
      name: 'ConfigError',
      message: [
        'house.yaml:1:1: name: is missing; expected a text',
        'house.yaml:1:1: speed: "fast" is not a number with a unit; expected a rate like 100Mbit/s or 20MiB/s',
        'house.yaml:2:1: nome: unknown key',
      ].join('\n'),
    })
  })

  test('a key that is missing is told at the nearest thing above it', () => {
    assert.deepEqual(places('name: x\nrooms:\n  - size: 1GiB\n    seats: 3\n'), [
      '3:5 rooms[0].label | is missing; expected a text',
    ])
  })

  test('several unknown keys of one thing are told one by one', () => {
    assert.deepEqual(places('name: x\nred: 1\n\ngreen: 2\n'), ['2:1 red | unknown key', '4:1 green | unknown key'])
  })

  test('a thing of the wrong shape is told where its key stands', () => {
    assert.deepEqual(places('name: x\nrooms: hall\n'), ['2:1 rooms | Invalid input: expected array, received string'])
    assert.deepEqual(places('name: x\nrooms:\n  - hall\n'), [
      '3:5 rooms[0] | Invalid input: expected object, received string',
    ])
  })

  test('the whole of the wrong shape is told at its beginning', () => {
    assert.deepEqual(places('- 1\n'), ['1:1  | Invalid input: expected object, received array'])
    assert.deepEqual(places('just a text'), ['1:1  | Invalid input: expected object, received string'])
  })

  for (const [what, text] of [
    ['empty', ''],
    ['of comments only', '# nothing yet\n'],
    ['of null', '~\n'],
  ] as const) {
    test(`a file ${what} lacks what it must have`, () => {
      assert.deepEqual(places(text), ['1:1 name | is missing; expected a text'])
    })
  }

  test('columns count characters of a line with umlauts, and lines those that Windows ends', () => {
    assert.deepEqual(places('name: x\r\nrooms:\r\n  - { label: "Tür", size: 5 }\r\n'), [
      '3:21 rooms[0].size | the bare number 5 has no unit; expected a size like 64MiB',
    ])
  })

  const bad: readonly (readonly [what: string, text: string, at: string, message: RegExp])[] = [
    ['a bracket that is not closed', 'name: x\nrooms: [\n', '3:1', /flow|\]/i],
    ['a key twice', 'name: x\nname: y\n', '2:1', /unique/],
    ['a tab for an indent', 'name: x\nrooms:\n\t- label: y\n', '3:1', /tab/i],
    ['a quote that is not closed', 'name: "x\n', '2:1', /quote/],
    ['two documents', 'name: x\n---\nname: y\n', '2:1', /multiple documents/],
  ]
  for (const [what, text, at, message] of bad) {
    test(`bad YAML, ${what}, is told with its place`, () => {
      const [first] = problemsOf(text)
      assert.equal(`${first?.line}:${first?.column}`, at)
      assert.match(first?.message ?? '', message)
    })
  }

  test('a pattern that begins with * and is not quoted is told with its place: YAML takes it for an alias', () => {
    const [first, ...more] = problemsOf('rooms: []\nname: *-db\n')
    assert.deepEqual([first?.line, first?.column], [2, 7])
    assert.match(first?.message ?? '', /-db/)
    assert.deepEqual(more, [])
  })

  test('aliases that multiply without end are a mistake of the file', () => {
    assert.ok(problemsOf(rabbits).length > 0)
  })

  test('what is compared is told together with mistakes of shape, in the order of the file', () => {
    const twice = (): readonly Clash[] => [{ path: ['rooms', 1, 'label'], message: 'is there already' }]
    const text = 'name: x\nrooms:\n  - { label: a, size: 1 }\n  - { label: a, size: 2 }\n'
    assert.deepEqual(
      problemsOf(text, twice).map(({ line, column, where }) => [line, column, where]),
      [
        [3, 17, 'rooms[0].size'],
        [4, 7, 'rooms[1].label'],
        [4, 17, 'rooms[1].size'],
      ],
    )
    const fine = 'name: x\nrooms:\n  - { label: a, size: 1B }\n  - { label: a, size: 2B }\n'
    assert.deepEqual(problemsOf(fine, twice), [
      { line: 4, column: 7, where: 'rooms[1].label', message: 'is there already' },
    ])
  })

  test('whatever a file holds, it is data or a ConfigError that names a place in it', () => {
    fc.assert(
      fc.property(arbText, text => {
        try {
          parseYamlFile(text, 'house.yaml', schema)
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error))
          const lines = text.split('\n').length
          for (const { line, column } of error.problems) assert.ok(line >= 1 && line <= lines + 1 && column >= 1)
          assert.ok(error.problems.length > 0)
        }
      }),
      runs(500),
    )
  })
})

describe('the data of a text', () => {
  test('are what it holds, whatever it means', () => {
    assert.deepEqual(rawYaml('name: x\nrooms: [{ size: 5 }]\n'), { name: 'x', rooms: [{ size: 5 }] })
    assert.deepEqual(rawYaml('{ "a": [1, true, null, "1GiB"] }'), { a: [1, true, null, '1GiB'] })
    assert.deepEqual(rawYaml('a: &x [1]\nb: *x\n'), { a: [1], b: [1] })
    assert.equal(rawYaml('just a text'), 'just a text')
  })

  test('are an empty map where it holds nothing', () => {
    for (const text of ['', '# nothing yet\n', '~\n']) assert.deepEqual(rawYaml(text), {})
  })

  test('are not known where it is no YAML, or leads nowhere, or to too much', () => {
    for (const text of ['rooms: [\n', 'a: 1\na: 2\n', 'name: *-db\n', 'a: 1\n---\nb: 2\n', rabbits])
      assert.equal(rawYaml(text), undefined, text)
  })

  test('are those that a schema is given, and known exactly where a file has no mistake in itself', () => {
    fc.assert(
      fc.property(arbText, text => {
        const raw = rawYaml(text)
        const parse = (): unknown => parseYamlFile(text, 'house.yaml', z.unknown())
        if (raw === undefined) assert.throws(parse, ConfigError)
        else assert.deepEqual(parse(), raw)
      }),
      runs(500),
    )
  })
})
