/** In which order commands reach a hypervisor. What each does there: sim-world.test.ts. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, someVms } from '../../../test/arbitraries.ts'
import type { Command, Route } from '../control/command.ts'
import type { Observed } from '../control/observed.ts'
import { hostId, vmId } from '../ids.ts'
import type { Tuning } from '../migration/migration.ts'
import { plainStart } from '../migration/start-options.ts'
import { megabitsPerSecond, ms } from '../units.ts'
import { Kernel } from './kernel.ts'
import { Performer } from './perform.ts'
import { SimWorld } from './sim-world.ts'

const route: Route = { vm: vmId('vm-1'), source: hostId('a-1'), target: hostId('b-1'), attempt: 1 }
const at = (rate: number | undefined): Tuning => ({
  rate: rate === undefined ? undefined : megabitsPerSecond(rate),
  downtimeLimit: ms(300),
})
const adjust = (rate: number | undefined): Command => ({ kind: 'adjust', ...route, tuning: at(rate), why: 'so' })
const migrate: Command = { kind: 'migrate', ...route, tuning: at(10), options: plainStart }

/** A target that is ready, and what was posted since. */
function bench(): { performer: Performer; world: SimWorld; until: (time: number) => void; facts: Observed[] } {
  const kernel = new Kernel()
  const world = new SimWorld(aSnapshot({ vms: someVms(1) }), kernel, () => 0.5)
  const facts: Observed[] = []
  const performer = new Performer(
    world,
    () => 0.5,
    event => facts.push(event),
  )
  const until = (time: number): void => {
    while (kernel.now < time && kernel.step()) continue
  }
  performer.submit({ kind: 'prepare', ...route, options: plainStart })
  until(1_000)
  assert.deepEqual(facts.splice(0), [{ kind: 'target-ready', vm: route.vm, attempt: 1 }])
  return { performer, world, until, facts }
}

describe('what is said of a migration whose source was not told to send yet', () => {
  test('waits until it was: a cap that is lifted at once is lifted', () => {
    const { performer, world, until } = bench()
    performer.submit(migrate)
    performer.submit(adjust(undefined))
    until(2_000)
    assert.equal(world.transferOf(route.vm)?.cap, Infinity)
  })

  test('in the order in which it was said', () => {
    const { performer, world, until } = bench()
    performer.submit(migrate)
    performer.submit(adjust(undefined))
    performer.submit(adjust(30))
    until(2_000)
    assert.equal(world.transferOf(route.vm)?.cap, megabitsPerSecond(30))
    performer.submit(adjust(20))
    until(3_000)
    assert.equal(world.transferOf(route.vm)?.cap, megabitsPerSecond(20))
  })

  test('a call back too: it is called back', () => {
    const { performer, world, until, facts } = bench()
    performer.submit(migrate)
    performer.submit({ kind: 'cancel', ...route, why: 'so' })
    until(2_000)
    assert.equal(world.transferOf(route.vm)?.status, 'cancelled')
    assert.deepEqual(
      facts.map(({ kind }) => kind).filter(kind => kind !== 'progress'),
      ['memory-flowing', 'migration-broke'],
    )
  })

  test('is said though it could not be told to send, and no later attempt hears of it', () => {
    const { performer, world, until, facts } = bench()
    world.failNext(route.vm, 'source-refused', 1)
    performer.submit(migrate)
    performer.submit(adjust(undefined))
    until(2_000)
    assert.ok(facts.some(({ kind }) => kind === 'migration-broke'))
    performer.submit({ ...migrate, attempt: 2 })
    until(3_000)
    assert.equal(world.transferOf(route.vm)?.cap, megabitsPerSecond(10))
  })
})
