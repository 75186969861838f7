/**
 * Follows one running migration at its source and reports what it sees, until it has ended one way or the other. It decides nothing
 * and touches nothing; what it cannot see it reports as unclear.
 */
import type { Route } from '../core/control/command.ts'
import type { Observed } from '../core/control/observed.ts'
import type { Instant } from '../core/instant.ts'
import type { MigrationFailure } from '../core/migration/failure.ts'
import type { Progress } from '../core/migration/progress.ts'
import { bytesPerSecond } from '../core/units.ts'
import type { Hypervisor, MigrationStatus, Sample } from '../hypervisor/hypervisor.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { describeError } from './classify-error.ts'
import { answersWithin, sampleEvery } from './patience.ts'

export interface Following {
  readonly source: Hypervisor
  readonly route: Route
  readonly clock: Clock
  readonly post: (event: Observed) => void
}

/** Ends when the migration did, when the source cannot be asked, or when the signal aborts. Never rejects. */
export async function followMigration(following: Following, signal: AbortSignal): Promise<void> {
  const { source, route, clock, post } = following
  const own = new AbortController()
  const inner = AbortSignal.any([signal, own.signal])
  const bell = new Bell()
  const ringing = ring(source, route, bell, inner)
  const meter = new Meter()
  let before: MigrationStatus | undefined
  try {
    for (;;) {
      const sample = await withDeadline(clock, answersWithin, `${route.vm} at ${source.host}`, signal, s =>
        source.sample(route.vm, s),
      )
      const changed = sample.status !== before
      before = sample.status
      for (const event of eventsOf(sample, changed, meter.read(sample, clock.now())))
        post({ ...event, ...ofAttempt(route) })
      if (hasEnded(sample.status)) return
      await bell.wait(clock, inner)
    }
  } catch (error) {
    if (signal.aborted) return
    post({
      kind: 'attempt-unclear',
      ...ofAttempt(route),
      why: `cannot follow it at ${source.host}: ${describeError(error)}`,
    })
  } finally {
    own.abort()
    await ringing
  }
}

const ofAttempt = ({ vm, attempt }: Route) => ({ vm, attempt })
const hasEnded = (status: MigrationStatus): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'none'

type Told =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'guest-stopped' | 'sent-whole' | 'post-copy-began' }
  | { readonly kind: 'post-copy-broke' | 'attempt-unclear'; readonly why: string }
  | {
      readonly kind: 'migration-broke'
      readonly failure: MigrationFailure
    }

function eventsOf(sample: Sample, changed: boolean, progress: Progress): readonly Told[] {
  const moved: Told = { kind: 'progress', progress }
  const once = (told: Told): readonly Told[] => (changed ? [moved, told] : [moved])
  switch (sample.status) {
    case 'starting':
      return []
    case 'active':
      return [moved]
    case 'stopping':
      return once({ kind: 'guest-stopped' })
    case 'post-copy':
      return once({ kind: 'post-copy-began' })
    case 'post-copy-broken':
      return once({ kind: 'post-copy-broke', why: sample.error ?? 'the link broke' })
    case 'completed':
      return once({ kind: 'sent-whole' })
    case 'failed':
      return once({
        kind: 'migration-broke',
        failure: sample.failure ?? { code: 'path-lost', detail: sample.error ?? 'the hypervisor gave no reason' },
      })
    case 'cancelled':
      return once({ kind: 'migration-broke', failure: { code: 'cancelled', detail: 'called off at the hypervisor' } })
    case 'none':
      return [{ kind: 'attempt-unclear', why: 'the source knows of no migration' }]
  }
}

/** Wakes the follower when the hypervisor says that something changed, and at the latest when the next sample is due. */
class Bell {
  #rung = false
  #wake: AbortController | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.abort()
  }

  async wait(clock: Clock, signal: AbortSignal): Promise<void> {
    if (!this.#rung) {
      this.#wake = new AbortController()
      const either = AbortSignal.any([signal, this.#wake.signal])
      await clock.sleep(sampleEvery, either).catch((error: unknown) => {
        if (signal.aborted) throw error
      })
      this.#wake = undefined
    }
    this.#rung = false
  }
}

/** Loss of the signals is no harm: samples go on, and say what there is to say. */
async function ring(source: Hypervisor, route: Route, bell: Bell, signal: AbortSignal): Promise<void> {
  try {
    for await (const _ of source.signals(route.vm, signal)) bell.ring()
  } catch (error) {
    if (!signal.aborted) bell.ring() // the next sample meets the same trouble and reports it
    void error
  }
}

/** Our own goodput: bytes sent between two samples, over the time between them, smoothed over a few. */
class Meter {
  #last: { readonly at: Instant; readonly sent: number } | undefined
  #rate = 0

  read(sample: Sample, now: Instant): Progress {
    if (this.#last === undefined || sample.sent < this.#last.sent) {
      this.#last = { at: now, sent: sample.sent }
    } else if (now - this.#last.at >= 200) {
      const rate = ((sample.sent - this.#last.sent) / (now - this.#last.at)) * 1000
      this.#rate = this.#rate === 0 ? rate : this.#rate * 0.5 + rate * 0.5
      this.#last = { at: now, sent: sample.sent }
    }
    const { sent, remaining, total, disk, zero, round, dirtyRate, throttle, expectedDowntime } = sample
    return {
      sent,
      remaining,
      total,
      ...(disk === undefined ? {} : { disk }),
      zero,
      round,
      rate: bytesPerSecond(this.#rate),
      dirtyRate,
      throttle,
      expectedDowntime,
    }
  }
}
