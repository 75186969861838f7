/** A preflight for people: every VM with its verdict, then every reason with what to do, alike ones together. Pure. */
import type { Preflight, VmVerdict } from '../../core/preflight/preflight.ts'
import { few, type Severity } from '../../core/preflight/reason.ts'
import { type Finding, nextStepOf, sentenceOfReason } from '../../core/preflight/rule-table.ts'
import { findingsOf, type PreflightSummary, showSummary } from '../../core/preflight/summary.ts'
import { paint } from './paint.ts'
import { table } from './table.ts'

const grave: readonly Severity[] = ['blocks', 'warns', 'note']
const colour = { blocks: paint.bad, warns: paint.warn, note: paint.dim } as const
const verdicts = { 'can-go': 'can go', cannot: 'cannot', stays: 'stays' } as const
const verdictColour = { 'can-go': paint.good, cannot: paint.bad, stays: paint.dim } as const

export function checkLines(preflight: Preflight, summary: PreflightSummary): readonly string[] {
  const { vms, endangered, targets, findings } = preflight
  const right = 'right' as const
  const rows = vms.map(verdict => {
    const count = (severity: Severity): string => {
      const n = findingsOf(verdict).filter(each => each.severity === severity).length
      return n === 0 ? '' : String(n)
    }
    return [
      verdict.vm,
      verdict.host,
      verdictColour[verdict.verdict](verdicts[verdict.verdict]),
      verdict.place ?? '–',
      count('blocks'),
      count('warns'),
      count('note'),
    ]
  })
  const columns = [
    { title: 'VM' },
    { title: 'host' },
    { title: 'verdict' },
    { title: 'would go to' },
    { title: 'blocks', align: right },
    { title: 'warns', align: right },
    { title: 'notes', align: right },
  ]
  return [
    `Preflight: ${endangered.join(', ')} to ${targets.join(', ')}. Nothing was moved.`,
    '',
    ...(rows.length === 0 ? [] : [...table(columns, rows), '']),
    ...hostLines(findings),
    ...vmLines(vms),
    summary.allCanGo ? paint.good(showSummary(summary)) : paint.bad(showSummary(summary)),
  ]
}

/** What holds for all that leaves a host, comes to one, or goes from one to another. */
function hostLines(findings: readonly Finding[]): readonly string[] {
  const between = ({ host, target }: Finding): string => (target === undefined ? host : `${host} → ${target}`)
  return inOrder([...groupBy(findings, told).values()]).flatMap(alike => {
    const [first] = alike
    return first === undefined ? [] : [...paragraph(first, few([...new Set(alike.map(between))], 4)), '']
  })
}

/** VMs with the same reasons are told of together. */
function vmLines(vms: readonly VmVerdict[]): readonly string[] {
  const talked = vms.filter(verdict => findingsOf(verdict).length > 0)
  const alike = groupBy(talked, verdict =>
    [verdict.verdict, ...findingsOf(verdict).map(finding => `${finding.target} ${told(finding)}`)].join('\n'),
  )
  return [...alike.values()].flatMap(group => {
    const [first] = group
    if (first === undefined) return []
    const head = `${few(
      group.map(({ vm }) => vm),
      8,
    )}: ${verdictColour[first.verdict](verdicts[first.verdict])}`
    return [paint.strong(head), ...reasonsOf(first).map(line => `  ${line}`), '']
  })
}

/** One that is the same at several targets is told once. */
function reasonsOf(verdict: VmVerdict): readonly string[] {
  const all = verdict.targets.length
  return inOrder([...groupBy(findingsOf(verdict), told).values()]).flatMap(alike => {
    const [first] = alike
    if (first === undefined) return []
    const targets = alike.flatMap(({ target }) => target ?? [])
    const where = targets.length === 0 ? '' : targets.length === all && all > 1 ? 'every target' : few(targets, 4)
    return paragraph(first, where)
  })
}

function paragraph(finding: Finding, where: string): readonly string[] {
  const { severity, reason } = finding
  const place = where === '' ? '' : `${where}: `
  return [
    `${colour[severity](severity.padEnd(6))}  ${place}${sentenceOfReason(reason)} ${paint.dim(`[${reason.rule}]`)}`,
    `        ${paint.dim('→')} ${nextStepOf(reason)}`,
  ]
}

const told = ({ reason }: Finding): string => `${reason.rule} ${sentenceOfReason(reason)}`
const inOrder = (groups: readonly (readonly Finding[])[]): readonly (readonly Finding[])[] =>
  groups.toSorted((a, b) => rank(a) - rank(b))
const rank = ([first]: readonly Finding[]): number => (first === undefined ? 0 : grave.indexOf(first.severity))

function groupBy<T>(all: readonly T[], keyOf: (each: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const each of all) {
    const key = keyOf(each)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [each])
    else group.push(each)
  }
  return groups
}
