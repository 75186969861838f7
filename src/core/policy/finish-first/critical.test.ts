import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aSite, aSnapshot, aVm, driven, runs } from '../../../../test/arbitraries.ts'
import { gib, pathOf, paused, roomy, startOf, viewOf } from '../../../../test/finish-first-facts.ts'
import { lived, makespan } from '../../../../test/finish-first-worlds.ts'
import { siteId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import { megabitsPerSecond } from '../../units.ts'
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

/** Two sites are left for c, over whose uplink all of it goes. Those on the wide path are first in the plan. */
const twoToOne = ({ uplink, wide, narrow, onWide, onNarrow }: Sizes): Snapshot =>
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
      ...Array.from({ length: onWide }, (_, n) => aVm(`wide-${n}`, 'a-1', { memory: gib(4), used: gib(2), value: 2 })),
      ...Array.from({ length: onNarrow }, (_, n) => aVm(`narrow-${n}`, 'b-1', { memory: gib(4), used: gib(2) })),
    ],
  })

function critical(sizes: Sizes, before: readonly string[] = []): readonly string[] {
  const state = driven([
    [0, startOf(twoToOne(sizes))],
    [0, paused],
  ])
  const view = viewOf(state, instant(0), { admitting: true })
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
