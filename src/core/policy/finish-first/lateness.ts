/**
 * Who cannot be home by the deadline any more, whatever it gets: it yields to those that can, on the same bottleneck. When nobody there
 * can, all go on as if there was no deadline: forecasts err, and power lasts longer than it says.
 */
import { preCopyDuration } from '../../forecast/pre-copy-duration.ts'
import type { VmId } from '../../ids.ts'
import { type Instant, between } from '../../instant.ts'
import { bytesToMove, type Vm, writesOf } from '../../inventory/vm.ts'
import type { Migration } from '../../migration/migration.ts'
import { bytes, showTime } from '../../units.ts'
import type { PolicyView } from '../policy.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Queues } from './queues.ts'

/** A queue is looked through so far for one that can. */
const lookahead = 64

export class Lateness {
  readonly #view: PolicyView
  readonly #left: number | undefined
  /** Queues in which somebody can still be home in time. */
  readonly #hopeful = new Set<string>()

  constructor(view: PolicyView, lanes: Lanes, queues: Queues | undefined) {
    this.#view = view
    this.#left = view.deadline === undefined ? undefined : timeLeft(view.now, view.deadline)
    if (this.#left === undefined) return
    for (const m of view.migrations.in('pre-copy', 'preparing')) {
      const lane = lanes.lane(m.source, m.target)
      if (!this.#isLate(m.vm, leftOf(m), lane)) this.#hopeful.add(lane.queue)
    }
    for (const [key, { lane, vms }] of queues?.byLane ?? []) {
      if (lane === undefined || this.#hopeful.has(key)) continue
      if (vms.slice(0, lookahead).some(vm => this.#waits(vm) && !this.#isLate(vm, undefined, lane)))
        this.#hopeful.add(key)
    }
  }

  /** Why this one yields; undefined when it does not. */
  yields(
    m: Pick<Migration, 'vm'> & Partial<Pick<Extract<Migration, { phase: 'pre-copy' }>, 'progress'>>,
    lane: Lane,
  ): string | undefined {
    if (this.#left === undefined || !this.#hopeful.has(lane.queue)) return undefined
    const takes = this.#takes(m.vm, m.progress?.remaining, lane)
    if (takes <= this.#left) return undefined
    const needs = Number.isFinite(takes) ? `needs ${showTime(takes)}` : 'does not end by pre-copy'
    return `yields to those that can be home in time: it ${needs}, ${showTime(this.#left)} are left`
  }

  #waits(vm: VmId): boolean {
    return this.#view.migrations.get(vm)?.phase === 'queued'
  }

  #isLate(vm: VmId, remaining: number | undefined, lane: Lane): boolean {
    return this.#left !== undefined && this.#takes(vm, remaining, lane) > this.#left
  }

  /** @unit ms */
  #takes(id: VmId, remaining: number | undefined, { narrowest, own }: Lane): number {
    const rate = Math.min(narrowest, own)
    // Of a way nobody knows, nobody says that it is too slow.
    if (!Number.isFinite(rate)) return 0
    const vm: Vm = this.#view.vmOf(id)
    return preCopyDuration(bytes(remaining ?? bytesToMove(vm)), writesOf(vm), rate, vm.policy.maxDowntime)
  }
}

const leftOf = (m: Extract<Migration, { phase: 'pre-copy' | 'preparing' }>): number | undefined =>
  m.phase === 'pre-copy' ? m.progress?.remaining : undefined

/** @unit ms */
const timeLeft = (now: Instant, deadline: Instant): number | undefined =>
  now >= deadline ? undefined : between(now, deadline)
