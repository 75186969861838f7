/** `lifeboat evacuate SITE --to SITE…`: the one command of the worst day. */
import { createInterface } from 'node:readline/promises'
import { type Command as Program, Option } from 'commander'
import type { Evacuation } from '../../core/control/evacuation.ts'
import type { Limits, Observed, Started } from '../../core/control/observed.ts'
import type { HostId, SiteId } from '../../core/ids.ts'
import type { Snapshot } from '../../core/inventory/snapshot.ts'
import { showFailure } from '../../core/migration/failure.ts'
import { isInFlight } from '../../core/migration/migration.ts'
import { checkPlan, showBrokenRule } from '../../core/plan/check-plan.ts'
import { planEvacuation, type PlanRequest } from '../../core/plan/plan-evacuation.ts'
import type { Plan } from '../../core/plan/plan.ts'
import { rateStepOf } from '../../core/policy/rate-step.ts'
import { defaultPolicy, policyByName, policyNames } from '../../core/policy/policy-by-name.ts'
import { forecastPlan, planWithForecast } from '../../core/report/plan-forecast.ts'
import { reportOf } from '../../core/report/report.ts'
import { showTriage } from '../../core/report/triage-sentence.ts'
import { type BytesPerSecond, bytesPerSecond, type Milliseconds, showRate } from '../../core/units.ts'
import { learnedBefore } from '../../engine/learned-before.ts'
import { serveOrders } from '../../engine/control-socket.ts'
import { realClock } from '../../engine/real-clock.ts'
import { type RunHandle, type RunResult, runEvacuation } from '../../engine/run-evacuation.ts'
import { lockSite, type SiteLock } from '../../engine/site-lock.ts'
import { journalOf, listEvacuations, newEvacuation } from '../../engine/state-folder.ts'
import type { Journal } from '../../journal/journal.ts'
import { replay } from '../../journal/replay.ts'
import { createJournal, openJournal } from '../../journal/sqlite-journal.ts'
import { CliError, exitCode, type ExitCode, usageError } from '../exit.ts'
import { type Fleet, questionOf, siteNamed, snapshotOf, withFleet, within, worldOf } from '../fleet.ts'
import { insistOnPlan, readPlan } from '../given-plan.ts'
import { exitOfPlan, misfits, nobodyRuns } from '../plan-exit.ts'
import { flowing } from '../help-text.ts'
import { whoami } from '../identity.ts'
import { type Between, watchNetwork } from '../watch-network.ts'
import { type LiveView, liveView } from '../live-view.ts'
import { err, type Format, formatOf, out, outJson, outLines } from '../output.ts'
import { countOption, positiveQuantityOption } from '../quantity-option.ts'
import { wallClock } from '../render/clock.ts'
import { planLines } from '../render/plan-table.ts'
import { reportLines } from '../render/report-table.ts'
import { warnAbout } from '../warn.ts'

export interface EvacuateFlags {
  readonly to: readonly string[]
  readonly policy?: string
  readonly maxParallel?: number
  readonly bandwidth?: BytesPerSecond
  readonly deadline?: Milliseconds
  readonly yes?: boolean
  readonly dryRun?: boolean
  readonly plan?: string
  readonly partial?: boolean
  readonly resume?: boolean
  readonly output?: string
  readonly config?: string
  /** The report is the caller's to print; the live view goes to standard error. */
  readonly quiet?: boolean
}

export function addEvacuate(program: Program): void {
  program
    .command('evacuate')
    .summary('bring the VMs of a site to safe sites, by live migration')
    .description(
      flowing(`Brings every VM of SITE to the sites named with --to, by live migration, and shows how it goes.

First Ctrl-C: no new migrations start, running ones finish. Second: this program leaves, the hypervisors go on, and
"lifeboat evacuate SITE --resume" takes the evacuation up again. So does it after a crash.

From another terminal: lifeboat watch, pause, resume, abort, endanger SITE, explain VM.

Exit codes: 0 all as asked, 1 some VMs failed or stayed or a host was silent, 2 usage or configuration, 3 refused by a safety
rule (the message names the flag that allows it), 4 not all VMs fit, 130 interrupted.`),
    )
    .argument('<site>', 'the endangered site')
    .addOption(new Option('--to <site...>', 'where the VMs go').default([], 'every site marked safe'))
    .option(
      '--policy <name>',
      `who goes when: ${policyNames.join(', ')} (default: from the configuration, else ${defaultPolicy})`,
    )
    .addOption(countOption('--max-parallel <n>', 'at most so many migrations at a time, whatever the policy wants', 1))
    .addOption(
      positiveQuantityOption('--bandwidth <rate>', 'rate', 'at most this for all migrations together, like 200Mbit/s'),
    )
    .addOption(
      positiveQuantityOption('--deadline <time>', 'time', 'nothing leaves after that, like 15m: says who does not fit'),
    )
    .option('--yes', 'do not ask')
    .option('--dry-run', 'show the plan and do nothing')
    .option('--plan <file>', 'a plan you edited (lifeboat plan SITE -o json > plan.json): its order, its targets')
    .option('--partial', 'go on although some VMs do not fit anywhere, or the plan leaves some open')
    .option('--resume', 'take up an evacuation that was interrupted')
    .option('-o, --output <format>', 'text, json (the report at the end), ndjson (every fact as it happens)')
    .addHelpText(
      'after',
      `
Examples:
  lifeboat evacuate sendai --to osaka --dry-run
  lifeboat evacuate sendai --to osaka --yes
  lifeboat plan sendai -o json > plan.json; $EDITOR plan.json; lifeboat evacuate sendai --plan plan.json`,
    )
    .action(async (site: string, flags: EvacuateFlags, command: Program) => {
      const config = command.optsWithGlobals<{ config?: string }>().config
      process.exitCode = await withFleet(config, fleet => evacuate(fleet, site, flags))
    })
}

export async function evacuate(fleet: Fleet, site: string, flags: EvacuateFlags): Promise<ExitCode> {
  const format = formatOf(flags.output, ['text', 'json', 'ndjson'])
  if (flags.resume === true) {
    if (flags.plan !== undefined)
      throw usageError('--resume goes on with the plan it began with; --plan is for a new evacuation')
    return resumeEvacuation(fleet, site, format)
  }
  const question = questionOf(fleet, site, flags.to)
  const given = flags.plan === undefined ? undefined : readPlan(flags.plan, '--plan')
  const policy = flags.policy ?? given?.given.policy ?? fleet.config.policy.name ?? defaultPolicy
  const { slots, order = 'inventory' } = policyByName(policy)
  const limits = limitsOf(fleet, flags)
  const world = worldOf(fleet, question.endangered)
  const signal = AbortSignal.timeout(120_000)

  const lock = flags.dryRun === true ? undefined : lockSite(fleet.stateDir, siteNamed(fleet, site))
  try {
    const taken = await snapshotOf(fleet, signal)
    const snapshot = within(taken.snapshot, flags.deadline)
    warnAbout(taken)
    insistOnBandwidth(snapshot, question.endangered, limits.bandwidth)
    const request: PlanRequest = {
      snapshot,
      ...question,
      policy,
      slots: Math.min(slots, limits.maxParallel ?? slots),
      order,
      bandwidth: limits.bandwidth,
    }
    const plan = given === undefined ? planEvacuation(request) : insistOnPlan(request, given, flags.partial === true)
    const broken = checkPlan({ snapshot, ...question }, plan)
    if (broken.length > 0) throw new Error(`the plan breaks rules:\n${broken.map(showBrokenRule).join('\n')}`)
    const correction = learnedBefore(fleet.stateDir, world)
    const forecast = forecastPlan({ snapshot, ...question, policy, limits, correction }, plan)
    const lines = planLines(plan, snapshot, forecast, wallClock(fleet.clock.now()))
    if (flags.dryRun === true) {
      if (format === 'json') outJson(planWithForecast(plan, forecast))
      else outLines(lines)
      return exitOfPlan(plan, snapshot, question.endangered)
    }
    if (lock === undefined) throw new Error('the site is not locked')
    refuseMisfits(plan, flags)
    const nobody = plan.moves.length === 0 && plan.unplaced.length === 0
    if (nobody && format === 'text') {
      out(nobodyRuns(site, snapshot, question.endangered))
      return exitOfPlan(plan, snapshot, question.endangered)
    }
    // A program that asked for a report gets one, of nobody; there is nothing to confirm.
    if (!nobody) await confirm(flags, lines, site)
    // Who confirmed has read it in the plan.
    if (flags.yes === true && forecast.triage !== undefined)
      err(
        `${forecast.triage.verdict ?? 'nobody to move'}: ${showTriage(forecast.triage, wallClock(fleet.clock.now()))}`,
      )
    const id = newEvacuation(fleet.stateDir, question.endangered, fleet.clock.now())
    const started: Started = {
      kind: 'evacuation-started',
      id,
      snapshot,
      ...question,
      policy,
      limits,
      plan,
      ...(given === undefined ? {} : { planFile: given.file }),
      world,
      correction,
      seed: 0,
      by: whoami(),
    }
    const file = journalOf(fleet.stateDir, id)
    return await conduct(fleet, {
      lock,
      journal: createJournal(file),
      file,
      id,
      resumeFrom: undefined,
      first: started,
      between: { ...question, limits },
      format,
      site,
      unreachable: snapshot.unreachable.length,
      quiet: flags.quiet === true,
    })
  } finally {
    lock?.release()
  }
}

const limitsOf = ({ config }: Fleet, flags: EvacuateFlags): Limits => ({
  maxParallel: flags.maxParallel ?? config.policy.maxParallel,
  bandwidth: flags.bandwidth ?? config.policy.bandwidth,
})

function refuseMisfits(plan: Plan, flags: EvacuateFlags): void {
  const stuck = misfits(plan)
  if (stuck.length === 0 || flags.partial === true) return
  const reasons = stuck.map(({ vm, failure }) => `  ${vm}: ${showFailure(failure).replace(/^no target: /, '')}`)
  throw new CliError(
    exitCode.infeasible,
    `${stuck.length} of ${plan.moves.length + plan.unplaced.length} VMs do not fit anywhere:\n${reasons.join('\n')}\nNothing was moved. Evacuate the others with --partial.`,
  )
}

async function confirm(flags: EvacuateFlags, lines: readonly string[], site: string): Promise<void> {
  if (flags.yes === true) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new CliError(
      exitCode.refused,
      `evacuating ${site} moves running VMs; there is no terminal to ask on. Say --yes to do it, --dry-run to look first.`,
    )
  }
  err(lines.join('\n'))
  const ask = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await ask.question(`Evacuate ${site} now? [y/N] `)
    if (!/^y(es)?$/i.test(answer.trim()))
      throw new CliError(exitCode.refused, 'not confirmed; nothing was moved (--yes does not ask)')
  } finally {
    ask.close()
  }
}

async function resumeEvacuation(fleet: Fleet, site: string, format: Format): Promise<ExitCode> {
  const id = siteNamed(fleet, site)
  const lock = lockSite(fleet.stateDir, id)
  try {
    for (const evacuation of [...listEvacuations(fleet.stateDir)].reverse()) {
      const file = journalOf(fleet.stateDir, evacuation)
      const journal = openJournal(file)
      const rows = journal.read(0)
      const state = replay(rows, undefined)
      if (state === undefined || !state.started.endangered.includes(id)) {
        journal.close()
        continue
      }
      if (state.endedAt !== undefined) {
        journal.close()
        throw usageError(
          `the last evacuation of ${site} (${evacuation}) has ended; there is nothing to resume. See: lifeboat report ${site}`,
        )
      }
      const clock = realClock(rows.at(-1)?.at)
      const first: Observed = { kind: 'controller-restarted', by: whoami() }
      const { started } = state
      return await conduct(
        { ...fleet, clock },
        {
          lock,
          journal,
          file,
          id: evacuation,
          resumeFrom: state,
          first,
          between: started,
          format,
          site,
          unreachable: 0,
          quiet: false,
        },
      )
    }
    throw usageError(
      `no evacuation of ${site} to resume in ${fleet.stateDir}; start one: lifeboat evacuate ${site} --to SITE`,
    )
  } finally {
    lock.release()
  }
}

/** @throws UsageError for a bound that no cap of these hosts keeps */
function insistOnBandwidth(snapshot: Snapshot, endangered: readonly SiteId[], bandwidth: Limits['bandwidth']): void {
  const leaving = snapshot.hosts.filter(({ site }) => endangered.includes(site))
  const coarsest = leaving.reduce((most, { id }) => Math.max(most, rateStepOf(snapshot, id)), 0)
  if (bandwidth === undefined || bandwidth >= coarsest) return
  throw usageError(
    `a bandwidth of ${showRate(bandwidth)} cannot be kept: libvirt bounds a migration to whole MiB a second, so ${showRate(bytesPerSecond(coarsest))} is the least`,
  )
}

interface Conduct {
  readonly lock: SiteLock
  readonly journal: Journal
  readonly file: string
  readonly id: string
  readonly resumeFrom: Evacuation | undefined
  readonly first: Observed
  readonly between: Between
  readonly format: Format
  readonly site: string
  readonly unreachable: number
  readonly quiet: boolean
}

async function conduct(fleet: Fleet, run: Conduct): Promise<ExitCode> {
  const { journal, format, site } = run
  run.lock.describe({ evacuation: run.id, pid: process.pid, by: whoami(), since: new Date().toISOString() })
  const stop = new AbortController()
  const view = liveView({
    stream: format === 'json' || run.quiet ? process.stderr : process.stdout,
    ndjson: format === 'ndjson',
    now: () => fleet.clock.now(),
  })
  const network = watchNetwork(fleet, run.between, note => view.note(note))
  let handle: RunHandle | undefined
  const orders = await serveOrders(run.file, order => {
    if (handle === undefined) throw new Error('the controller is starting')
    handle.post({ kind: 'operator', ...order })
    return `${order.order} is on its way`
  })
  const interrupts = listenForInterrupts(view, stop, site, () => {
    handle?.post({ kind: 'operator', order: 'wind-down', by: 'Ctrl-C' })
  })
  try {
    const { monitor } = network
    const world = { clock: fleet.clock, journal, monitor, hypervisor: (host: HostId) => fleet.hosts.get(host) }
    const result = await runEvacuation(
      world,
      { resumeFrom: run.resumeFrom, first: run.first, onRecorded: (entries, state) => view.show(entries, state) },
      taken => {
        handle = taken
        if (run.resumeFrom?.intent === 'paused' || run.resumeFrom?.intent === 'winding-down')
          taken.post({ kind: 'operator', order: 'resume', by: `${whoami()} (--resume)` })
      },
      stop.signal,
    )
    view.end()
    return conclude(result, run)
  } finally {
    view.end()
    interrupts.release()
    orders.close()
    await network.close()
    journal.close()
  }
}

function conclude({ state, ending, unwritten }: RunResult, run: Conduct): ExitCode {
  const { format, site, file } = run
  if (unwritten > 0)
    err(`warning: ${unwritten} facts could not be written to ${file}: the disk is full. The report below is complete.`)
  if (ending === 'detached') {
    const moving = [...state.migrations.values()].filter(isInFlight).map(({ vm }) => vm)
    err(
      `Left. ${moving.length === 0 ? 'Nothing was in flight' : `Still in flight, and going on by themselves: ${moving.join(', ')}`}.`,
    )
    err(`Take it up again: lifeboat evacuate ${site} --resume`)
    return exitCode.interrupted
  }
  const report = reportOf(state)
  if (format === 'json') outJson(report)
  if (format === 'text' && !run.quiet) outLines(['', ...reportLines(report), `journal ${file}`])
  if (ending === 'idle') {
    err(`Interrupted: nothing is in flight. Go on with the rest: lifeboat evacuate ${site} --resume`)
    return exitCode.interrupted
  }
  const { safe, vms, inDanger } = report.summary
  return safe === vms && inDanger === 0 && run.unreachable === 0 ? exitCode.asAsked : exitCode.partly
}

/** First Ctrl-C: finish what runs. Second, or SIGTERM: leave. A terminal that goes away changes nothing. */
function listenForInterrupts(
  view: LiveView,
  stop: AbortController,
  site: string,
  onFirst: () => void,
): { release(): void } {
  let presses = 0
  const onInterrupt = (): void => {
    presses += 1
    if (presses === 1) {
      view.note('Ctrl-C: no new migrations start, running ones finish. Again: leave, and let the hypervisors go on.')
      onFirst()
    } else {
      stop.abort(new Error(`left; lifeboat evacuate ${site} --resume takes it up again`))
    }
  }
  const onTerminate = (): void => stop.abort(new Error('terminated'))
  const onHangup = (): void => undefined
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onTerminate)
  process.on('SIGHUP', onHangup)
  return {
    release: () => {
      process.off('SIGINT', onInterrupt)
      process.off('SIGTERM', onTerminate)
      process.off('SIGHUP', onHangup)
    },
  }
}
