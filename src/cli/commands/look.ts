/** `lifeboat status|watch|report|explain`: everything that only reads a journal. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command as Program } from 'commander'
import { prognosisOf } from '../../core/control/prognosis.ts'
import { concerns } from '../../core/control/step.ts'
import { between, instant, type Instant } from '../../core/instant.ts'
import { vmId } from '../../core/ids.ts'
import { reasonOf } from '../../core/migration/outcome.ts'
import { reportOf } from '../../core/report/report.ts'
import { type StandingFacts, standingFacts } from '../../core/report/standing.ts'
import { whatNext } from '../../core/report/what-next.ts'
import { showTime } from '../../core/units.ts'
import { replay } from '../../journal/replay.ts'
import { usageError } from '../exit.ts'
import { findPast, type Past } from '../history.ts'
import { showKept } from '../kept-xml.ts'
import { linesOf, liveView } from '../live-view.ts'
import { formatOf, out, outJson, outLines } from '../output.ts'
import { clockOf } from '../render/clock.ts'
import { frame } from '../render/frame.ts'
import { reportLines } from '../render/report-table.ts'

interface ReportFlags {
  readonly xml?: string
  readonly run?: string
  readonly output?: string
}

const which = 'a site, an evacuation id or a journal file; the newest evacuation if left out'

export function addLook(program: Program): void {
  program
    .command('status')
    .summary('show how an evacuation stands, once')
    .argument('[site]', which)
    .option('-o, --output <format>', 'text or json')
    .action((site: string | undefined, flags: { output?: string }, command: Program) => {
      const past = pastOf(command, site)
      if (formatOf(flags.output, ['text', 'json']) === 'json')
        outJson({
          ...reportOf(past.state),
          ended: past.state.endedAt !== undefined,
          intent: past.state.intent,
          standing: factsFor(past),
        })
      else
        outLines([
          ...frame(past.state, nowFor(past), { columns: process.stdout.columns ?? 160, rows: 10_000 }),
          '',
          standing(past),
        ])
      past.reader.close()
    })
  program
    .command('watch')
    .summary('follow an evacuation until it ends')
    .argument('[site]', which)
    .option('-o, --output <format>', 'text or ndjson')
    .action(async (site: string | undefined, flags: { output?: string }, command: Program) => {
      await watch(pastOf(command, site), formatOf(flags.output, ['text', 'ndjson']) === 'ndjson')
    })
  program
    .command('report')
    .summary('show what became of every VM, how fast, and how near to the physical limit')
    .argument('[site]', which)
    .option('--xml <vm>', 'instead: what that VM was at its source before it left, its whole definition')
    .option('--run <id>', 'as the argument: an evacuation id, for --xml (default: the newest that knows the VM)')
    .option('-o, --output <format>', 'text or json')
    .action((site: string | undefined, flags: ReportFlags, command: Program) => {
      if (flags.run !== undefined && site !== undefined)
        throw usageError('name the evacuation once: as --run, or without')
      const asked = flags.run ?? site
      if (flags.xml !== undefined) {
        const { config } = command.optsWithGlobals<{ config?: string }>()
        showKept(config, flags.xml, { which: asked, format: formatOf(flags.output, ['text', 'json']) })
        return
      }
      const past = pastOf(command, asked)
      past.reader.close()
      const report = reportOf(past.state)
      if (formatOf(flags.output, ['text', 'json']) === 'json') outJson(report)
      else outLines([...reportLines(report), standing(past)])
    })
  program
    .command('explain')
    .summary('tell the story of one VM: what was seen, what was decided, and why')
    .argument('<vm>', 'its name')
    .argument('[site]', which)
    .option('-o, --output <format>', 'text or json')
    .action((vm: string, site: string | undefined, flags: { output?: string }, command: Program) => {
      const past = pastOf(command, site)
      past.reader.close()
      explain(past, vm, formatOf(flags.output, ['text', 'json']) === 'json')
    })
}

const pastOf = (command: Program, site: string | undefined): Past =>
  findPast(command.optsWithGlobals<{ config?: string }>().config, site)

const lastFact = (past: Past): Instant => past.rows.at(-1)?.at ?? past.state.startedAt
/** An evacuation that nobody drives any more stands still at its last fact. */
const nowFor = (past: Past): Instant => past.state.endedAt ?? lastFact(past)

/** `null` when it has ended: then the report says how it went. */
function factsFor({ state, ...past }: Past): StandingFacts | null {
  if (state.endedAt !== undefined) return null
  const now = nowFor({ state, ...past })
  return standingFacts(prognosisOf(state, now), between(state.startedAt, now), clockOf(state))
}

function standing(past: Past): string {
  if (past.state.endedAt !== undefined) return `ended; journal ${past.file}`
  const ago = Math.max(0, Date.now() - lastFact(past))
  return `not ended; last fact ${showTime(ago)} ago; journal ${past.file}`
}

async function watch(past: Past, ndjson: boolean): Promise<void> {
  const view = liveView({ stream: process.stdout, ndjson, now: () => instant(Date.now()) })
  let { state } = past
  let seq = past.rows.at(-1)?.seq ?? 0
  view.show(past.rows, state)
  try {
    while (state.endedAt === undefined) {
      await sleep(200)
      const rows = past.reader.read(seq)
      const last = rows.at(-1)
      if (last === undefined) continue
      seq = last.seq
      state = replay(rows, state) ?? state
      view.show(rows, state)
    }
  } finally {
    view.end()
    past.reader.close()
  }
  if (!ndjson) out(`ended; see: lifeboat report ${past.id}`)
}

function explain(past: Past, name: string, json: boolean): void {
  const id = vmId(name)
  const m = past.state.migrations.get(id)
  if (m === undefined) {
    const there = [...past.state.migrations.keys()].slice(0, 20).join(', ')
    throw usageError(`evacuation ${past.id} has no VM "${name}"; it has ${there === '' ? 'none' : `these: ${there}`}`)
  }
  const story = past.rows
    .map(row => ({ ...row, commands: row.commands.filter(({ vm }) => vm === id) }))
    .filter(row => concerns(row.event, id) || row.commands.length > 0)
  const now = nowFor(past)
  const prognosis = prognosisOf(past.state, now)
  if (json) {
    const standing = standingFacts(prognosis, now - past.state.startedAt, clockOf(past.state))
    const forecast = standing.vms.find(({ vm }) => vm === id) ?? null
    outJson({ vm: id, migration: m, story, forecast })
    return
  }
  const lines = story.flatMap(row => {
    const lines = linesOf(row, past.state, 'story')
    return concerns(row.event, id) ? lines : lines.slice(-row.commands.length)
  })
  out(`${name}: ${m.phase}${reasonOf(m) === undefined ? '' : ` (${reasonOf(m)})`}`)
  if (lines.length > 0) outLines(lines)
  outLines(whatNext(past.state, m, prognosis, now, clockOf(past.state)))
}
