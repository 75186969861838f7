/** In which order the executor lets commands reach a hypervisor, in virtual time. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, someVms } from '../../test/arbitraries.ts'
import type { Command, Route } from '../core/control/command.ts'
import type { Observed } from '../core/control/observed.ts'
import { hostId, vmId } from '../core/ids.ts'
import type { Tuning } from '../core/migration/migration.ts'
import { plainStart } from '../core/migration/start-options.ts'
import { Kernel } from '../core/sim/kernel.ts'
import { SimWorld } from '../core/sim/sim-world.ts'
import { megabitsPerSecond, ms } from '../core/units.ts'
import { SimulatedHost } from '../hypervisor/simulated/simulated-host.ts'
import { VirtualClock } from '../hypervisor/simulated/virtual-clock.ts'
import type { Journal } from '../journal/journal.ts'
import { Executor } from './executor.ts'

const route: Route = { vm: vmId('vm-1'), source: hostId('a-1'), target: hostId('b-1'), attempt: 1 }
const at = (rate: number | undefined): Tuning => ({
  rate: rate === undefined ? undefined : megabitsPerSecond(rate),
  downtimeLimit: ms(300),
})
const migrate: Command = { kind: 'migrate', ...route, tuning: at(10), options: plainStart }
const adjust = (rate: number | undefined): Command => ({ kind: 'adjust', ...route, tuning: at(rate), why: 'so' })
/** The executor writes none. */
const journal: Journal = { read: () => [], close: () => undefined, append: () => undefined, useReserve: () => false }

/** A target that is ready, in a world that goes on for as long as somebody waits. */
async function bench() {
  const snapshot = aSnapshot({ vms: someVms(1) })
  const world = new SimWorld(snapshot, new Kernel(), () => 0.5)
  const clock = new VirtualClock(world.kernel)
  const hypervisor = (host: Route['source']) => new SimulatedHost({ host, snapshot, world, clock })
  const facts: Observed[] = []
  const end = new AbortController()
  const executor = new Executor({ clock, journal, hypervisor }, event => facts.push(event), end.signal)
  const waits = (span: number): Promise<void> => clock.sleep(ms(span), end.signal)
  executor.submit({ kind: 'prepare', ...route, options: plainStart })
  await waits(1_000)
  assert.deepEqual(facts.splice(0), [{ kind: 'target-ready', vm: route.vm, attempt: 1 }])
  const over = async (): Promise<void> => {
    end.abort(new Error('the test is over'))
    await executor.settled()
  }
  return { executor, world, facts, waits, over }
}

describe('what is said of a migration whose source is being told to send', () => {
  test('waits until it was told: caps are what was said last', async () => {
    const { executor, world, waits, over } = await bench()
    executor.submit(migrate)
    executor.submit(adjust(undefined))
    await waits(500)
    assert.equal(world.transferOf(route.vm)?.cap, Infinity)
    executor.submit(adjust(20))
    await waits(500)
    assert.equal(world.transferOf(route.vm)?.cap, megabitsPerSecond(20))
    await over()
  })

  test('a call back is no exception: it is called back', async () => {
    const { executor, world, facts, waits, over } = await bench()
    executor.submit(migrate)
    executor.submit({ kind: 'cancel', ...route, why: 'so' })
    await waits(500)
    assert.equal(world.transferOf(route.vm)?.status, 'cancelled')
    assert.deepEqual(
      facts.map(({ kind }) => kind).filter(kind => kind !== 'progress'),
      ['memory-flowing', 'migration-broke'],
    )
    await over()
  })

  test('is said though it could not be told, and its failure is told once', async () => {
    const { executor, world, facts, waits, over } = await bench()
    world.failNext(route.vm, 'source-refused', 1)
    executor.submit(migrate)
    executor.submit(adjust(undefined))
    await waits(500)
    assert.deepEqual(
      facts.map(({ kind }) => kind),
      ['migration-broke'],
    )
    await over()
  })
})
