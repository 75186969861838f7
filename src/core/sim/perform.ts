/**
 * Carries out the core's commands in a simulated world, as engine/executor.ts and hypervisor/hand-over.ts do in the real one: the same
 * order, the same proofs, the same facts as answers. Each takes its time; a controller that dies in between never hears the answer.
 */
import { assertNever } from '../assert-never.ts'
import type { Command, Route } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import type { MigrationFailure } from '../migration/failure.ts'
import type { Presence } from '../migration/presence.ts'
import type { Progress } from '../migration/progress.ts'
import { bytes, bytesPerSecond, fraction, ms } from '../units.ts'
import { around, type Chance } from './chance.ts'
import {
  askTakes,
  finishTakes,
  migrateTakes,
  prepareTakes,
  retireTakes,
  rollBackTakes,
  unansweredAfter,
} from './physics/timings.ts'
import { deedsVary } from './physics/variation.ts'
import { SimRefusal, type SimWorld } from './sim-world.ts'
import { diskOf, hasEnded, leftOf, type Transfer } from './transfer.ts'

/** A sample of a running migration is due this often (engine/patience.ts, `sampleEvery`). */
const sampleEvery = 1_000
/** A broken post-copy is tried again this often, and so long (engine/patience.ts, `recoverEvery`, `recoversWithin`). */
const recoverEvery = 2_000
const recoversWithin = 60_000

/** Deeds in which processes are started, loaded or ended vary; a monitor answers as it answers. */
const processes: ReadonlySet<Command['kind']> = new Set(['prepare', 'migrate', 'finish', 'retire', 'roll-back'])
/** Of what an order to send sets flowing: told before it, they would be lost, so they wait for it (as in engine/executor.ts). */
const ofWhatFlows: ReadonlySet<Command['kind']> = new Set(['adjust', 'start-post-copy', 'cancel'])
/** Neither good luck nor bad. */
const even = 0.5

export class Performer {
  readonly #world: SimWorld
  readonly #chance: Chance
  readonly #post: (event: Observed) => void
  /** Attempts that are followed, with how to stop. */
  readonly #followed = new Map<string, () => void>()
  /** Attempts that are told to send and do not yet, with what was said of them since. */
  readonly #starting = new Map<string, Command[]>()
  #alive = true

  constructor(world: SimWorld, chance: Chance, post: (event: Observed) => void) {
    this.#world = world
    this.#chance = chance
    this.#post = event => {
      if (this.#alive) post(event)
    }
  }

  /** Kill -9: nothing it began is heard of again, what hypervisors were told goes on. */
  die(): void {
    this.#alive = false
    for (const stop of this.#followed.values()) stop()
    this.#followed.clear()
  }

  submit(command: Command): void {
    const { kernel } = this.#world
    const waiting = ofWhatFlows.has(command.kind) ? this.#starting.get(keyOf(command)) : undefined
    if (waiting !== undefined) {
      waiting.push(command)
      return
    }
    switch (command.kind) {
      case 'prepare':
        return this.#later(prepareTakes, command, () => this.#prepare(command))
      case 'migrate':
        this.#starting.set(keyOf(command), [])
        return this.#later(migrateTakes, command, () => this.#migrate(command))
      case 'adjust':
        return this.#later(askTakes, command, () => {
          const { rate, downtimeLimit } = command.tuning
          this.#world.adjust(command.vm, { rate, downtimeLimit })
        })
      case 'start-post-copy':
        return this.#later(askTakes, command, () => this.#world.startPostCopy(command.vm))
      case 'cancel':
        return this.#later(askTakes, command, () => this.#world.cancel(command.vm))
      case 'run-split':
        return this.#later(askTakes, command, () => this.#world.run(command.target, command.vm))
      case 'finish':
        return this.#later(finishTakes, command, () => this.#finish(command))
      case 'retire':
        return this.#later(retireTakes, command, () => this.#retire(command))
      case 'roll-back':
        return this.#later(rollBackTakes, command, () => this.#rollBack(command))
      case 'recover':
        return this.#recover(command, kernel.now + recoversWithin)
      case 'follow':
        return this.#later(askTakes, command, () => this.#follow(command))
      case 'reconcile': {
        const { source, target } = command
        const silent = this.#world.isDown(source) !== undefined || this.#world.isDown(target) !== undefined
        return this.#later(silent ? unansweredAfter : askTakes, command, () => this.#reconcile(command))
      }
      default:
        return assertNever(command)
    }
  }

  /** A host that is down is only known to be when nothing came back for a while. */
  #later(usually: number, command: Command, act: () => void): void {
    const { kernel } = this.#world
    const luck = processes.has(command.kind) ? this.#chance(command.kind, command.vm, command.attempt) : even
    const takes = usually * around(luck, deedsVary)
    kernel.after(takes, () => {
      if (!this.#alive) return
      try {
        act()
      } catch (error) {
        if (!(error instanceof SimRefusal)) throw error
        const answer = this.#onRefusal(command, error)
        kernel.after(error.how === 'unreachable' ? unansweredAfter : 0, () => this.#post(answer))
      }
    })
  }

  #onRefusal(command: Command, { how, message }: SimRefusal): Observed {
    const { vm, attempt } = command
    switch (command.kind) {
      case 'prepare':
        return this.#world.isDown(command.source) === undefined
          ? { kind: 'attempt-failed', vm, attempt, failure: failureOf(how, message, 'target-unreachable') }
          : { kind: 'attempt-unclear', vm, attempt, why: message }
      case 'migrate':
        return how === 'unreachable'
          ? { kind: 'attempt-unclear', vm, attempt, why: message }
          : { kind: 'migration-broke', vm, attempt, failure: failureOf(how, message, 'source-unreachable') }
      case 'adjust':
      case 'start-post-copy':
      case 'cancel':
      case 'run-split':
        return { kind: 'command-failed', vm, attempt, command: command.kind, why: message }
      case 'retire':
        return { kind: 'source-lingers', vm, attempt, why: message }
      case 'finish':
      case 'roll-back':
      case 'recover':
      case 'follow':
      case 'reconcile':
        return { kind: 'attempt-unclear', vm, attempt, why: `${command.kind}: ${message}` }
      default:
        return assertNever(command)
    }
  }

  #prepare(command: Extract<Command, { kind: 'prepare' }>): void {
    const down = this.#world.isDown(command.source)
    if (down !== undefined) throw new SimRefusal('unreachable', `${command.source} does not answer: ${down}`)
    this.#world.prepare(command.target, command.vm)
    this.#post({ kind: 'target-ready', ...of(command) })
  }

  #migrate(command: Extract<Command, { kind: 'migrate' }>): void {
    const { vm, source, target, tuning, options } = command
    try {
      this.#world.migrate(vm, source, target, tuning, options)
    } finally {
      const said = this.#starting.get(keyOf(command)) ?? []
      this.#starting.delete(keyOf(command))
      for (const each of said) this.submit(each)
    }
    this.#post({ kind: 'memory-flowing', ...of(command) })
    this.#follow(command)
  }

  /** As engine/follow-migration.ts: a sample each second, and one whenever the hypervisor says that something changed. */
  #follow(route: Route): void {
    const { kernel } = this.#world
    const key = keyOf(route)
    if (this.#followed.has(key)) return
    let before: Transfer['status'] | undefined
    let last = { at: kernel.now as number, sent: 0 }
    let rate = 0
    let alarm: ReturnType<typeof kernel.after> | undefined
    const look = (): void => {
      kernel.cancel(alarm)
      const transfer = this.#world.transferOf(route.vm)
      if (this.#world.isDown(route.source) !== undefined || transfer === undefined) {
        stop()
        const why = `cannot follow it at ${route.source}: ${this.#world.isDown(route.source) ?? 'no migration is known there'}`
        kernel.after(unansweredAfter, () => this.#post({ kind: 'attempt-unclear', ...of(route), why }))
        return
      }
      const span = kernel.now - last.at
      if (span >= 200) {
        const measured = ((transfer.sent - last.sent) / span) * 1000
        rate = rate === 0 ? measured : rate * 0.5 + measured * 0.5
        last = { at: kernel.now, sent: transfer.sent }
      }
      const changed = transfer.status !== before
      before = transfer.status
      if (hasEnded(transfer)) stop()
      else alarm = kernel.after(sampleEvery, look)
      if (transfer.status !== 'starting')
        this.#post({ kind: 'progress', ...of(route), progress: progressOf(transfer, rate) })
      const told = changed ? newsOf(transfer) : undefined
      if (told !== undefined) this.#post({ ...told, ...of(route) })
    }
    const unlisten = this.#world.listen(route.vm, () => {
      // Listeners are told in the middle of a change; they look when it is complete.
      kernel.cancel(alarm)
      alarm = kernel.at(kernel.now, look)
    })
    const stop = (): void => {
      kernel.cancel(alarm)
      unlisten()
      this.#followed.delete(key)
    }
    this.#followed.set(key, stop)
    look()
  }

  #finish(command: Extract<Command, { kind: 'finish' }>): void {
    const { vm, source, target } = command
    const says = this.#world.presence(source, vm)
    const departed = says.state === 'absent' || says.state === 'split' || says.state === 'unreachable' || isLeft(says)
    if (!departed) throw new SimRefusal('source-refused', `${vm} is not proven to be gone or sent away at ${source}`)
    this.#world.run(target, vm)
    const transfer = this.#world.transferOf(vm)
    this.#post({
      kind: 'landed',
      ...of(command),
      downtime: transfer?.downtime === undefined ? undefined : ms(transfer.downtime),
      sent: bytes(Math.round(transfer?.sent ?? 0)),
      needed: transfer === undefined ? undefined : bytes(Math.round(transfer.total)),
    })
  }

  #retire(command: Extract<Command, { kind: 'retire' }>): void {
    const { vm, source, target } = command
    if (this.#world.presence(target, vm).state !== 'running')
      throw new SimRefusal('target-refused', `${vm} is not proven to be running at ${target}`)
    this.#world.retire(source, vm)
    this.#post({ kind: 'source-ended', ...of(command) })
  }

  #rollBack(command: Extract<Command, { kind: 'roll-back' }>): void {
    const { vm, source, target } = command
    this.#world.discard(target, vm)
    if (this.#world.isDown(source) === undefined) this.#world.resume(source, vm)
    this.#post({ kind: 'attempt-failed', ...of(command), failure: command.failure })
  }

  #recover(command: Extract<Command, { kind: 'recover' }>, until: number): void {
    const { kernel } = this.#world
    kernel.after(askTakes, () => {
      if (!this.#alive) return
      try {
        this.#world.rejoin(command.vm)
      } catch (error) {
        if (!(error instanceof SimRefusal)) throw error
        if (kernel.now + recoverEvery < until) kernel.after(recoverEvery, () => this.#recover(command, until))
        else
          this.#post({
            kind: 'attempt-unclear',
            ...of(command),
            why: `post-copy could not be joined again: ${error.message}`,
          })
        return
      }
      this.#post({ kind: 'post-copy-began', ...of(command) })
      this.#follow(command)
    })
  }

  #reconcile(command: Extract<Command, { kind: 'reconcile' }>): void {
    const { vm, source, target } = command
    const where = { source: this.#world.presence(source, vm), target: this.#world.presence(target, vm) }
    this.#post({ kind: 'whereabouts', ...of(command), where })
  }
}

const of = ({ vm, attempt }: Route) => ({ vm, attempt })
const keyOf = ({ vm, attempt }: Route): string => `${vm} ${attempt}`
const isLeft = (says: Presence): boolean => says.state === 'paused' && says.as === 'left'

function failureOf(
  how: SimRefusal['how'],
  detail: string,
  unreachable: 'target-unreachable' | 'source-unreachable',
): MigrationFailure {
  return { code: how === 'unreachable' ? unreachable : how, detail }
}

const progressOf = (transfer: Transfer, rate: number): Progress => ({
  sent: bytes(Math.round(transfer.sent)),
  remaining: bytes(Math.round(leftOf(transfer))),
  total: bytes(Math.round(transfer.total)),
  ...diskOf(transfer),
  zero: bytes(0),
  round: transfer.round,
  rate: bytesPerSecond(rate),
  dirtyRate: transfer.dirtyRate === undefined ? undefined : bytesPerSecond(transfer.dirtyRate),
  throttle: fraction(transfer.throttle),
  expectedDowntime: undefined,
})

type News =
  | { readonly kind: 'guest-stopped' | 'sent-whole' | 'post-copy-began' }
  | { readonly kind: 'post-copy-broke'; readonly why: string }
  | { readonly kind: 'migration-broke'; readonly failure: MigrationFailure }

function newsOf({ status, error }: Transfer): News | undefined {
  switch (status) {
    case 'starting':
    case 'active':
      return undefined
    case 'stopping':
      return { kind: 'guest-stopped' }
    case 'post-copy':
      return { kind: 'post-copy-began' }
    case 'post-copy-broken':
      return { kind: 'post-copy-broke', why: error ?? 'the link broke' }
    case 'completed':
      return { kind: 'sent-whole' }
    case 'failed':
      return { kind: 'migration-broke', failure: { code: 'path-lost', detail: error ?? 'no reason was given' } }
    case 'cancelled':
      return { kind: 'migration-broke', failure: { code: 'cancelled', detail: 'called off at the hypervisor' } }
  }
}
