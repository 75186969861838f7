import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aSite, aSnapshot, aVm, driven, runs } from '../../../../test/arbitraries.ts'
import { gib, pathOf, paused, roomy, startOf, unlimited, viewOf } from '../../../../test/finish-first-facts.ts'
import { lived, makespan } from '../../../../test/finish-first-worlds.ts'
import type { Limits } from '../../control/observed.ts'
import { siteId } from '../../ids.ts'
import { type Instant, instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import type { Timeline } from '../../sim/timeline.ts'
import { megabitsPerSecond, ms } from '../../units.ts'
import { loadsOf } from './ahead.ts'
import { criticalQueues } from './critical.ts'
import { Lanes } from './lanes.ts'
import { counted } from './queues.ts'

interface Sizes {
  /** In Mbit/s. */
  readonly uplink: number | undefined
  readonly wide: number
  readonly narrow: number
  /** VMs of 2 GiB each. */
  readonly onWide: number
  readonly onNarrow: number
}

/** Two sites are left for c, over whose uplink all of it goes. Those on the wide path are quicker, and first in the plan. */
const twoToOne = ({ uplink, wide, narrow, onWide, onNarrow }: Sizes, valueOnWide = 1): Snapshot =>
  aSnapshot({
    sites: [
      aSite('a'),
      aSite('b'),
      aSite('c', { safe: true, uplink: uplink === undefined ? undefined : megabitsPerSecond(uplink) }),
    ],
    hosts: [roomy('a-1', 'a'), roomy('b-1', 'b'), roomy('c-1', 'c')],
    paths: [
      { ...pathOf(wide), to: siteId('c') },
      { ...pathOf(narrow), from: siteId('b'), to: siteId('c') },
    ],
    vms: [
      ...Array.from({ length: onWide }, (_, n) =>
        aVm(`wide-${n}`, 'a-1', { memory: gib(4), used: gib(2), value: valueOnWide }),
      ),
      ...Array.from({ length: onNarrow }, (_, n) => aVm(`narrow-${n}`, 'b-1', { memory: gib(4), used: gib(2) })),
    ],
  })

interface Circumstances {
  readonly valueOnWide?: number
  readonly limits?: Limits
  readonly deadline?: Instant
}
function critical(
  sizes: Sizes,
  before: readonly string[] = [],
  { valueOnWide = 1, limits = unlimited, deadline }: Circumstances = {},
): readonly string[] {
  const state = driven([
    [0, startOf(twoToOne(sizes, valueOnWide), limits)],
    [0, paused],
  ])
  const view = viewOf(state, instant(0), { admitting: true, ...(deadline === undefined ? {} : { deadline }) })
  const lanes = new Lanes(view.snapshot, new Map(), undefined)
  return [...criticalQueues(new Set(before), view, lanes, counted(undefined, view, lanes), loadsOf(view, lanes))]
}

const sizes: Sizes = { uplink: 1_000, wide: 1_000, narrow: 500, onWide: 5, onNarrow: 5 }

describe('a narrow way on an uplink that others share', () => {
  test('goes first from when it takes nine tenths of the time that the uplink does', () => {
    assert.deepEqual(critical(sizes), ['path b c'])
    assert.deepEqual(critical({ ...sizes, onWide: 6, onNarrow: 5 }), ['path b c'])
    assert.deepEqual(critical({ ...sizes, onWide: 7, onNarrow: 5 }), [])
    assert.deepEqual(critical({ ...sizes, narrow: 100, onWide: 40 }), ['path b c'])
  })

  test('and goes on doing so until it takes six tenths', () => {
    assert.deepEqual(critical({ ...sizes, onWide: 11, onNarrow: 5 }, ['path b c']), ['path b c'])
    assert.deepEqual(critical({ ...sizes, onWide: 12, onNarrow: 5 }, ['path b c']), [])
  })

  test('not where what it carries is worth clearly less than what would wait for it', () => {
    assert.deepEqual(critical(sizes, [], { valueOnWide: 1.4 }), ['path b c'])
    assert.deepEqual(critical(sizes, [], { valueOnWide: 2 }), [])
  })

  test('not where something else bounds them all, or what counts is who is home in time', () => {
    assert.deepEqual(critical(sizes, [], { limits: { ...unlimited, maxParallel: 1 } }), [])
    assert.deepEqual(critical(sizes, [], { limits: { ...unlimited, bandwidth: megabitsPerSecond(200) } }), [])
    assert.deepEqual(critical(sizes, [], { deadline: instant(60_000) }), [])
  })

  test('while it flows, what others carry is still seen, and who does not converge there gets what its owner allows', () => {
    // The wide path falls to a tenth; the rest of the uplink goes to those on the third.
    const world = twoToOne({ ...sizes, narrow: 100, onWide: 5, onNarrow: 5 })
    const e = { ...pathOf(1_000), from: siteId('e'), to: siteId('c') }
    const more: Snapshot = {
      ...world,
      sites: [...world.sites, aSite('e')],
      hosts: [...world.hosts, roomy('e-1', 'e')],
      paths: [...world.paths, e],
      vms: [
        ...world.vms,
        ...Array.from({ length: 5 }, (_, n) => aVm(`third-${n}`, 'e-1', { memory: gib(4), used: gib(2) })),
      ],
    }
    const falls: Timeline[number] = {
      at: ms(20_000),
      jitter: ms(0),
      what: { kind: 'path', path: [siteId('a'), siteId('c')], change: { capacity: megabitsPerSecond(100) } },
    }
    const { state } = lived(more, [falls])
    const third = [...state.migrations.in('landed')].filter(({ vm }) => vm.startsWith('third'))
    const last = Math.max(...third.map(({ switchedAt }) => switchedAt))
    // 17 s each at 1 Gbit/s, and what the narrow one and the first of the wide have meanwhile.
    assert.ok(
      third.length === 5 && last < 180_000,
      `the last of the third way is home after ${Math.round(last / 1000)} s`,
    )
  })

  test('nobody does where no uplink is stated, or only one way crosses it', () => {
    assert.deepEqual(critical({ ...sizes, uplink: undefined }), [])
    assert.deepEqual(critical({ ...sizes, onWide: 0 }), [])
    assert.deepEqual(critical({ ...sizes, onNarrow: 0 }), [])
  })

  test('in worlds: the last is home within a fifth of what the uplink and the paths allow, whatever their widths', () => {
    const arbSizes = fc.record({
      uplink: fc.integer({ min: 300, max: 1_000 }),
      wide: fc.integer({ min: 300, max: 1_000 }),
      narrow: fc.integer({ min: 50, max: 500 }),
      onWide: fc.integer({ min: 2, max: 10 }),
      onNarrow: fc.integer({ min: 2, max: 10 }),
    })
    fc.assert(
      fc.property(arbSizes, some => {
        const seconds = (vms: number, rate: number): number => (vms * gib(2)) / megabitsPerSecond(rate)
        const bound = Math.max(
          seconds(some.onWide + some.onNarrow, some.uplink),
          seconds(some.onWide, some.wide),
          seconds(some.onNarrow, some.narrow),
        )
        const took = makespan(lived(twoToOne(some))) / 1000
        assert.ok(took <= bound * 1.2 + 5, `${Math.round(took)} s, of ${Math.round(bound)} s at the least`)
      }),
      runs(40),
    )
  })
})
