/** Each fact and each decision as one line with its numbers: what a pipe, `explain`, `watch` and a scenario's expect.log show. */
import { assertNever } from '../assert-never.ts'
import type { Command } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import type { Spread } from '../forecast/correction.ts'
import { isOverloaded, type SeenOfHost } from '../forecast/host-signal.ts'
import { showFailure } from '../migration/failure.ts'
import { showPresence } from '../migration/presence.ts'
import { copiesDisksFirst } from '../migration/progress.ts'
import { showBytes, showRate, showTime } from '../units.ts'

/** Errors of hypervisors and of ssh come in lines; a story has one for each fact. */
export const inOneLine = (text: string): string => text.replaceAll(/\s*[\r\n]+\s*/g, '; ')

/** @returns undefined for facts that say nothing new to a reader: ticks */
export function sentenceOf(event: Observed): string | undefined {
  const sentence = factOf(event)
  return sentence === undefined ? undefined : inOneLine(sentence)
}

export const decisionOf = (command: Command): string => inOneLine(deedOf(command))

function factOf(event: Observed): string | undefined {
  switch (event.kind) {
    case 'evacuation-started': {
      const { plan, endangered, targets, policy } = event
      const staying = plan.unplaced.length === 0 ? '' : `, ${plan.unplaced.length} without a place`
      const given = event.planFile === undefined ? '' : `, by the plan of ${event.planFile}`
      return `evacuation ${event.id} of ${endangered.join(', ')} to ${targets.join(', ')}: ${plan.moves.length} VMs, policy ${policy}${given}${staying}`
    }
    case 'host-load':
      return event.hosts.map(loadOf).join('; ')
    case 'network':
    case 'tick':
      return undefined
    case 'controller-restarted':
      return `controller restarted by ${event.by}`
    case 'operator':
      if (event.order === 'resolve')
        return `${event.by} resolves ${event.vm}: it counts as running at its ${event.runsAt}`
      if (event.order === 'endanger')
        return `${event.by} says that ${event.site} is endangered: nothing more is sent there`
      return `${event.by} orders ${event.order}`
    case 'definition-kept':
      return `${event.vm}: its definition at ${event.source} is kept (${event.driver}, ${event.text.length} characters)`
    case 'target-ready':
      return `${event.vm}: target is ready`
    case 'memory-flowing':
      return `${event.vm}: memory flows`
    case 'progress': {
      const { sent, remaining, rate, dirtyRate, round, disk } = event.progress
      const dirty = dirtyRate === undefined ? '' : `, dirties ${showRate(dirtyRate)}`
      const where =
        disk !== undefined && copiesDisksFirst(event.progress)
          ? `disks ${showBytes(disk.copied)} of ${showBytes(disk.total)}`
          : `round ${round}`
      return `${event.vm}: ${where}, sent ${showBytes(sent)}, ${showBytes(remaining)} to go at ${showRate(rate)}${dirty}`
    }
    case 'guest-stopped':
      return `${event.vm}: stopped at the source for the last part`
    case 'sent-whole':
      return `${event.vm}: sent whole`
    case 'post-copy-began':
      return `${event.vm}: in post-copy`
    case 'post-copy-broke':
      return `${event.vm}: post-copy broke: ${event.why}`
    case 'migration-broke':
      return `${event.vm}: migration broke: ${showFailure(event.failure)}`
    case 'attempt-failed':
      return `${event.vm}: attempt ${event.attempt} failed: ${showFailure(event.failure)}`
    case 'attempt-unclear':
      return `${event.vm}: not known what became of attempt ${event.attempt}: ${event.why}`
    case 'whereabouts':
      return `${event.vm}: source says ${showPresence(event.where.source)}, target says ${showPresence(event.where.target)}`
    case 'landed':
      return `${event.vm}: runs at its target, ${showBytes(event.sent)} sent`
    case 'source-ended':
      return `${event.vm}: its stopped copy at the source is ended`
    case 'source-lingers':
      return `${event.vm}: its stopped copy at the source could not be ended: ${event.why}`
    case 'command-failed':
      return `${event.vm}: ${event.command} failed: ${event.why}`
    case 'vm-forecast':
      return `${event.vm}: at ${event.mark} % of its way: ${endOf(event.end, 'home')}`
    case 'vm-forecast-judged': {
      const { vm, came, said } = event
      const then = said.map(({ mark, end }) => `${end === undefined ? 'no end' : `+${showTime(end.p50)}`} (${mark} %)`)
      return `${vm}: ${came === undefined ? 'did not come' : `home at +${showTime(came)}`}; forecast was ${then.join(', ')}`
    }
    case 'forecast':
      return `at ${event.mark} % of all bytes: ${event.end === undefined ? `no end can be forecast: ${event.because ?? 'nothing is left to move'}` : endOf(event.end, 'all home')}`
    case 'forecast-judged': {
      const then = event.said.map(
        ({ mark, end }) => `${end === undefined ? 'no end' : `+${showTime(end.p50)}`} (${mark} %)`,
      )
      return `${event.came === undefined ? 'none came home' : `the last was home at +${showTime(event.came)}`}; forecast was ${then.join(', ')}`
    }
    case 'site-lost':
      return `site ${event.site} has lost its power: ${event.why}`
    case 'journal-failing':
      return `nothing new is admitted: ${event.why}`
    default:
      return assertNever(event)
  }
}

function loadOf({ host, busy, waiting }: SeenOfHost): string {
  const waits = waiting === undefined ? '' : `, tasks wait for one ${showShare(waiting)} of the time`
  const is = `${host}: its processors are ${showShare(busy)} busy${waits}`
  return isOverloaded({ busy, waiting })
    ? `${is}: until that ends no more at a time are tried out of it, little is squeezed there, and others of its site receive first`
    : `${is}: it is overloaded no more`
}

const showShare = (share: number): string => `${Math.round(share * 100)} %`

/** Times since the alarm. */
const endOf = (end: Spread | undefined, what: string): string =>
  end === undefined
    ? 'no end can be forecast'
    : `${what} at +${showTime(end.p50)}, by +${showTime(end.p90)} nine times in ten`

function deedOf(command: Command): string {
  const { vm, source, target, attempt } = command
  switch (command.kind) {
    case 'prepare':
      return `prepare ${vm} at ${target}${attempt > 1 ? ` (attempt ${attempt})` : ''}`
    case 'migrate': {
      const { rate, downtimeLimit } = command.tuning
      return `migrate ${vm} from ${source} to ${target}, ${rate === undefined ? 'as fast as it gets' : `at most ${showRate(rate)}`}, downtime limit ${showTime(downtimeLimit)}`
    }
    case 'adjust': {
      const { rate, downtimeLimit } = command.tuning
      const deed = rate === undefined ? `let ${vm} go as fast as it gets` : `cap ${vm} to ${showRate(rate)}`
      return `${deed}, downtime limit ${showTime(downtimeLimit)}: ${command.why}`
    }
    case 'start-post-copy':
      return `post-copy ${vm}: ${command.why}`
    case 'run-split':
      return `run ${vm} at ${target}, its memory still coming`
    case 'recover':
      return `recover the post-copy of ${vm}`
    case 'cancel':
      return `call ${vm} back: ${command.why}`
    case 'finish':
      return `run ${vm} at ${target}`
    case 'retire':
      return `end the stopped copy of ${vm} at ${source}`
    case 'roll-back':
      return `roll ${vm} back to ${source}: ${showFailure(command.failure)}`
    case 'follow':
      return `follow ${vm}`
    case 'reconcile':
      return `ask ${source} and ${target} for ${vm}`
    default:
      return assertNever(command)
  }
}
