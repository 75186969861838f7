/** Between facts in memory and rows on disk: the version of each kind of fact, and the way up from older ones. */
import { z } from 'zod'
import type { Command } from '../core/control/command.ts'
import type { Observed, ObservedKind } from '../core/control/observed.ts'
import { instant } from '../core/instant.ts'
import { type Entry, JournalUnreadable, type Row } from './journal.ts'

/** The version each kind is written with today. A change of a fact's shape raises its number and adds a step to `upcasts`. */
const versions = {
  'evacuation-started': 1,
  tick: 1,
  'controller-restarted': 1,
  // 2: may order `endanger`.
  operator: 2,
  'definition-kept': 1,
  'target-ready': 1,
  'memory-flowing': 1,
  progress: 1,
  'guest-stopped': 1,
  'sent-whole': 1,
  'post-copy-began': 1,
  'post-copy-broke': 1,
  'migration-broke': 1,
  'attempt-failed': 1,
  'attempt-unclear': 1,
  whereabouts: 1,
  landed: 1,
  'source-ended': 1,
  'source-lingers': 1,
  'command-failed': 1,
  'vm-forecast': 1,
  'vm-forecast-judged': 1,
  forecast: 1,
  'forecast-judged': 1,
  network: 1,
  'host-load': 1,
  'site-lost': 1,
  'journal-failing': 1,
} as const satisfies Record<ObservedKind, number>

type Body = Record<string, unknown>
/** `upcasts['kind:1']` makes a version 2 body of a version 1 body. */
const upcasts: Readonly<Record<string, (body: Body) => Body>> = {
  // Nothing but that there is one order more.
  'operator:1': body => body,
}

export interface StoredRow {
  readonly seq: number
  readonly v: number
  readonly type: string
  readonly at: number
  readonly body: string
}

const bodySchema = z.object({
  event: z.looseObject({ kind: z.string() }),
  commands: z.array(z.looseObject({ kind: z.string(), vm: z.string() })),
})

export const toStored = ({ at, event, commands }: Entry): Omit<StoredRow, 'seq'> => ({
  v: versions[event.kind],
  type: event.kind,
  at,
  body: JSON.stringify({ event, commands }),
})

const isKnown = (type: string): type is ObservedKind => Object.hasOwn(versions, type)

/** @throws JournalUnreadable when the row is of an unknown kind, a newer version, or no JSON */
export function fromStored(row: StoredRow): Row {
  if (!isKnown(row.type))
    throw new JournalUnreadable(`row ${row.seq} is of the unknown kind "${row.type}": written by a newer Lifeboat?`)
  const newest = versions[row.type]
  if (row.v > newest) {
    throw new JournalUnreadable(
      `row ${row.seq} (${row.type}) is version ${row.v}, this Lifeboat knows ${newest}: use the one that wrote it`,
    )
  }
  try {
    const parsed = bodySchema.parse(JSON.parse(row.body))
    if (parsed.event.kind !== row.type) throw new Error(`its body tells of ${parsed.event.kind}`)
    let body: Body = parsed
    for (let v = row.v; v < newest; v += 1) body = upcasts[`${row.type}:${v}`]?.(body) ?? body
    // Written by `toStored` of this or, through `upcasts`, of an older version: the one place where stored JSON becomes a fact again.
    return {
      seq: row.seq,
      at: instant(row.at),
      event: body['event'] as Observed,
      commands: body['commands'] as Command[],
    }
  } catch (error) {
    throw new JournalUnreadable(`row ${row.seq} (${row.type}) is damaged`, { cause: error })
  }
}
