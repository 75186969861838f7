/**
 * A plan that a human may have edited: the JSON of `lifeboat plan -o json`, or the same as YAML (docs/plan.md). It is read with
 * patience: the order of the list counts, times are forecasts that may be left out, a source is where the VM runs, and what this
 * Lifeboat does not know is told and passed over. A slip that matters shows elsewhere: in a key that is missing, or in the judge's words.
 */
import { z } from 'zod'
import type { VmId } from '../core/ids.ts'
import type { GivenPlan } from '../core/plan/given-plan.ts'
import { type Milliseconds, ms, parseTime, UnitError } from '../core/units.ts'
import { policyNameSchema } from './config-schema.ts'
import { hostNameSchema, vmNameSchema } from './quantity-schema.ts'
import { type Clash, ConfigError, locate, parseYamlFile, type Path, type Problem } from './yaml-file.ts'

export interface PlanFile {
  readonly given: GivenPlan
  /** Keys that nobody here knows: passed over, and told. */
  readonly unknown: readonly Problem[]
  /** `plan.json:12`, the line that speaks of this VM first; the file's name where none does. */
  readonly placeOf: (vm: VmId) => string
}

/** Ten thousand VMs with every reason take some 10 MB; what is larger is no plan. @unit bytes */
export const largestPlan = 64 * 1024 * 1024

/** Milliseconds since the alarm, as Lifeboat writes them, or a time with a unit, as people do. */
const forecastSchema = z.unknown().transform((raw, context): Milliseconds | undefined => {
  if (raw === undefined || raw === null) return undefined
  if (typeof raw === 'number' && Number.isFinite(raw) && raw >= 0) return ms(raw)
  const expected = 'expected milliseconds since the alarm, or a time like 90s; it may be left out'
  if (typeof raw !== 'string') {
    context.addIssue({ code: 'custom', message: `${JSON.stringify(raw)} is no time; ${expected}` })
    return z.NEVER
  }
  try {
    return parseTime(raw)
  } catch (error) {
    if (!(error instanceof UnitError)) throw error
    context.addIssue({ code: 'custom', message: `${error.message}; ${expected}` })
    return z.NEVER
  }
})

const shapes = {
  plan: ['policy', 'moves', 'stay', 'unplaced'],
  moves: ['vm', 'source', 'target', 'start', 'end'],
  stay: ['vm', 'reason'],
  unplaced: ['vm', 'failure'],
} as const
type List = Exclude<keyof typeof shapes, 'plan'>
const lists = ['moves', 'stay', 'unplaced'] as const satisfies readonly List[]

const noReason = 'is missing: say why it stays, the report repeats it'
const moveSchema = z.looseObject(
  {
    vm: vmNameSchema,
    source: hostNameSchema.optional(),
    target: hostNameSchema,
    start: forecastSchema.optional(),
    end: forecastSchema.optional(),
  },
  'expected { vm: NAME, target: HOST }',
)
const staySchema = z.looseObject(
  { vm: vmNameSchema, reason: z.string(noReason).refine(text => text.trim() !== '', noReason) },
  'expected { vm: NAME, reason: WHY }',
)
const unplacedSchema = z.looseObject({ vm: vmNameSchema }, 'expected { vm: NAME }')

const listOf = <T extends z.ZodType>(element: T, what: string) => z.array(element, `expected a list of ${what}`)
const planSchema = z.looseObject(
  {
    policy: policyNameSchema.optional(),
    moves: z
      .unknown()
      .refine(raw => raw !== undefined, 'is missing: the list of who goes where, in the order of leaving')
      .pipe(listOf(moveSchema, 'moves, each { vm: NAME, target: HOST }')),
    stay: listOf(staySchema, 'VMs that stay, each { vm: NAME, reason: WHY }').default([]),
    unplaced: listOf(unplacedSchema, 'VMs without a place, each { vm: NAME }').default([]),
  },
  'expected a plan: moves:, and perhaps stay: and unplaced: (lifeboat plan SITE -o json writes one)',
)

/** @throws ConfigError with every mistake, its line and column */
export function parsePlanFile(text: string, file: string): PlanFile {
  if (Buffer.byteLength(text) > largestPlan)
    throw new ConfigError([
      { file, line: 1, column: 1, where: '', message: `is larger than any plan (${largestPlan} bytes)` },
    ])
  // Read once more where nothing is refused, for what is passed over.
  const raw: { unknown: readonly Clash[] } = { unknown: [] }
  const parsed = parseYamlFile(text, file, planSchema, whole => {
    raw.unknown = unknownKeys(whole)
    return []
  })
  const { policy, moves, stay, unplaced } = parsed
  let lines: ReadonlyMap<string, number> | undefined
  return {
    given: {
      policy,
      moves: moves.map(({ vm, source, target, start, end }) => ({ vm, source, target, start, end })),
      stay: stay.map(({ vm, reason }) => ({ vm, reason: reason.trim() })),
      unplaced: unplaced.map(({ vm }) => vm),
    },
    unknown: raw.unknown.length === 0 ? [] : locate(text, file, raw.unknown),
    placeOf: vm => {
      lines ??= linesOf(text, file, parsed)
      const line = lines.get(vm)
      return line === undefined ? file : `${file}:${line}`
    },
  }
}

/** Where each VM is first spoken of. */
function linesOf(
  text: string,
  file: string,
  plan: { readonly [L in List]: readonly { readonly vm: VmId }[] },
): ReadonlyMap<string, number> {
  const entries = lists.flatMap(list => plan[list].map(({ vm }, at): Clash => ({ path: [list, at], message: vm })))
  const lines = new Map<string, number>()
  for (const { message: vm, line } of locate(text, file, entries)) if (!lines.has(vm)) lines.set(vm, line)
  return lines
}

function unknownKeys(raw: unknown): readonly Clash[] {
  const strange = (record: unknown, shape: keyof typeof shapes, path: Path): Clash[] => {
    if (typeof record !== 'object' || record === null || Array.isArray(record)) return []
    const known: readonly string[] = shapes[shape]
    return Object.keys(record)
      .filter(key => !known.includes(key))
      .map(key => ({ path: [...path, key], message: `unknown key, passed over; there are: ${known.join(', ')}` }))
  }
  const whole = typeof raw === 'object' && raw !== null ? new Map(Object.entries(raw)) : new Map<string, unknown>()
  return [
    ...strange(raw, 'plan', []),
    ...lists.flatMap(list => {
      const entries: unknown = whole.get(list)
      return Array.isArray(entries) ? entries.flatMap((entry: unknown, at) => strange(entry, list, [list, at])) : []
    }),
  ]
}
