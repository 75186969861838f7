/** `lifeboat plan SITE`: who would go where, in which order, and when; nothing is moved. */
import type { Command as Program } from 'commander'
import { planEvacuation } from '../../core/plan/plan-evacuation.ts'
import { defaultPolicy, policyByName, policyNames } from '../../core/policy/policy-by-name.ts'
import { forecastPlan, planWithForecast } from '../../core/report/plan-forecast.ts'
import { learnedBefore } from '../../engine/learned-before.ts'
import { exitCode } from '../exit.ts'
import { questionOf, snapshotOf, withFleet } from '../fleet.ts'
import { err, formatOf, outJson, outLines } from '../output.ts'
import { wallClock } from '../render/clock.ts'
import { planLines } from '../render/plan-table.ts'

interface PlanFlags {
  readonly to: readonly string[]
  readonly policy?: string
  readonly output?: string
}

export function addPlan(program: Program): void {
  program
    .command('plan')
    .summary('show who would go where, when, over what and why in this order; move nothing')
    .argument('<site>', 'the endangered site')
    .option('--to <site...>', 'where the VMs would go (default: every site marked safe)', [])
    .option('--policy <name>', `one of ${policyNames.join(', ')}`)
    .option('-o, --output <format>', 'text or json')
    .addHelpText('after', '\nExits with 4 when some VMs do not fit anywhere; each is listed with every reason.')
    .action(async (site: string, flags: PlanFlags, command: Program) => {
      const format = formatOf(flags.output, ['text', 'json'])
      process.exitCode = await withFleet(command.optsWithGlobals<{ config?: string }>().config, async fleet => {
        const question = questionOf(fleet, site, flags.to)
        const policy = flags.policy ?? fleet.config.policy.name ?? defaultPolicy
        const { slots, order = 'inventory' } = policyByName(policy)
        const { snapshot } = await snapshotOf(fleet, AbortSignal.timeout(60_000))
        for (const { host, why } of snapshot.unreachable)
          err(`warning: host ${host} does not answer, its VMs are not known: ${why}`)
        const plan = planEvacuation({
          snapshot,
          ...question,
          policy,
          slots,
          order,
          bandwidth: fleet.config.policy.bandwidth,
        })
        const limits = { maxParallel: fleet.config.policy.maxParallel, bandwidth: fleet.config.policy.bandwidth }
        const correction = learnedBefore(fleet.stateDir, 'qemu')
        const forecast = forecastPlan({ snapshot, ...question, policy, limits, correction }, plan)
        if (format === 'json') outJson(planWithForecast(plan, forecast))
        else outLines(planLines(plan, snapshot, forecast, wallClock(fleet.clock.now())))
        return plan.unplaced.some(({ failure }) => failure.code === 'no-target')
          ? exitCode.infeasible
          : exitCode.asAsked
      })
    })
}
