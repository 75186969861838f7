/** A YAML text against a schema: all mistakes at once, each with file, line, column and what was expected. */
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'

export interface Problem {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly column: number
  /** `sites[0].hosts[1].uri`; empty for the file as a whole. */
  readonly where: string
  readonly message: string
}

/** Everything that is wrong with a file; the message lists it all. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]
  constructor(problems: readonly Problem[]) {
    super(problems.map(showProblem).join('\n'))
    this.problems = problems
  }
}
export const showProblem = ({ file, line, column, where, message }: Problem): string =>
  `${file}:${line}:${column}: ${where === '' ? '' : `${where}: `}${message}`

/** A mistake that only shows when two places are compared; found also where other places are wrong in themselves. */
export interface Clash {
  readonly path: Path
  readonly message: string
}

/**
 * @param clashes looks at the raw document, whatever its shape
 * @throws ConfigError with every problem found
 */
export function parseYamlFile<S extends z.ZodType>(
  text: string,
  file: string,
  schema: S,
  clashes: (raw: unknown) => readonly Clash[] = () => [],
): z.output<S> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): Pick<Problem, 'file' | 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (document.errors.length > 0) {
    throw new ConfigError(document.errors.map(error => ({ ...at(error.pos[0]), where: '', message: error.message })))
  }
  const raw = toData(document, at)
  const result = schema.safeParse(raw)
  const compared = clashes(raw)
  if (result.success && compared.length === 0) return result.data
  const problems = [...(result.error?.issues ?? []).flatMap(issue => problemsOf(issue)), ...compared].map(
    ({ path, message }) => ({
      ...at(offsetOf(document, path)),
      where: showPath(path),
      message,
    }),
  )
  throw new ConfigError(problems.sort((a, b) => a.line - b.line || a.column - b.column))
}

/** Where in a text these places stand, in order; those of a text that is no YAML are at its beginning. */
export function locate(text: string, file: string, places: readonly Clash[]): readonly Problem[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  return places
    .map(({ path, message }) => {
      const { line, col } = lines.linePos(offsetOf(document, path))
      return { file, line: Math.max(1, line), column: Math.max(1, col), where: showPath(path), message }
    })
    .sort((a, b) => a.line - b.line || a.column - b.column)
}

/** What a text holds, whatever it means; undefined where it is no YAML. */
export function rawYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: false })
  if (document.errors.length > 0) return undefined
  try {
    return toData(document, () => ({ file: '', line: 1, column: 1 }))
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

/** Anchors that multiply like rabbits are no configuration (yaml's own limit against resource exhaustion). */
const aliasesAtMost = 100

/** @throws ConfigError for aliases that lead nowhere, or to too much */
function toData(document: Document, at: (offset: number) => Pick<Problem, 'file' | 'line' | 'column'>): unknown {
  try {
    return (document.toJS({ maxAliasCount: aliasesAtMost }) as unknown) ?? {}
  } catch (error) {
    if (!(error instanceof Error)) throw error
    let offset = 0
    visit(document, {
      Alias: (_key, alias) => {
        if (alias.resolve(document) !== undefined && !/Excessive/.test(error.message)) return undefined
        offset = alias.range?.[0] ?? 0
        return visit.BREAK
      },
    })
    const hint = /Unresolved/.test(error.message) ? ' (a text that begins with * needs quotes)' : ''
    throw new ConfigError([{ ...at(offset), where: '', message: `${error.message}${hint}` }])
  }
}

export type Path = readonly PropertyKey[]

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  array: 'a list',
  object: 'keys and values',
}
/** What zod says by itself of a key that is not there, in our words. */
const inWords = ({ message }: z.core.$ZodIssue): string =>
  message.replace(
    /^Invalid input: expected (\w+), received undefined$/,
    (_all, kind: string) => `is missing; expected ${kinds[kind] ?? kind}`,
  )

function problemsOf(issue: z.core.$ZodIssue): readonly { readonly path: Path; readonly message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ path: [...issue.path, key], message: 'unknown key' }))
  }
  return [{ path: issue.path, message: inWords(issue) }]
}

/** Where the value stands, or its key, or the nearest thing above it that exists. */
function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
    const last = path[length - 1]
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(last))
      if (pair !== undefined && isScalar(pair.key)) return pair.key.range?.[0] ?? 0
    }
    const node = document.getIn(path.slice(0, length), true)
    if (typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range))
      return Number(node.range[0])
  }
  return 0
}

const showPath = (path: Path): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  )
