/** The `lifeboat` command: one file a command in commands/, errors and exit codes in one place. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addCheck } from './commands/check.ts'
import { addDemo } from './commands/demo.ts'
import { addEvacuate } from './commands/evacuate.ts'
import { addInit } from './commands/init.ts'
import { addInventory } from './commands/inventory.ts'
import { addLab } from './commands/lab.ts'
import { addLinks } from './commands/links.ts'
import { addLook } from './commands/look.ts'
import { addOrders } from './commands/orders.ts'
import { addSimulate } from './commands/simulate.ts'
import { addPlan } from './commands/plan.ts'
import { addPolicy } from './commands/policy.ts'
import { exitCode, explainError } from './exit.ts'
import { err } from './output.ts'

function versionOf(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}

function build(): Command {
  const program = new Command('lifeboat')
    .description(
      `Evacuates virtual machines from a datacentre that is about to die to safe sites, by live migration over a WAN.

  lifeboat demo                      see it work here, with real guests
  lifeboat init --site NAME=URI,URI  look at your hosts, write lifeboat.yaml
  lifeboat check                     can every VM go; if not, why; moves nothing
  lifeboat links                     what the paths between sites carry
  lifeboat policy set VM             say how a VM may be moved
  lifeboat plan SITE                 who would go where; moves nothing
  lifeboat evacuate SITE --to SITE   do it, with a live view
  lifeboat watch | explain VM | report
                                     see what happens, and why
  lifeboat simulate FOLDER           rehearse it in virtual time: what if`,
    )
    .version(versionOf())
    .option(
      '--config <file>',
      'the configuration (default: $LIFEBOAT_CONFIG, ./lifeboat.yaml, /etc/lifeboat/lifeboat.yaml)',
    )
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(add --help for what there is)')
  // In the order in which an operator meets them.
  addDemo(program)
  addInit(program)
  addInventory(program)
  addCheck(program)
  addLinks(program)
  addPolicy(program)
  addPlan(program)
  addEvacuate(program)
  addLook(program)
  addOrders(program)
  addSimulate(program)
  addLab(program)
  const throwInstead = (command: Command): void => {
    command.exitOverride()
    for (const each of command.commands) throwInstead(each)
  }
  throwInstead(program)
  return program
}

try {
  await build().parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCode.asAsked : exitCode.usage
  } else {
    const { code, message } = explainError(error)
    err(`lifeboat: ${message}`)
    process.exitCode = code
  }
}
