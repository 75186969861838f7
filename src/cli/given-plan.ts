/** `--plan FILE` and `plan --check FILE`: a plan that somebody edited, read, judged against the world as it is now, and explained. */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { largestPlan, parsePlanFile, type PlanFile } from '../config/plan-file.ts'
import { showProblem } from '../config/yaml-file.ts'
import { type BrokenRule, showBrokenRule } from '../core/plan/check-plan.ts'
import { adoptPlan, type Adopted, showGap } from '../core/plan/given-plan.ts'
import type { PlanRequest } from '../core/plan/plan-evacuation.ts'
import type { Plan } from '../core/plan/plan.ts'
import { CliError, exitCode, usageError } from './exit.ts'
import { err } from './output.ts'

export interface ReadPlan extends PlanFile {
  readonly file: string
}

/** @throws CliError when it cannot be read; ConfigError with every mistake, its line and column */
export function readPlan(named: string, flag: '--plan' | '--check'): ReadPlan {
  const file = resolve(named)
  const plan = parsePlanFile(textOf(file, `${flag} ${named}`), named)
  for (const problem of plan.unknown) err(`warning: ${showProblem(problem)}`)
  return { ...plan, file }
}

function textOf(file: string, named: string): string {
  try {
    const { size } = statSync(file)
    if (size > largestPlan) throw usageError(`${named}: ${size} bytes are more than any plan has (${largestPlan})`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof CliError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new CliError(
      exitCode.usage,
      `${named} cannot be read: ${why}\nMake one: lifeboat plan SITE -o json > plan.json`,
      { cause: error },
    )
  }
}

/**
 * @param partial what the plan leaves open is left alone
 * @throws CliError with every broken rule and every gap; 4 when memory is all that is missing, else 3
 */
export function insistOnPlan(request: PlanRequest, plan: ReadPlan, partial: boolean): Plan {
  const adopted = adoptPlan(request, plan.given)
  const { broken, gaps } = adopted
  const say = (lines: readonly string[]): string => lines.map(line => `  ${line}`).join('\n')
  const rules = broken.map(rule => `${plan.placeOf(rule.vm)}: ${showBrokenRule(rule)}${remedyOf(rule)}`)
  const open = gaps.map(gap => `${plan.placeOf(gap.vm)}: ${showGap(gap)}`)
  if (broken.length === 0 && (gaps.length === 0 || partial)) {
    if (gaps.length > 0) err(`warning: left alone (--partial):\n${say(open)}`)
    return adopted.plan
  }
  const parts = [
    ...(rules.length === 0 ? [] : [`the plan breaks ${count(rules.length, 'rule')}:\n${say(rules)}`]),
    ...(open.length === 0 || partial ? [] : [`the plan leaves ${count(open.length, 'VM')} open:\n${say(open)}`]),
  ]
  throw new CliError(codeOf(adopted), `${parts.join('\n')}\nNothing was moved. ${adviceOf(adopted, partial)}`)
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

function codeOf({ broken }: Adopted) {
  return broken.length > 0 && broken.every(({ rule }) => rule === 'over-memory')
    ? exitCode.infeasible
    : exitCode.refused
}

function adviceOf({ broken, gaps }: Adopted, partial: boolean): string {
  if (broken.length === 0) return 'Mend the plan, or go on without these: --partial.'
  return gaps.length === 0 || partial
    ? 'Mend the plan; no flag allows this.'
    : 'Mend the plan; --partial allows what it leaves open, but no broken rule.'
}

/** What the sentence of the judge does not say itself. */
function remedyOf(broken: BrokenRule): string {
  switch (broken.rule) {
    case 'not-at-source':
      return `; write source: ${broken.home}, or leave it out`
    case 'may-not-move':
      return `; put { vm: ${broken.vm}, reason: "…" } under stay:`
    case 'target-not-chosen':
      return '; name its site with --to, or choose another host'
    case 'over-memory':
    case 'target-not-allowed':
    case 'beside':
    case 'target-endangered':
    case 'target-silent':
    case 'no-path':
      return '; choose another host'
    case 'unknown-vm':
    case 'unknown-host':
    case 'twice':
    case 'forgotten':
    case 'not-endangered':
    case 'ends-before-start':
      return ''
  }
}
