/** Where commands write. Output that nobody reads any more (a closed pipe, a terminal that went away) never stops an evacuation. */
import { usageError } from './exit.ts'

export type Format = 'text' | 'json' | 'ndjson'

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })
}

export const out = (text: string): void => void process.stdout.write(`${text}\n`)
export const err = (text: string): void => void process.stderr.write(`${text}\n`)
export const outLines = (lines: readonly string[]): void => out(lines.join('\n'))
export const outJson = (value: unknown): void => out(JSON.stringify(value, undefined, 2))

/** @throws CliError for a format this command does not have */
export function formatOf(asked: string | undefined, known: readonly Format[]): Format {
  if (asked === undefined) return 'text'
  const found = known.find(format => format === asked)
  if (found === undefined) throw usageError(`-o ${asked}: expected one of ${known.join(', ')}`)
  return found
}
