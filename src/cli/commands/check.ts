/** `lifeboat check [SITE --to SITE…]`: the preflight. Every VM and every reason at once; nothing is moved. */
import { type Command as Program, Option } from 'commander'
import { preflight } from '../../core/preflight/preflight.ts'
import { summaryOf } from '../../core/preflight/summary.ts'
import { gatherPreflight, type Question } from '../../engine/gather-preflight.ts'
import { takeSnapshot } from '../../engine/take-snapshot.ts'
import { exitCode, usageError } from '../exit.ts'
import { type Fleet, questionOf, withFleet, withPriors } from '../fleet.ts'
import { flowing } from '../help-text.ts'
import { err, formatOf, outJson, outLines } from '../output.ts'
import { checkJson } from '../render/check-json.ts'
import { checkLines } from '../render/check-table.ts'

interface CheckFlags {
  readonly to: readonly string[]
  readonly output?: string
  readonly quiet?: boolean
}

/** Every part has a deadline of its own; this is the last resort. @unit ms */
const longest = 30 * 60_000

export function addCheck(program: Program): void {
  program
    .command('check')
    .summary('the preflight: can every VM go, and if not, why; move nothing')
    .description(
      flowing(`Asks every VM, every host it could go to and the way between them for whatever would keep it from moving: CPU, machine type, memory,
disks, networks, host devices, names, ports, ssh, certificates, clocks, versions. All reasons at once, each with what to do.

What each rule means: docs/libvirt.md.`),
    )
    .argument('[site]', 'the endangered site (default: every site that is not marked safe)')
    .addOption(new Option('--to <site...>', 'where the VMs would go').default([], 'every site marked safe'))
    .option('-o, --output <format>', 'text or json')
    .option('-q, --quiet', 'no progress on standard error')
    .addHelpText(
      'after',
      '\nExits with 0 when all VMs can go, with 4 when some cannot, or when nobody knows what runs on a host that is silent.',
    )
    .action(async (site: string | undefined, flags: CheckFlags, command: Program) => {
      const format = formatOf(flags.output, ['text', 'json'])
      process.exitCode = await withFleet(command.optsWithGlobals<{ config?: string }>().config, async fleet => {
        const question = site === undefined ? allEndangered(fleet, flags.to) : questionOf(fleet, site, flags.to)
        const signal = AbortSignal.timeout(longest)
        const onProgress = flags.quiet === true ? () => undefined : (line: string) => err(`check: ${line}`)
        const { config, clock, hosts } = fleet
        onProgress(`asking ${config.sites.flatMap(each => each.hosts).length} hosts for their VMs`)
        const asked = await takeSnapshot(config, hosts, clock, signal)
        const taken = { ...asked, snapshot: withPriors(fleet, asked.snapshot) }
        const facts = await gatherPreflight({ config, taken, question, clock, onProgress }, signal)
        const found = preflight(facts)
        const left = config.sites.filter(({ name }) => question.endangered.includes(name))
        const summary = summaryOf(
          found,
          left.flatMap(each => each.hosts.map(({ name }) => name)),
        )
        if (format === 'json') outJson(checkJson(found, summary, facts.hosts))
        else outLines(checkLines(found, summary))
        return summary.allCanGo ? exitCode.asAsked : exitCode.infeasible
      })
    })
}

/** Without a site: all that is not safe, to what is. */
function allEndangered(fleet: Fleet, to: readonly string[]): Question {
  const { sites } = fleet.config
  const endangered = sites.filter(({ safe, name }) => !safe && !to.includes(name)).map(({ name }) => name)
  const [first] = endangered
  if (first === undefined)
    throw usageError(`every site in ${fleet.file} is marked safe; name the one that would be left: lifeboat check SITE`)
  const { targets } = questionOf(fleet, first, to)
  return { endangered, targets }
}
