/** Forecasts against what came, over many simulated worlds: right in the middle, and kept nine times in ten where the world stays as it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseWorldSpec } from '../src/config/world-spec.ts'
import { type Mark, marks, quantile } from '../src/core/forecast/correction.ts'
import { generateWorld } from '../src/core/sim/generate.ts'
import { rehearse } from '../src/core/sim/rehearse.ts'

interface Tally {
  readonly errors: number[]
  within: number
}
interface Measured {
  readonly vms: Readonly<Record<Mark, Tally>>
  readonly whole: Readonly<Record<Mark, Tally>>
}
const noTally = (): Record<Mark, Tally> => ({
  0: { errors: [], within: 0 },
  10: { errors: [], within: 0 },
  50: { errors: [], within: 0 },
  90: { errors: [], within: 0 },
})

function measured(policy: string, path: string, worlds: number): Measured {
  const [vms, whole] = [noTally(), noTally()]
  for (let seed = 1; seed <= worlds; seed += 1) {
    const spec = { vms: 30, hosts: 3, path: { kind: path, capacity: '1Gbit/s' }, seed }
    const world = generateWorld(parseWorldSpec(JSON.stringify(spec)))
    const limits = { maxParallel: undefined, bandwidth: undefined }
    rehearse({
      ...world,
      policy,
      limits,
      seed: 1,
      watch: {
        onRow: ({ event }) => {
          if (event.kind !== 'vm-forecast-judged' && event.kind !== 'forecast-judged') return
          const { came } = event
          if (came === undefined) return
          const began = event.kind === 'forecast-judged' ? 0 : event.began
          for (const { mark, end } of event.said) {
            if (end === undefined) continue
            const tally = (event.kind === 'forecast-judged' ? whole : vms)[mark]
            tally.errors.push(Math.abs(end.p50 - came) / (came - began))
            if (came <= end.p90) tally.within += 1
          }
        },
      },
    })
  }
  return { vms, whole }
}

const median = ({ errors }: Tally): number =>
  quantile(
    [...errors].sort((a, b) => a - b),
    0.5,
  )
const kept = ({ within, errors }: Tally): number => within / errors.length

test('on a path that stays as it is: half of all VM ends within 2 % of their duration, nine in ten by the p90', () => {
  const { vms, whole } = measured('finish-first', 'steady', 12)
  for (const mark of marks) {
    assert.ok(vms[mark].errors.length > 300)
    assert.ok(median(vms[mark]) < 0.02, `${mark} %: ${median(vms[mark])}`)
    assert.ok(kept(vms[mark]) >= 0.9, `${mark} %: ${kept(vms[mark])} by p90`)
    assert.ok(median(whole[mark]) < 0.06, `the whole at ${mark} %: ${median(whole[mark])}`)
    assert.ok(kept(whole[mark]) >= 0.75, `the whole at ${mark} %: ${kept(whole[mark])} by p90`)
  }
})

test('on a path that changes, forecasts made late still hold, and early ones for most', () => {
  const { vms } = measured('finish-first', 'step', 12)
  assert.ok(median(vms[0]) < 0.05 && kept(vms[0]) >= 0.85, `${median(vms[0])}, ${kept(vms[0])}`)
  assert.ok(median(vms[90]) < 0.02 && kept(vms[90]) >= 0.85, `${median(vms[90])}, ${kept(vms[90])}`)
})

test('whatever the number at a time, the middle is right', () => {
  for (const policy of ['sequential', 'fixed:4']) {
    const { vms } = measured(policy, 'steady', 6)
    for (const mark of marks) assert.ok(median(vms[mark]) < 0.05, `${policy} at ${mark} %: ${median(vms[mark])}`)
  }
})
