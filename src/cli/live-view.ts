/** What an operator sees while an evacuation runs: one repainted frame on a terminal, one line a fact elsewhere, one JSON object a row with ndjson. */
import { createLogUpdate } from 'log-update'
import type { Evacuation } from '../core/control/evacuation.ts'
import type { Instant } from '../core/instant.ts'
import { decisionOf, sentenceOf } from '../core/report/sentence.ts'
import { showTime } from '../core/units.ts'
import { between } from '../core/instant.ts'
import type { Entry } from '../journal/journal.ts'
import { LookingAhead } from './looking-ahead.ts'
import { frame } from './render/frame.ts'

export interface LiveView {
  show(entries: readonly Entry[], state: Evacuation): void
  /** A remark of the program itself, above the frame. */
  note(text: string): void
  /** Leaves the last frame standing. */
  end(): void
}

/** Not more often than this; a frame a human cannot read is work for nothing. @unit ms */
const repaintEvery = 200

export interface ViewOptions {
  readonly stream: NodeJS.WriteStream
  readonly ndjson: boolean
  readonly now: () => Instant
}

export function liveView(options: ViewOptions): LiveView {
  if (options.ndjson) return jsonView(options.stream)
  return options.stream.isTTY && process.env['TERM'] !== 'dumb' ? framedView(options) : lineView(options)
}

function framedView({ stream, now }: ViewOptions): LiveView {
  const update = createLogUpdate(stream, { showCursor: false })
  const notes: string[] = []
  const lookingAhead = new LookingAhead()
  let state: Evacuation | undefined
  let painted = ''
  const paintNow = (): void => {
    if (state === undefined) return
    const size = { columns: stream.columns ?? 80, rows: stream.rows ?? 24 }
    const at = now()
    const prognosis = lookingAhead.from(state, at)
    const text = [...frame(state, at, { ...size, rows: size.rows - notes.length }, prognosis), ...notes].join('\n')
    if (text === painted) return
    painted = text
    update(text)
  }
  const timer = setInterval(paintNow, repaintEvery)
  timer.unref()
  return {
    show: (_entries, latest) => {
      state = latest
    },
    note: text => {
      notes.push(text)
      if (notes.length > 3) notes.shift()
      paintNow()
    },
    end: () => {
      clearInterval(timer)
      paintNow()
      update.done()
    },
  }
}

function lineView({ stream, now }: ViewOptions): LiveView {
  const lookingAhead = new LookingAhead()
  return {
    show: (entries, state) => {
      for (const line of entries.flatMap(entry => linesOf(entry, state))) stream.write(`${line}\n`)
      const at = now()
      const news = lookingAhead.news(state, at)
      if (news !== undefined) stream.write(`${stampOf(state, at)}  = ${news}\n`)
    },
    note: text => void stream.write(`${text}\n`),
    end: () => undefined,
  }
}

const stampOf = (state: Evacuation, at: Instant): string => `+${showTime(between(state.startedAt, at))}`.padStart(12)

/**
 * Samples come every second for every VM, and forecasts of single VMs are many: left out here, they are in the journal and in `-o ndjson`.
 * @param what `story`: of one VM, with its forecasts
 */
export function linesOf({ at, event, commands }: Entry, state: Evacuation, what?: 'story'): readonly string[] {
  const stamp = stampOf(state, at)
  const quiet = event.kind === 'progress' || (what === undefined && event.kind.startsWith('vm-forecast'))
  const fact = quiet ? undefined : sentenceOf(event)
  return [
    ...(fact === undefined ? [] : [`${stamp}  ${fact}`]),
    ...commands.map(command => `${stamp}  → ${decisionOf(command)}`),
  ]
}

function jsonView(stream: NodeJS.WriteStream): LiveView {
  return {
    show: entries => {
      for (const entry of entries) stream.write(`${JSON.stringify(entry)}\n`)
    },
    note: text => void process.stderr.write(`${text}\n`),
    end: () => undefined,
  }
}
