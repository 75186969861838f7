/** Writes what is known of every path into the history, once a second. Never throws: trouble is told once, and tried again after a while. */
import type { Instant } from '../core/instant.ts'
import type { LinkState, MeasuredCapacity } from '../core/network/link-state.ts'
import { isKnown, type NotKnown } from '../core/network/reading.ts'
import { type History, type HistoryPoint, openHistory, type Prior } from './history.ts'

/** @unit ms */
const tryAgainAfter = 60_000

export class HistoryRecorder {
  readonly #file: string
  readonly #onTrouble: (message: string) => void
  /** When the capacity of a path that was written last had been measured: an old one is not written again as a new one. */
  readonly #written = new Map<string, Instant>()
  #history: History | undefined
  #notBefore = 0
  #lastSecond = -1
  #told = ''

  constructor(file: string, onTrouble: (message: string) => void) {
    this.#file = file
    this.#onTrouble = onTrouble
  }

  /** Once a second; asked more often, it looks at nothing. */
  record(links: () => readonly LinkState[], now: Instant): void {
    if (Math.floor(now / 1000) !== this.#lastSecond) this.recordNow(links(), now)
  }

  /** What a probe found: the next second may never come. */
  recordNow(links: readonly LinkState[], now: Instant): void {
    this.#lastSecond = Math.floor(now / 1000)
    this.#use(now, history =>
      history.record(
        links.map(link => this.#point(link)),
        now,
      ),
    )
  }

  priorOf(path: { readonly from: string; readonly to: string }, now: Instant): Prior | undefined {
    return this.#use(now, history => history.priorOf(path, now))
  }

  minutesOf(
    path: { readonly from: string; readonly to: string },
    minutes: number,
    now: Instant,
  ): readonly (number | undefined)[] {
    return this.#use(now, history => history.minutesOf(path, minutes, now)) ?? []
  }

  close(): void {
    try {
      this.#history?.close()
    } catch (error) {
      this.#tell(error)
    }
    this.#history = undefined
  }

  #use<T>(now: Instant, deed: (history: History) => T): T | undefined {
    if (now < this.#notBefore) return undefined
    try {
      this.#history ??= openHistory(this.#file, now)
      return deed(this.#history)
    } catch (error) {
      this.#tell(error)
      this.close()
      this.#notBefore = now + tryAgainAfter
      return undefined
    }
  }

  #tell(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (message === this.#told) return
    this.#told = message
    this.#onTrouble(message)
  }

  #point(state: LinkState): HistoryPoint {
    const { link, measured } = state
    const fresh =
      isKnown(measured) && measured.at > (this.#written.get(link.name) ?? Number.NEGATIVE_INFINITY)
        ? measured
        : undefined
    if (fresh !== undefined) this.#written.set(link.name, fresh.at)
    return {
      path: link.name,
      inUse: known(state.inUse),
      byUs: known(state.byUs),
      byOthers: known(state.byOthers),
      rtt: known(state.rtt),
      minRtt: known(state.minRtt),
      loss: isKnown(state.loss) ? state.loss.share : undefined,
      bestFlow: fresh?.how === 'probe' ? fresh.rate : state.flows > 0 ? known(state.bestFlow) : undefined,
      loneFlow:
        fresh?.how === 'probe' ? loneProbe(state, fresh) : state.flows === 1 ? known(state.loneFlow) : undefined,
      fullRate: fresh?.bound === 'full' ? fresh.rate : undefined,
      leastRate: fresh?.bound === 'at-least' ? fresh.rate : undefined,
    }
  }
}

/** A probe is one connection: what it got, one gets, unless it was ended while it may still have risen. */
const loneProbe = ({ lastProbe }: LinkState, { rate, bound }: MeasuredCapacity): number | undefined =>
  bound === 'full' || lastProbe?.stoppedBy === 'time-limit' ? rate : undefined

const known = (value: number | NotKnown): number | undefined => (typeof value === 'number' ? value : undefined)
