/** `lifeboat pause|resume|abort [SITE]`, `endanger SITE` and `resolve VM`: orders to the controller that runs an evacuation. */
import type { Command as Program } from 'commander'
import type { Order } from '../../core/control/observed.ts'
import { endangeredNow, targetsNow } from '../../core/control/evacuation.ts'
import { type SiteId, vmId } from '../../core/ids.ts'
import { siteOf } from '../../core/inventory/snapshot.ts'
import { type Phase, phasesInFlight } from '../../core/migration/migration.ts'
import { sendOrder } from '../../engine/control-socket.ts'
import { CliError, exitCode, usageError } from '../exit.ts'
import { findPast, type Past } from '../history.ts'
import { flowing } from '../help-text.ts'
import { whoami } from '../identity.ts'
import { out } from '../output.ts'

const summaries = {
  pause: 'start no new migrations; running ones finish',
  resume: 'start new migrations again after a pause',
  abort: 'call back what can be called back; those VMs go on at home',
} as const

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

export function addOrders(program: Program): void {
  for (const order of ['pause', 'resume', 'abort'] as const) {
    program
      .command(order)
      .summary(summaries[order])
      .description(
        `${capital(summaries[order])}.\n\nGoes to the running "lifeboat evacuate" of SITE, or of the newest evacuation.`,
      )
      .argument('[site]', 'the site that is being evacuated, or an evacuation id')
      .action(async (site: string | undefined, _flags: object, command: Program) => {
        await give(findRunning(command, site), { order })
      })
  }
  program
    .command('endanger')
    .summary('say that a safe site is in danger itself: nothing more is sent there')
    .description(
      flowing(`Goes to a running evacuation. VMs queued for SITE get other targets; those on their way there are called back where another host
would take them, and nothing is past the point of no return. Those that have landed there stay: the report counts them, and they must
leave again ("lifeboat evacuate SITE", when this evacuation is over). It cannot be taken back.`),
    )
    .argument('<site>', 'the site that received VMs until now')
    .option('--of <evacuation>', 'the site that is being evacuated, or an evacuation id; the newest if left out')
    .option('--yes', 'needed where no safe site is left then')
    .action(async (site: string, flags: { of?: string; yes?: boolean }, command: Program) => {
      const past = findRunning(command, flags.of)
      const { state } = past
      const there = state.started.snapshot.sites.map(({ id }) => id)
      const id = there.find(known => known === site)
      if (id === undefined)
        throw usageError(`no site is named "${site}" in evacuation ${past.id}; there are: ${there.join(', ')}`)
      if (endangeredNow(state).includes(id))
        throw usageError(`${site} is endangered already, as evacuation ${past.id} knows`)
      const left = targetsNow(state).filter(target => target !== id)
      if (left.length === 0 && flags.yes !== true) {
        throw new CliError(
          exitCode.refused,
          `no safe site would be left: what has not left stays at home (${stakes(past, id)}). If it is so, say --yes.`,
        )
      }
      await give(past, { order: 'endanger', site: id })
      out(stakes(past, id))
    })
  program
    .command('resolve')
    .summary('say where an uncertain VM is to count as running')
    .description(
      flowing(`For a VM that lifeboat shows as uncertain, after you looked at both sides yourself. Lifeboat cannot prove it; you say it.
If you say "target", its stopped copy at the source will be ended, if the target is seen running then.`),
    )
    .argument('<vm>', 'its name')
    .requiredOption('--runs-at <side>', 'source or target')
    .option('--site <site>', 'of which evacuation; the newest if left out')
    .option('--yes', 'required: this overrides a safety rule')
    .action(async (vm: string, flags: { runsAt: string; site?: string; yes?: boolean }, command: Program) => {
      const { runsAt } = flags
      if (runsAt !== 'source' && runsAt !== 'target') throw usageError(`--runs-at ${runsAt}: expected source or target`)
      const past = findRunning(command, flags.site)
      const id = vmId(vm)
      const m = past.state.migrations.get(id)
      if (m === undefined) throw usageError(`evacuation ${past.id} has no VM "${vm}"`)
      if (m.phase !== 'uncertain') throw usageError(`${vm} is not uncertain, it is ${m.phase}`)
      if (flags.yes !== true) {
        throw new CliError(
          exitCode.refused,
          `this overrides what lifeboat could not prove: ${m.why}\nLook at both sides first. If you are sure, say --yes.`,
        )
      }
      await give(past, { order: 'resolve', vm: id, runsAt })
    })
}

/** What the order will come to, as the journal stands now. */
function stakes({ state }: Past, site: SiteId): string {
  const { snapshot } = state.started
  const count = (...of: readonly Phase[]): number =>
    [...state.migrations.in(...of)].filter(m => {
      const host = 'target' in m ? m.target : state.planned.get(m.vm)
      return host !== undefined && siteOf(snapshot, host) === site
    }).length
  return `${count('landed')} VMs have landed there and must leave again, ${count(...phasesInFlight)} are on their way there, ${count('queued')} are queued for it`
}

function findRunning(command: Program, site: string | undefined): Past {
  const past = findPast(command.optsWithGlobals<{ config?: string }>().config, site)
  past.reader.close()
  if (past.state.endedAt !== undefined)
    throw usageError(`evacuation ${past.id} has ended; see: lifeboat report ${past.id}`)
  return past
}

async function give(past: Past, order: Order): Promise<void> {
  const answer = await sendOrder(past.file, { ...order, by: whoami() }, AbortSignal.timeout(10_000)).catch(
    (error: unknown) => {
      const site = past.state.started.endangered[0]
      const hint = `evacuation ${past.id} has no controller running (it was interrupted); take it up with: lifeboat evacuate ${site} --resume`
      throw new CliError(exitCode.partly, hint, { cause: error })
    },
  )
  if (!answer.ok) throw new CliError(exitCode.partly, answer.message)
  out(`${past.id}: ${answer.message}`)
}
