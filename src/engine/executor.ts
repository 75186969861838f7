/**
 * Carries out commands. Each runs on its own, under its own deadline, and ends in a fact posted to the inbox; none ever rejects, and
 * one VM's trouble is no other's. Law: nothing here decides. What a driver reports as a known failure is passed on as one; everything
 * else is unclear, and the core asks both sides.
 */
import { assertNever } from '../core/assert-never.ts'
import type { Command, Route } from '../core/control/command.ts'
import type { Observed } from '../core/control/observed.ts'
import type { HostId, VmId } from '../core/ids.ts'
import { goneFrom, MigrationError } from '../core/migration/failure.ts'
import { type Presence, showPresence } from '../core/migration/presence.ts'
import { bytes, type Milliseconds } from '../core/units.ts'
import { finish, retire, rollBack, runSplit, type Sides, whereIs } from '../hypervisor/hand-over.ts'
import type { Definition, Landing } from '../hypervisor/hypervisor.ts'
import { poll, withDeadline } from '../time/with-deadline.ts'
import { describeError, knownFailure } from './classify-error.ts'
import { followMigration } from './follow-migration.ts'
import { KeptDefinitions } from './kept-definitions.ts'
import {
  answersWithin,
  finishesWithin,
  preparesWithin,
  recoverEvery,
  recoversWithin,
  retiresWithin,
} from './patience.ts'
import type { World } from './world.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

export class Executor {
  readonly #world: World
  readonly #post: (event: Observed) => void
  readonly #signal: AbortSignal
  readonly #running = new Set<Promise<void>>()
  /** Where prepared targets listen, until memory flows to them. */
  readonly #landings = new Map<string, Landing>()
  readonly #followed = new Set<string>()
  readonly #kept: KeptDefinitions
  /** Attempts whose migration is being started. */
  readonly #starting = new Map<string, Promise<unknown>>()

  constructor(world: World, post: (event: Observed) => void, signal: AbortSignal) {
    this.#world = world
    this.#kept = new KeptDefinitions(world.journal)
    this.#post = post
    this.#signal = signal
  }

  /** Never awaited by the loop, never rejects. */
  submit(command: Command): void {
    const work = this.#carryOut(command).finally(() => this.#running.delete(work))
    this.#running.add(work)
  }

  /** Waits for what is still under way; after an abort that is soon. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }

  async #carryOut(command: Command): Promise<void> {
    try {
      await this.#perform(command)
    } catch (error) {
      if (this.#signal.aborted) return
      this.#post(this.#onError(command, error))
    }
  }

  #onError(command: Command, error: unknown): Observed {
    const { vm, attempt } = command
    const failure = knownFailure(error)
    const why = describeError(error)
    switch (command.kind) {
      case 'prepare':
        // The source was not touched. A driver that says how it failed has cleaned up; else something may listen there.
        return failure === undefined
          ? { kind: 'attempt-unclear', vm, attempt, why }
          : { kind: 'attempt-failed', vm, attempt, failure }
      case 'migrate':
        return failure === undefined
          ? { kind: 'attempt-unclear', vm, attempt, why }
          : { kind: 'migration-broke', vm, attempt, failure }
      case 'adjust':
      case 'start-post-copy':
      case 'cancel':
      case 'run-split':
        return { kind: 'command-failed', vm, attempt, command: command.kind, why }
      case 'retire':
        return { kind: 'source-lingers', vm, attempt, why }
      case 'finish':
      case 'roll-back':
      case 'recover':
      case 'follow':
      case 'reconcile':
        return { kind: 'attempt-unclear', vm, attempt, why: `${command.kind}: ${why}` }
      default:
        return assertNever(command)
    }
  }

  #perform(command: Command): Promise<void> {
    switch (command.kind) {
      case 'prepare':
        return this.#within(preparesWithin, command, signal => this.#prepare(command, signal))
      case 'migrate':
        return this.#migrate(command)
      case 'adjust':
        return this.#onceStarted(command, signal => {
          const { rate, downtimeLimit } = command.tuning
          return this.#sides(command).source.adjust(command.vm, { rate, downtimeLimit }, signal)
        })
      case 'start-post-copy':
        return this.#onceStarted(command, signal => this.#sides(command).source.startPostCopy(command.vm, signal))
      case 'cancel':
        return this.#onceStarted(command, signal => this.#sides(command).source.cancel(command.vm, signal))
      case 'run-split':
        return this.#within(answersWithin, command, signal => runSplit(this.#sides(command), command.vm, signal))
      case 'recover':
        return this.#recover(command)
      case 'finish':
        return this.#within(finishesWithin, command, signal => this.#finish(command, signal))
      case 'retire':
        return this.#within(retiresWithin, command, signal => this.#retire(command, signal))
      case 'roll-back':
        return this.#within(retiresWithin, command, signal => this.#rollBack(command, signal))
      case 'follow':
        return this.#follow(command)
      case 'reconcile':
        return this.#within(answersWithin, command, async signal => {
          const where = await whereIs(this.#sides(command), command.vm, signal)
          this.#post({ kind: 'whereabouts', vm: command.vm, attempt: command.attempt, where })
        })
      default:
        return assertNever(command)
    }
  }

  #sides(route: Route): Sides {
    return { source: this.#world.hypervisor(route.source), target: this.#world.hypervisor(route.target) }
  }

  #within(limit: Milliseconds, command: Command, op: (signal: AbortSignal) => Promise<void>): Promise<void> {
    return withDeadline(this.#world.clock, limit, `${command.kind} ${command.vm}`, this.#signal, op)
  }

  async #prepare(command: Of<'prepare'>, signal: AbortSignal): Promise<void> {
    const { source, target } = this.#sides(command)
    const presence = await source.presence(command.vm, signal)
    if (presence.state === 'absent') throw goneFrom(source.host, command.vm, presence.detail)
    // Before the target is touched: what waits or lies there may be another migration's, which ends by itself, or all that is left of the VM.
    const others = presence.state === 'running' && presence.migrating && source.capabilities.selfCompleting
    if (others || (presence.state !== 'running' && presence.state !== 'unreachable'))
      throw notAlone(command.vm, source.host, presence)
    const definition = await source.definition(command.vm, signal)
    if (this.#kept.keep(definition)) {
      const { driver, text } = definition
      this.#post({
        kind: 'definition-kept',
        vm: command.vm,
        attempt: command.attempt,
        source: command.source,
        driver,
        text,
      })
    }
    this.#landings.set(keyOf(command), await target.prepare(definition, command.options, signal))
    this.#post({ kind: 'target-ready', vm: command.vm, attempt: command.attempt })
  }

  async #migrate(command: Of<'migrate'>): Promise<void> {
    const landing = this.#landings.get(keyOf(command))
    this.#landings.delete(keyOf(command))
    if (landing === undefined) throw new Error('the prepared target was forgotten')
    const key = keyOf(command)
    const started = this.#within(answersWithin, command, async signal => {
      await this.#sides(command).source.migrate(command.vm, landing, command.tuning, command.options, signal)
      this.#post({ kind: 'memory-flowing', vm: command.vm, attempt: command.attempt })
    })
    // Whoever waits for it does not care how it ends; that is told below.
    this.#starting.set(
      key,
      started.catch(() => undefined),
    )
    try {
      await started
    } finally {
      this.#starting.delete(key)
    }
    await this.#follow(command)
  }

  /**
   * What is said to a running migration before it runs is lost: libvirt's start sets rate and downtime anew, and there is no job to
   * abort yet. So it waits for the start, which has a deadline of its own.
   */
  async #onceStarted(command: Command, act: (signal: AbortSignal) => Promise<void>): Promise<void> {
    await this.#starting.get(keyOf(command))
    await this.#within(answersWithin, command, act)
  }

  /** At most one follower an attempt. */
  async #follow(route: Route): Promise<void> {
    const key = keyOf(route)
    if (this.#followed.has(key)) return
    this.#followed.add(key)
    try {
      const { source } = this.#sides(route)
      const { clock } = this.#world
      await followMigration({ source, route, clock, post: event => this.#post(event) }, this.#signal)
    } finally {
      this.#followed.delete(key)
    }
  }

  async #recover(command: Of<'recover'>): Promise<void> {
    const { source, target } = this.#sides(command)
    const { clock } = this.#world
    let last = 'not tried'
    const joined = await this.#attempt(recoversWithin, command, signal =>
      poll(clock, recoverEvery, signal, async inner => {
        try {
          const landing = await withDeadline(clock, answersWithin, 'the target to listen again', inner, s =>
            target.reopen(command.vm, s),
          )
          await withDeadline(clock, answersWithin, 'the source to resume', inner, s =>
            source.rejoin(command.vm, landing, s),
          )
          return true
        } catch (error) {
          last = describeError(error)
          return undefined
        }
      }),
    )
    if (joined === undefined) {
      this.#post({
        kind: 'attempt-unclear',
        vm: command.vm,
        attempt: command.attempt,
        why: `post-copy could not be joined again: ${last}`,
      })
      return
    }
    this.#post({ kind: 'post-copy-began', vm: command.vm, attempt: command.attempt })
    await this.#follow(command)
  }

  async #attempt<T>(
    limit: Milliseconds,
    command: Command,
    op: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await withDeadline(this.#world.clock, limit, `${command.kind} ${command.vm}`, this.#signal, op)
    } catch (error) {
      if (this.#signal.aborted) throw error
      return undefined
    }
  }

  async #finish(command: Of<'finish'>, signal: AbortSignal): Promise<void> {
    const sides = this.#sides(command)
    await finish(sides, command.vm, this.#world.clock, signal)
    const last = await sides.source.sample(command.vm, signal).catch((error: unknown) => {
      if (signal.aborted) throw error
      return undefined // the source may be gone by now; the VM runs, and its counters are a nicety
    })
    this.#post({
      kind: 'landed',
      vm: command.vm,
      attempt: command.attempt,
      downtime: last?.downtime,
      sent: last?.sent ?? bytes(0),
      needed: last === undefined || last.total === 0 ? undefined : bytes(Math.max(0, last.total - last.zero)),
    })
  }

  async #retire(command: Of<'retire'>, signal: AbortSignal): Promise<void> {
    const kept = this.#kept.of(command.vm)
    if (kept !== undefined) await this.#adopt(command, kept, signal)
    await retire(this.#sides(command), command.vm, kept, signal)
    this.#kept.forget(command.vm)
    this.#post({ kind: 'source-ended', vm: command.vm, attempt: command.attempt })
  }

  /** Of the same step as `retire`, so that it is done by whichever controller ends the source. The VM runs, with it or without. */
  async #adopt(command: Of<'retire'>, kept: Definition, signal: AbortSignal): Promise<void> {
    const { target } = this.#sides(command)
    try {
      await withDeadline(this.#world.clock, answersWithin, `adopt ${command.vm}`, signal, inner =>
        Promise.resolve(target.adopt?.(kept, inner)),
      )
    } catch (error) {
      signal.throwIfAborted()
      const why = describeError(error)
      this.#post({ kind: 'command-failed', vm: command.vm, attempt: command.attempt, command: 'adopt', why })
    }
  }

  async #rollBack(command: Of<'roll-back'>, signal: AbortSignal): Promise<void> {
    await rollBack(this.#sides(command), command.vm, signal)
    this.#post({ kind: 'attempt-failed', vm: command.vm, attempt: command.attempt, failure: command.failure })
  }
}

function notAlone(vm: VmId, source: HostId, presence: Presence): MigrationError {
  const detail = `${source} says ${showPresence(presence)}; only a VM that runs there, and is left alone, can be moved`
  return new MigrationError(vm, { code: 'source-refused', detail })
}

const keyOf = ({ vm, attempt }: Route): string => `${vm} ${attempt}`
