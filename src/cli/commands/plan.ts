/** `lifeboat plan SITE`: who would go where, in which order, and when; nothing is moved. */
import { type Command as Program, Option } from 'commander'
import { planEvacuation, type PlanRequest } from '../../core/plan/plan-evacuation.ts'
import { defaultPolicy, policyByName, policyNames } from '../../core/policy/policy-by-name.ts'
import { forecastPlan, planWithForecast } from '../../core/report/plan-forecast.ts'
import { learnedBefore } from '../../engine/learned-before.ts'
import { insistOnPlan, readPlan } from '../given-plan.ts'
import { exitOfPlan, nobodyRuns } from '../plan-exit.ts'
import type { Milliseconds } from '../../core/units.ts'
import { questionOf, snapshotOf, withFleet, within, worldOf } from '../fleet.ts'
import { positiveQuantityOption } from '../quantity-option.ts'
import { formatOf, outJson, outLines } from '../output.ts'
import { wallClock } from '../render/clock.ts'
import { planLines } from '../render/plan-table.ts'
import { warnAbout } from '../warn.ts'

interface PlanFlags {
  readonly to: readonly string[]
  readonly policy?: string
  readonly check?: string
  readonly partial?: boolean
  readonly deadline?: Milliseconds
  readonly output?: string
}

export function addPlan(program: Program): void {
  program
    .command('plan')
    .summary('show who would go where, when, over what and why in this order; move nothing')
    .argument('<site>', 'the endangered site')
    .addOption(new Option('--to <site...>', 'where the VMs would go').default([], 'every site marked safe'))
    .option(
      '--policy <name>',
      `who goes when: ${policyNames.join(', ')} (default: from the configuration, else ${defaultPolicy})`,
    )
    .option('--check <file>', 'judge this plan against the world as it is now, and show it; make no other')
    .option('--partial', 'with --check: let pass what the plan leaves open')
    .addOption(
      positiveQuantityOption('--deadline <time>', 'time', 'nothing leaves after that, like 15m: says who does not fit'),
    )
    .option('-o, --output <format>', 'text or json')
    .addHelpText(
      'after',
      `
Exits with 4 when some VMs do not fit anywhere (each is listed with every reason), with 1 when a host of SITE is silent.
-o json > plan.json can be edited and run: lifeboat evacuate SITE --plan plan.json (docs/plan.md).`,
    )
    .action(async (site: string, flags: PlanFlags, command: Program) => {
      const format = formatOf(flags.output, ['text', 'json'])
      process.exitCode = await withFleet(command.optsWithGlobals<{ config?: string }>().config, async fleet => {
        const question = questionOf(fleet, site, flags.to)
        const given = flags.check === undefined ? undefined : readPlan(flags.check, '--check')
        const policy = flags.policy ?? given?.given.policy ?? fleet.config.policy.name ?? defaultPolicy
        const { slots, order = 'inventory' } = policyByName(policy)
        const taken = await snapshotOf(fleet, AbortSignal.timeout(60_000))
        const snapshot = within(taken.snapshot, flags.deadline)
        warnAbout(taken)
        const { bandwidth, maxParallel } = fleet.config.policy
        const atOnce = Math.min(slots, maxParallel ?? slots)
        const request: PlanRequest = { snapshot, ...question, policy, slots: atOnce, order, bandwidth }
        const plan =
          given === undefined ? planEvacuation(request) : insistOnPlan(request, given, flags.partial === true)
        const correction = learnedBefore(fleet.stateDir, worldOf(fleet, question.endangered))
        const limits = { maxParallel, bandwidth }
        const forecast = forecastPlan({ snapshot, ...question, policy, limits, correction }, plan)
        if (format === 'json') outJson(planWithForecast(plan, forecast))
        else outLines(planLines(plan, snapshot, forecast, wallClock(fleet.clock.now())))
        if (format === 'text' && plan.moves.length === 0 && plan.unplaced.length === 0)
          outLines(['', nobodyRuns(site, snapshot, question.endangered)])
        return exitOfPlan(plan, snapshot, question.endangered)
      })
    })
}
