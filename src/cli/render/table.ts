/** Columns of text, aligned; the last may run over. Widths count what is seen, not escape sequences. */
import { stripVTControlCharacters } from 'node:util'
import stringWidth from 'string-width'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Columns of a terminal: letters of some scripts take two, accents none. */
export const widthOf = (text: string): number => stringWidth(text)

export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = columns.map(({ title }, at) => Math.max(widthOf(title), ...rows.map(row => widthOf(row[at] ?? ''))))
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, at) => {
        const cell = cells[at] ?? ''
        const gap = ' '.repeat(Math.max(0, (widths[at] ?? 0) - widthOf(cell)))
        return align === 'right' ? gap + cell : cell + gap
      })
      .join('  ')
      .trimEnd()
  return [line(columns.map(({ title }) => title)), ...rows.map(line)]
}

/** Cuts what does not fit, with an ellipsis, and keeps escape sequences whole by dropping them from a line that is cut. */
export function fit(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  let used = 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) {
    used += widthOf(segment)
    if (used > Math.max(0, width - 1)) break
    kept += segment
  }
  return `${kept}…`
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })
