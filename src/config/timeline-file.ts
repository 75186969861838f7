/** timeline.yaml of a scenario folder: what happens to the world, in order of time since the alarm. */
import { stringify } from 'yaml'
import { z } from 'zod'
import { hostId, idRule, isId, siteId } from '../core/ids.ts'
import type { Ends, FailsHow, Happening, PathChange, Timeline, TimelineEntry } from '../core/sim/timeline.ts'
import { failsHow } from '../core/sim/timeline.ts'
import { ms, parseTime, printBytes, printFraction, printRate, printTime, UnitError } from '../core/units.ts'
import {
  dirtyShape,
  fractionSchema,
  hostNameSchema,
  rateSchema,
  siteNameSchema,
  sizeSchema,
  timeSchema,
  vmNameSchema,
} from './quantity-schema.ts'
import type { KnownNames } from './check-names.ts'
import { type Clash, parseYamlFile } from './yaml-file.ts'

const end = z.string().refine(isId, { message: `not a usable name; expected ${idRule}` })
const ends = z.tuple([end, end], { error: 'expected the two ends of a path, like [sendai, osaka]' })
const when = { at: timeSchema, jitter: timeSchema.optional() }

const often = 'expected a whole number from 1, or always'

/** What an entry can say: each by the word that names it. */
const verbs = {
  path: z
    .strictObject({
      ...when,
      path: ends,
      capacity: rateSchema.optional(),
      rtt: timeSchema.optional(),
      loss: fractionSchema.optional(),
      perFlow: rateSchema.optional(),
      background: rateSchema.optional(),
    })
    .refine(
      ({ at: _at, jitter: _jitter, path: _path, ...change }) =>
        Object.values(change).some(value => value !== undefined),
      { message: 'changes nothing: say capacity, rtt, loss, perFlow or background' },
    ),
  cut: z.strictObject({ ...when, cut: ends }),
  heal: z.strictObject({ ...when, heal: ends }),
  power: z.strictObject({ ...when, power: siteNameSchema, runtime: timeSchema }),
  powerOff: z.strictObject({ ...when, powerOff: siteNameSchema }),
  hostDown: z.strictObject({ ...when, hostDown: hostNameSchema }),
  dirty: z.strictObject({ ...when, dirty: vmNameSchema, ...dirtyShape }),
  crash: z.strictObject({ ...when, crash: z.literal('controller', 'only the controller can crash'), for: timeSchema }),
  endanger: z.strictObject({ ...when, endanger: siteNameSchema }),
  occupied: z.strictObject({ ...when, occupied: hostNameSchema, memory: sizeSchema }),
  busy: z.strictObject({ ...when, busy: hostNameSchema, processors: fractionSchema }),
  fail: z.strictObject({
    ...when,
    fail: vmNameSchema,
    how: z.enum(failsHow),
    times: z.union([z.int(often).min(1, often), z.literal('always', often)], often).default(1),
  }),
} as const
type Verb = keyof typeof verbs
const verbNames = Object.keys(verbs) as Verb[]

type Entry = { [V in Verb]: z.output<(typeof verbs)[V]> }[Verb]

const entrySchema = z.unknown().transform((raw, context): Entry => {
  const said = typeof raw === 'object' && raw !== null ? verbNames.filter(verb => verb in raw) : []
  // `dirty` and `power` are verbs; no verb is the key of another.
  const [verb] = said
  if (verb === undefined || said.length > 1) {
    const what = said.length > 1 ? `says ${said.join(' and ')} at once` : 'says nothing that could happen'
    context.addIssue({ code: 'custom', message: `${what}; expected one of ${verbNames.join(', ')}` })
    return z.NEVER
  }
  const result = verbs[verb].safeParse(raw)
  if (result.success) return result.data
  for (const issue of result.error.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue)
  return z.NEVER
})

const timelineSchema = z.preprocess(
  raw => (isEmpty(raw) ? [] : raw),
  z.array(entrySchema, 'expected a list of what happens, each entry with at: and what'),
)
const isEmpty = (raw: unknown): boolean =>
  raw === null || (typeof raw === 'object' && !Array.isArray(raw) && Object.keys(raw).length === 0)

/**
 * @param known what the inventory names; undefined where it cannot be read, then names are not checked
 * @throws ConfigError with every mistake, its line and column
 */
export function parseTimeline(text: string, file: string, known: KnownNames | undefined): Timeline {
  const entries = parseYamlFile(text, file, timelineSchema, raw => [
    ...outOfOrder(raw),
    ...(known === undefined ? [] : unknownThings(raw, known)),
    ...nothings(raw),
  ])
  return entries.map(entry => ({
    at: entry.at,
    jitter: entry.jitter ?? ms(0),
    what: happeningOf(entry, known?.sites ?? new Set()),
  }))
}

function happeningOf(entry: Entry, sites: ReadonlySet<string>): Happening {
  const path = ([a, b]: readonly [string, string]): Ends => [endOf(a, sites), endOf(b, sites)]
  if ('path' in entry) {
    const { capacity, rtt, loss, perFlow, background } = entry
    return { kind: 'path', path: path(entry.path), change: { capacity, rtt, loss, perFlow, background } }
  }
  if ('cut' in entry) return { kind: 'cut', path: path(entry.cut) }
  if ('heal' in entry) return { kind: 'heal', path: path(entry.heal) }
  if ('power' in entry) return { kind: 'power', site: entry.power, runtime: entry.runtime }
  if ('powerOff' in entry) return { kind: 'power-off', site: entry.powerOff }
  if ('hostDown' in entry) return { kind: 'host-down', host: entry.hostDown }
  if ('crash' in entry) return { kind: 'crash', lasts: entry.for }
  if ('endanger' in entry) return { kind: 'endanger', site: entry.endanger }
  if ('occupied' in entry) return { kind: 'occupied', host: entry.occupied, memory: entry.memory }
  if ('busy' in entry) return { kind: 'busy', host: entry.busy, processors: entry.processors }
  if ('fail' in entry)
    return {
      kind: 'fail',
      vm: entry.fail,
      how: entry.how,
      times: entry.times === 'always' ? Number.POSITIVE_INFINITY : entry.times,
    }
  const { dirty: vm, hot, period, cold } = entry
  return { kind: 'dirty', vm, model: { hot, period, cold } }
}

const endOf = (name: string, sites: ReadonlySet<string>) => (sites.has(name) ? siteId(name) : hostId(name))

const recordsOf = (raw: unknown): readonly Record<string, unknown>[] =>
  Array.isArray(raw)
    ? raw.map((entry: unknown) => (typeof entry === 'object' && entry !== null ? { ...entry } : {}))
    : []

function outOfOrder(raw: unknown): readonly Clash[] {
  let latest: { readonly at: number; readonly text: string } | undefined
  return recordsOf(raw).flatMap(({ at }, n) => {
    const time = timeOf(at)
    if (time === undefined) return []
    const text = String(at)
    if (latest !== undefined && time < latest.at)
      return [{ path: [n, 'at'], message: `${text} comes after ${latest.text}: entries are in order of time` }]
    latest = { at: time, text }
    return []
  })
}

function timeOf(raw: unknown): number | undefined {
  if (typeof raw !== 'string') return undefined
  try {
    return parseTime(raw)
  } catch (error) {
    if (error instanceof UnitError) return undefined
    throw error
  }
}

function unknownThings(raw: unknown, known: KnownNames): readonly Clash[] {
  const of = (key: Verb, names: ReadonlySet<string>, kind: string) => ({ key, names, kind })
  const named = [
    of('power', known.sites, 'site'),
    of('powerOff', known.sites, 'site'),
    of('hostDown', known.hosts, 'host'),
    of('endanger', known.sites, 'site'),
    of('occupied', known.hosts, 'host'),
    of('busy', known.hosts, 'host'),
    of('dirty', known.vms, 'VM'),
    of('fail', known.vms, 'VM'),
  ]
  return recordsOf(raw).flatMap((entry, n) => [
    ...named.flatMap(({ key, names, kind }) => {
      const name = entry[key]
      return typeof name !== 'string' || names.has(name)
        ? []
        : [{ path: [n, key], message: `the inventory has no ${kind} named "${name}"` }]
    }),
    ...(['path', 'cut', 'heal'] as const).flatMap(key => {
      const pair = entry[key]
      if (!Array.isArray(pair) || pair.length !== 2) return []
      const [a, b] = pair.map(String)
      if (a === b) return [{ path: [n, key], message: `a path from "${a}" to itself` }]
      const there = known.paths.some(([from, to]) => (from === a && to === b) || (from === b && to === a))
      return there ? [] : [{ path: [n, key], message: `the inventory has no path between "${a}" and "${b}"` }]
    }),
  ])
}

/** A path that carries nothing is cut, and says so. */
const nothings = (raw: unknown): readonly Clash[] =>
  recordsOf(raw).flatMap((entry, n) =>
    ['capacity', 'perFlow'].flatMap(key =>
      rateSchema.safeParse(entry[key]).data === 0
        ? [{ path: [n, key], message: 'is zero: cut the path instead ({ at: …, cut: [a, b] })' }]
        : [],
    ),
  )

/** The text of a timeline.yaml that {@link parseTimeline} reads back to the same. */
export const printTimeline = (timeline: Timeline): string =>
  timeline.map(entry => `- ${stringify(printEntry(entry), { collectionStyle: 'flow', lineWidth: 0 })}`).join('')

function printEntry({ at, jitter, what }: TimelineEntry): Record<string, unknown> {
  const time = { at: printTime(at), ...(jitter === 0 ? {} : { jitter: printTime(jitter) }) }
  switch (what.kind) {
    case 'path':
      return { ...time, path: what.path, ...printChange(what.change) }
    case 'cut':
      return { ...time, cut: what.path }
    case 'heal':
      return { ...time, heal: what.path }
    case 'power':
      return { ...time, power: what.site, runtime: printTime(what.runtime) }
    case 'power-off':
      return { ...time, powerOff: what.site }
    case 'host-down':
      return { ...time, hostDown: what.host }
    case 'dirty': {
      const { hot, period, cold } = what.model
      return { ...time, dirty: what.vm, hot: printBytes(hot), period: printTime(period), cold: printRate(cold) }
    }
    case 'crash':
      return { ...time, crash: 'controller', for: printTime(what.lasts) }
    case 'endanger':
      return { ...time, endanger: what.site }
    case 'occupied':
      return { ...time, occupied: what.host, memory: printBytes(what.memory) }
    case 'busy':
      return { ...time, busy: what.host, processors: printFraction(what.processors) }
    case 'fail':
      return { ...time, fail: what.vm, how: what.how, ...printTimes(what) }
  }
}

const printTimes = ({ times }: { readonly how: FailsHow; readonly times: number }) =>
  times === 1 ? {} : { times: Number.isFinite(times) ? times : 'always' }

const printChange = ({ capacity, rtt, loss, perFlow, background }: PathChange) => ({
  ...(capacity === undefined ? {} : { capacity: printRate(capacity) }),
  ...(rtt === undefined ? {} : { rtt: printTime(rtt) }),
  ...(loss === undefined ? {} : { loss: printFraction(loss) }),
  ...(perFlow === undefined ? {} : { perFlow: printRate(perFlow) }),
  ...(background === undefined ? {} : { background: printRate(background) }),
})
