/**
 * One evacuation in virtual time: the same `step` as in production, against simulated hypervisors, with what the timeline says
 * happening in between. Deterministic: the same start and timeline give the same journal, on any machine.
 */
import type { Command } from '../control/command.ts'
import type { Evacuation } from '../control/evacuation.ts'
import { HostLoadsTold } from '../forecast/host-signal.ts'
import type { Observed, Started } from '../control/observed.ts'
import { stepAndForecast } from '../control/step-and-forecast.ts'
import { type Instant, instant } from '../instant.ts'
import { hostsOfSite } from '../inventory/snapshot.ts'
import type { Landed } from '../migration/migration.ts'
import type { Milliseconds } from '../units.ts'
import type { Chance } from './chance.ts'
import { Kernel } from './kernel.ts'
import { Performer } from './perform.ts'
import { powerLossSeenAfter } from './physics/timings.ts'
import { SimWorld } from './sim-world.ts'
import type { Happening, Timeline } from './timeline.ts'

export interface Simulation {
  /** Its snapshot is the world as it is, and as the controller knows it. */
  readonly started: Started
  /** As it really happens (real-timeline.ts). */
  readonly timeline: Timeline
  readonly chance: Chance
  /** The simulation ends here, whatever is still going on. */
  readonly horizon: Milliseconds
  /** Told of each batch of facts, if somebody wants to watch. */
  readonly onRow?: ((row: SimRow) => void) | undefined
  /** Told of what happens to the world, as it does. */
  readonly onHappening?: ((at: Instant, what: Happening) => void) | undefined
  /** Told of the world after every change of rates: for plots. */
  readonly onRates?: ((world: SimWorld) => void) | undefined
}

/** What a journal would hold. */
export interface SimRow {
  readonly at: Instant
  readonly event: Observed
  readonly commands: readonly Command[]
}

export interface Simulated {
  readonly state: Evacuation
  readonly world: SimWorld
  /** It did not come to its end before the horizon. */
  readonly cutShort: boolean
}

const tickEvery = 1_000

/** A simulation under way: whoever drives it may look up in between, and stop. */
export interface SimulationRun {
  /** Carries out up to so many events. @returns whether there is more to come. @throws RanTwice when the controller let a VM run on two hosts */
  advance(events: number): boolean
  /** As it is now. */
  soFar(): Simulated
  readonly now: Instant
}

/** @throws RanTwice when the controller let a VM run on two hosts */
export function simulate(simulation: Simulation): Simulated {
  const run = begin(simulation)
  run.advance(Number.POSITIVE_INFINITY)
  return run.soFar()
}

export function begin(simulation: Simulation): SimulationRun {
  const { started, timeline, chance, horizon, onRow, onHappening, onRates } = simulation
  const kernel = new Kernel(instant(0))
  const world = new SimWorld(started.snapshot, kernel, chance)
  if (onRates !== undefined) world.onRates = () => onRates(world)
  const controller = new Controller(world, chance, started, onRow)
  for (const { at, what } of timeline) {
    kernel.at(at, () => {
      onHappening?.(kernel.now, what)
      happen(world, controller, what)
    })
  }
  const goesOn = (): boolean => controller.state.endedAt === undefined && kernel.now < horizon
  return {
    advance: events => {
      for (let n = 0; n < events; n += 1) if (!goesOn() || !kernel.step()) return false
      return goesOn()
    },
    soFar: () => ({ state: controller.state, world, cutShort: controller.state.endedAt === undefined }),
    get now() {
      return kernel.now
    },
  }
}

/** The engine's loop (engine/run-evacuation.ts) in virtual time. */
class Controller {
  readonly #world: SimWorld
  readonly #chance: Chance
  readonly #onRow: ((row: SimRow) => void) | undefined
  /** Sites that lost their power, or became endangered, while nobody looked. */
  readonly #unseen: Observed[] = []
  state: Evacuation
  #performer: Performer
  #alive = true
  readonly #loads = new HostLoadsTold()

  constructor(world: SimWorld, chance: Chance, started: Started, onRow: ((row: SimRow) => void) | undefined) {
    this.#world = world
    this.#chance = chance
    this.#onRow = onRow
    this.#performer = this.#hire()
    const { state, told } = stepAndForecast(undefined, started, world.kernel.now)
    this.state = state
    for (const each of told) this.#record({ at: world.kernel.now, ...each })
    this.#tick()
  }

  #hire(): Performer {
    return new Performer(this.#world, this.#chance, event => this.observe(event))
  }

  /** What a dead controller does not hear is lost, but that a site has no power can be seen later, and an operator says it again. */
  observe(event: Observed): void {
    if (!this.#alive && (event.kind === 'site-lost' || event.kind === 'operator')) this.#unseen.push(event)
    if (!this.#alive || this.state.endedAt !== undefined) return
    const at = this.#world.kernel.now
    const before = this.state
    const { state, told } = stepAndForecast(before, event, at)
    this.state = state
    const [first] = told
    if (event.kind === 'tick' && told.length === 1 && first?.commands.length === 0 && state === before) return
    for (const each of told) this.#record({ at, ...each })
  }

  #record(row: SimRow): void {
    this.#onRow?.(row)
    for (const command of row.commands) this.#performer.submit(command)
  }

  #tick(): void {
    this.#world.kernel.after(tickEvery, () => {
      const paths = this.#world.seenOnPaths()
      if (paths.length > 0) this.observe({ kind: 'network', paths })
      const hosts = this.#loads.worthTelling(this.#world.seenOfHosts(), this.#world.kernel.now)
      if (hosts.length > 0) this.observe({ kind: 'host-load', hosts })
      this.observe({ kind: 'tick' })
      if (this.state.endedAt === undefined) this.#tick()
    })
  }

  /** Gone at once; what it knew comes back from its journal. */
  crash(lasts: number): void {
    if (!this.#alive) return
    this.#alive = false
    this.#performer.die()
    this.#world.kernel.after(lasts, () => {
      this.#alive = true
      this.#performer = this.#hire()
      this.observe({ kind: 'controller-restarted', by: 'the timeline' })
      for (const event of this.#unseen.splice(0)) this.observe(event)
    })
  }
}

function happen(world: SimWorld, controller: Controller, what: Happening): void {
  switch (what.kind) {
    case 'path':
      return world.changePath(what.path, what.change)
    case 'cut':
      return world.cut(what.path)
    case 'heal':
      return world.heal(what.path)
    case 'power':
      return undefined
    case 'power-off': {
      const why = 'the power went off'
      world.siteDown(what.site, why)
      world.kernel.after(powerLossSeenAfter, () => controller.observe({ kind: 'site-lost', site: what.site, why }))
      return undefined
    }
    case 'host-down':
      return world.hostDown(what.host, 'it went down')
    case 'dirty':
      return world.setDirty(what.vm, what.model)
    case 'crash':
      return controller.crash(what.lasts)
    case 'endanger':
      return controller.observe({ kind: 'operator', order: 'endanger', site: what.site, by: 'the timeline' })
    case 'occupied':
      return world.occupy(what.host, what.memory)
    case 'busy':
      return world.busy(what.host, what.processors)
    case 'fail':
      return world.failNext(what.vm, what.how, what.times)
  }
}

/** Its target went down after it had landed there: what the world knows and the controller need not. */
export function diedAfterwards({ world }: Pick<Simulated, 'world'>, { target }: Landed): string | undefined {
  const why = world.isDown(target)
  return why === undefined ? undefined : `${target} went down after it had landed there: ${why}`
}

/** What a simulation must never end in; an empty list when it did not. The truth of the world against what the controller says. */
export function contradictions({ state, world }: Simulated): readonly string[] {
  const wrong: string[] = []
  const { snapshot } = state.started
  const lostPower = new Set([...state.lost.keys()].flatMap(site => hostsOfSite(snapshot, site).map(({ id }) => id)))
  for (const m of state.migrations.values()) {
    const running = world.runsOn(m.vm)
    if (running.length > 1) wrong.push(`${m.vm} runs on ${running.join(' and ')}`)
    if (m.phase === 'landed' && running[0] !== m.target && world.isDown(m.target) === undefined)
      wrong.push(`${m.vm} is said to be safe at ${m.target}, and runs on ${running[0] ?? 'no host'}`)
    if (m.phase !== 'given-up') continue
    const died = m.failure.code === 'vm-died'
    if (died && running.length > 0) wrong.push(`${m.vm} is said to be lost, and runs on ${running.join(', ')}`)
    if (!died && running[0] !== m.source && world.isDown(m.source) === undefined)
      wrong.push(`${m.vm} is said to be left at ${m.source}, and runs on ${running[0] ?? 'no host'}`)
    if (!died && lostPower.has(m.source)) wrong.push(`${m.vm} is said to be left at ${m.source}, which has no power`)
  }
  return wrong
}
