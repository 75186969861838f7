import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, aVm, driven } from '../../../../test/arbitraries.ts'
import {
  decide,
  hundred,
  onePath,
  pathOf,
  progress,
  ready,
  roomy,
  startOf,
} from '../../../../test/finish-first-facts.ts'
import { change, lived } from '../../../../test/finish-first-worlds.ts'
import { siteId } from '../../ids.ts'
import { instant } from '../../instant.ts'
import type { Snapshot } from '../../inventory/snapshot.ts'
import type { Timeline } from '../../sim/timeline.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../units.ts'

/** The precious one goes first; the path falls, and it cannot be home in time any more. */
const world = (deadline: number | undefined): Snapshot =>
  aSnapshot({
    hosts: [roomy('a-1', 'a'), roomy('b-1', 'b')],
    paths: [pathOf(100)],
    vms: [
      aVm('precious', 'a-1', { used: mebibytes(1_024), memory: mebibytes(2_048), value: 1_000 }),
      ...[1, 2, 3, 4, 5, 6].map(n => aVm(`small-${n}`, 'a-1', { used: mebibytes(32), memory: mebibytes(64) })),
    ],
    deadline: deadline === undefined ? undefined : ms(deadline),
  })
const fallsAndDies: Timeline = [
  change(10_000, { capacity: megabitsPerSecond(20) }),
  { at: ms(120_000), jitter: ms(0), what: { kind: 'power-off', site: siteId('a') } },
]
const safe = (deadline: number | undefined): number =>
  lived(world(deadline), fallsAndDies).state.migrations.count('landed')

describe('a deadline', () => {
  test('one that cannot be home in time yields to those that can', () => {
    assert.equal(safe(undefined), 0, 'without one nobody yields, and all are lost')
    assert.equal(safe(120_000), 6)
  })

  test('where nobody can be home in time all go on, for forecasts err; so when it has passed', () => {
    for (const deadline of [100, 3_500]) {
      const state = driven([onePath(3, { used: mebibytes(900) }), [1, ready(1)], [2, ready(2)]])
      const intents = decide(state, 3_000, { deadline: instant(deadline) })
      assert.ok(!JSON.stringify(intents).includes('yields'), JSON.stringify(intents))
    }
  })

  test('it says what it needs, and what is left', () => {
    const [at, start] = onePath(3, { used: mebibytes(900), memory: mebibytes(1_024) })
    assert.ok(start.kind === 'evacuation-started')
    const vms = start.snapshot.vms.map((vm, n) => (n === 0 ? vm : { ...vm, used: mebibytes(10) }))
    const snapshot = { ...start.snapshot, vms }
    const state = driven([
      [at, { ...startOf(snapshot), plan: start.plan }],
      [1, ready(1)],
      [2_000, progress(1, { remaining: mebibytes(800), rate: bytesPerSecond(hundred / 10) })],
    ])
    const whys = decide(state, 3_000, { deadline: instant(30_000) }).flatMap(intent =>
      intent.kind === 'adjust' ? [intent.why] : [],
    )
    assert.deepEqual(whys, ['yields to those that can be home in time: it needs 1 min 07 s, 27.0 s are left'])
  })
})
