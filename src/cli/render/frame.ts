/** The live view as lines: pure, so that what an operator sees is tested like any function. Never wider or higher than the terminal. */
import type { Evacuation } from '../../core/control/evacuation.ts'
import { between, type Instant } from '../../core/instant.ts'
import { type Prognosis, prognosisOf } from '../../core/control/prognosis.ts'
import type { Verdict } from '../../core/forecast/verdict.ts'
import { isMoving, type Migration, type Phase } from '../../core/migration/migration.ts'
import { outcomeOf, reasonOf } from '../../core/migration/outcome.ts'
import { copiesDisksFirst } from '../../core/migration/progress.ts'
import type { SiteId } from '../../core/ids.ts'
import { pathBetween, siteOf } from '../../core/inventory/snapshot.ts'
import { shortSpan, standingOf, verdictOnVm } from '../../core/report/standing.ts'
import { inOneLine } from '../../core/report/sentence.ts'
import { showBytes, showRate, showTime } from '../../core/units.ts'
import { clockOf } from './clock.ts'
import { paint } from './paint.ts'
import { fit, table } from './table.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Who is shown first when not all fit. */
const urgency: Record<Phase, number> = {
  uncertain: 0,
  'post-copy': 1,
  switchover: 2,
  'pre-copy': 3,
  preparing: 4,
  'given-up': 5,
  queued: 6,
  landed: 7,
}

/** @param prognosis as of now, or of a moment ago: it is the costly part */
export function frame(
  state: Evacuation,
  now: Instant,
  size: Size,
  prognosis: Prognosis = prognosisOf(state, now),
): readonly string[] {
  const all = [...state.migrations.values()]
  const head = [...headLines(state, all, now), ...standingLines(state, prognosis, now, size), '']
  const room = Math.max(1, size.rows - head.length - 3)
  const shown = all.length <= room ? all : pick(all, room - 1)
  const body = table(
    [
      { title: '  VM' },
      { title: 'phase' },
      { title: 'progress' },
      { title: 'to go', align: 'right' },
      { title: size.columns < wide ? 'rate' : 'rate / dirty', align: 'right' },
      { title: 'home in', align: 'right' },
      { title: 'target' },
    ],
    shown.map(m => row(state, m, { prognosis, now, size })),
  )
  const hidden = all.filter(m => !shown.includes(m))
  const more = hidden.length === 0 ? [] : [`  … and ${countByPhase(hidden)}`]
  return [...head, ...body, ...more]
    .slice(0, Math.max(1, size.rows))
    .map(line => fit(inOneLine(line), size.columns - 1))
}

function pick(all: readonly Migration[], room: number): readonly Migration[] {
  const chosen = new Set([...all].sort((a, b) => urgency[a.phase] - urgency[b.phase]).slice(0, room))
  return all.filter(m => chosen.has(m))
}

function countByPhase(migrations: readonly Migration[]): string {
  const counts = new Map<string, number>()
  for (const m of migrations) counts.set(labelOf(m), (counts.get(labelOf(m)) ?? 0) + 1)
  return [...counts].map(([label, n]) => `${n} ${label}`).join(', ')
}

function headLines(state: Evacuation, all: readonly Migration[], now: Instant): readonly string[] {
  const { started } = state
  const end = state.endedAt ?? now
  const safe = all.filter(m => m.phase === 'landed').length
  const left = all.filter(m => m.phase === 'given-up').length
  const doubtful = all.filter(m => m.phase === 'uncertain').length
  const sent = all.reduce((total, m) => total + sentBy(m), 0)
  const rate = all.reduce(
    (total, m) => total + (m.phase === 'pre-copy' || m.phase === 'post-copy' ? (m.progress?.rate ?? 0) : 0),
    0,
  )
  const mood =
    state.degraded !== undefined
      ? paint.bad('  NOTHING NEW ADMITTED')
      : state.intent === 'run'
        ? ''
        : paint.warn(`  ${state.intent.toUpperCase()}`)
  const capacity = capacityOf(state)
  const link = `link ${showRate(rate)}${capacity === undefined ? '' : ` of ${showRate(capacity)}`}`
  const title = `Evacuating ${paint.strong(started.endangered.join(', '))} to ${paint.strong(started.targets.join(', '))}`
  return [
    `${title}   policy ${started.policy}   elapsed ${showTime(between(state.startedAt, end))}${mood}`,
    [
      paint.good(`safe ${safe} of ${all.length}`),
      `sent ${showBytes(sent)}`,
      ...(state.endedAt === undefined ? [link] : []),
      ...(left > 0 ? [paint.bad(`left behind ${left}`)] : []),
      ...(doubtful > 0 ? [paint.warn(`uncertain ${doubtful}`)] : []),
    ].join('   '),
    ...(state.degraded === undefined ? [] : [paint.bad(state.degraded)]),
    ...[...state.inDanger.keys()].map(site => paint.bad(dangerLine(state, all, site))),
  ]
}

function dangerLine(state: Evacuation, all: readonly Migration[], site: SiteId): string {
  const there = all.filter(m => m.phase === 'landed' && siteOf(state.started.snapshot, m.target) === site).length
  const landed = there === 0 ? 'nothing has landed there' : `${there} landed there before, and must leave again`
  return `${site} is endangered itself: nothing more is sent there; ${landed}`
}

const sentBy = (m: Migration): number => {
  if (m.phase === 'landed') return m.bytesSent
  return m.wasted + (isMoving(m) ? (m.progress?.sent ?? 0) : 0)
}

/** Of the paths in use now, or of the first planned one. */
function capacityOf(state: Evacuation): number | undefined {
  const { snapshot } = state.started
  const some =
    [...state.migrations.values()].find(m => isMoving(m)) ??
    [...state.migrations.values()].find(m => m.phase === 'landed')
  return some === undefined || !('target' in some)
    ? undefined
    : pathBetween(snapshot, some.source, some.target)?.capacity
}

/** From so many columns on there is room for everything. */
const wide = 100
const bar = (share: number, { columns }: Size): string => {
  const width = columns < wide ? 8 : 16
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

const paintOf = (verdict: Verdict | undefined): ((text: string) => string) =>
  verdict === 'will-miss' ? paint.bad : verdict === 'at-risk' ? paint.warn : paint.good

/** The verdict and its reasons; on a low terminal only the first. */
function standingLines(state: Evacuation, prognosis: Prognosis, now: Instant, { rows }: Size): readonly string[] {
  if (state.endedAt !== undefined) return []
  const standing = standingOf(prognosis, now - state.startedAt, clockOf(state))
  if (standing === undefined) return []
  const { verdict, reasons } = standing
  const [first = '', ...others] = reasons
  // Of a low terminal the VMs need every line, unless something is wrong.
  if (rows < 12 && (verdict === undefined || verdict === 'on-track')) return []
  const line = verdict === undefined ? first : `${paintOf(verdict)(verdict.toUpperCase())}   ${first}`
  return [line, ...others].slice(0, rows < 16 ? 1 : 5)
}

interface Looking {
  readonly prognosis: Prognosis
  readonly now: Instant
  readonly size: Size
}

/** When it will be home, in the colour of its verdict. */
function homeIn(state: Evacuation, m: Migration, { prognosis, now }: Looking): string {
  const outlook = prognosis.outlooks.get(m.vm)
  if (outlook?.end === undefined) return ''
  const { triage } = prognosis
  const verdict =
    triage === undefined ? undefined : verdictOnVm(outlook, triage.deadline, between(state.startedAt, now))
  const text = shortSpan(outlook.end)
  return verdict === undefined || verdict === 'on-track' ? text : paintOf(verdict)(text)
}

function labelOf(m: Migration): string {
  if (m.phase === 'landed') return 'safe'
  if (m.phase === 'given-up') return outcomeOf(m)
  return m.phase
}

function row(state: Evacuation, m: Migration, look: Looking): readonly string[] {
  const name = `  ${m.vm}`
  switch (m.phase) {
    case 'landed': {
      const took = showTime(between(m.startedAt, m.switchedAt))
      const down = m.downtime === undefined || look.size.columns < wide ? '' : `, down ${showTime(m.downtime)}`
      const remark = m.sourceEnded || m.retire.why === undefined ? '' : paint.warn('  source copy lingers')
      return [name, paint.good('safe'), bar(1, look.size), '', '', `took ${took}${down}`, `${m.target}${remark}`]
    }
    case 'given-up':
      return [name, paint.bad(outcomeOf(m)), '', '', '', '', paint.bad(reasonOf(m) ?? '')]
    case 'queued':
      return [
        name,
        paint.dim(m.attempts > 0 ? `queued, attempt ${m.attempts + 1}` : 'queued'),
        '',
        '',
        '',
        homeIn(state, m, look),
        paint.dim(String(state.planned.get(m.vm) ?? '')),
      ]
    case 'preparing':
      return [name, m.ready ? 'ready' : 'preparing', '', '', '', homeIn(state, m, look), String(m.target)]
    case 'uncertain':
      return [name, paint.warn('uncertain'), '', '', '', '', paint.warn(m.why)]
    case 'pre-copy':
    case 'switchover':
    case 'post-copy':
      return movingRow(name, m, homeIn(state, m, look), look.size)
  }
}

function movingRow(
  name: string,
  m: Extract<Migration, { phase: 'pre-copy' | 'switchover' | 'post-copy' }>,
  eta: string,
  size: Size,
): readonly string[] {
  const { progress } = m
  const calledBack = m.phase === 'pre-copy' && m.cancelling !== undefined
  const disksFirst = m.phase === 'pre-copy' && progress !== undefined && copiesDisksFirst(progress)
  const label = calledBack ? paint.warn('calling back') : disksFirst ? 'disks' : m.phase
  if (progress === undefined) return [name, label, bar(0, size), '', '', eta, String(m.target)]
  const round = progress.round > 1 && m.phase === 'pre-copy' ? ` ${progress.round}` : ''
  // In the first pass the share of memory passed over; later only "nearly": rounds may repeat.
  const share = progress.total === 0 ? 0 : 1 - progress.remaining / progress.total
  const dirty = progress.dirtyRate === undefined || size.columns < wide ? '' : ` / ${showRate(progress.dirtyRate)}`
  return [
    name,
    `${label}${round}`,
    bar(share, size),
    showBytes(progress.remaining),
    `${showRate(progress.rate)}${dirty}`,
    eta,
    String(m.target),
  ]
}
