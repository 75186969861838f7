/** Colours by meaning. Off where the output is no terminal, or NO_COLOR is set (no-color.org). */
import { styleText } from 'node:util'

const wanted = (): boolean =>
  process.env['NO_COLOR'] === undefined && process.stdout.isTTY && process.env['TERM'] !== 'dumb'
const style = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  wanted() && text !== '' ? styleText(format, text, { validateStream: false }) : text

export const paint = {
  good: style('green'),
  warn: style('yellow'),
  bad: style('red'),
  dim: style('dim'),
  strong: style('bold'),
} as const
