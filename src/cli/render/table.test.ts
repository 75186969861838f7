import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters, styleText } from 'node:util'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { fit, table, widthOf } from './table.ts'

const red = (text: string): string => styleText('red', text, { validateStream: false })
/** Letters of one column each, and colours, which have none. */
const arbCell = fc
  .tuple(
    fc.string({ unit: fc.constantFrom(...Array.from('abcXYZ019-.→█░…é ')), maxLength: 14 }).map(text => text.trim()),
    fc.boolean(),
  )
  .map(([text, coloured]) => (coloured && text !== '' ? red(text) : text))

test('columns begin, or end, at the same place in every line', () => {
  const arbTable = fc.integer({ min: 1, max: 6 }).chain(columns =>
    fc.record({
      columns: fc.array(fc.record({ title: arbCell, align: fc.constantFrom<'left' | 'right'>('left', 'right') }), {
        minLength: columns,
        maxLength: columns,
      }),
      rows: fc.array(fc.array(arbCell, { minLength: columns, maxLength: columns }), { maxLength: 8 }),
    }),
  )
  fc.assert(
    fc.property(arbTable, ({ columns, rows }) => {
      const lines = table(columns, rows).map(line => stripVTControlCharacters(line))
      const cells = [columns.map(({ title }) => title), ...rows].map(row =>
        row.map(cell => stripVTControlCharacters(cell)),
      )
      assert.equal(lines.length, cells.length)
      let from = 0
      columns.forEach(({ align }, c) => {
        const width = Math.max(...cells.map(row => Array.from(row[c] ?? '').length))
        lines.forEach((line, l) => {
          const place = Array.from(line)
            .slice(from, from + width)
            .join('')
            .padEnd(width)
          const cell = cells[l]?.[c] ?? ''
          assert.equal(place, align === 'right' ? cell.padStart(width) : cell.padEnd(width))
        })
        from += width + 2
      })
      for (const line of lines) assert.equal(line, line.trimEnd())
    }),
    runs(500),
  )
})

test('a table reads like this', () => {
  assert.deepEqual(
    table(
      [{ title: 'VM' }, { title: 'sent', align: 'right' }, { title: 'target' }],
      [
        ['web-1', '9.6 MiB', 'b-1'],
        ['db', red('100 MiB'), ''],
      ],
    ),
    ['VM        sent  target', 'web-1  9.6 MiB  b-1', `db     ${red('100 MiB')}`],
  )
})

test('a row with fewer cells than columns is filled up, one without any is an empty line', () => {
  assert.deepEqual(table([{ title: 'a' }, { title: 'b' }], [['x'], []]), ['a  b', 'x', ''])
  assert.deepEqual(table([{ title: 'a' }], []), ['a'])
})

test('colours have no width', () => {
  assert.equal(widthOf(red('four')), 4)
  assert.equal(widthOf(''), 0)
  assert.equal(widthOf('→█…'), 3)
})

test('a letter that takes two columns of a terminal counts as two, one that takes none as none', () => {
  assert.equal(widthOf('仙台'), 4)
  assert.equal(widthOf('e\u0301'), 1)
  assert.equal(widthOf(fit('ネットワークに到達できません', 10)) <= 10, true)
})

test('what fits is left alone, colours and all', () => {
  assert.equal(fit(red('four'), 4), red('four'))
  assert.equal(fit('', 0), '')
})

test('what does not fit is cut, ends with an ellipsis, and loses its colours whole', () => {
  assert.equal(fit('evacuating', 5), 'evac…')
  assert.equal(fit(red('evacuating'), 5), 'evac…')
  assert.equal(fit('ab', 1), '…')
})

test('a line is never wider than the width, begins as it did, and is cut only when it must be', () => {
  const arbLine = fc.array(arbCell, { maxLength: 8 }).map(cells => cells.join(''))
  fc.assert(
    fc.property(arbLine, fc.integer({ min: 1, max: 60 }), (line, width) => {
      const fitted = fit(line, width)
      assert.ok(widthOf(fitted) <= width)
      if (widthOf(line) <= width) assert.equal(fitted, line)
      else {
        assert.equal(widthOf(fitted), width)
        assert.ok(fitted.endsWith('…') && stripVTControlCharacters(line).startsWith(fitted.slice(0, -1)))
        assert.equal(fitted, stripVTControlCharacters(fitted))
      }
    }),
    runs(500),
  )
})
