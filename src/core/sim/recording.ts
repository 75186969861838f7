/** What happened in one simulated evacuation, in the form of curves and bars: for plots. */
import type { VmId } from '../ids.ts'
import type { SimPath } from './network.ts'
import type { SimRow } from './simulate.ts'
import type { SimWorld } from './sim-world.ts'

/** [ms since the alarm, value]; the value holds until the next point. */
export type Steps = readonly (readonly [at: number, value: number])[]

/** One attempt of one VM. */
export interface Bar {
  readonly vm: VmId
  readonly from: number
  /** When the guest stopped at home, or began to run at the target with memory still coming. */
  readonly switched: number | undefined
  readonly to: number
  readonly ended: 'safe' | 'failed' | 'open'
}

export interface PathCurve {
  readonly name: string
  /** @unit bytes per second */
  readonly capacity: Steps
  /** By our migrations. @unit bytes per second */
  readonly used: Steps
}

export interface Recorded {
  /** When each VM became safe, ascending. */
  readonly landings: readonly number[]
  readonly paths: readonly PathCurve[]
  readonly bars: readonly Bar[]
  /** When it was over. */
  readonly end: number
}

interface OpenBar {
  readonly from: number
  switched: number | undefined
}

export class Recorder {
  readonly #landings: number[] = []
  readonly #bars: Bar[] = []
  readonly #open = new Map<VmId, OpenBar>()
  readonly #paths = new Map<SimPath, { readonly capacity: [number, number][]; readonly used: [number, number][] }>()

  onRow({ at, event, commands }: SimRow): void {
    // Who is found at its target after a doubt has no fact of landing; its copy at home is ended all the same.
    for (const command of commands)
      if (command.kind === 'retire' && event.kind !== 'landed' && this.#open.has(command.vm)) this.#land(command.vm, at)
    if (event.kind === 'memory-flowing') {
      this.#close(event.vm, at, 'failed')
      this.#open.set(event.vm, { from: at, switched: undefined })
    } else if (event.kind === 'guest-stopped' || event.kind === 'post-copy-began') {
      const bar = this.#open.get(event.vm)
      if (bar !== undefined) bar.switched ??= at
    } else if (event.kind === 'landed') this.#land(event.vm, at)
    else if (event.kind === 'attempt-failed') this.#close(event.vm, at, 'failed')
  }

  onRates(world: SimWorld): void {
    const { now } = world.kernel
    const usage = world.usage()
    for (const path of world.network.paths) {
      const curve = this.#paths.get(path) ?? { capacity: [], used: [] }
      this.#paths.set(path, curve)
      add(curve.capacity, now, path.capacity)
      add(curve.used, now, usage.get(path) ?? 0)
    }
  }

  done(end: number): Recorded {
    for (const vm of this.#open.keys()) this.#close(vm, end, 'open')
    return {
      landings: this.#landings,
      bars: this.#bars,
      end,
      paths: [...this.#paths].map(([{ path }, { capacity, used }]) => ({
        name: `${path.from} → ${path.to}`,
        capacity,
        used,
      })),
    }
  }

  #land(vm: VmId, at: number): void {
    this.#landings.push(at)
    this.#close(vm, at, 'safe')
  }

  #close(vm: VmId, at: number, ended: Bar['ended']): void {
    const bar = this.#open.get(vm)
    if (bar === undefined) return
    this.#open.delete(vm)
    this.#bars.push({ vm, ...bar, to: at, ended })
  }
}

/** Of one instant the last value counts. */
function add(steps: [number, number][], at: number, value: number): void {
  const last = steps.at(-1)
  if (last?.[0] === at) last[1] = value
  else if (last?.[1] !== value) steps.push([at, value])
}
