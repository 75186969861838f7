/** `lifeboat simulate FOLDER`: a scenario in virtual time, under one policy or several side by side. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLogUpdate } from 'log-update'
import type { Command as Program } from 'commander'
import { printInventory } from '../../config/inventory-file.ts'
import { readIfThere, readScenario, type Scenario, scenarioFiles } from '../../config/scenario-folder.ts'
import { printTimeline } from '../../config/timeline-file.ts'
import { ConfigError, type Problem } from '../../config/yaml-file.ts'
import { parseWorldSpec, worldSpecExample } from '../../config/world-spec.ts'
import { defaultPolicy, policyByName, policyNames } from '../../core/policy/policy-by-name.ts'
import type { Report } from '../../core/report/report.ts'
import { generateWorld } from '../../core/sim/generate.ts'
import { sidesOf } from '../../core/sim/rehearse.ts'
import { vmsOfSite } from '../../core/inventory/snapshot.ts'
import type { BytesPerSecond } from '../../core/units.ts'
import { CliError, exitCode, usageError } from '../exit.ts'
import { err, formatOf, out, outJson, outLines } from '../output.ts'
import { countOption, positiveQuantityOption } from '../quantity-option.ts'
import { oracleName, type Rehearsed, rehearseRivals } from '../rehearse-rivals.ts'
import { plotSvg } from '../render/plot-svg.ts'
import { reportLines } from '../render/report-table.ts'
import { rivalsLines } from '../render/rivals-table.ts'

interface SimulateFlags {
  readonly policy?: string
  readonly policies?: readonly string[]
  readonly seed: number
  readonly runs: number
  readonly maxParallel?: number
  readonly bandwidth?: BytesPerSecond
  readonly log?: boolean
  readonly accept?: boolean
  readonly check?: boolean
  readonly plot?: string
  readonly generate?: string
  readonly output?: string
}

const help = `
A scenario is a folder (docs/scenarios.md): inventory.yaml says what the world is, timeline.yaml what happens to it. "lifeboat inventory export"
writes the first from your own hosts; an incident of yours is a timeline beside it.

  lifeboat simulate scenarios/step-down
  lifeboat simulate scenarios/step-down --policies sequential,fixed:4,aimd,oracle
  lifeboat simulate scenarios/step-down --policy fixed:4 --runs 100     random parts drawn anew: mean and 95 % interval
  lifeboat simulate scenarios/step-down --plot step-down.svg
  lifeboat simulate scenarios/* --check                                 every folder still decided as it was
  lifeboat simulate my-world --generate '${worldSpecExample}'

Policies: ${[...policyNames, oracleName].join(', ')}.
The oracle knows the whole timeline and says what nobody could beat: "exact" is the optimum of a world in which memory is a fluid and nothing
takes time but the crossing, "bound" is proven to be no worse than that.

Exits with 0 when every VM is safe under every policy, 1 when some are not, 2 for mistakes in the folder (all are told at once).`

export function addSimulate(program: Program): void {
  program
    .command('simulate')
    .summary('rehearse an evacuation in virtual time: what if, and which policy')
    .argument('<folder...>', 'a scenario folder, or several')
    .option('--policy <name>', 'the policy (default: what policy.yaml says, else the one evacuate uses)')
    .option('--policies <a,b,c>', 'several, side by side', list)
    .addOption(
      countOption('--seed <n>', 'of the random parts: the same folder and seed give the same log, always', 0, 1),
    )
    .addOption(countOption('--runs <n>', 'so many seeds from that one on; mean and 95 % interval', 1, 1))
    .addOption(countOption('--max-parallel <n>', 'at most so many migrations at one time', 1))
    .addOption(positiveQuantityOption('--bandwidth <rate>', 'rate', 'at most this for all migrations together'))
    .option('--log', 'print the decisions, a line each, and nothing else')
    .option('--accept', 'write the decisions to expect.log in the folder')
    .option('--check', 'compare the decisions with expect.log; exit with 1 where they differ')
    .option('--plot <file.svg>', 'draw who is safe when, the paths, and the VMs')
    .option('--generate <json>', 'make the folder from a few numbers first')
    .option('-o, --output <format>', 'text or json (a report; an array of them for several policies or runs)')
    .addHelpText('after', help)
    .action(async (folders: readonly string[], flags: SimulateFlags) => {
      process.exitCode = await simulateAll(folders, flags)
    })
}

const list = (text: string): readonly string[] =>
  text
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')

/** One after the other; the exit code is that of the worst. */
async function simulateAll(folders: readonly string[], flags: SimulateFlags): Promise<number> {
  const format = formatOf(flags.output, ['text', 'json'])
  if (flags.policy !== undefined && flags.policies !== undefined)
    throw usageError('--policy and --policies: one of them')
  const [folder = ''] = folders
  if (folders.length > 1 && (flags.log === true || flags.plot !== undefined || flags.generate !== undefined))
    throw usageError('--log, --plot and --generate are for one folder')
  if (flags.generate !== undefined) generateFolder(folder, flags.generate)
  // All mistakes of all folders before the first is run.
  const scenarios = readAll(folders)
  const stop = new AbortController()
  const onInterrupt = (): void => stop.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const reports: Report[] = []
    let worst: number = exitCode.asAsked
    for (const { place, scenario } of scenarios) {
      if (stop.signal.aborted) break
      const all = await simulated(scenario, flags, stop.signal)
      reports.push(...all.map(({ report }) => report))
      if (scenarios.length > 1 && format === 'text' && flags.check !== true && flags.accept !== true) out(`\n${place}`)
      worst = Math.max(worst, present(place, scenario, flags, format === 'json', all, stop.signal.aborted))
    }
    const one = scenarios.length === 1 && flags.policies === undefined && flags.runs === 1
    if (format === 'json' && flags.log !== true) outJson(one ? reports[0] : reports)
    return worst
  } finally {
    process.removeListener('SIGINT', onInterrupt)
  }
}

interface Placed {
  readonly place: string
  readonly scenario: Scenario
}

function readAll(folders: readonly string[]): readonly Placed[] {
  const problems: Problem[] = []
  const read = folders.flatMap((place): Placed[] => {
    try {
      return [{ place, scenario: readScenario(place) }]
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(...error.problems)
      return []
    }
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return read
}

async function simulated(scenario: Scenario, flags: SimulateFlags, signal: AbortSignal): Promise<readonly Rehearsed[]> {
  const policies = policiesOf(flags, scenario)
  const wantsLog = flags.log === true || flags.accept === true || flags.check === true
  if (wantsLog && (policies.length > 1 || policies[0] === oracleName))
    throw usageError('--log, --accept and --check are for one policy, which decides something')
  const { limits } = scenario.policy
  const progress = progressLine()
  try {
    return await rehearseRivals({
      scenario,
      policies,
      limits: {
        maxParallel: flags.maxParallel ?? limits.maxParallel,
        bandwidth: flags.bandwidth ?? limits.bandwidth,
      },
      seeds: Array.from({ length: flags.runs }, (_, n) => flags.seed + n),
      wantsLog,
      wantsCurves: flags.plot !== undefined,
      signal,
      onProgress: progress.show,
    })
  } finally {
    progress.end()
  }
}

function policiesOf(flags: SimulateFlags, scenario: Scenario): readonly string[] {
  const named = flags.policies ?? [flags.policy ?? scenario.policy.policy ?? defaultPolicy]
  if (named.length === 0) throw usageError('--policies: name at least one')
  for (const name of named) if (name !== oracleName) policyByName(name)
  return named
}

function present(
  folder: string,
  scenario: Scenario,
  flags: SimulateFlags,
  json: boolean,
  all: readonly Rehearsed[],
  interrupted: boolean,
): number {
  const log = all.find(each => each.log !== undefined)?.log
  const verdict = flags.check === true && log !== undefined ? compare(folder, log) : undefined
  if (flags.log === true) outLines(log ?? [])
  else if (!json && verdict !== undefined) out(verdict.text)
  else if (!json && (flags.accept !== true || flags.plot !== undefined)) outLines(textOf(scenario, flags, all))
  if (flags.accept === true && log !== undefined && !interrupted) accept(folder, log)
  if (flags.plot !== undefined && all.length > 0) writePlot(flags.plot, scenario, flags, all)
  for (const { policy, seed, cutShort } of all)
    if (cutShort && !interrupted) err(`policy ${policy}, seed ${seed}: had not come to an end after 48 hours`)
  if (interrupted) {
    err(
      `interrupted after ${all.length} of ${flags.runs * policiesOf(flags, scenario).length} runs; what there is, is above`,
    )
    return exitCode.interrupted
  }
  if (verdict !== undefined) return verdict.same ? exitCode.asAsked : exitCode.partly
  const allSafe = all.every(
    ({ policy, report: { summary } }) => policy.startsWith(oracleName) || summary.safe === summary.vms,
  )
  return allSafe ? exitCode.asAsked : exitCode.partly
}

function textOf(scenario: Scenario, flags: SimulateFlags, all: readonly Rehearsed[]): readonly string[] {
  const [first] = all
  if (first === undefined) return ['nothing was run']
  if (flags.policies === undefined && flags.runs === 1 && first.report.vms.length > 0) return reportLines(first.report)
  const policies = [...new Set(all.map(({ policy }) => policy.replace(/ \(.*/, '')))]
  const rivals = policies.map(policy => {
    const theirs = all.filter(each => each.policy.replace(/ \(.*/, '') === policy)
    const names = [...new Set(theirs.map(each => each.policy))]
    return { policy: names.join(' or '), reports: theirs.map(({ report }) => report) }
  })
  const { vms, value } = first.report.summary
  const runs =
    flags.runs === 1
      ? `seed ${flags.seed}`
      : `seeds ${flags.seed} to ${flags.seed + flags.runs - 1}, mean ± 95 % interval`
  return [`${scenario.name}: ${vms} VMs${value === vms ? '' : `, value ${value}`}; ${runs}`, '', ...rivalsLines(rivals)]
}

function accept(folder: string, log: readonly string[]): void {
  const file = join(folder, scenarioFiles.expected)
  writeFileSync(file, `${log.join('\n')}\n`)
  err(`${file}: ${log.length} lines`)
}

function compare(folder: string, log: readonly string[]): { readonly same: boolean; readonly text: string } {
  const file = join(folder, scenarioFiles.expected)
  const text = readIfThere(file)
  if (text === undefined) throw usageError(`${file} is not there; --accept writes it`)
  const expected = text.replace(/\n$/, '').split('\n')
  const at = Array.from({ length: Math.max(log.length, expected.length) }, (_, n) => n).find(
    n => log[n] !== expected[n],
  )
  if (at === undefined) return { same: true, text: `${folder}: as expected, ${log.length} lines` }
  return {
    same: false,
    text: `${file}:${at + 1}: differs\n  expected: ${expected[at] ?? '(the end)'}\n  decided:  ${log[at] ?? '(the end)'}\n--accept takes it as it is now`,
  }
}

function writePlot(file: string, scenario: Scenario, flags: SimulateFlags, all: readonly Rehearsed[]): void {
  const { endangered } = sidesOf(scenario.snapshot)
  const vms = endangered.reduce((sum, site) => sum + vmsOfSite(scenario.snapshot, site).length, 0)
  const runs = all.flatMap(({ policy, seed, recorded }) =>
    recorded === undefined || seed !== flags.seed ? [] : [{ policy, recorded }],
  )
  try {
    writeFileSync(file, plotSvg({ title: `${scenario.name}, seed ${flags.seed}`, vms, runs }))
  } catch (error) {
    throw new CliError(exitCode.usage, `--plot ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
  err(`drawn: ${file}`)
}

/** @throws ConfigError for the numbers; CliError when there is something in the folder already */
function generateFolder(folder: string, json: string): void {
  const spec = parseWorldSpec(json)
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new CliError(
      exitCode.refused,
      `${folder} is not empty; nothing was generated. Name a new folder, or empty this one`,
    )
  const { snapshot, timeline } = generateWorld(spec)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, scenarioFiles.inventory), printInventory(snapshot, `Generated: ${json}`))
  writeFileSync(join(folder, scenarioFiles.timeline), timeline.length === 0 ? '[]\n' : printTimeline(timeline))
  writeFileSync(
    join(folder, 'README.md'),
    `Generated: ${spec.vms} VMs on ${spec.endangered * spec.hosts} hosts, path ${spec.path.kind}, seed ${spec.seed}.\n`,
  )
  err(`generated: ${folder}`)
}

/** On a terminal one line that is repainted; elsewhere one line every few seconds, for runs that take long. */
function progressLine(): { show: (text: string) => void; end: () => void } {
  const tty = process.stderr.isTTY && process.env['TERM'] !== 'dumb'
  const update = tty ? createLogUpdate(process.stderr) : undefined
  const every = tty ? 100 : 5_000
  let last = performance.now()
  return {
    show: text => {
      if (performance.now() - last < every) return
      last = performance.now()
      if (update === undefined) err(text)
      else update(text)
    },
    end: () => update?.clear(),
  }
}
