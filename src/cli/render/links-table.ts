/** Paths and hosts as the monitor has them, as text. A value that is not known says so, and why stands below the table. */
import type { HostState, LinkState } from '../../core/network/link-state.ts'
import { isKnown, type NotKnown } from '../../core/network/reading.ts'
import { showBytes, showRate, showTime } from '../../core/units.ts'
import type { Prior } from '../../monitor/history.ts'
import { paint } from './paint.ts'
import { sparkline } from './sparkline.ts'
import { fit, table } from './table.ts'

export interface ShownLink {
  readonly state: LinkState
  readonly prior: Prior | undefined
  /** Of the last hour, a number a minute. */
  readonly lastHour: readonly (number | undefined)[]
}

/** Columns of the small line. */
const lineWidth = 30
/** Where nothing is known of a path, chatter is not drawn as if it filled it. @unit bytes per second */
const leastTop = 1e6 / 8
const right = 'right' as const
const unknown = 'not known'
const nothing = '–'

export function linksLines(links: readonly ShownLink[], hosts: readonly HostState[], width: number): readonly string[] {
  const remarks = remarksOf(links)
  return [
    ...table(
      [
        { title: 'PATH' },
        { title: 'capacity', align: right },
        { title: 'measured', align: right },
        { title: 'in use', align: right },
        { title: 'by us', align: right },
        { title: 'by others', align: right },
        { title: 'RTT', align: right },
        { title: 'queue', align: right },
        { title: 'loss', align: right },
        { title: 'best flow', align: right },
        { title: 'in use, last 30 s' },
      ],
      links.flatMap(rowsOf),
    ),
    '',
    ...table(
      [
        { title: 'HOST' },
        { title: 'CPU', align: right },
        { title: 'stolen', align: right },
        { title: 'memory free', align: right },
        { title: 'waits for CPU', align: right },
        { title: 'memory', align: right },
        { title: 'disks', align: right },
        { title: '' },
      ],
      hosts.map(hostRow),
    ),
    ...(remarks.length === 0 ? [] : ['', ...remarks.map(line => paint.warn(line))]),
  ].map(line => fit(line, width))
}

function rowsOf({ state, prior, lastHour }: ShownLink): readonly (readonly string[])[] {
  const { link, measured } = state
  const { capacity } = link.path
  const top = Math.max(Number(capacity ?? 0), isKnown(measured) ? Number(measured.rate) : 0, leastTop)
  const now = [
    link.name,
    capacity === undefined ? nothing : showRate(capacity),
    isKnown(measured) ? `${measured.bound === 'full' ? '' : '≥ '}${showRate(measured.rate)}` : nothing,
    rate(state.inUse),
    rate(state.byUs),
    rate(state.byOthers),
    isKnown(state.rtt) ? showTime(state.rtt) : unknown,
    state.flows > 0 && isKnown(state.queueingDelay) ? showTime(state.queueingDelay) : nothing,
    isKnown(state.loss) ? percent(state.loss.share) : unknown,
    isKnown(state.bestFlow) ? showRate(state.bestFlow) : nothing,
    sparkline(state.trend.slice(-lineWidth), lineWidth, top),
  ]
  if (prior === undefined) return [now]
  const dim = (text: string): string => paint.dim(text)
  return [
    now,
    [
      '  before',
      '',
      prior.capacity === undefined
        ? nothing
        : `${prior.capacity.bound === 'full' ? '' : '≥ '}${showRate(prior.capacity.rate)}`,
      '',
      '',
      prior.background === undefined ? nothing : showRate(prior.background),
      prior.rtt === undefined ? nothing : showTime(prior.rtt),
      '',
      prior.loss === undefined ? nothing : percent(prior.loss),
      prior.bestFlow === undefined ? nothing : showRate(prior.bestFlow),
      lastHour.some(each => each !== undefined) ? `${sparkline(lastHour, lineWidth, top)} last hour` : '',
    ].map(dim),
  ]
}

function hostRow(host: HostState): readonly string[] {
  const { pressure } = host
  const waits = (of: 'cpu' | 'memory' | 'io'): string => {
    const value = isKnown(pressure) ? pressure[of] : undefined
    return value === undefined ? nothing : percent(value)
  }
  const dropped = Object.entries(host.dropped).map(([why, n]) => `${n} × ${why}`)
  return [
    host.host,
    isKnown(host.cpuBusy) ? percent(host.cpuBusy) : unknown,
    isKnown(host.stolen) ? percent(host.stolen) : unknown,
    isKnown(host.memoryAvailable) ? showBytes(host.memoryAvailable) : unknown,
    waits('cpu'),
    waits('memory'),
    waits('io'),
    host.silent === undefined
      ? dropped.length === 0
        ? ''
        : paint.warn(`not believed: ${dropped.join(', ')}`)
      : paint.bad('does not answer'),
  ]
}

/** Reasons, each once, with the paths they are about. */
function remarksOf(links: readonly ShownLink[]): readonly string[] {
  const about = new Map<string, string[]>()
  for (const { state } of links) {
    const rtt = isKnown(state.rtt) ? undefined : state.rtt.why
    const loss = isKnown(state.loss) ? undefined : state.loss.why
    const ofEchoes =
      rtt === loss
        ? [['RTT and loss', rtt]]
        : [
            ['RTT', rtt],
            ['loss', loss],
          ]
    // A host that is not read is reason enough for all that it would have told.
    const whys = state.remarks.some(remark => remark.includes(' is not read: '))
      ? state.remarks
      : [...state.remarks, ...ofEchoes.flatMap(([what, why]) => (why === undefined ? [] : [`${what}: ${why}`]))]
    for (const why of new Set(whys)) about.set(why, [...(about.get(why) ?? []), state.link.name])
  }
  return [...about].map(([why, names]) => `${names.join(', ')}: not known (${why})`)
}

const rate = (value: number | NotKnown): string => (typeof value === 'number' ? showRate(Math.round(value)) : unknown)
const percent = (share: number): string => `${Number((share * 100).toPrecision(share >= 0.1 ? 3 : 2))}%`
